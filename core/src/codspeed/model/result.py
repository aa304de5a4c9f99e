"""What was measured: benchmarks and their metrics, call trees and timelines."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import attrs


class Direction(enum.Enum):
    """Which way a metric gets better."""

    LOWER = "lower"
    HIGHER = "higher"
    NONE = "none"


class Kind(enum.Enum):
    """How a metric may be compared: exactly, statistically over invocations, or not at all."""

    EXACT = "exact"
    SAMPLED = "sampled"
    INFO = "info"


@attrs.frozen
class Metric:
    """One number of one benchmark.

    Attributes:
        name: Lower case with underscores, stable over releases; the key in store and compare.
        value: In `unit`. For sampled metrics the median.
        unit: "ns", "bytes", "count", "percent" (0-100) or any other word, shown as it is.
        label: Column heading; empty means it is stored but not shown in the table.
        headline: The metric that stands for the benchmark; one per benchmark.
        statistics: Numbers that describe the samples, in `unit` unless the name says otherwise.
        samples: The single values, where the executor has them.
    """

    name: str
    value: float
    unit: str
    direction: Direction = Direction.LOWER
    kind: Kind = Kind.SAMPLED
    headline: bool = False
    label: str = ""
    statistics: Mapping[str, float] = attrs.field(factory=dict)
    samples: tuple[float, ...] = ()


@attrs.frozen
class BenchmarkResult:
    """One benchmark as one executor saw it.

    Attributes:
        uri: Identity over time, as the integration or harness gave it.
        name: For people.
        metrics: In display order.
        notes: Limits of this result, a sentence each.
    """

    uri: str
    name: str
    metrics: tuple[Metric, ...]
    notes: tuple[str, ...] = ()

    @property
    def headline(self) -> Metric | None:
        """Return the metric that stands for the benchmark; without a mark, the first one."""
        return next(
            (metric for metric in self.metrics if metric.headline), next(iter(self.metrics), None)
        )


@attrs.frozen(cache_hash=True)  # millions of them are looked up while stacks are added
class Frame:
    """One function in a call tree.

    Attributes:
        function: As the symbol table or interpreter names it.
        module: Path or name of the object file; empty if unknown.
        kind: "native", "interpreter", "python", "javascript", "kernel", "jit", "harness" or
            another word of the executor's. Viewers may leave "interpreter" out where there are
            "python" or "javascript" frames.
        location: "file:line" where debug information has it, else empty.
    """

    function: str
    module: str = ""
    kind: str = "native"
    location: str = ""


@attrs.frozen
class CallTree:
    """Folded stacks: how much of `unit` was spent in each path from the root.

    Attributes:
        stacks: Frames from root to leaf -> self cost of the leaf on this path.
    """

    unit: str
    stacks: Mapping[tuple[Frame, ...], float]


@attrs.frozen
class Timeline:
    """A value over time inside one benchmark.

    Attributes:
        points: (nanoseconds since the window's start, value in `unit`).
    """

    unit: str
    points: tuple[tuple[int, float], ...]
