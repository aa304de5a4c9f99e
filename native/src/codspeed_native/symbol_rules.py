"""All symbols of a file by the rules of the reference's `symbols.map` files.

What is there on purpose: symbols that are no functions, undefined ones (which, at address 0, become
one that reaches to the first real address), both tables with their duplicates. Source:
spec/executors.md 3.6. For profiles there is `symbol_table`.
"""

from __future__ import annotations

import struct
from operator import itemgetter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from codspeed_native.elf import Elf

# Address as linked, size in bytes, name; plain, since there may be 200,000 of them.
Row = tuple[int, int, bytes]

_ENTRY: Final = struct.Struct("<I4xQQ")
_SHT_SYMTAB: Final = 2
_SHT_DYNSYM: Final = 11
_PAGE: Final = 4096
_MAPPING_SYMBOLS: Final = (b"$a", b"$d", b"$t", b"$x")


def symbols(elf: Elf, debug: Elf | None = None) -> list[Row]:
    """Return the symbols of a file, and those that its debug file adds, sorted by address.

    Names are not demangled; every symbol has a size. Empty if there is none.

    Raises:
        ElfError: If a table is damaged.
    """
    found = _tables(elf)
    if debug is not None:
        known = {(address, name) for address, _, name in found}
        for row in _tables(debug):
            pair = (row[0], row[2])
            if pair not in known:
                known.add(pair)
                found.append(row)
    kept = [row for row in found if row[2] and not _is_mapping_symbol(row[2])]
    kept.sort(key=itemgetter(0))
    return _sized(kept)


def _tables(elf: Elf) -> list[Row]:
    found: list[Row] = []
    for kind in (_SHT_SYMTAB, _SHT_DYNSYM):
        for section in elf.sections:
            if section.kind == kind and section.link < len(elf.sections):
                strings = elf.data(elf.sections[section.link])
                data = elf.data(section)
                found += _entries(data[: len(data) // _ENTRY.size * _ENTRY.size], strings)
    return found


def _entries(data: bytes, strings: bytes) -> list[Row]:
    ended = strings + b"\0"
    find = ended.find
    rows = [
        (address, size, ended[name_at : find(b"\0", name_at)])
        for name_at, address, size in _ENTRY.iter_unpack(data)
    ]
    # Asked once for all: nearly no file has other names.
    return rows if strings.isascii() else [row for row in rows if _is_text(row[2])]


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_mapping_symbol(name: bytes) -> bool:
    """Whether it marks code or data for Arm's tools: `$x`, `$d.12`."""
    return name.startswith(_MAPPING_SYMBOLS) and name[2:3] in {b"", b"."}


def _sized(ordered: list[Row]) -> list[Row]:
    """Give symbols without a size the room up to the next one; leave out those that have none."""
    last = len(ordered) - 1
    for index, (address, size, name) in enumerate(ordered):
        if size:
            continue
        if index < last:
            room = ordered[index + 1][0] - address
        else:
            room = -(-address // _PAGE) * _PAGE + _PAGE - address
        ordered[index] = (address, room, name)
    return [row for row in ordered if row[1]]
