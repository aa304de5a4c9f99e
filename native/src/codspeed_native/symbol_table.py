"""The function at an address, in files of any size.

Only addresses are read at first, and with the speed of C: an entry of a symbol table is three
64-bit words, so slices of one array pick the columns. Names are decoded when they are asked for.
"""

from __future__ import annotations

import array
import bisect
import itertools
import operator
import sys
from typing import TYPE_CHECKING, Final, Self

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


class SymbolTable:
    """Functions of one file, by address as linked."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._indexes: list[int] = []  # into the next two, which hold all tables in a row
        self._sizes: list[int] = []
        self._heads: list[int] = []
        self._strings: list[bytes] = []
        self._section_ends: list[list[int]] = []
        self._table_ends: list[int] = []

    @classmethod
    def of(cls, *files: Elf) -> Self:
        """Read the tables of a file, and of those that add to it, such as its debug file.

        Raises:
            ElfError: If a table is damaged, or the file is gone.
        """
        table = cls()
        layers: list[dict[int, int]] = []
        for file in files:
            for section in _tables(file):
                strings = file.sections[section.link]
                table._section_ends.append([each.address + each.size for each in file.sections])
                sized, unsized = table._take(file.data(section), file.data(strings))
                layers = [unsized, *layers, sized]
        # Sized ones before others, earlier tables (more complete) before later ones.
        found: dict[int, int] = {}
        half = len(layers) // 2
        for layer in (*layers[:half], *reversed(layers[half:])):
            found.update(layer)
        found.pop(0, None)  # undefined: another file has it
        table._starts = sorted(found)
        table._indexes = list(map(found.__getitem__, table._starts))
        return table

    def __len__(self) -> int:
        return len(self._starts)

    def name_of(self, address: int) -> str | None:
        """Return the name of the function at an address; None if none is there."""
        found = self.find(address)
        return None if found is None else found[1]

    def find(self, address: int) -> tuple[int, str] | None:
        """Return where the function at an address begins, and its name."""
        place = bisect.bisect_right(self._starts, address) - 1
        if place < 0:
            return None
        start, index = self._starts[place], self._indexes[place]
        size = self._sizes[index]
        # Assembler code often has no size: it reaches to the next function, or its section's end.
        if address >= (start + size if size else self._section_end(index)):
            return None
        strings = self._strings[bisect.bisect_right(self._table_ends, index)]
        name_at = self._heads[index] & _NAME
        end = strings.find(b"\0", name_at)
        name = strings[name_at : end if end >= 0 else None]
        return start, name.decode("utf-8", "surrogateescape")

    def _section_end(self, index: int) -> int:
        ends = self._section_ends[bisect.bisect_right(self._table_ends, index)]
        section = self._heads[index] >> _SECTION_SHIFT
        return ends[section] if section < len(ends) else 0

    def _take(self, data: bytes, strings: bytes) -> tuple[dict[int, int], dict[int, int]]:
        """Take in one table: the functions that have a size, and the others, by address.

        Of several at one address the first counts.

        No loop in Python: the largest programs have hundreds of thousands.
        """
        data = data[: len(data) // _ENTRY_BYTES * _ENTRY_BYTES]
        words = array.array("Q", data)
        if sys.byteorder != "little":
            words.byteswap()
        is_function = data[_TYPE_AT::_ENTRY_BYTES].translate(_IS_FUNCTION)
        heads, starts, sizes = (
            list(itertools.compress(words[column::_ENTRY_WORDS], is_function))
            for column in range(_ENTRY_WORDS)
        )
        places = range(len(self._heads), len(self._heads) + len(heads))
        self._heads += heads
        self._sizes += sizes
        self._strings.append(strings)
        self._table_ends.append(len(self._heads))
        # What comes later into a dictionary replaces: so from the last to the first.
        backwards = list(map(bool, reversed(sizes)))
        pairs = zip(reversed(starts), reversed(places), strict=True)
        sized = dict(itertools.compress(pairs, backwards))
        rest = zip(starts, places, strict=True)
        unsized = dict(itertools.compress(rest, map(operator.not_, sizes)))
        return sized, unsized


def _tables(file: Elf) -> list[Section]:
    """Return what has to be read: linkers repeat `.dynsym` in `.symtab`, but strip may cut that."""
    tables = [each for each in file.sections if each.kind in {_SHT_SYMTAB, _SHT_DYNSYM}]
    tables.sort(key=lambda each: each.kind)
    if len(tables) == 2 and tables[0].size >= tables[1].size and tables[0].kind == _SHT_SYMTAB:
        tables.pop()
    return [each for each in tables if each.link < len(file.sections)]
