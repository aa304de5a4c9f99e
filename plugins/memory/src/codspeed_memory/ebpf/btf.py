"""What the running kernel's own type information says: ids of functions, offsets of fields.

The whole of it is 5 MB and a tenth of a second of parsing, so the few answers that we need are
kept in the user's cache under the kernel's build id. Layout: Documentation/bpf/btf.rst.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

KERNEL: Final = Path("/sys/kernel/btf/vmlinux")

_MAGIC: Final = 0xEB9F
_HEADER: Final = struct.Struct("<HBBIIIII")
_TYPE: Final = struct.Struct("<III")
_MEMBER: Final = struct.Struct("<III")
_ARRAY_BYTES, _VARIABLE_BYTES, _NUMBER_BYTES = 12, 4, 4
_INT, _ARRAY, _STRUCT, _UNION, _ENUM, _FUNCTION, _PROTO = 1, 3, 4, 5, 6, 12, 13
_VARIABLE, _SECTION, _DECL_TAG, _ENUM64 = 14, 15, 17, 19
_PER_ENTRY: Final = {_STRUCT: 12, _UNION: 12, _ENUM: 8, _PROTO: 8, _SECTION: 12, _ENUM64: 12}
_FIXED: Final = {
    _INT: _NUMBER_BYTES,
    _ARRAY: _ARRAY_BYTES,
    _VARIABLE: _VARIABLE_BYTES,
    _DECL_TAG: _NUMBER_BYTES,
}
# Qualifiers and names that stand for another type.
_TRANSPARENT: Final = frozenset({8, 9, 10, 11, 18})


class BtfError(ValueError):
    """Damaged, or something is not in it."""


class _Type(NamedTuple):
    kind: int
    entries: int
    is_bitfields: bool
    reference: int  # the type it stands for, or its size
    at: int  # of what follows the header


class Btf:
    """The type information of one kernel."""

    def __init__(self, data: bytes) -> None:
        """Find where everything is; raises BtfError if it is no type information."""
        if len(data) < _HEADER.size:
            problem = "it is cut off"
            raise BtfError(problem)
        magic, _, _, header, types_at, types_size, strings_at, strings_size = _HEADER.unpack_from(
            data
        )
        if magic != _MAGIC:
            problem = "it is no BTF of this byte order"
            raise BtfError(problem)
        self._data = data
        self._types = range(header + types_at, header + types_at + types_size)
        self._strings = data[header + strings_at : header + strings_at + strings_size]
        self._places: list[int] = []

    def function(self, name: str) -> int:
        """Return the id of a function; raises BtfError if there is none."""
        return self._found(name, {_FUNCTION})

    def offset(self, structure: str, *path: str) -> int:
        """Return where a field is, in bytes; `path` goes into structures that are fields.

        Raises:
            BtfError: If there is no such field.
        """
        place, at = self._found(structure, {_STRUCT}), 0
        for name in path:
            field = self._field(place, name)
            if field is None:
                problem = f"struct {structure} has no field {name}"
                raise BtfError(problem)
            place, at = field[0], at + field[1]
        return at

    def size(self, structure: str) -> int:
        """Return the size of a structure in bytes; raises BtfError if there is none."""
        return self._resolved(self._found(structure, {_STRUCT})).reference

    def _found(self, name: str, kinds: set[int]) -> int:
        string = self._strings.find(b"\0" + name.encode() + b"\0") + 1
        if string:
            wanted = string.to_bytes(4, "little")
            for number, at in enumerate(self._all(), start=1):
                if self._data[at : at + 4] == wanted and self._at(at).kind in kinds:
                    return number
        problem = f"{name} is not in it"
        raise BtfError(problem)

    def _field(self, place: int, name: str) -> tuple[int, int] | None:
        """Return type and offset of a field, which may be in a part without a name."""
        structure = self._resolved(place)
        if structure.kind not in {_STRUCT, _UNION}:
            return None
        for index in range(structure.entries):
            text, kind, bits = _MEMBER.unpack_from(self._data, structure.at + index * _MEMBER.size)
            offset = (bits & 0xFFFFFF if structure.is_bitfields else bits) // 8
            if text and self._text(text) == name:
                return kind, offset
            inner = None if text else self._field(kind, name)
            if inner is not None:
                return inner[0], offset + inner[1]
        return None

    def _resolved(self, place: int) -> _Type:
        found = self._at(self._all()[place - 1])
        while found.kind in _TRANSPARENT:
            found = self._at(self._all()[found.reference - 1])
        return found

    def _text(self, at: int) -> str:
        return self._strings[at : self._strings.index(b"\0", at)].decode("ascii", "replace")

    def _at(self, at: int) -> _Type:
        _, info, reference = _TYPE.unpack_from(self._data, at)
        return _Type(info >> 24 & 0x1F, info & 0xFFFF, bool(info >> 31), reference, at + _TYPE.size)

    def _all(self) -> list[int]:
        if not self._places:
            self._places = list(self._walked())
        return self._places

    def _walked(self) -> Iterator[int]:
        """Yield where each type is: their sizes differ, so there is no other way."""
        data, end = self._data, self._types.stop
        at = self._types.start
        unpack = struct.Struct("<I").unpack_from
        sizes = [_FIXED.get(kind, 0) for kind in range(32)]
        steps = [_PER_ENTRY.get(kind, 0) for kind in range(32)]
        while at < end:
            yield at
            (info,) = unpack(data, at + 4)
            kind = info >> 24 & 0x1F
            at += 12 + sizes[kind] + steps[kind] * (info & 0xFFFF)
