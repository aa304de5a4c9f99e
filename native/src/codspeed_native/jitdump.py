"""Read jitdump files: what a JIT tells of the code that it made, with the code and its unwind data.

CPython 3.13 writes one with `-X perf_jit`. Source of the layout: the kernel's
tools/perf/Documentation/jitdump-specification.txt; which part of the unwind data comes first is
told by tools/perf/util/genelf.c.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from codspeed.errors import CodspeedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HEADER: Final = struct.Struct("<IIIIIIQQ")
_PREFIX: Final = struct.Struct("<IIQ")
_LOAD: Final = struct.Struct("<IIQQQQ")
_UNWINDING: Final = struct.Struct("<QQQ")
_MAGIC: Final = 0x4A695444
_CODE_LOAD: Final = 0
_CODE_CLOSE: Final = 3
_CODE_UNWINDING_INFO: Final = 4


class JitdumpError(CodspeedError):
    """A jitdump file can't be read, is damaged, or is of another kind."""

    slug: ClassVar[str] = "jitdump"


class Unwinding(NamedTuple):
    """Raw `.eh_frame` and `.eh_frame_hdr` of one function."""

    frames: bytes
    header: bytes


class Load(NamedTuple):
    """A function was made.

    Attributes:
        time: Nanoseconds; the monotonic clock, or the processor's counter if `flags` of the file
            say so.
        address: Where its code is, `size` bytes.
        unwinding: What the file says about it; None if nothing.
    """

    time: int
    pid: int
    tid: int
    address: int
    size: int
    name: str
    unwinding: Unwinding | None


def read(path: Path) -> tuple[Load, ...]:
    """Return the functions of a file, in the order in which they were made.

    The last record may be half there: the process was killed while it wrote.

    Raises:
        JitdumpError: If the file can't be read or is damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as failure:
        problem = f"{path} can't be read: {failure.strerror}"
        raise JitdumpError(problem) from failure
    return parse(data, where=str(path))


def parse(data: bytes, *, where: str = "this jitdump") -> tuple[Load, ...]:
    """Return the functions of a file's content.

    Raises:
        JitdumpError: If it is damaged or of another kind.
    """
    if len(data) < _HEADER.size:
        problem = f"{where} is too short for a jitdump"
        raise JitdumpError(problem)
    magic, _, size, *_ = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        problem = f"{where} is no little-endian jitdump"
        raise JitdumpError(problem)
    try:
        return tuple(_loads(data, size))
    except struct.error as failure:
        problem = f"{where} is damaged: {failure}"
        raise JitdumpError(problem) from failure


def _loads(data: bytes, at: int) -> Iterator[Load]:
    unwinding: Unwinding | None = None
    while at + _PREFIX.size <= len(data):
        kind, size, time = _PREFIX.unpack_from(data, at)
        end = at + size
        if size < _PREFIX.size:
            message = f"a record of {size} bytes at byte {at}"
            raise struct.error(message)
        if end > len(data) or kind == _CODE_CLOSE:
            return
        body = data[at + _PREFIX.size : end]
        if kind == _CODE_UNWINDING_INFO:
            unwinding = _unwinding(body)
        elif kind == _CODE_LOAD:
            yield _load(body, time, unwinding)
            unwinding = None  # it is about the next function only
        at = end


def _load(body: bytes, time: int, unwinding: Unwinding | None) -> Load:
    pid, tid, address, _, size, _ = _LOAD.unpack_from(body)
    name = body[_LOAD.size :].partition(b"\0")[0].decode("utf-8", "replace")
    return Load(time, pid, tid, address, size, name, unwinding)


def _unwinding(body: bytes) -> Unwinding:
    size, header_size, _ = _UNWINDING.unpack_from(body)
    data = body[_UNWINDING.size : _UNWINDING.size + size]
    split = max(0, size - header_size)
    return Unwinding(data[:split], data[split:])
