"""The maps of one run, as descriptors: made together, closed together."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, Final

import attrs

from codspeed_memory.ebpf import layout
from codspeed_memory.ebpf.syscalls import MapType, make_map

if TYPE_CHECKING:
    from collections.abc import Iterator

# A second of events at the highest rate; all of it is taken at once, so less where memory is short.
RING_BYTES: Final = 64 << 20
_LEAST_RING_BYTES: Final = 1 << 20


@attrs.frozen
class Maps:
    """See `layout`."""

    control: int
    threads: int
    known: int
    internal: int
    requests: int
    events: int
    ring_bytes: int


@contextlib.contextmanager
def made(ring_bytes: int = RING_BYTES, threads: int = layout.THREADS) -> Iterator[Maps]:
    """Yield new maps; raises OSError if there is no memory or no right."""
    with contextlib.ExitStack() as stack:

        def hold(fd: int) -> int:
            stack.callback(os.close, fd)
            return fd

        def table(name: str, key: int, value: int, entries: int) -> int:
            kind = MapType.HASH
            return hold(make_map(kind, key=key, value=value, entries=entries, name=name))

        control = make_map(
            MapType.ARRAY, key=4, value=layout.CONTROL_BYTES, entries=1, name="control"
        )
        hold(control)
        following = table("threads", 4, layout.THREAD_BYTES, threads)
        known = table("known", layout.FILE.size, 4, layout.FILES)
        internal = table("internal", layout.SITE.size, 4, layout.SITES)
        requests = hold(_ring("requests", layout.REQUESTS_BYTES))
        events, ring_bytes = _largest_ring("events", ring_bytes)
        hold(events)
        yield Maps(control, following, known, internal, requests, events, ring_bytes)


def _ring(name: str, size: int) -> int:
    return make_map(MapType.RING, key=0, value=0, entries=size, name=name)


def _largest_ring(name: str, size: int) -> tuple[int, int]:
    while True:
        try:
            return _ring(name, size), size
        except OSError as failure:
            if failure.errno != errno.ENOMEM or size <= _LEAST_RING_BYTES:
                raise
        size //= 2
