"""Statistics of a benchmark as the reference computes them. No I/O here.

Source: spec/executors.md 3.13.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

_IQR_FENCE: Final = 1.5
_STDEV_FENCE: Final = 2.0  # pytest-codspeed uses 3


@attrs.frozen(kw_only=True)
class Statistics:
    """The `stats` of a walltime results file; the fields are its keys, in its order.

    Attributes:
        total_time: Seconds: the sum of all rounds, not the time that passed.
        rounds: How many values the others describe.
    """

    min_ns: float
    max_ns: float
    mean_ns: float
    stdev_ns: float
    q1_ns: float
    median_ns: float
    q3_ns: float
    rounds: int
    total_time: float
    iqr_outlier_rounds: int
    stdev_outlier_rounds: int
    iter_per_round: int
    warmup_iters: int = 0


def summarize(round_ns: Sequence[int], iterations: Sequence[int]) -> Statistics:
    """Describe the time of one iteration.

    Args:
        round_ns: Duration of each round; may be empty, then all is 0.
        iterations: Iterations in each round, from 1; as long as `round_ns`.
    """
    times = sorted(
        float(duration // count) for duration, count in zip(round_ns, iterations, strict=True)
    )
    mean = sum(times) / len(times) if times else 0.0
    stdev = _stdev(times, mean)
    q1, q3 = _quantile(times, 0.25), _quantile(times, 0.75)
    fence = _IQR_FENCE * (q3 - q1)
    return Statistics(
        min_ns=times[0] if times else 0.0,
        max_ns=times[-1] if times else 0.0,
        mean_ns=mean,
        stdev_ns=stdev,
        q1_ns=q1,
        median_ns=median(times),
        q3_ns=q3,
        rounds=len(times),
        total_time=sum(round_ns) / 1e9,
        iqr_outlier_rounds=sum(time < q1 - fence or time > q3 + fence for time in times),
        stdev_outlier_rounds=sum(abs(time - mean) > _STDEV_FENCE * stdev for time in times),
        iter_per_round=sum(iterations) // len(iterations) if iterations else 0,
    )


def median(values: Sequence[float]) -> float:
    """Return the middle of `values`, the average of the two in the middle if even, 0 if empty."""
    if not values:
        return 0.0
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return float(ordered[middle])
    return (ordered[middle - 1] + ordered[middle]) / 2


def _stdev(times: Sequence[float], mean: float) -> float:
    if len(times) <= 1:
        return 0.0
    return math.sqrt(sum((time - mean) ** 2 for time in times) / (len(times) - 1))


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return the quantile; for three values or more this is the exclusive method."""
    count = len(ordered)
    if count <= 1:
        return ordered[0] if ordered else 0.0
    if count == 2:
        return ordered[0] * (1 - share) + ordered[1] * share
    position = share * (count + 1) - 1
    below = math.floor(position)
    part = position - below
    if below + 1 < count:
        return ordered[below] * (1 - part) + ordered[below + 1] * part
    return ordered[min(below, count - 1)]
