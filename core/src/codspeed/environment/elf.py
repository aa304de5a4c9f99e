"""The build id in an ELF file's first bytes. No I/O here."""

from __future__ import annotations

import struct
from typing import Final

HEAD_BYTES: Final = 16_384  # linkers put notes right after the program headers
_PT_NOTE: Final = 4
_NT_GNU_BUILD_ID: Final = 3


def build_id(head: bytes) -> str:
    """Return the GNU build id of a 64-bit little-endian ELF file in hex; empty if there is none."""
    try:
        return _find(head)
    except struct.error:
        return ""


def _find(head: bytes) -> str:
    if head[:6] != b"\x7fELF\x02\x01":
        return ""
    (table,) = struct.unpack_from("<Q", head, 32)
    entry_size, count = struct.unpack_from("<HH", head, 54)
    for index in range(count):
        kind, _, offset, _, _, size = struct.unpack_from(
            "<IIQQQQ", head, table + index * entry_size
        )
        if kind == _PT_NOTE and (found := _in_notes(head[offset : offset + size])):
            return found
    return ""


def _in_notes(notes: bytes) -> str:
    position = 0
    while position + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, position)
        name_at = position + 12
        at = name_at + -(-name_size // 4) * 4
        if kind == _NT_GNU_BUILD_ID and notes[name_at : name_at + name_size] == b"GNU\0":
            return notes[at : at + size].hex()
        position = at + -(-size // 4) * 4
    return ""
