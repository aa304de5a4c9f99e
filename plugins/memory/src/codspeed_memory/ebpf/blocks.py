"""From the ring of the kernel to a recording: events sorted into blocks of one thread and window.

`native/probes.h` does it; `plain` is its twin, which the tests compare with it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import IO, TYPE_CHECKING, Final

from codspeed.errors import ToolError
from codspeed_memory import compiled, raw
from codspeed_memory.ebpf import layout
from codspeed_memory.raw import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codspeed_memory.clock import Clock

_BATCH: Final = 65_536


def appended(events: IO[bytes], recording: IO[bytes], clock: Clock) -> None:
    """Append the events to a recording.

    Args:
        events: Records of `layout.EVENT` behind their headers.
        clock: Of the recording: its stamps may be ticks.

    Raises:
        ToolError: If there is no memory.
        OSError: If it can't be written.
    """
    size = os.fstat(events.fileno()).st_size // layout.EVENT_STRIDE * layout.EVENT_STRIDE
    if not size:
        return
    recording.seek(0, os.SEEK_END)
    if (library := compiled.helper_if_any()) is None:
        events.seek(0)
        recording.write(plain(events.read(size), clock))
        recording.flush()
        return
    pairs = (compiled.ClockPair * len(clock.pairs))(
        *(compiled.ClockPair(ticks, ns) for ticks, ns in clock.pairs)
    )
    out = (ctypes.c_char * (_BATCH * (raw.BLOCK.size + raw.RECORD.size)))()
    order = ctypes.c_uint64()
    with mmap.mmap(events.fileno(), size, access=mmap.ACCESS_COPY) as data:
        view = (ctypes.c_char * size).from_buffer(data)
        for at in range(0, size, _BATCH * layout.EVENT_STRIDE):
            count = min(_BATCH, (size - at) // layout.EVENT_STRIDE)
            start = ctypes.addressof(view) + at
            length = library.probe_blocks(start, count, ctypes.byref(order), pairs, len(pairs), out)
            if not length:
                del view
                problem = "no memory to sort the recorded allocations"
                raise ToolError(problem, hint="measure fewer benchmarks at once")
            recording.write(memoryview(out)[:length])
        del view
    recording.flush()


def plain(data: bytes, clock: Clock) -> bytes:
    """Return the blocks of events, as native/probes.h writes them."""
    order, out = 0, bytearray()
    step = _BATCH * layout.EVENT_STRIDE
    for at in range(0, len(data), step):
        for (pid, tid, window), records in _grouped(data[at : at + step], clock):
            out += raw.BLOCK.pack(pid, tid, len(records), window, order, 0, 0)
            out += b"".join(records)
            order += 1
    return bytes(out)


def _grouped(data: bytes, clock: Clock) -> Iterator[tuple[tuple[int, int, int], list[bytes]]]:
    """Yield threads with their records; a note stands alone, since text would follow it."""
    found: dict[tuple[object, ...], tuple[tuple[int, int, int], list[bytes]]] = {}
    for at in range(layout.RING_HEADER_BYTES, len(data), layout.EVENT_STRIDE):
        stamp, address, kind_size, aux, pid, tid, window, _ = layout.EVENT.unpack_from(data, at)
        record = raw.RECORD.pack(clock.ticks(stamp), address, kind_size, aux)
        is_note = kind_size & 0xFF >= Kind.ATTACH
        thread = pid, tid, window
        key = (*thread, at) if is_note else thread
        found.setdefault(key, (thread, []))[1].append(record)
    yield from found.values()
