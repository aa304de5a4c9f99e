"""The ring in which the kernel leaves records of one CPU (perf_event_open(2), "MMAP layout")."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD: Final = 1024  # offsets in the first page, struct perf_event_mmap_page
_TAIL: Final = 1032
_LARGEST_PAGES: Final = 2048
_ALL_RINGS_PAGES: Final = 1 << 16
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
        self._head = ctypes.c_uint64.from_buffer(self._map, _HEAD)
        self._tail = ctypes.c_uint64.from_buffer(self._map, _TAIL)

    def take(self) -> bytes:
        """Return the records since the last call, whole ones, and make room for new ones."""
        head, tail = self._head.value, self._tail.value
        if head == tail:
            return b""
        _barrier()
        start, end = tail % self._size, head % self._size
        base = mmap.PAGESIZE
        if start < end:
            data = self._map[base + start : base + end]
        else:
            data = self._map[base + start :] + self._map[base : base + end]
        _barrier()
        self._tail.value = head
        return data

    def close(self) -> None:
        """Unmap it."""
        del self._head, self._tail
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
