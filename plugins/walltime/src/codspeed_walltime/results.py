"""The walltime results files of the integrations, read as benchmarks (spec/executors.md 3.13).

A file may have no `benchmarks` (another mode), none inside (pytest-xdist's controller), an empty
`config` (JVM) and any number of other keys. Times are nanoseconds per iteration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed import wire
from codspeed.errors import ResultsError
from codspeed.model import BenchmarkResult, Direction, Kind, Metric
from codspeed_walltime.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from codspeed_walltime.rounds import RoundUsage
    from codspeed_walltime.usage import WindowUsage

_CPU_TIME: Final = "CPU time"
_SAME: Final = 0.02


@attrs.frozen
class Stats:
    """`stats` of one benchmark; names and meaning are the file's."""

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
    warmup_iters: int


@attrs.frozen
class RoundDetails:
    """What our exec-harness adds: one value per round, in nanoseconds or counted."""

    wall_ns: tuple[float, ...] = ()
    cpu_ns: tuple[float, ...] = ()
    queue_ns: tuple[float, ...] = ()
    voluntary_switches: tuple[float, ...] = ()
    involuntary_switches: tuple[float, ...] = ()


@attrs.frozen
class Extension:
    """The key `codspeed` of one benchmark."""

    rounds: RoundDetails = RoundDetails()


@attrs.frozen
class Measured:
    """One benchmark of a results file."""

    name: str
    uri: str
    config: Mapping[str, Any]
    stats: Stats
    codspeed: Extension = Extension()


@attrs.frozen
class Creator:
    """The integration that wrote the file; `pid` need not be the benchmark's."""

    name: str
    version: str


@attrs.frozen
class Instrument:
    """What the file holds."""

    type: str


@attrs.frozen
class ResultsFile:
    """A results file."""

    creator: Creator
    instrument: Instrument
    benchmarks: tuple[Measured, ...] = ()


def read_results(folder: Path, used: Usage | None = None) -> tuple[BenchmarkResult, ...]:
    """Read every results file in `folder`, oldest first.

    Args:
        folder: Where they are.
        used: What the runner saw beside the integrations' own numbers.

    Returns:
        One result per URI, of the newest file that has it; empty if there is no file or no
        benchmark in any.

    Raises:
        ResultsError: If a file is no walltime results file; says which and what is wrong.
    """
    found: dict[str, Measured] = {}
    repeated: dict[str, int] = {}
    for measured in _measured(folder):
        repeated[measured.uri] = repeated.get(measured.uri, 0) + 1
        found[measured.uri] = measured
    seen = Usage() if used is None else used
    return tuple(_as_result(measured, seen, times=repeated[uri]) for uri, measured in found.items())


def _measured(folder: Path) -> Iterator[Measured]:
    # Names are process ids, which say nothing about the order.
    for path in sorted(folder.glob("*.json"), key=lambda path: (_modified_ns(path), path.name)):
        where = f'Failed to parse walltime results from: "{path}". It'
        try:
            data = path.read_bytes()
        except OSError as failure:
            problem = f"{where} can't be read: {failure.strerror}"
            raise ResultsError(problem) from failure
        document = wire.load_json(data, where=where, error=ResultsError)
        yield from wire.from_plain(
            document, ResultsFile, where=where, error=ResultsError
        ).benchmarks


def _modified_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0  # reading it will say what is wrong


def _as_result(measured: Measured, used: Usage, *, times: int) -> BenchmarkResult:
    stats = measured.stats
    values = attrs.asdict(stats)
    details = (value for kind in attrs.astuple(measured.codspeed.rounds) for value in kind)
    if not all(math.isfinite(value) for value in (*values.values(), *details)):
        problem = f"walltime results of {measured.uri} hold a number that is not finite"
        raise ResultsError(problem, hint="the integration wrote it; report it there")
    rounds = measured.codspeed.rounds
    metrics = [
        _wall_time(stats, rounds.wall_ns),
        Metric("wall_time_min", stats.min_ns, "ns", kind=Kind.SAMPLED, label="Best"),
        _relative_iqr(stats),
        *(_beside(rounds) if rounds.cpu_ns else _of_window(stats, used.windows.get(measured.uri))),
        _info("rounds", stats.rounds, "count", "Rounds"),
    ]
    notes = (f"measured {times} times in this run; the last one counts",) if times > 1 else ()
    return BenchmarkResult(measured.uri, measured.name, tuple(metrics), (*used.notes, *notes))


def _wall_time(stats: Stats, samples: tuple[float, ...]) -> Metric:
    return Metric(
        "wall_time",
        stats.median_ns,
        "ns",
        kind=Kind.SAMPLED,
        headline=True,
        label="Median",
        statistics={
            "min": stats.min_ns,
            "max": stats.max_ns,
            "mean": stats.mean_ns,
            "stdev": stats.stdev_ns,
            "q1": stats.q1_ns,
            "q3": stats.q3_ns,
            "rounds": stats.rounds,
            "iter_per_round": stats.iter_per_round,
            "warmup_iters": stats.warmup_iters,
            "total_time_s": stats.total_time,
            "iqr_outlier_rounds": stats.iqr_outlier_rounds,
            "stdev_outlier_rounds": stats.stdev_outlier_rounds,
        },
        samples=samples,
    )


def _relative_iqr(stats: Stats) -> Metric:
    share = 100 * (stats.q3_ns - stats.q1_ns) / stats.median_ns if stats.median_ns else 0.0
    return _info("wall_time_iqr", share, "percent", "IQR")


def _beside(rounds: RoundDetails) -> Iterator[Metric]:
    """Yield what the harness read of each round beside wall time; medians over the rounds."""
    value = _median(rounds.cpu_ns)
    yield Metric("cpu_time", value, "ns", label=_CPU_TIME, samples=rounds.cpu_ns)
    yield _info("cpu_share", _percent(sum(rounds.cpu_ns), sum(rounds.wall_ns)), "percent", "")
    if rounds.queue_ns:
        yield _info("queue_time", _median(rounds.queue_ns), "ns", "")
        queued = _percent(sum(rounds.queue_ns), sum(rounds.wall_ns))
        yield _info("queue_share", queued, "percent", "")
    for name in ("voluntary_switches", "involuntary_switches"):
        values = getattr(rounds, name)
        if values:
            yield _info(name, _median(values), "count", "")


def _of_window(stats: Stats, used: WindowUsage | None) -> Iterator[Metric]:
    """Yield what the runner read at the edges of the window and at markers.

    `cpu_time` is CPU time per iteration: the median over the rounds where each was read by itself,
    else the average over all. It is left out where it is not known to 5 %. `cpu_share` is CPU time
    beside the wall time of the window, over all processes of the command: 100 is one CPU that was
    always busy. `queue_share` is the part of the window in which threads were ready to run and had
    no CPU; if that many threads ran that they could not all wait one after the other, the part of
    their own time. `context_switches` are those of the whole window.
    """
    if used is None:
        return
    if used.rounds is not None:
        yield _cpu_time(stats, used.rounds)
    if used.cpu_ns is not None:
        yield _info("cpu_share", _percent(used.cpu_ns, used.wall_ns), "percent", "")
        whole_ns = max(used.wall_ns, used.cpu_ns + used.queue_ns)
        yield _info("queue_share", _percent(used.queue_ns, whole_ns), "percent", "")
    yield _info("context_switches", used.switches, "count", "")


def _cpu_time(stats: Stats, rounds: RoundUsage) -> Metric:
    iterations = stats.iter_per_round
    seen_ns = rounds.median_wall_ns
    # Else the markers are not of the rounds that the statistics describe.
    is_same = iterations > 0 and abs(seen_ns - stats.median_ns * iterations) <= _SAME * seen_ns
    if not (rounds.is_each and is_same):
        value = rounds.share * stats.mean_ns
        return Metric("cpu_time", value, "ns", label=_CPU_TIME, statistics={"rounds": rounds.count})
    return Metric(
        "cpu_time",
        rounds.median_ns / iterations,
        "ns",
        label=_CPU_TIME,
        statistics={
            "min": rounds.low_ns / iterations,
            "max": rounds.high_ns / iterations,
            "q1": rounds.q1_ns / iterations,
            "q3": rounds.q3_ns / iterations,
            "rounds": rounds.count,
        },
    )


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0


def _info(name: str, value: float, unit: str, label: str) -> Metric:
    return Metric(name, value, unit, direction=Direction.NONE, kind=Kind.INFO, label=label)


def _median(values: tuple[float, ...]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
