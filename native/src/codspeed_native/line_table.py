"""File and line of functions, from DWARF line tables.

A table is a program per compilation unit, made of sequences, and neither says which addresses it is
about. So the section is searched for the instruction that gives a sequence its first address
(`set_address`), and only sequences that can hold a wanted address are run. Source: DWARF 5, 6.2
(versions 2 to 5).
"""

from __future__ import annotations

import bisect
import operator
import re
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from codspeed_native.cfi import sleb, uleb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codspeed_native.elf import Elf

_PT_LOAD: Final = 1
_SET_ADDRESS: Final = re.compile(rb"\0\x09\x02(.{8})", re.DOTALL)
_END_SEQUENCE: Final = b"\0\1\1"
_EXTENDED_LENGTH: Final = 0xFFFFFFFF
_MOST_CANDIDATES: Final = 4  # a match in other data may look like a beginning

_LNCT_PATH: Final = 1
_LNCT_DIRECTORY: Final = 2
_FIXED_FORMS: Final = {0x0B: 1, 0x05: 2, 0x06: 4, 0x07: 8, 0x1E: 16}  # data1 to data16
_STRINGS: Final = {0x1F: ".debug_line_str", 0x0E: ".debug_str"}


class Line(NamedTuple):
    """A place in a source; the file as the compiler names it, maybe relative to where it ran."""

    file: str
    line: int


class _Unit(NamedTuple):
    version: int
    minimum_length: int
    line_base: int
    line_range: int
    operands: bytes  # how many operands each standard instruction has
    directories: list[str]
    files: list[tuple[str, int]]
    start: int
    end: int


# Address, whether code begins there (False: a sequence ends), file, line; plain, there are many.
_Row = tuple[int, bool, int, int]


class LineTable:
    """The `.debug_line` of one file; empty if it has none. What is damaged has no lines."""

    def __init__(self, file: Elf) -> None:
        self._file = file
        self._data = file.contents(".debug_line")
        self._ranges = list(_unit_ranges(self._data))
        self._units: dict[int, _Unit | None] = {}
        self._rows: dict[int, list[_Row]] = {}
        self._strings: dict[str, bytes] = {}
        self._begins = sorted(self._sequences())

    def __bool__(self) -> bool:
        return bool(self._begins)

    def find(self, address: int) -> Line | None:
        """Return where the code at an address, as linked, comes from."""
        last = bisect.bisect_right(self._begins, (address, len(self._data)))
        for _, place, index in reversed(self._begins[max(0, last - _MOST_CANDIDATES) : last]):
            found = self._in_sequence(place, index, address)
            if found is not None:
                return found
        return None

    def _sequences(self) -> Iterator[tuple[int, int, int]]:
        """Yield the first address of sequences, where it is given, and the index of the unit."""
        segments = [each for each in self._file.segments if each.kind == _PT_LOAD]
        starts = [start for start, _ in self._ranges]
        for match in _SET_ADDRESS.finditer(self._data):
            address = int.from_bytes(match[1], "little")
            if any(0 <= address - each.address < each.memory_size for each in segments):
                index = bisect.bisect_right(starts, match.start()) - 1
                if index >= 0:
                    yield address, match.start(), index

    def _in_sequence(self, place: int, index: int, address: int) -> Line | None:
        if index not in self._units:
            try:
                self._units[index] = self._unit(*self._ranges[index])
            except (IndexError, struct.error, ValueError):
                self._units[index] = None
        unit = self._units[index]
        if unit is None:
            return None
        rows = self._rows.get(place)
        if rows is None:
            rows = self._rows[place] = _run(self._data, unit, place)
        # The first row of an address: where a function begins it is the function's own, those
        # behind it may be of code that was put into it.
        place = bisect.bisect_right(rows, (address + 1,)) - 1
        if place < 0:
            return None
        _, begins, file, line = rows[place]
        name = _path(unit, file) if begins and line else ""
        return Line(name, line) if name else None

    # --- Heads of units ---

    def _unit(self, start: int, end: int) -> _Unit:
        data = self._data
        wide = data[start : start + 4] == b"\xff\xff\xff\xff"
        at = start + (12 if wide else 4)
        (version,) = struct.unpack_from("<H", data, at)
        at += 2 + (2 if version >= 5 else 0)  # sizes of address and segment selector
        (length,) = struct.unpack_from("<Q" if wide else "<I", data, at)
        at += 8 if wide else 4
        program = at + length
        minimum = data[at]
        at += 3 if version >= 4 else 2  # operations per instruction, whether rows are statements
        line_base, line_range, first_special = struct.unpack_from("<bBB", data, at)
        if not line_range or not first_special:
            message = "a line table without a range"
            raise ValueError(message)
        operands = data[at + 3 : at + 2 + first_special]
        at += 2 + first_special
        directories, files = self._names5(at, wide=wide) if version >= 5 else self._names(at)
        return _Unit(
            version, minimum, line_base, line_range, operands, directories, files, program, end
        )

    def _names(self, at: int) -> tuple[list[str], list[tuple[str, int]]]:
        """Read directories and files up to version 4: both count from 1."""
        data = self._data
        directories = [""]
        while data[at]:
            end = data.index(b"\0", at)
            directories.append(data[at:end].decode("utf-8", "replace"))
            at = end + 1
        at += 1
        files = [("", 0)]
        while data[at]:
            end = data.index(b"\0", at)
            directory, following = uleb(data, end + 1)
            files.append((data[at:end].decode("utf-8", "replace"), directory))
            _, following = uleb(data, following)  # time of change
            _, at = uleb(data, following)  # size
        return directories, files

    def _names5(self, at: int, *, wide: bool) -> tuple[list[str], list[tuple[str, int]]]:
        directories, at = self._entries(at, wide=wide)
        files, _ = self._entries(at, wide=wide)
        return [name for name, _ in directories], files

    def _entries(self, at: int, *, wide: bool) -> tuple[list[tuple[str, int]], int]:
        """Read one list of version 5, which says itself how its entries look."""
        data = self._data
        form_count, at = data[at], at + 1
        forms = []
        for _ in range(form_count):
            content, at = uleb(data, at)
            form, at = uleb(data, at)
            forms.append((content, form))
        count, at = uleb(data, at)
        if count > len(data):
            message = "more files than bytes"
            raise ValueError(message)
        found = []
        for _ in range(count):
            entry: dict[int, str | int] = {}
            for content, form in forms:
                entry[content], at = self._value(form, at, wide=wide)
            found.append((str(entry.get(_LNCT_PATH, "")), int(entry.get(_LNCT_DIRECTORY, 0))))
        return found, at

    def _value(self, form: int, at: int, *, wide: bool) -> tuple[str | int, int]:
        data = self._data
        if form in _STRINGS:
            size = 8 if wide else 4
            return self._string(form, int.from_bytes(data[at : at + size], "little")), at + size
        if form == 0x08:  # string
            end = data.index(b"\0", at)
            return data[at:end].decode("utf-8", "replace"), end + 1
        if form == 0x0F:  # udata
            return uleb(data, at)
        if form == 0x09:  # block
            length, at = uleb(data, at)
            return 0, at + length
        size = _FIXED_FORMS[form] if form in _FIXED_FORMS else len(data)
        return int.from_bytes(data[at : at + size], "little"), at + size

    def _string(self, form: int, at: int) -> str:
        name = _STRINGS[form]
        if name not in self._strings:
            self._strings[name] = self._file.contents(name)
        strings = self._strings[name]
        return strings[at : strings.index(b"\0", at)].decode("utf-8", "replace")


def _unit_ranges(data: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    while at + 4 <= len(data):
        (length,) = struct.unpack_from("<I", data, at)
        body = at + 4
        if length == _EXTENDED_LENGTH:
            if at + 12 > len(data):
                return
            (length,) = struct.unpack_from("<Q", data, body)
            body += 8
        if not length or body + length > len(data):
            return
        yield at, body + length
        at = body + length


def _path(unit: _Unit, index: int) -> str:
    if not 0 <= index < len(unit.files):
        return ""
    name, directory = unit.files[index]
    parts = [name]
    if not name.startswith("/") and 0 <= directory < len(unit.directories):
        parts.insert(0, unit.directories[directory])
        # The first one is where the compiler ran; before version 5 it is not told here.
        if directory and not parts[0].startswith("/"):
            parts.insert(0, unit.directories[0])
    return "/".join(part for part in parts if part)


def _run(data: bytes, unit: _Unit, place: int) -> list[_Row]:
    """Return the rows of the sequence that has its `set_address` at a place; none if damaged."""
    # It begins behind the end of the one before: compilers may choose the file first.
    before = data.rfind(_END_SEQUENCE, unit.start, place)
    start = unit.start if before < 0 else before + len(_END_SEQUENCE)
    try:
        rows = _execute(data, unit, start)
    except IndexError:
        return []
    addresses = [row[0] for row in rows]
    if all(map(operator.lt, addresses, addresses[1:])):
        return rows  # a sequence may not go back (6.2.5), and hardly any does
    # One row for each address: a beginning, if there is one, and of these the first.
    first: dict[int, _Row] = {}
    for row in rows:
        known = first.get(row[0])
        if known is None or (row[1] and not known[1]):
            first[row[0]] = row
    return sorted(first.values())


# One long function: an interpreter, as in cfi.
def _execute(data: bytes, unit: _Unit, at: int) -> list[_Row]:  # noqa: C901, PLR0912 - one branch per DWARF instruction
    """Run one sequence (DWARF 5, 6.2.5); return its rows but those of the address of the last."""
    rows: list[_Row] = []
    first_special = len(unit.operands) + 1
    special = _special(unit)
    address, file, line = 0, 1, 1
    shown = -1  # the address of the last row
    end = unit.end
    while at < end:
        code = data[at]
        at += 1
        if code >= first_special:
            advance, change = special[code]
            address += advance
            line += change
            if address != shown:
                shown = address
                rows.append((address, True, file, line))
        elif code == 0:
            length, at = uleb(data, at)
            if length and data[at] == 1:  # end_sequence
                rows.append((address, False, file, 0))
                break
            if length and data[at] == 2:  # set_address
                address = int.from_bytes(data[at + 1 : at + length], "little")
            at += length
        elif code == 1:  # copy
            if address != shown:
                shown = address
                rows.append((address, True, file, line))
        elif code == 2:  # advance_pc
            value, at = uleb(data, at)
            address += value * unit.minimum_length
        elif code == 3:  # advance_line
            value, at = sleb(data, at)
            line += value
        elif code == 4:  # set_file
            file, at = uleb(data, at)
        elif code == 8:  # const_add_pc
            address += (255 - first_special) // unit.line_range * unit.minimum_length
        elif code == 9:  # fixed_advance_pc
            address += int.from_bytes(data[at : at + 2], "little")
            at += 2
        else:  # those that change neither address, file nor line
            for _ in range(unit.operands[code - 1]):
                _, at = uleb(data, at)
    return rows


def _special(unit: _Unit) -> list[tuple[int, int]]:
    """Return what each special instruction adds to address and line; they are most of a table."""
    first = len(unit.operands) + 1
    pairs = (divmod(max(0, code - first), unit.line_range) for code in range(256))
    return [(by * unit.minimum_length, unit.line_base + change) for by, change in pairs]
