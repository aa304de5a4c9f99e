"""The instruction that a probe goes to: code written by hand, each case one rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed_memory.ebpf.instructions import decode
from codspeed_memory.ebpf.opcodes import RAX, RCX, RDI, RDX, RSI, RSP
from codspeed_memory.ebpf.placement import placed

ENDBR64 = "f30f1efa"
PUSH = "55"
TEST = "4885ff"
JE = "740a"
RET = "c3"


@pytest.mark.parametrize(
    ("code", "distance"),
    [
        pytest.param(PUSH + RET, 0, id="push at once"),
        pytest.param(ENDBR64 + PUSH + RET, 4, id="push after endbr64"),
        pytest.param(TEST + JE + RET, 3, id="test and branch, as glibc's free"),
        pytest.param("4881ff00100000" + "0f8700010000", 7, id="compare, as jemalloc's malloc"),
        pytest.param("0fb605" + "00000000" + "e9" + "00010000", 7, id="a jump that hands on"),
        pytest.param("488b05" + "00000000" + "e8" + "00010000", 7, id="a call"),
        pytest.param("0f1f440000" + TEST + JE, 8, id="any kernel's before a newer one's"),
        pytest.param(TEST + "0f1f440000" + RET, 3, id="a newer kernel's if there is no other"),
    ],
)
def test_first_emulated_instruction_is_chosen(code: str, distance: int) -> None:
    assert placed(bytes.fromhex(code), (RDI,)) == (distance, (RDI,))


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("4883ec18" + JE, id="the stack pointer moves"),
        pytest.param("488d7f10" + JE, id="the argument changes"),
        pytest.param("488907" + JE, id="memory is written"),
        pytest.param(TEST + RET, id="it ends"),
        pytest.param(TEST + "ff25" + "00000000" + JE, id="it goes to where memory says"),
        pytest.param(TEST + "06" + JE, id="an instruction is unknown"),
        pytest.param(TEST, id="nothing follows"),
        pytest.param("", id="no code"),
    ],
)
def test_entry_is_kept_where_the_way_is_barred(code: str) -> None:
    assert placed(bytes.fromhex(code), (RDI,)) == (0, (RDI,))


@pytest.mark.parametrize(
    ("jump", "distance"),
    [
        pytest.param("ebfb", 0, id="short, to the chosen one"),
        pytest.param("75fb", 0, id="short and conditional"),
        pytest.param("ebf7", 4, id="short, to the entry: that counts anyhow"),
        pytest.param("ebfc", 4, id="short, to behind it"),
        pytest.param("e9f8ffffff", 0, id="far, to the chosen one"),
        pytest.param("0f85f7ffffff", 0, id="far and conditional"),
        pytest.param("06" * 200 + "e930ffffff", 0, id="far, past what is not known"),
    ],
)
def test_instruction_that_is_jumped_back_to_would_count_twice(jump: str, distance: int) -> None:
    code = bytes.fromhex("4883ff01" + "90" + "90" * 2 + jump)  # the nop at 4 is cheap

    assert placed(code, (RDI,)).distance == distance


def test_short_jump_is_no_part_of_a_longer_instruction() -> None:
    # A constant of bytes that would read as `jmp` back to the branch.
    code = bytes.fromhex(TEST + JE + "b8" + "ebfcebfa" + RET)

    assert placed(code, (RDI,)).distance == len(TEST) // 2


def test_argument_is_followed_into_the_register_that_got_it() -> None:
    # mi_malloc: mov rsi, rdi; mov rdi, fs:[rax]; cmp rsi, 1024; ja
    code = bytes.fromhex("4889fe" + "64488b38" + "4881fe00040000" + "7729" + RET)

    assert placed(code, (RDI,)) == (14, (RSI,))


def test_arguments_move_along_together() -> None:
    # mi_realloc: mov rdx, rsi; mov rsi, rdi; mov rdi, rax; jmp
    code = bytes.fromhex("4889f2" + "4889fe" + "4889c7" + "e900010000")

    assert placed(code, (RDI, RSI)) == (9, (RSI, RDX))


def test_argument_stays_where_it_was_as_long_as_it_is_there() -> None:
    code = bytes.fromhex("4889f8" + "4889f9" + PUSH + RET)

    assert placed(code, (RDI,)) == (6, (RDI,))


def test_copy_that_is_overwritten_holds_nothing() -> None:
    # mov rax, rdi; mov rdi, rcx; mov eax, 0; push
    code = bytes.fromhex("4889f8" + "4889cf" + "b800000000" + PUSH + RET)

    assert placed(code, (RDI,)) == (0, (RDI,))


def test_only_what_the_probe_reads_has_to_last() -> None:
    code = bytes.fromhex("31ff" + PUSH + RET)

    assert placed(code, (RSI,)) == (2, (RSI,))


@given(st.binary(max_size=200), st.sampled_from([(RDI,), (RDI, RSI), (RSI,), (RDI, RDX)]))
def test_any_bytes_give_an_instruction_on_the_straight_line(
    code: bytes, arguments: tuple[int, ...]
) -> None:
    distance, registers = placed(code, arguments)
    at = 0
    while at < distance:
        step = decode(code, at)
        assert step is not None
        assert not step.leaves
        assert not step.stores
        assert RSP not in step.writes
        at += step.length

    assert at == distance
    assert len(registers) == len(arguments)


@given(st.lists(st.sampled_from([
    ("4889fe", RSI, RDI), ("4889f7", RDI, RSI), ("4889f8", RAX, RDI), ("4889c1", RCX, RAX),
    ("4889cf", RDI, RCX), ("31f6", RSI, None), ("31ff", RDI, None), ("31c0", RAX, None),
]), max_size=12))  # fmt: skip
def test_registers_hold_what_a_run_of_the_code_leaves_there(
    moves: list[tuple[str, int, int | None]],
) -> None:
    code = bytes.fromhex("".join(move for move, _, _ in moves) + PUSH)
    distance, registers = placed(code, (RDI, RSI))
    values: dict[int, object] = {RDI: "first", RSI: "second"}
    for _, target, source in moves if distance else []:
        values[target] = values.get(source) if source is not None else None

    assert [values[register] for register in registers] == ["first", "second"]
