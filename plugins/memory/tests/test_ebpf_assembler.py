"""The assembler and the cookies: bytes and bits, no kernel."""

from __future__ import annotations

import struct

import pytest

from codspeed_memory.ebpf import layout
from codspeed_memory.ebpf.assembler import FRAME, R0, R1, R2, Program
from codspeed_memory.ebpf.functions import Probe, Role
from codspeed_memory.ebpf.probing import cookie_of
from codspeed_memory.raw import Kind


def instructions(program: Program) -> list[tuple[int, int, int, int]]:
    """Return operation, registers, offset and value of each."""
    return list(struct.iter_unpack("<BBhi", program.assembled()))


def test_instructions_are_what_the_standard_says() -> None:
    program = Program()
    program.set(R0, -1)
    program.copy(R1, R2)
    program.load(R2, R1, 16, 4)
    program.store(FRAME, -8, R2, 8)
    program.store_value(FRAME, -16, 7, 4)
    program.change(R2, "<<", 8)
    program.change_by(R2, "|", R0)
    program.count(R1, 24, R2)
    program.call(14)
    program.call_kernel(65564)
    program.exit_with_result()

    assert instructions(program) == [
        (0xB7, 0x00, 0, -1),
        (0xBF, 0x21, 0, 0),
        (0x61, 0x12, 16, 0),
        (0x7B, 0x2A, -8, 0),
        (0x62, 0x0A, -16, 7),
        (0x67, 0x02, 0, 8),
        (0x4F, 0x02, 0, 0),
        (0xDB, 0x21, 24, 0),
        (0x85, 0x00, 0, 14),
        (0x85, 0x20, 0, 65564),
        (0x95, 0x00, 0, 0),
    ]


def test_maps_and_their_values_take_two_instructions() -> None:
    program = Program()
    program.map(R1, 5)
    program.value_of(R2, 6, 8)

    assert instructions(program) == [
        (0x18, 0x11, 0, 5),
        (0, 0, 0, 0),
        (0x18, 0x22, 0, 6),
        (0, 0, 0, 8),
    ]


def test_jumps_count_instructions_to_their_label() -> None:
    program = Program()
    program.jump_if(R1, "==", 3, "end")
    program.jump_if_register(R1, "<=", R2, "middle")
    program.map(R0, 1)
    program.label("middle")
    program.jump("end")
    program.label("end")
    program.exit(0)

    jumps = [each for each in instructions(program) if each[0] & 7 == 5 and each[0] != 0x95]
    assert jumps == [(0x15, 0x01, 4, 3), (0xBD, 0x21, 2, 0), (0x05, 0x00, 0, 0)]


def test_a_jump_back_or_to_nowhere_is_a_fault_of_ours() -> None:
    back, nowhere = Program(), Program()
    back.label("start")
    back.jump("start")
    nowhere.jump("end")

    with pytest.raises(AssertionError, match="start"):
        back.assembled()
    with pytest.raises(KeyError, match="end"):
        nowhere.assembled()


def test_labels_of_ours_are_never_the_same() -> None:
    program = Program()
    names = {program.fresh("done") for _ in range(3)}

    assert len(names) == 3


@pytest.mark.parametrize(
    ("role", "registers", "kind", "arguments", "flags"),
    [
        (Role.MALLOC, (7,), Kind.MALLOC, (7, 0), 0),
        (Role.ZALLOC, (0,), Kind.CALLOC, (0, 0), 0),
        (Role.CALLOC, (7, 6), Kind.CALLOC, (7, 6), layout.PRODUCT),
        (Role.ALIGNED, (6,), Kind.ALIGNED, (6, 0), 0),
        (Role.REALLOC, (15, 6), Kind.REALLOC, (15, 6), 0),
        # The size comes first, as with all others.
        (Role.POSIX_MEMALIGN, (7, 2), Kind.ALIGNED, (2, 7), layout.BY_REFERENCE),
    ],
)
def test_a_cookie_says_what_a_function_does(
    role: Role,
    registers: tuple[int, ...],
    kind: Kind,
    arguments: tuple[int, int],
    flags: int,
) -> None:
    cookie = cookie_of(Probe(role, 0, ("name",), registers), 3, is_outer=False, has_sites=True)

    assert cookie & 0xFF == kind
    assert (cookie >> layout.FIRST_SHIFT & 15, cookie >> layout.SECOND_SHIFT & 15) == arguments
    assert cookie & 0xFFFF0000 == flags
    assert cookie >> layout.FILE_SHIFT == 3


def test_only_frees_have_internal_calls_and_only_operator_new_throws() -> None:
    free = Probe(Role.FREE, 0, ("free",), (7,))
    new = Probe(Role.MALLOC, 0, ("malloc", "_Znwm"), (7,))

    assert cookie_of(free, 1, is_outer=False, has_sites=True) & layout.HAS_SITES
    assert not cookie_of(new, 1, is_outer=False, has_sites=True) & layout.HAS_SITES
    assert cookie_of(new, 1, is_outer=True, has_sites=False) & layout.THROWS
    assert not cookie_of(free, 1, is_outer=True, has_sites=False) & layout.THROWS
