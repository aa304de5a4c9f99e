"""The function at an address, in files of any size.

Only addresses are read at first, and with the speed of C: an entry of a symbol table is three
64-bit words, so slices of one array pick the columns. What else an entry says is read when somebody
asks for it: of a hundred thousand functions a profile shows a few hundred.
"""

from __future__ import annotations

import array
import bisect
import itertools
import operator
import sys
from typing import TYPE_CHECKING, Final, NamedTuple, Self

if TYPE_CHECKING:
    from codspeed_native.elf import Elf, Section

_ENTRY_BYTES: Final = 24
_ENTRY_WORDS: Final = 3
_TYPE_AT: Final = 4  # st_info: type in its lower half
_SHT_SYMTAB: Final = 2
_SHT_DYNSYM: Final = 11
# STT_FUNC and STT_GNU_IFUNC, as a table of bytes.
_IS_FUNCTION: Final = bytes(info & 0xF in {2, 10} for info in range(256))
# The first word of an entry: st_name in its lower half, st_shndx in its upper quarter.
_NAME: Final = 0xFFFFFFFF
_SECTION_SHIFT: Final = 48
# Where an entry stands, below its address in one number: such numbers are sorted without a call.
_PLACE_BITS: Final = 32
_PLACE: Final = (1 << _PLACE_BITS) - 1


class _Table(NamedTuple):
    first: int  # place of its first entry among those of all tables
    words: array.array[int]
    strings: bytes
    section_ends: list[int]


class SymbolTable:
    """Functions of one file, by address as linked."""

    def __init__(self) -> None:
        self._keys: list[int] = []  # address << _PLACE_BITS | place, sorted
        self._tables: list[_Table] = []
        self._found: dict[int, tuple[int, int, str]] = {}  # start, end, name, by index of the key

    @classmethod
    def of(cls, *files: Elf) -> Self:
        """Read the tables of a file, and of those that add to it, such as its debug file.

        Raises:
            ElfError: If a table is damaged, or the file is gone.
        """
        found = cls()
        for file in files:
            ends = [each.address + each.size for each in file.sections]
            for section in _tables(file):
                found._take(file.data(section), file.data(file.sections[section.link]), ends)
        found._keys.sort()
        return found

    def __len__(self) -> int:
        """Return at how many addresses a function begins."""
        return len({key >> _PLACE_BITS for key in self._keys} - {0})

    def name_of(self, address: int) -> str | None:
        """Return the name of the function at an address; None if none is there."""
        found = self.find(address)
        return None if found is None else found[1]

    def find(self, address: int) -> tuple[int, str] | None:
        """Return where the function at an address begins, and its name.

        Of several that begin at one address, those that have a size come first, then those of the
        earlier table, which is the more complete one.
        """
        index = bisect.bisect_right(self._keys, address << _PLACE_BITS | _PLACE) - 1
        if index < 0:
            return None
        found = self._found.get(index)
        if found is None:
            found = self._found[index] = self._function(index)
        start, end, name = found
        # What begins at 0 is undefined: another file has it.
        return (start, name) if address < end and start else None

    def _function(self, last: int) -> tuple[int, int, str]:
        """Return the function of a key that is the last one of its address."""
        start = self._keys[last] >> _PLACE_BITS
        first = bisect.bisect_left(self._keys, start << _PLACE_BITS)
        places = [key & _PLACE for key in self._keys[first : last + 1]]
        place = next((each for each in places if self._entry(each)[1]), places[0])
        head, size, table = self._entry(place)
        # Assembler code often has no size: it reaches to the next function, or its section's end.
        end = start + size if size else _section_end(head, table)
        name_at = head & _NAME
        name_end = table.strings.find(b"\0", name_at)
        name = table.strings[name_at : name_end if name_end >= 0 else None]
        return start, end, name.decode("utf-8", "surrogateescape")

    def _entry(self, place: int) -> tuple[int, int, _Table]:
        """Return the first word of an entry, its size, and its table."""
        table = next(each for each in reversed(self._tables) if each.first <= place)
        at = (place - table.first) * _ENTRY_WORDS
        return table.words[at], table.words[at + 2], table

    def _take(self, data: bytes, strings: bytes, section_ends: list[int]) -> None:
        """Take in one table. No loop in Python: the largest programs have 100,000s of entries."""
        data = data[: len(data) // _ENTRY_BYTES * _ENTRY_BYTES]
        words = array.array("Q", data)
        if sys.byteorder != "little":
            words.byteswap()
        first = self._tables[-1].first + len(self._tables[-1].words) if self._tables else 0
        self._tables.append(_Table(first, words, strings, section_ends))
        is_function = data[_TYPE_AT::_ENTRY_BYTES].translate(_IS_FUNCTION)
        starts = itertools.compress(words[1::_ENTRY_WORDS], is_function)
        places = itertools.compress(itertools.count(first), is_function)
        shifted = map(operator.lshift, starts, itertools.repeat(_PLACE_BITS))
        self._keys += map(operator.or_, shifted, places)


def _section_end(head: int, table: _Table) -> int:
    section = head >> _SECTION_SHIFT
    return table.section_ends[section] if section < len(table.section_ends) else 0


def _tables(file: Elf) -> list[Section]:
    """Return what has to be read: linkers repeat `.dynsym` in `.symtab`, but strip may cut that."""
    tables = [each for each in file.sections if each.kind in {_SHT_SYMTAB, _SHT_DYNSYM}]
    tables.sort(key=lambda each: each.kind)
    if len(tables) == 2 and tables[0].size >= tables[1].size and tables[0].kind == _SHT_SYMTAB:
        tables.pop()
    return [each for each in tables if each.link < len(file.sections)]
