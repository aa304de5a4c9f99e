"""Which other programs used the CPUs: what tables of all processes differ in.

A table takes milliseconds, so none is made while a benchmark runs: only before the first window and
after windows, at most once a second. What is said of a window is therefore said of the time between
two tables around it.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from codspeed.launch.processes import PROC, TICK_NS, Entry, below, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_LEAST_NS: Final = 1_000_000_000
_INIT: Final = 1
_KERNEL: Final = 2  # kthreadd, the parent of all threads of the kernel
_MOST_NAMES: Final = 5


class Busy(NamedTuple):
    """A program, or several of one name; `share` is of one CPU: 1 is one that was always busy."""

    name: str
    share: float


class Span(NamedTuple):
    """The time between two tables, on CLOCK_MONOTONIC.

    Attributes:
        busiest: Other programs, the busiest first.
        share: What all other programs used, of one CPU.
        is_alone: There is no other process to be seen, as in a container.
    """

    start_ns: int
    end_ns: int
    busiest: tuple[Busy, ...]
    share: float
    is_alone: bool


class Others:
    """Looks at all processes now and then.

    Attributes:
        spans: The times between two looks, in order.
        at_ns: The latest look, on CLOCK_MONOTONIC.
    """

    def __init__(self, *, proc: Path = PROC, own: int | None = None) -> None:
        """Look for the first time.

        Args:
            proc: Where /proc is.
            own: The process that with its descendants is none of the others: ours.
        """
        self.spans: list[Span] = []
        self._proc = proc
        self._own = os.getpid() if own is None else own
        self.at_ns = time.monotonic_ns()
        self._entries = table(proc=proc)

    def look(self, *, least_ns: int = _LEAST_NS) -> None:
        """Look again, if the last look is long enough ago."""
        now_ns = time.monotonic_ns()
        if now_ns - self.at_ns < least_ns:
            return
        entries = table(proc=self._proc)
        ours = below(self._own, self._entries) | below(self._own, entries)
        span_ns = max(1, now_ns - self.at_ns)
        # A tick more for each CPU: they are not counted at the same moment.
        most = (os.cpu_count() or 1) * (span_ns / TICK_NS + 1)
        used = used_by_name(self._entries, entries, ours, most=most)
        busy = [Busy(name, ticks * TICK_NS / span_ns) for name, ticks in used.items() if ticks]
        busy.sort(key=lambda each: -each.share)
        self.spans.append(
            Span(
                self.at_ns,
                now_ns,
                tuple(busy[:_MOST_NAMES]),
                sum(each.share for each in busy),
                is_alone=entries.keys() <= ours | {1},
            )
        )
        self.at_ns, self._entries = now_ns, entries


def during(spans: Sequence[Span], start_ns: int, end_ns: int) -> Span | None:
    """Return the spans that overlap a window as one; None if there are none."""
    found = [span for span in spans if span.start_ns < end_ns and span.end_ns > start_ns]
    if not found:
        return None
    whole_ns = sum(span.end_ns - span.start_ns for span in found)
    shares: dict[str, float] = {}
    total = 0.0
    for span in found:
        weight = (span.end_ns - span.start_ns) / whole_ns
        total += weight * span.share
        for busy in span.busiest:
            shares[busy.name] = shares.get(busy.name, 0.0) + weight * busy.share
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return Span(
        found[0].start_ns,
        found[-1].end_ns,
        tuple(Busy(*item) for item in ordered),
        total,
        is_alone=all(span.is_alone for span in found),
    )


def used_by_name(
    before: Mapping[int, Entry], after: Mapping[int, Entry], ours: set[int], *, most: float
) -> dict[str, int]:
    """Return ticks of CPU time that programs used between two tables, by name.

    A program that ended is in what its parent reaped, with its whole life: what it had used before
    is taken off there. Where that can't be traced, as of one that lost its parent, the sum comes
    out impossible; then only programs that still live are counted.

    Args:
        before: The first table.
        after: The second.
        ours: Who is left out.
        most: Ticks that all CPUs together had.
    """
    ended = _ended(before, after)
    own: dict[str, int] = {}
    reaped: dict[str, int] = {}
    for pid, entry in after.items():
        if pid in ours:
            continue
        old = before.get(pid)
        if old is None or old.start != entry.start:
            old = entry._replace(own=0, reaped=0)
        name = f"{entry.name} (kernel)" if _KERNEL in (pid, entry.parent) else entry.name
        own[name] = own.get(name, 0) + entry.own - old.own
        if pid != _INIT:  # it reaps whoever lost its parent
            grown = entry.reaped - old.reaped - ended.get(pid, 0)
            reaped[name] = reaped.get(name, 0) + max(0, grown)
    together = {name: ticks + reaped.get(name, 0) for name, ticks in own.items()}
    return together if sum(together.values()) <= most else own


def _ended(before: Mapping[int, Entry], after: Mapping[int, Entry]) -> dict[int, int]:
    """Return what programs that ended had used at first, by their next ancestor that lives."""
    gone = {
        pid for pid, entry in before.items() if pid not in after or after[pid].start != entry.start
    }
    found: dict[int, int] = {}
    for pid in gone:
        ancestor, seen = before[pid].parent, {pid}
        while ancestor in gone and ancestor not in seen:
            seen.add(ancestor)
            ancestor = before[ancestor].parent
        found[ancestor] = found.get(ancestor, 0) + before[pid].own + before[pid].reaped
    return found
