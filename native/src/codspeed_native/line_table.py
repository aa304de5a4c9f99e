"""File and line of functions, from DWARF line tables.

A table is a program per compilation unit, made of sequences, and neither says which addresses it is
about. So the section is searched for the instruction that gives a sequence its first address
(`set_address`), and only programs that can hold a wanted address are run; see `line_rows`. Source:
DWARF 5, 6.2 (versions 2 to 5).
"""

from __future__ import annotations

import bisect
import re
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from codspeed_native.cfi import uleb
from codspeed_native.line_rows import Row, Run, Steps, runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from codspeed_native.elf import Elf

_PT_LOAD: Final = 1
_SET_ADDRESS: Final = re.compile(rb"\0\x09\x02(.{8})", re.DOTALL)
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
    steps: Steps
    directories: list[str]
    files: list[tuple[str, int]]
    start: int
    end: int


class _Found(NamedTuple):
    """A row that covers an address, and where it is from."""

    start: int
    unit: int
    sequence: int
    row: Row

    def is_before(self, known: _Found, address: int) -> bool:
        """Whether this one counts: of several sequences it is the one that begins last.

        In one sequence that begins anew at the address, the first row of the address counts.
        """
        if self[1:3] == known[1:3] and known.row.address == address:
            return False
        return self[:3] > known[:3]


class LineTable:
    """The `.debug_line` of one file; empty if it has none. What is damaged has no lines."""

    def __init__(self, file: Elf) -> None:
        self._file = file
        self._data = file.contents(".debug_line")
        self._ranges = list(_unit_ranges(self._data))
        self._units: dict[int, _Unit | None] = {}
        self._runs: dict[int, list[Run]] = {}
        self._loaded = [
            (each.address, each.address + each.memory_size)
            for each in file.segments
            if each.kind == _PT_LOAD
        ]
        self._strings: dict[str, bytes] = {}
        self._begins = sorted(self._sequences())

    def __bool__(self) -> bool:
        return bool(self._begins)

    def find(self, address: int) -> Line | None:
        """Return where the code at an address, as linked, comes from."""
        last = bisect.bisect_right(self._begins, (address, len(self._ranges)))
        near = {index for _, index in self._begins[max(0, last - _MOST_CANDIDATES) : last]}
        best: dict[int, _Found] = {}
        for index in near:
            every = self._runs_of(index)
            last = bisect.bisect_right(every, address, key=_start)
            _improve(best, index, every[max(0, last - _MOST_CANDIDATES) : last], [address])
        return self._lines(best).get(address)

    def find_all(self, addresses: Sequence[int]) -> dict[int, Line]:
        """Return where code comes from, of many addresses in less time.

        Args:
            addresses: Sorted, as linked; those of which no line is known are left out.
        """
        best: dict[int, _Found] = {}
        for index in range(len(self._ranges)):
            _improve(best, index, self._runs_of(index), addresses)
            del self._runs[index]  # all programs together are too much to keep
        return self._lines(best)

    def _lines(self, best: dict[int, _Found]) -> dict[int, Line]:
        lines = {address: self._line(each.unit, each.row) for address, each in best.items()}
        return {address: line for address, line in lines.items() if line is not None}

    def _runs_of(self, index: int) -> list[Run]:
        """Return the parts of a unit's program that are about code that is loaded, by address."""
        known = self._runs.get(index)
        if known is None:
            unit = self._unit_at(index)
            found = () if unit is None else runs(self._data[unit.start : unit.end], unit.steps)
            known = [run for run in found if self._is_loaded(run.start.address)]
            self._runs[index] = known = sorted(known, key=_start)
        return known

    def _is_loaded(self, address: int) -> bool:
        return any(start <= address < end for start, end in self._loaded)

    def _line(self, index: int, row: Row) -> Line | None:
        unit = self._unit_at(index)
        name = _path(unit, row.file) if unit is not None and row.line else ""
        return Line(name, row.line) if name else None

    def _sequences(self) -> Iterator[tuple[int, int]]:
        """Yield addresses that are given to code, and the index of the unit."""
        starts = [start for start, _ in self._ranges]
        for match in _SET_ADDRESS.finditer(self._data):
            address = int.from_bytes(match[1], "little")
            index = bisect.bisect_right(starts, match.start()) - 1
            if index >= 0 and self._is_loaded(address):
                yield address, index

    # --- Heads of units ---

    def _unit_at(self, index: int) -> _Unit | None:
        if index not in self._units:
            try:
                self._units[index] = self._unit(*self._ranges[index])
            except (IndexError, struct.error, ValueError):
                self._units[index] = None
        return self._units[index]

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
        steps = Steps(operands, minimum, line_base, line_range)
        return _Unit(version, steps, directories, files, program, end)

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


def _start(run: Run) -> int:
    return run.start.address


def _improve(
    best: dict[int, _Found], unit: int, candidates: Iterable[Run], addresses: Sequence[int]
) -> None:
    """Take in the rows of some runs of a unit where they count for more than what is known."""
    for run in candidates:
        for address, row in run.rows(addresses):
            found = _Found(run.start.address, unit, run.sequence, row)
            known = best.get(address)
            if known is None or found.is_before(known, address):
                best[address] = found


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
