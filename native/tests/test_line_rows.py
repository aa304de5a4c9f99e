"""Line programs beside an interpreter that runs them step by step, as the standard tells it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed_native import line_rows
from codspeed_native.line_rows import Row, Steps, runs

OPERANDS = bytes((0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1))
STEPS = Steps(OPERANDS, minimum_length=1, line_base=-5, line_range=14)
END = b"\0\1\1"


def _uleb(value: int) -> bytes:
    found = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        found.append(low | (0x80 if value else 0))
        if not value:
            return bytes(found)


def _sleb(value: int) -> bytes:
    found = bytearray()
    while True:
        low, value = value & 0x7F, value >> 7
        is_last = (value == 0 and not low & 0x40) or (value == -1 and low & 0x40)
        found.append(low | (0 if is_last else 0x80))
        if is_last:
            return bytes(found)


def _set_address(address: int) -> bytes:
    return b"\0\x09\2" + struct.pack("<Q", address)


class Plain:
    """Makes a program and its rows side by side (DWARF 5, 6.2.5)."""

    def __init__(self, address: int) -> None:
        self.program = _set_address(address)
        self.rows: list[Row] = []
        self.address, self.file, self.line = address, 1, 1

    def row(self) -> None:
        self.rows.append(Row(self.address, self.file, self.line))

    def do(self, what: str, value: int) -> None:
        if what == "special":
            code = 13 + value % 243
            self.program += bytes((code,))
            self.address += (code - 13) // 14
            self.line += -5 + (code - 13) % 14
            self.row()
        elif what == "copy":
            self.program += b"\1"
            self.row()
        elif what == "advance_pc":
            self.program += b"\2" + _uleb(value)
            self.address += value
        elif what == "advance_line":
            self.program += b"\3" + _sleb(value - 5000)
            self.line += value - 5000
        elif what == "set_file":
            self.program += b"\4" + _uleb(value)
            self.file = value
        elif what == "const_add_pc":
            self.program += b"\x08"
            self.address += (255 - 13) // 14
        elif what == "fixed_advance_pc":
            self.program += b"\x09" + struct.pack("<H", value)
            self.address += value
        else:  # these change nothing that is asked for
            number = _uleb(value)
            discriminator = b"\0" + bytes((1 + len(number),)) + b"\4" + number
            self.program += {"column": b"\5" + number, "flags": b"\6\7\x0a\x0b"}.get(
                what, discriminator
            )

    def covering(self, address: int) -> Row | None:
        """Return the first row of the last address at or before this one."""
        before = [row.address for row in self.rows if row.address <= address]
        if not before or address >= self.address:
            return None
        return next(row for row in self.rows if row.address == max(before))


KINDS = (
    "special", "copy", "advance_pc", "advance_line", "set_file", "const_add_pc",
    "fixed_advance_pc", "column", "flags", "discriminator",
)  # fmt: skip


@given(
    st.integers(0, 2**48),
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 9999)), max_size=40),
    st.lists(st.integers(0, 60_000), max_size=20),
)
def test_rows_are_those_of_an_interpreter(
    start: int, what: list[tuple[str, int]], offsets: list[int]
) -> None:
    plain = Plain(start)
    for kind, value in what:
        plain.do(kind, value)
    near = [each.address for each in plain.rows]
    wanted = sorted({*(start + offset for offset in offsets), *near, *(each + 1 for each in near)})
    found = {
        address: row
        for run in runs(plain.program + END, STEPS)
        for address, row in run.rows(wanted)
    }
    expected = {each: row for each in wanted if (row := plain.covering(each)) is not None}

    assert found == expected


def test_an_address_that_looks_like_an_end_is_none() -> None:
    """0x10100 is 00 01 01 in memory, as end_sequence is."""
    program = b"\3\x09" + _set_address(0x10100) + b"\1" + b"\2\4" + END
    (run,) = runs(program, STEPS)

    assert dict(run.rows([0x10100, 0x10103, 0x10104])) == {
        0x10100: Row(0x10100, 1, 10),
        0x10103: Row(0x10100, 1, 10),
    }


def test_state_goes_on_behind_an_address_in_the_middle_and_not_behind_an_end() -> None:
    first = _set_address(0x100) + b"\4\2\3\4\1" + _set_address(0x200) + b"\1\2\4" + END
    second = _set_address(0x300) + b"\1\2\4" + END
    found = [dict(run.rows([0x180, 0x200, 0x300])) for run in runs(first + second, STEPS)]

    assert found == [
        {0x180: Row(0x100, 2, 5)},
        {0x200: Row(0x200, 2, 5)},
        {0x300: Row(0x300, 1, 1)},
    ]


def test_instructions_of_others_are_stepped_over() -> None:
    vendor = b"\0\5\x80abcd"
    operands = bytes((*OPERANDS, 2))  # a standard instruction that is still to come, with operands
    steps = Steps(operands, 1, -5, 14)
    program = _set_address(0x100) + vendor + b"\x0d\x81\1\2" + b"\1\2\4" + END
    (run,) = runs(program, steps)

    assert dict(run.rows([0x100])) == {0x100: Row(0x100, 1, 1)}


def test_instructions_with_other_operands_than_the_standard_gives_them_are_damage() -> None:
    program = _set_address(0x100) + b"\1\4" + END
    operands = bytes((0, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 1))

    assert list(runs(program, Steps(operands, 1, -5, 14))) == []


@pytest.mark.parametrize("program", [b"", b"\2", b"\0", b"\0\x09\2abc", _set_address(1) + b"\3"])
def test_what_is_cut_off_has_no_rows(program: bytes) -> None:
    assert [row for run in line_rows.runs(program, STEPS) for row in run.rows([1])] == []
