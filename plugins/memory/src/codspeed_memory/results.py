"""From what windows used to benchmarks: metrics, notes and timelines. No I/O here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codspeed.model import BenchmarkResult, Direction, Kind, Metric, Timeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from codspeed_memory.summary import Measured, Summary

_BYTES: Final = "bytes"
_COUNT: Final = "count"


def benchmarks(summary: Summary) -> list[BenchmarkResult]:
    """Return a benchmark for each URI, in order of their first windows."""
    lost = _lost(summary.dropped)
    return [_benchmark(uri, windows, lost) for uri, windows in _by_uri(summary).items()]


def timeline(summary: Summary, uri: str) -> Timeline | None:
    """Return the live bytes of the benchmark's first window over time."""
    windows = _by_uri(summary).get(uri)
    if not windows:
        return None
    points = tuple((offset, float(value)) for offset, value in windows[0].usage.timeline)
    return Timeline(unit=_BYTES, points=points)


def _by_uri(summary: Summary) -> dict[str, list[Measured]]:
    found: dict[str, list[Measured]] = {}
    for window in summary.windows:
        if window.uri is not None:
            found.setdefault(window.uri, []).append(window)
    return found


def _lost(dropped: int) -> tuple[str, ...]:
    if not dropped:
        return ()
    return (f"{dropped} allocation events of this run were lost: the figures are too low",)


def _benchmark(uri: str, windows: Sequence[Measured], lost: tuple[str, ...]) -> BenchmarkResult:
    gaps = dict.fromkeys(gap for window in windows for gap in window.gaps)
    several = (
        (f"measured in {len(windows)} windows: the peak is the highest, the rest are sums",)
        if len(windows) > 1
        else ()
    )
    name = uri.rpartition("::")[2] or uri
    return BenchmarkResult(uri, name, _metrics(windows), notes=(*lost, *gaps, *several))


def _metrics(windows: Sequence[Measured]) -> tuple[Metric, ...]:
    def total(field: str) -> int:
        return sum(getattr(window.usage, field) for window in windows)

    peak = max(window.usage.peak for window in windows)
    processes = max(window.usage.process_count for window in windows)
    return (
        _exact("peak_memory", peak, _BYTES, label="Peak memory", headline=True),
        _exact("total_allocated", total("total"), _BYTES, label="Total allocated"),
        _exact("allocations", total("allocations"), _COUNT, label="Allocations"),
        _exact("leaked", total("leaked"), _BYTES, label="Leaked"),
        _exact("frees", total("frees"), _COUNT, direction=Direction.NONE),
        _exact("live_at_end", total("live_at_end"), _BYTES),
        _exact("leaked_blocks", total("leaked_blocks"), _COUNT),
        _info("unknown_frees", total("unknown_frees"), _COUNT),
        _info("processes", processes, _COUNT),
        *_sizes(windows),
    )


def _exact(
    name: str,
    value: int,
    unit: str,
    *,
    label: str = "",
    headline: bool = False,
    direction: Direction = Direction.LOWER,
) -> Metric:
    return Metric(
        name,
        float(value),
        unit,
        direction=direction,
        kind=Kind.EXACT,
        headline=headline,
        label=label,
    )


def _info(name: str, value: int, unit: str) -> Metric:
    return Metric(name, float(value), unit, direction=Direction.NONE, kind=Kind.INFO)


def _sizes(windows: Iterable[Measured]) -> tuple[Metric, ...]:
    """Return the size histogram as one metric: its statistics are the classes."""
    counts: dict[int, int] = {}
    for window in windows:
        for smallest, count in window.usage.histogram:
            counts[smallest] = counts.get(smallest, 0) + count
    if not counts:
        return ()
    classes = {f"from_{smallest}": float(count) for smallest, count in sorted(counts.items())}
    usual = max(counts, key=lambda smallest: counts[smallest])
    return (
        Metric(
            "usual_size",
            float(usual),
            _BYTES,
            direction=Direction.NONE,
            kind=Kind.INFO,
            statistics=classes,
        ),
    )
