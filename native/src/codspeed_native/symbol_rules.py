"""All symbols of a file by the rules of the reference's `symbols.map` files.

What is there on purpose: symbols that are no functions, undefined ones (which, at address 0, become
one that reaches to the first real address), both tables with their duplicates. Source:
spec/executors.md 3.6. For profiles there is `symbol_table`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from codspeed_native.elf import Symbol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codspeed_native.elf import Elf

_ENTRY: Final = struct.Struct("<I4xQQ")
_SHT_SYMTAB: Final = 2
_SHT_DYNSYM: Final = 11
_PAGE: Final = 4096
_MAPPING_SYMBOLS: Final = ("$a", "$d", "$t", "$x")


def symbols(elf: Elf, debug: Elf | None = None) -> tuple[Symbol, ...]:
    """Return the symbols of a file, and those that its debug file adds, sorted by address.

    Names are not demangled; every symbol has a size. Empty if there is none.

    Raises:
        ElfError: If a table is damaged.
    """
    found = list(_tables(elf))
    if debug is not None:
        known = {(symbol.address, symbol.name) for symbol in found}
        for symbol in _tables(debug):
            if (symbol.address, symbol.name) not in known:
                known.add((symbol.address, symbol.name))
                found.append(symbol)
    kept = [symbol for symbol in found if symbol.name and not _is_mapping_symbol(symbol.name)]
    kept.sort(key=lambda symbol: symbol.address)
    return tuple(_sized(kept))


def _tables(elf: Elf) -> Iterator[Symbol]:
    for kind in (_SHT_SYMTAB, _SHT_DYNSYM):
        for section in elf.sections:
            if section.kind == kind and section.link < len(elf.sections):
                strings = elf.data(elf.sections[section.link])
                data = elf.data(section)
                yield from _entries(data[: len(data) // _ENTRY.size * _ENTRY.size], strings)


def _entries(data: bytes, strings: bytes) -> Iterator[Symbol]:
    for name_at, address, size in _ENTRY.iter_unpack(data):
        end = strings.find(b"\0", name_at)
        try:
            name = strings[name_at : end if end >= 0 else None].decode()
        except UnicodeDecodeError:
            continue
        yield Symbol(address, size, name)


def _is_mapping_symbol(name: str) -> bool:
    """Whether it marks code or data for Arm's tools: `$x`, `$d.12`."""
    return name.startswith(_MAPPING_SYMBOLS) and name[2:3] in {"", "."}


def _sized(ordered: list[Symbol]) -> Iterator[Symbol]:
    for index, symbol in enumerate(ordered):
        size = symbol.size
        if not size and index + 1 < len(ordered):
            size = ordered[index + 1].address - symbol.address
        elif not size:
            size = -(-symbol.address // _PAGE) * _PAGE + _PAGE - symbol.address
        if size:
            yield symbol._replace(size=size)
