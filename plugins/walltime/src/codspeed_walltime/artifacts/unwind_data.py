"""Unwind data files: raw `.eh_frame` of one module, for the service, which unwinds there.

No I/O here. The encoding is bincode 1 (little endian, fixed sizes) of an enum of four versions; the
fourth is written. Source: spec/executors.md 3.10.

Versions: 1 per process and mapping; 2 adds a time; 3 per module; 4 `.eh_frame_hdr` may be absent.
"""

from __future__ import annotations

import struct
from typing import ClassVar, Final

import attrs

from codspeed.errors import CodspeedError

VERSION: Final = 4

_TAG: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")
_RANGE: Final = struct.Struct("<QQ")

Range = tuple[int, int]


class UnwindDataError(CodspeedError):
    """An unwind data file is damaged, or of a version that can't become the one asked for."""

    slug: ClassVar[str] = "unwind-data"


@attrs.frozen
class UnwindData:
    """Of one module; addresses as linked.

    Attributes:
        path: Of the module, or `jit_` and the name of a generated function.
        base_svma: Address of the first segment that is loaded.
        eh_frame_svma: Where `.eh_frame` begins and ends.
    """

    path: str
    base_svma: int
    eh_frame_hdr: bytes | None
    eh_frame_hdr_svma: Range | None
    eh_frame: bytes
    eh_frame_svma: Range


@attrs.frozen
class ProcessUnwindData:
    """Of one mapping in one process: versions 1 and 2.

    Attributes:
        timestamp: Nanoseconds; when a generated function was made.
        avma_range: Addresses of the mapping in the process.
        base_avma: Address of the first segment there.
    """

    path: str
    timestamp: int | None
    avma_range: Range
    base_avma: int
    base_svma: int
    eh_frame_hdr: bytes
    eh_frame_hdr_svma: Range
    eh_frame: bytes
    eh_frame_svma: Range


def encode(data: UnwindData) -> bytes:
    """Return the file of version 4."""
    header, header_range = data.eh_frame_hdr, data.eh_frame_hdr_svma
    return b"".join(
        (
            _TAG.pack(VERSION - 1),
            _sized(data.path.encode("utf-8", "replace")),
            _U64.pack(data.base_svma),
            b"\0" if header is None else b"\1" + _sized(header),
            b"\0" if header_range is None else b"\1" + _RANGE.pack(*header_range),
            _sized(data.eh_frame),
            _RANGE.pack(*data.eh_frame_svma),
        )
    )


def decode(raw: bytes) -> UnwindData:
    """Read a file of version 3 or 4.

    Raises:
        UnwindDataError: If it is damaged, or of an older version: these lack what is per module.
    """
    reader = _Reader(raw)
    version = reader.version()
    if version < 3:
        problem = f"Cannot parse V{version} unwind data as V4 (breaking changes)"
        raise UnwindDataError(problem)
    is_optional = version == VERSION
    return UnwindData(
        path=reader.text(),
        base_svma=reader.u64(),
        eh_frame_hdr=reader.sized() if not is_optional or reader.is_there() else None,
        eh_frame_hdr_svma=reader.range() if not is_optional or reader.is_there() else None,
        eh_frame=reader.sized(),
        eh_frame_svma=reader.range(),
    )


def decode_per_process(raw: bytes) -> ProcessUnwindData:
    """Read a file of version 1 or 2.

    Raises:
        UnwindDataError: If it is damaged, or of a newer version: these lack what is per process.
    """
    reader = _Reader(raw)
    version = reader.version()
    if version > 2:
        problem = f"Cannot parse V{version} unwind data as V2 (missing per-pid fields)"
        raise UnwindDataError(problem)
    return ProcessUnwindData(
        path=reader.text(),
        timestamp=reader.u64() if version == 2 and reader.is_there() else None,
        avma_range=reader.range(),
        base_avma=reader.u64(),
        base_svma=reader.u64(),
        eh_frame_hdr=reader.sized(),
        eh_frame_hdr_svma=reader.range(),
        eh_frame=reader.sized(),
        eh_frame_svma=reader.range(),
    )


def _sized(data: bytes) -> bytes:
    return _U64.pack(len(data)) + data


class _Reader:
    """Takes fields off the front of a file."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def version(self) -> int:
        tag = int(_TAG.unpack(self._take(_TAG.size))[0])
        if tag >= VERSION:
            problem = f"unwind data of version {tag + 1}; {VERSION} is the newest that is known"
            raise UnwindDataError(problem, hint="upgrade codspeed-walltime")
        return tag + 1

    def u64(self) -> int:
        return int(_U64.unpack(self._take(_U64.size))[0])

    def range(self) -> Range:
        start, end = _RANGE.unpack(self._take(_RANGE.size))
        return start, end

    def sized(self) -> bytes:
        return self._take(self.u64())

    def text(self) -> str:
        try:
            return self.sized().decode()
        except UnicodeDecodeError as failure:
            problem = f"unwind data whose path is no text: {failure}"
            raise UnwindDataError(problem) from failure

    def is_there(self) -> bool:
        flag = self._take(1)[0]
        if flag > 1:
            problem = f"unwind data is damaged at byte {self._at - 1}: {flag} is no yes or no"
            raise UnwindDataError(problem)
        return bool(flag)

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._raw):
            problem = f"unwind data is cut off: byte {end} of {len(self._raw)} is needed"
            raise UnwindDataError(problem)
        taken = self._raw[self._at : end]
        self._at = end
        return taken
