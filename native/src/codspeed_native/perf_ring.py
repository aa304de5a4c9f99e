"""The ring in which the kernel leaves records of one CPU (perf_event_open(2), "MMAP layout")."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import struct
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HEAD: Final = 1024  # offsets in the first page, struct perf_event_mmap_page
_TAIL: Final = 1032
_LARGEST_PAGES: Final = 4096
_ALL_RINGS_PAGES: Final = 1 << 16
_PIECE_BYTES: Final = 1 << 20
# Of struct perf_event_header: u32 type, u16 misc, u16 size.
_RECORD_SIZE: Final = struct.Struct("<H")
_RECORD_SIZE_AT: Final = 6
_SMALLEST_RECORD: Final = 8
# Two samples with the largest stack must fit.
_SMALLEST_PAGES: Final = 32
_USUAL_KB: Final = 516  # of kernel.perf_event_mlock_kb
_SETTINGS: Final = Path("/proc/sys/kernel")
# Handing a lock over orders what was read before it and after it, also on weakly ordered CPUs:
# what the kernel wrote before it moved the head must not be read before the head.
_BARRIER: Final = threading.Lock()


class Ring:
    """One mapped ring. Close it before its descriptor."""

    def __init__(self, fd: int, pages: int) -> None:
        """Map the ring.

        Args:
            pages: A power of two.

        Raises:
            OSError: EPERM if so much memory may not be locked.
        """
        self._size = pages * mmap.PAGESIZE
        self._map = mmap.mmap(
            fd, self._size + mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE
        )
        # Loads and stores of eight bytes at once, which slices of the map do not promise.
        self._data = memoryview(self._map)[mmap.PAGESIZE :]
        self._head = ctypes.c_uint64.from_buffer(self._map, _HEAD)
        self._tail = ctypes.c_uint64.from_buffer(self._map, _TAIL)

    def fill(self) -> float:
        """Return which part of the ring is full, 0 to 1."""
        return (self._head.value - self._tail.value) / self._size

    def pieces(self) -> Iterator[memoryview]:
        """Yield the records that are there, whole ones, and make room for new ones piece by piece.

        A piece is memory of the ring: it holds until the next one is asked for. Most of a sample is
        room for stack that was not used; so nothing is copied before somebody looks what is.
        """
        head = self._head.value
        _barrier()
        tail = self._tail.value
        while tail != head:
            piece = self._piece(tail % self._size, head - tail)
            yield piece
            tail += len(piece)
            piece.release()
            _barrier()
            self._tail.value = tail

    def _piece(self, start: int, there: int) -> memoryview:
        """Return whole records from byte `start` of the ring on, at least one."""
        data = self._data
        end = at = start
        stop = min(start + there, self._size)
        while at < stop and at - start < _PIECE_BYTES:
            (size,) = _RECORD_SIZE.unpack_from(data, at + _RECORD_SIZE_AT)
            at += max(size, _SMALLEST_RECORD)  # never less from a kernel; a loop would not end
            if at > stop:
                break
            end = at
        if end > start:
            return data[start:end]
        # It goes on at the beginning of the ring; its header does not, records are aligned.
        return memoryview(bytes(data[start:]) + bytes(data[: at - self._size]))

    def close(self) -> None:
        """Unmap it."""
        del self._head, self._tail
        self._data.release()
        self._map.close()


def map_rings(descriptors: Sequence[int], pages: int) -> list[Ring]:
    """Map a ring for each descriptor, all of one size.

    Args:
        pages: What is tried first, a power of two; halved as long as the rights do not suffice:
            kernel.perf_event_mlock_kb and RLIMIT_MEMLOCK bound them together.

    Raises:
        OSError: If not even small rings are allowed; none stays mapped.
    """
    rings: list[Ring] = []
    try:
        for fd in descriptors:
            rings.append(Ring(fd, pages))  # noqa: PERF401 - what was mapped must be known if one fails
    except OSError:
        for ring in rings:
            ring.close()
        if pages <= _SMALLEST_PAGES:
            raise
        return map_rings(descriptors, pages // 2)
    return rings


def wanted_pages(rings: int, *, settings: Path = _SETTINGS) -> int:
    """Return how large each of so many rings should be, a power of two.

    Root's rings may be as large as they need to be. Others share what the kernel allows each user
    for this, and what he may lock at all.
    """
    pages = _LARGEST_PAGES
    allowed = _ALL_RINGS_PAGES
    if os.geteuid() != 0:
        allowed = min(allowed, _lockable_bytes(settings) // mmap.PAGESIZE)
    # One page of each map is not ring.
    while pages > _SMALLEST_PAGES and (pages + 1) * rings > allowed:
        pages //= 2
    return pages


def _lockable_bytes(settings: Path) -> int:
    soft, _hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    try:
        per_cpu_kb = int((settings / "perf_event_mlock_kb").read_text())
    except (OSError, ValueError):
        per_cpu_kb = _USUAL_KB
    return soft + per_cpu_kb * 1024 * (os.cpu_count() or 1)


def _barrier() -> None:
    with _BARRIER:
        pass
