"""DWARF expressions: those that compilers and libraries write, and garbage."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed_native.cfi import CfiError
from codspeed_native.cfi_expression import evaluate

# breg7(rsp)+8, breg16(rip)+0, lit15, and, lit11, ge, lit3, shl, plus
PLT = bytes.fromhex("770880003f1a3b2a332422")


def _nothing(_address: int) -> int | None:
    return None


@pytest.mark.parametrize(("rip", "cfa"), [(0x1020, 0x7008), (0x102B, 0x7010)])
def test_the_stack_of_a_plt_entry_depends_on_where_in_it_we_are(rip: int, cfa: int) -> None:
    assert evaluate(PLT, {7: 0x7000, 16: rip}, _nothing) == cfa


def test_memory_is_read_and_the_initial_stack_is_there() -> None:
    memory = {0x108: 42}

    assert evaluate(b"\x23\x08\x06", {}, memory.get, (0x100,)) == 42


@pytest.mark.parametrize(
    ("code", "value"),
    [
        (b"\x08\xff", 255),
        (b"\x09\xff", 2**64 - 1),
        (b"\x11\x7f", 2**64 - 1),
        (b"\x10\x80\x01", 128),
        (b"\x35\x32\x1c", 3),
        (b"\x35\x32\x1b", 2),
        (b"\x31\x33\x16\x1c", 2),
        (b"\x31\x32\x33\x17\x1c", 2**64 - 1),
        (b"\x31\x1f\x19", 1),
        (b"\x31\x28\x01\x00\x37\x35", 5),
        (b"\x92\x03\x02", 12),
    ],
)
def test_operations(code: bytes, value: int) -> None:
    assert evaluate(code, {3: 10}, _nothing, (0,)) == value


def test_what_is_not_known_gives_nothing() -> None:
    assert evaluate(b"\x77\x00", {}, _nothing) is None
    assert evaluate(b"\x31\x06", {}, _nothing) is None


def test_a_loop_without_end_is_an_error() -> None:
    with pytest.raises(CfiError):
        evaluate(b"\x2f\xfd\xff", {}, _nothing)


@given(st.binary(max_size=30))
def test_garbage_raises_cfi_error_only(code: bytes) -> None:
    with contextlib.suppress(CfiError):
        value = evaluate(code, {7: 1}, {8: 1}.get, (2,))

        assert value is None or 0 <= value < 2**64
