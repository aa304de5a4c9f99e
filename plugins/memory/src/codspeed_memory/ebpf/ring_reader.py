"""The worker's end of the kernel's rings: take what is whole, in order, and give the room back.

Layout: Documentation/bpf/ringbuf.rst. A page of ours with how far we have read, a page of the
kernel's with how far it has written, then the data, mapped twice in a row so that no record is ever
split. All records of a ring have one size, so many are taken at once and never one by one.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable

_PAGE: Final = mmap.PAGESIZE
# Bit 31 of a record's length: somebody still writes it. The top byte, in little-endian order.
_LENGTH_TOP: Final = 3
_BUSY: Final = 0x80
_MOST_BYTES: Final = 4 << 20  # room is given back in steps


class RingReader:
    """Reads one ring of records of one size; unmaps when its context ends."""

    def __init__(self, fd: int, ring_bytes: int, stride: int) -> None:
        """Map the ring; `stride` is the size of a record with its header."""
        self._size = ring_bytes
        self._stride = stride
        self._ours = mmap.mmap(fd, _PAGE)
        length = _PAGE + 2 * ring_bytes
        self._theirs = mmap.mmap(fd, length, prot=mmap.PROT_READ, offset=_PAGE)
        self._read = ctypes.c_uint64.from_buffer(self._ours)
        self._view = memoryview(self._theirs)

    def take(self, use: Callable[[memoryview], object]) -> int:
        """Hand all that is whole to `use`, in order, in pieces; return how many bytes that was."""
        total = 0
        while chunk := self._whole():
            use(chunk)
            total += len(chunk)
            self._read.value += len(chunk)
            chunk.release()
        return total

    def _whole(self) -> memoryview | None:
        written = int.from_bytes(self._view[:8], "little")
        at = self._read.value
        size = min(written - at, _MOST_BYTES // self._stride * self._stride)
        start = _PAGE + at % self._size
        tops = self._view[start + _LENGTH_TOP : start + size : self._stride].tobytes()
        whole = _before_busy(tops)
        return self._view[start : start + whole * self._stride] if whole else None

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Unmap it."""
        self._view.release()
        self._theirs.close()
        del self._read
        self._ours.close()


def _before_busy(tops: bytes) -> int:
    """Return how many records are whole before the first that is not."""
    if not any(top & _BUSY for top in set(tops)):
        return len(tops)
    return next(index for index, top in enumerate(tops) if top & _BUSY)


def written_to(file: int) -> Callable[[memoryview], None]:
    """Return what appends to a file, whatever write(2) leaves over."""

    def write(data: memoryview) -> None:
        while data:
            data = data[os.write(file, data) :]

    return write
