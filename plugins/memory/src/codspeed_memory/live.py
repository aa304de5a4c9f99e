"""What is live, when: the rules of native/live.h in plain Python, as their oracle.

Also what reads artifacts where nothing can be compiled. No I/O here.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import attrs

from codspeed_memory.raw import Event, Kind
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
    from collections.abc import Callable, Iterable, Mapping

BUCKETS: Final = 512
FIRST_WIDTH_NS: Final = 1024


def _pending(event: Event) -> int:
    """Return the mark of a block that is moved: no address is negative."""
    return -event.tid


@attrs.define
class _Sampled:
    """A block of which a stack was taken; times are numbers of events, 0: it never came."""

    order: int
    born: int = 0
    died: int = 0
    freed: bool = False


@attrs.define
class _Process:
    pid: int
    allocations: int = 0
    frees: int = 0
    total: int = 0
    peak: int = 0
    live: int = 0
    has_ended: bool = False
    blocks: dict[int, int] = attrs.field(factory=dict)  # address -> size
    marks: dict[int, _Sampled] = attrs.field(factory=dict)  # address -> its stack
    pending: dict[int, int] = attrs.field(factory=dict)  # thread -> size of what realloc gave up


class LiveSet:
    """One window; feed it the events in order of time."""

    def __init__(self, start_ns: int) -> None:
        self._start_ns = start_ns
        self._processes: dict[int, _Process] = {}
        self._now = 0
        self._sums: dict[str, int] = defaultdict(int)
        self._sizes: dict[int, int] = defaultdict(int)
        self._buckets: dict[int, int] = {}
        self._width_ns = FIRST_WIDTH_NS
        self._sampled: list[_Sampled] = []
        self._peak_at = 0

    def feed(self, events: Iterable[Event]) -> None:
        """Take more events."""
        for event in events:
            rule = self._RULES.get(event.kind)
            if rule is None:
                continue
            process = self._processes.setdefault(event.pid, _Process(event.pid))
            if event.kind == Kind.STACK:
                self._mark(process, event)
                continue
            self._sums["events"] += 1
            rule(self, process, event)
            self._note_time(event.ns)

    def finish(self) -> Usage:
        """Return the sums; the window is closed."""
        sums = self._sums
        live = sum(process.live for process in self._processes.values())
        blocks = sum(len(process.blocks) for process in self._processes.values())
        return Usage(
            events=sums["events"],
            allocations=sums["allocations"],
            frees=sums["frees"],
            total=sums["total"],
            peak=sums["peak"],
            live_at_end=self._now,
            leaked=sums["leaked"] + live,
            leaked_blocks=sums["leaked_blocks"] + blocks,
            unknown_frees=sums["unknown_frees"],
            histogram=histogram_of(self._sizes),
            timeline=timeline_of(self._buckets, self._width_ns),
            processes=largest(
                [
                    ProcessUsage(
                        each.pid, each.allocations, each.frees, each.total, each.peak, each.live
                    )
                    for each in self._processes.values()
                ]
            ),
            process_count=len(self._processes),
        )

    def fates(self) -> dict[int, Fate]:
        """Return what became of the blocks of which stacks were taken, by the stacks' orders."""
        return {
            each.order: fate(each.born, each.died, self._peak_at, is_freed=each.freed)
            for each in self._sampled
        }

    # --- Stacks ---

    def _mark(self, process: _Process, event: Event) -> None:
        self._went(process, event.address)
        sampled = process.marks[event.address] = _Sampled(event.aux)
        self._sampled.append(sampled)

    def _came(self, process: _Process, address: int) -> None:
        sampled = process.marks.get(address)
        if sampled is not None:
            sampled.born = self._sums["events"]
            sampled.died = sampled.born if process.has_ended else sampled.died

    def _went(self, process: _Process, address: int) -> None:
        sampled = process.marks.get(address)
        if sampled is not None and sampled.born:
            del process.marks[address]
            sampled.died = sampled.died or self._sums["events"]
            sampled.freed = True

    # --- Blocks ---

    def _grow(self, process: _Process, size: int) -> None:
        process.live += size
        process.peak = max(process.peak, process.live)
        if not process.has_ended:
            self._now += size
            if self._now > self._sums["peak"]:
                self._sums["peak"] = self._now
                self._peak_at = self._sums["events"]

    def _take(self, process: _Process, address: int) -> int | None:
        size = process.blocks.pop(address, None)
        if size is not None:
            process.live -= size
            self._now -= 0 if process.has_ended else size
            self._went(process, address)
        return size

    def _put(self, process: _Process, address: int, size: int) -> None:
        self._take(process, address)
        process.blocks[address] = size
        self._came(process, address)
        self._grow(process, size)

    def _count_free(self, process: _Process, size: int | None) -> None:
        self._sums["frees"] += 1
        process.frees += 1
        self._sums["unknown_frees"] += size is None

    # --- One rule for each kind ---

    def _allocate(self, process: _Process, event: Event) -> None:
        self._sums["allocations"] += 1
        self._sums["total"] += event.size
        self._sizes[event.size.bit_length()] += 1
        process.allocations += 1
        process.total += event.size
        self._put(process, event.address, event.size)

    def _free(self, process: _Process, event: Event) -> None:
        self._count_free(process, self._take(process, event.address))

    def _unmap(self, process: _Process, event: Event) -> None:
        size = self._take(process, event.address)
        self._count_free(process, size)
        if size is not None and event.size < size:
            self._put(process, event.address + event.size, size - event.size)

    def _begin(self, process: _Process, event: Event) -> None:
        if event.address in process.marks:
            process.marks[_pending(event)] = process.marks.pop(event.address)
        size = self._take(process, event.address)
        if size is not None:
            process.pending[event.tid] = size

    def _reallocated(self, process: _Process, event: Event) -> None:
        self._went(process, _pending(event))
        if event.aux:
            self._count_free(process, process.pending.pop(event.tid, None))
        self._allocate(process, event)

    def _not_reallocated(self, process: _Process, event: Event) -> None:
        old = process.pending.pop(event.tid, None)
        if not event.size:
            self._went(process, _pending(event))
            self._count_free(process, old)
        elif old is not None:
            self._put(process, event.address, old)
            if _pending(event) in process.marks:
                process.marks[event.address] = process.marks.pop(_pending(event))

    def _ended(self, process: _Process, _event: Event) -> None:
        self._now -= 0 if process.has_ended else process.live
        for sampled in process.marks.values():
            if sampled.born and not sampled.died:
                sampled.died = self._sums["events"]
        process.has_ended = True

    def _replaced(self, process: _Process, event: Event) -> None:
        self._ended(process, event)
        self._sums["leaked"] += process.live
        self._sums["leaked_blocks"] += len(process.blocks)
        process.blocks.clear()
        process.marks.clear()
        process.pending.clear()
        process.live = 0
        process.has_ended = False

    _RULES: Final[Mapping[int, Callable[[LiveSet, _Process, Event], None]]] = {
        Kind.MALLOC: _allocate,
        Kind.CALLOC: _allocate,
        Kind.ALIGNED: _allocate,
        Kind.MMAP: _allocate,
        Kind.FREE: _free,
        Kind.MUNMAP: _unmap,
        Kind.REALLOC_BEGIN: _begin,
        Kind.REALLOC: _reallocated,
        Kind.REALLOC_FAILED: _not_reallocated,
        Kind.DETACH: _ended,
        Kind.ATTACH: _replaced,
        Kind.STACK: _mark,
    }

    # --- The course over time ---

    def _note_time(self, ns: int) -> None:
        """Keep the highest value of each bucket; buckets double in width when time runs out."""
        offset = max(0, ns - self._start_ns)
        while offset // self._width_ns >= BUCKETS:
            halved: dict[int, int] = {}
            for index, value in self._buckets.items():
                halved[index // 2] = max(halved.get(index // 2, 0), value)
            self._buckets = halved
            self._width_ns *= 2
        bucket = offset // self._width_ns
        self._buckets[bucket] = max(self._buckets.get(bucket, 0), self._now)
