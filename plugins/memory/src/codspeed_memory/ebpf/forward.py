"""Where functions go: those that are but a jump to another one, and what the others call.

A probe on a function that only jumps to a probed one, as operator delete does to free, would tell
of every block twice, and a jump leaves no trace by which to see that the second is the first one's.
Calls do leave one, at a price: what makes none can be spared it. x86-64 only. Source of the
layouts: System V ABI, AMD64 supplement.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from codspeed_native.elf import Elf

_JUMP: Final = re.compile(rb"(?:\xf3\x0f\x1e\xfa)?\xf2?(?:\xe9(....)|\xeb(.))", re.DOTALL)
_CALL: Final = re.compile(rb"(?:[\xe8\xe9]|\x0f[\x80-\x8f])(?=(....))", re.DOTALL)
_LINKAGE_TABLES: Final = (".plt", ".plt.sec", ".plt.got")
# A jump to what a slot of data holds: an entry of the linkage table, or in its place (-fno-plt).
_THROUGH_SLOT: Final = re.compile(rb"(?:\xf3\x0f\x1e\xfa)?\xf2?\xff\x25(....)", re.DOTALL)
_MOST_BYTES: Final = 11
_ADDRESSES: Final = 1 << 64
_RELOCATION: Final = struct.Struct("<QQq")
_SYMBOL: Final = struct.Struct("<IBBHQQ")


def jumps_to(file: Elf, address: int, code_at: Callable[[int, int], bytes]) -> int | str | None:
    """Return the function that the one at `address` does nothing but jump to.

    Args:
        code_at: Returns bytes of code, at most so many, of an address.

    Returns:
        Its address, or its name if the loader finds it; None if it does something, or none is told.
    """
    code = code_at(address, _MOST_BYTES)
    target = _destination(_JUMP, address, code)
    if target is not None:
        address, code = target, code_at(target, _MOST_BYTES)
    slot = _destination(_THROUGH_SLOT, address, code)
    return target if slot is None else _bound_to(file, slot)


def calls(
    file: Elf, address: int, code: bytes, code_at: Callable[[int, int], bytes]
) -> Iterator[int | str]:
    """Yield where the code of a function calls or jumps to, as `jumps_to` has it.

    Bytes that only look like a call are taken for one. Its jumps within itself are among them.
    """
    for found in _CALL.finditer(code):
        distance = int.from_bytes(found[1], "little", signed=True)
        target = (address + found.end() + len(found[1]) + distance) % _ADDRESSES
        if not _is_in_linkage_table(file, target):
            yield target
            continue
        slot = _destination(_THROUGH_SLOT, target, code_at(target, _MOST_BYTES))
        name = None if slot is None else _bound_to(file, slot)
        if name is not None:
            yield name


def _is_in_linkage_table(file: Elf, address: int) -> bool:
    tables = filter(None, map(file.section, _LINKAGE_TABLES))
    return any(0 <= address - table.address < table.size for table in tables)


def _destination(pattern: re.Pattern[bytes], address: int, code: bytes) -> int | None:
    found = pattern.match(code)
    if found is None:
        return None
    distance = int.from_bytes(found[found.lastindex or 1], "little", signed=True)
    return (address + found.end() + distance) % _ADDRESSES


def _bound_to(file: Elf, slot: int) -> str | None:
    """Return the name of the function whose address the loader puts into a slot."""
    wanted = slot.to_bytes(8, "little")
    for section in (".rela.plt", ".rela.dyn"):
        data = file.contents(section)
        at = data.find(wanted)
        while at >= 0 and at % _RELOCATION.size:
            at = data.find(wanted, at + 1)
        if at >= 0 and at + _RELOCATION.size <= len(data):
            return _dynamic_name(file, _RELOCATION.unpack_from(data, at)[1] >> 32)
    return None


def _dynamic_name(file: Elf, index: int) -> str | None:
    symbols, strings = file.contents(".dynsym"), file.contents(".dynstr")
    if not 0 < index < len(symbols) // _SYMBOL.size:
        return None
    at = _SYMBOL.unpack_from(symbols, index * _SYMBOL.size)[0]
    return strings[at:].split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
