"""What a backend recorded, and how it becomes an artifact and figures.

Events are read once, in batches: ten million need no more memory than a few thousand.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import IO, TYPE_CHECKING, Final

import attrs

from codspeed.errors import ToolError
from codspeed_memory import compiled, plain, raw
from codspeed_memory.artifact import FrameWriter
from codspeed_memory.clock import Clock
from codspeed_memory.usage import (
    Fate,
    ProcessUsage,
    Usage,
    fate,
    histogram_of,
    largest,
    timeline_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BATCH: Final = 65_536
_ENCODED_LIMIT: Final = 128  # ENCODED_LIMIT of native/encode.h


@attrs.frozen(kw_only=True)
class Recording:
    """Everything that a backend saw.

    Attributes:
        file: Blocks of records as native/ring.h has them, from the start to the end.
        clock: For the stamps of the records.
        dropped: Events that were lost.
        waits: How often a thread had to wait for room.
        gaps: Sentences about programs of which nothing was seen, of no particular window.
    """

    file: IO[bytes]
    clock: Clock = attrs.field(factory=Clock)
    dropped: int = 0
    waits: int = 0
    gaps: tuple[str, ...] = ()

    def notes(self) -> list[raw.Note]:
        """Return what is known of programs; see `raw.Note`."""
        with _mapped(self.file) as data:
            return raw.notes(data)

    def analysed(
        self,
        starts_ns: Mapping[int, int],
        artifact: IO[bytes],
        fates: dict[int, dict[int, Fate]] | None = None,
    ) -> dict[int, Usage]:
        """Write the artifact, and return what each window used.

        Args:
            starts_ns: When each window began.
            artifact: Gets all events.
            fates: Gets, for each window, what became of the blocks of which stacks were taken.

        Raises:
            ToolError: If there is no memory.
            OSError: If the artifact can't be written.
        """
        analyse = plain.analyse if compiled.helper_if_any() is None else _analyse
        with _mapped(self.file) as data, FrameWriter(artifact) as frames:
            return analyse(data, self.clock, starts_ns, frames, {} if fates is None else fates)

    def stacks(self) -> Iterator[raw.Note | raw.Stack]:
        """Yield where blocks were asked for, and what says which code was where then, in order."""
        with _mapped(self.file) as data:
            for place in raw.alone(data):
                if place.kind is raw.Kind.STACK:
                    yield raw.stack(data, place)
                elif place.kind in {raw.Kind.ATTACH, raw.Kind.CODE}:
                    yield raw.note(data, place)


class _Mapped:
    """A file's bytes without a copy; nothing can be mapped of an empty one."""

    def __init__(self, file: IO[bytes]) -> None:
        self._size = os.fstat(file.fileno()).st_size
        self._file = file
        self._map: mmap.mmap | None = None

    def __enter__(self) -> bytes:
        if not self._size:
            return b""
        self._map = mmap.mmap(self._file.fileno(), self._size, access=mmap.ACCESS_COPY)
        return self._map  # type: ignore[return-value] # what we do with bytes it can do too

    def __exit__(self, *_: object) -> None:
        if self._map is not None:
            self._map.close()


def _mapped(file: IO[bytes]) -> _Mapped:
    return _Mapped(file)


def _analyse(
    data: bytes,
    clock: Clock,
    starts_ns: Mapping[int, int],
    frames: FrameWriter,
    fates: dict[int, dict[int, Fate]],
) -> dict[int, Usage]:
    library = compiled.helper()
    usages = {}
    window, live = 0, None
    encoder = _Encoder(frames)
    try:
        for events, count in _batches(data, clock):
            if events[0].window != window or live is None:
                if live is not None:
                    fates[window] = _fates(live)
                    ended, live = live, None
                    usages[window] = _finished(ended)
                window = events[0].window
                live = _checked(library.live_new(starts_ns.get(window, events[0].ns)))
            encoder.add(events, count)
            _checked(library.live_feed(live, events, count))
        if live is not None:
            fates[window] = _fates(live)
            ended, live = live, None
            usages[window] = _finished(ended)
    finally:
        library.live_free(live)
    return usages


def _batches(data: bytes, clock: Clock) -> Iterator[tuple[ctypes.Array[compiled.Event], int]]:
    """Yield events in order of time, each batch of one window; the array is used again."""
    if not data:
        return
    library = compiled.helper()
    pairs = (compiled.ClockPair * len(clock.pairs))(
        *(compiled.ClockPair(ticks, ns) for ticks, ns in clock.pairs)
    )
    view = (ctypes.c_char * len(data)).from_buffer(data)
    merge = _checked(library.merge_new(ctypes.addressof(view), len(data), pairs, len(pairs)))
    events = (compiled.Event * _BATCH)()
    try:
        while count := library.merge_next(merge, events, _BATCH):
            yield events, count
    finally:
        library.merge_free(merge)
        del view


class _Encoder:
    """Events to frames, through a buffer that is used again."""

    def __init__(self, frames: FrameWriter) -> None:
        self._frames = frames
        self._out = (ctypes.c_char * (_BATCH * _ENCODED_LIMIT))()
        self._view = memoryview(self._out)

    def add(self, events: ctypes.Array[compiled.Event], count: int) -> None:
        library = compiled.helper()
        taken, written = ctypes.c_size_t(), ctypes.c_size_t()
        at = 0
        while at < count:
            size = library.encode(
                ctypes.addressof(events) + at * ctypes.sizeof(compiled.Event),
                count - at,
                self._frames.room,
                self._out,
                ctypes.byref(taken),
                ctypes.byref(written),
            )
            self._frames.add(self._view[:size], written.value)
            at += taken.value


def _fates(live: int) -> dict[int, Fate]:
    count, peak_at = ctypes.c_size_t(), ctypes.c_uint64()
    found = compiled.helper().live_sampled(live, ctypes.byref(count), ctypes.byref(peak_at))
    return {
        each.order: fate(each.born, each.died, peak_at.value, is_freed=bool(each.freed))
        for each in found[: count.value]
    }


def _finished(live: int) -> Usage:
    library = compiled.helper()
    sums = compiled.Usage()
    library.live_finish(live, ctypes.byref(sums))
    processes = []
    for index in range(sums.processes):
        each = library.live_process(live, index).contents
        processes.append(
            ProcessUsage(each.pid, each.allocations, each.frees, each.total, each.peak, each.live)
        )
    library.live_free(live)
    buckets = {index: value - 1 for index, value in enumerate(sums.timeline) if value}
    return Usage(
        events=sums.events,
        allocations=sums.allocations,
        frees=sums.frees,
        total=sums.total,
        peak=sums.peak,
        live_at_end=sums.live_at_end,
        leaked=sums.leaked,
        leaked_blocks=sums.leaked_blocks,
        unknown_frees=sums.unknown_frees,
        histogram=histogram_of(dict(enumerate(sums.histogram))),
        timeline=timeline_of(buckets, sums.width_ns),
        processes=largest(processes),
        process_count=sums.processes,
    )


def _checked(result: int | None) -> int:
    if not result:
        problem = "no memory to analyse the recorded allocations, or the recording is damaged"
        raise ToolError(problem, hint="measure fewer benchmarks at once")
    return result
