"""From counter ticks to CLOCK_MONOTONIC nanoseconds. No I/O here."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import attrs


@attrs.frozen
class Clock:
    """Readings of both clocks at one instant each; between two of them the rule of three holds.

    A pair is taken whenever recording is switched, so an event never leaves its window.

    Attributes:
        pairs: (ticks, nanoseconds) in order; empty if stamps are nanoseconds already.
    """

    pairs: Sequence[tuple[int, int]] = ()

    def nanoseconds(self, ticks: int) -> int:
        """Return the time of a stamp; integers, as native/merge.h does it."""
        if not self.pairs:
            return ticks
        if ticks <= self.pairs[0][0] or len(self.pairs) < 2:
            return self.pairs[0][1]
        index = bisect_right(self.pairs, ticks, key=lambda pair: pair[0]) - 1
        (from_ticks, from_ns), (to_ticks, to_ns) = self.pairs[min(index, len(self.pairs) - 2) :][:2]
        return from_ns + (ticks - from_ticks) * (to_ns - from_ns) // (to_ticks - from_ticks)

    def ticks(self, ns: int) -> int:
        """Return the stamp of a time; as native/probes.h does it."""
        if not self.pairs:
            return ns
        if ns <= self.pairs[0][1] or len(self.pairs) < 2:
            return self.pairs[0][0]
        index = bisect_right(self.pairs, ns, key=lambda pair: pair[1]) - 1
        (from_ticks, from_ns), (to_ticks, to_ns) = self.pairs[min(index, len(self.pairs) - 2) :][:2]
        if to_ns == from_ns:
            return from_ticks
        return from_ticks + (ns - from_ns) * (to_ticks - from_ticks) // (to_ns - from_ns)
