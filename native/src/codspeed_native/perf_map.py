"""Names of code that a JIT or an interpreter made at run time: `perf-<pid>.map` files.

One line per function, `START SIZE NAME`, both numbers in hex without a prefix (Linux,
tools/perf/Documentation/jit-interface.txt). Memory is used again after code was freed, so ranges
may overlap: the line that was written last holds.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
from typing import TYPE_CHECKING, NamedTuple, Self

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class Range(NamedTuple):
    """Addresses from `start` up to, not including, `end`."""

    start: int
    end: int
    name: str


@attrs.frozen
class PerfMap:
    """Disjoint ranges, sorted by address."""

    ranges: tuple[Range, ...] = ()
    _starts: tuple[int, ...] = attrs.field(init=False, repr=False, eq=False)

    @_starts.default
    def _index(self) -> tuple[int, ...]:
        return tuple(each.start for each in self.ranges)

    @classmethod
    def of(cls, written: Iterable[Range]) -> Self:
        """Return the map of ranges of which, where they overlap, the last one holds."""
        return cls(tuple(_disjoint(list(written))))

    def name_of(self, address: int) -> str | None:
        """Return what the code at an address is called; None if no line covers it."""
        index = bisect.bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        found = self.ranges[index]
        return found.name if address < found.end else None


def read(path: Path) -> PerfMap:
    """Read a map; one that is not there, or can't be read, is empty: names are an extra."""
    try:
        return parse(path.read_bytes())
    except OSError:
        return PerfMap()


def parse(data: bytes) -> PerfMap:
    """Return what a map holds; lines that are no lines of a map are left out.

    The last line may be half there: the process writes it while it runs.
    """
    return PerfMap.of(_lines(data))


def _lines(data: bytes) -> Iterator[Range]:
    for line in data.split(b"\n"):
        words = line.split(None, 2)
        if len(words) < 3:
            continue
        try:
            start, size = int(words[0], 16), int(words[1], 16)
        except ValueError:
            continue
        if size > 0:
            yield Range(start, start + size, words[2].decode("utf-8", "replace").rstrip())


def _disjoint(written: list[Range]) -> Iterator[Range]:
    """Yield what is left of each range when later ones lie on top of it."""
    borders = sorted({border for each in written for border in (each.start, each.end)})
    coming = sorted(((each.start, -order) for order, each in enumerate(written)), reverse=True)
    open_ranges: list[int] = []  # as a heap of negative positions: the last line is on top
    pieces = []
    for start, end in itertools.pairwise(borders):
        while coming and coming[-1][0] <= start:
            heapq.heappush(open_ranges, coming.pop()[1])
        while open_ranges and written[-open_ranges[0]].end <= start:
            heapq.heappop(open_ranges)
        if open_ranges:
            pieces.append((-open_ranges[0], start, end))
    return _joined(written, pieces)


def _joined(written: list[Range], pieces: Iterable[tuple[int, int, int]]) -> Iterator[Range]:
    """Put neighbouring pieces of one line together again."""
    current: tuple[int, int, int] | None = None
    for order, start, end in pieces:
        if current is not None and current[0] == order and current[2] == start:
            current = (order, current[1], end)
            continue
        if current is not None:
            yield Range(current[1], current[2], written[current[0]].name)
        current = (order, start, end)
    if current is not None:
        yield Range(current[1], current[2], written[current[0]].name)
