"""How much CPU time a round took, from readings between rounds. No I/O here.

A reading is taken when a marker arrives, before it is answered. Integrations that send the markers
of a round right after it (pytest-codspeed) give two readings around each round; those that send
them at the end give the two at the edges of the window, around all rounds together.

Between two readings there is more than rounds. Two markers with no round between them, as those of
one round, tell what sending a marker takes; as much is taken off for each. What then is still no
round is doubt: the CPU may have been used there.
"""

from __future__ import annotations

import bisect
import itertools
from typing import TYPE_CHECKING, Final, NamedTuple

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

# How far a number may be off and is still said. Sizes that people look for begin there.
MOST_DOUBT: Final = 0.05
# Of the rounds, so that those that are left stand for all.
_LEAST_SHARE: Final = 0.5
_ONE_CPU: Final = 1.001  # two clocks are compared


class Reading(NamedTuple):
    """The CPU time that was used until a moment; nanoseconds."""

    moment: int
    cpu: int


@attrs.frozen
class RoundUsage:
    """CPU time of the rounds of a window, known to 5 %; nanoseconds per round.

    Attributes:
        count: Rounds that it is known of.
        is_each: Each round was read by itself; else all share one average.
        median_wall_ns: Of the rounds, by their markers.
        share: CPU time of all rounds beside their wall time; 1 is one CPU that was always busy.
        low_ns: The smallest CPU time.
        q1_ns: The first quartile.
        median_ns: The middle.
        q3_ns: The third quartile.
        high_ns: The largest.
    """

    count: int
    is_each: bool
    median_wall_ns: float
    share: float
    low_ns: float
    q1_ns: float
    median_ns: float
    q3_ns: float
    high_ns: float


@attrs.define
class _Group:
    """Rounds between the same two readings, and what is there beside sending markers.

    Attributes:
        is_single: No more than one CPU was used, by whatever.
    """

    span_ns: float
    cpu_ns: float
    is_single: bool
    walls: list[int] = attrs.field(factory=list)

    @property
    def wall_ns(self) -> int:
        return sum(self.walls)

    @property
    def doubt_ns(self) -> float:
        return self.span_ns - self.wall_ns


def of_rounds(
    rounds: Sequence[tuple[int, int]],
    curve: Sequence[Reading],
    markers: Sequence[Reading],
) -> RoundUsage | None:
    """Return what can be said of the rounds; None if that is less than `MOST_DOUBT` asks for.

    Args:
        rounds: Start and end of each.
        curve: What was used, in order, on the same clock.
        markers: When markers came, and what their sender had used; may be part of `curve`.
    """
    import statistics  # noqa: PLC0415 - 3 ms before the command starts

    call = _call(rounds, markers)
    groups = _groups(rounds, curve, [marker.moment for marker in markers], call)
    if not groups:
        return None
    # Left out are those around which the integration did something else, or had to wait itself. The
    # limit is one for all: if it were each round's own, the longer ones would be chosen.
    most_ns = MOST_DOUBT * statistics.median(group.cpu_ns for group in groups)
    clear = [group for group in groups if group.doubt_ns <= most_ns]
    count = sum(len(group.walls) for group in clear)
    if count == 0 or count < _LEAST_SHARE * len(rounds):
        return None
    is_single = all(group.is_single for group in groups)
    for group in clear:
        # What one thread seems to have used beyond its round was used beside it.
        most = group.wall_ns if is_single else group.cpu_ns
        group.cpu_ns = min(max(0.0, group.cpu_ns), most)
    return _described(clear)


def _described(groups: Sequence[_Group]) -> RoundUsage:
    import statistics  # noqa: PLC0415 - as above

    each = [group.cpu_ns / len(group.walls) for group in groups for _ in group.walls]
    walls = [wall for group in groups for wall in group.walls]
    share = sum(each) / sum(walls)
    quarters = statistics.quantiles(each, n=4, method="inclusive") if len(each) > 1 else each * 3
    q1, median, q3 = quarters
    return RoundUsage(
        count=len(each),
        is_each=all(len(group.walls) == 1 for group in groups),
        median_wall_ns=statistics.median(walls),
        share=share,
        low_ns=min(each),
        q1_ns=q1,
        median_ns=median,
        q3_ns=q3,
        high_ns=max(each),
    )


def _groups(
    rounds: Sequence[tuple[int, int]],
    curve: Sequence[Reading],
    markers: Sequence[int],
    call: Reading,
) -> Sequence[_Group]:
    """Return the rounds by the readings around them; those outside of all readings are left out."""
    moments = [reading.moment for reading in curve]
    groups: dict[tuple[int, int], _Group] = {}
    for start, end in rounds:
        first = bisect.bisect_right(moments, start) - 1
        last = bisect.bisect_left(moments, end)
        if end <= start or first < 0 or last >= len(moments):
            continue
        if (first, last) not in groups:
            before, after = curve[first], curve[last]
            calls = bisect.bisect_right(markers, after.moment)
            calls -= bisect.bisect_right(markers, before.moment)
            span_ns, cpu_ns = after.moment - before.moment, after.cpu - before.cpu
            groups[first, last] = _Group(
                span_ns - calls * call.moment,
                cpu_ns - calls * call.cpu,
                is_single=cpu_ns <= _ONE_CPU * span_ns,
            )
        groups[first, last].walls.append(end - start)
    return list(groups.values())


def _call(rounds: Sequence[tuple[int, int]], markers: Sequence[Reading]) -> Reading:
    """Return how long sending a marker takes, answer included, and how much CPU time."""
    import statistics  # noqa: PLC0415 - as above

    ends = sorted(end for _start, end in rounds)
    calls = [
        Reading(after.moment - before.moment, after.cpu - before.cpu)
        for before, after in itertools.pairwise(markers)
        if bisect.bisect_right(ends, before.moment) == bisect.bisect_right(ends, after.moment)
    ]
    if not calls:
        return Reading(0, 0)
    moments, cpus = zip(*calls, strict=True)
    return Reading(statistics.median_low(moments), statistics.median_low(cpus))
