"""What must be true of the records that executors make: asserts, with the value in the message."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed.model import (
    BenchmarkResult,
    CallTree,
    Direction,
    Frame,
    Kind,
    Metric,
    Support,
    SupportLevel,
    Timeline,
    option_specs,
)
from codspeed.protocols import API_VERSIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codspeed.model import System
    from codspeed.protocols import ExecutorDescriptor

_WORD: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_METRIC: Final = re.compile(r"[a-z][a-z0-9_]*")


def check_descriptor(descriptor: ExecutorDescriptor, system: System) -> None:
    """Check the fields of an executor's descriptor."""
    oldest, newest = API_VERSIONS["codspeed.executors"]
    assert oldest <= descriptor.api_version <= newest, descriptor.api_version
    assert descriptor.label.strip(), "the label is empty"
    assert callable(descriptor.load), "load is not callable"
    assert attrs.has(descriptor.options), f"{descriptor.options} is not an attrs class"
    for word in (descriptor.name, descriptor.mode, *descriptor.aliases):
        assert _WORD.fullmatch(word), f"{word!r} is not lower case with dashes"
    assert descriptor.mode not in descriptor.aliases, "the mode is among its own aliases"
    check_support(descriptor.support(system))


def check_support(support: Support) -> None:
    """Check the answer of a descriptor's `support`."""
    assert isinstance(support, Support), support
    needs_reason = support.level is not SupportLevel.OK
    assert bool(support.reason.strip()) is needs_reason, f"{support.level} with {support.reason!r}"


def check_options(options: type) -> None:
    """Check that every field is an option with a help text."""
    specs = option_specs(options)
    for field in attrs.fields(options):
        assert field.name in specs, f"{field.name} is not made by codspeed.model.option()"
        assert field.default is not attrs.NOTHING, f"{field.name} has no default"
        spec, _ = specs[field.name]
        assert spec.hidden or spec.help.strip(), f"{field.name} has no help text"


def check_results(results: Sequence[BenchmarkResult]) -> None:
    """Check all benchmarks of a part."""
    for result in results:
        check_result(result)
    uris = [result.uri for result in results]
    assert len(set(uris)) == len(uris), f"a URI occurs twice: {sorted(uris)}"


def check_result(result: BenchmarkResult) -> None:
    """Check one benchmark."""
    assert isinstance(result, BenchmarkResult), result
    assert result.uri, "the URI is empty"
    assert result.name, f"{result.uri} has no name"
    assert result.metrics, f"{result.uri} has no metrics"
    for metric in result.metrics:
        check_metric(metric)
    names = [metric.name for metric in result.metrics]
    assert len(set(names)) == len(names), f"a metric occurs twice: {names}"
    headlines = [metric.name for metric in result.metrics if metric.headline]
    assert len(headlines) <= 1, f"more than one headline: {headlines}"
    assert all(result.notes), "an empty note"


def check_metric(metric: Metric) -> None:
    """Check one number."""
    assert _METRIC.fullmatch(metric.name), f"{metric.name!r} is not lower case with underscores"
    assert metric.unit.strip(), f"{metric.name} has no unit"
    assert isinstance(metric.kind, Kind), f"kind of {metric.name}: {metric.kind!r}"
    assert isinstance(metric.direction, Direction), f"{metric.name}: {metric.direction!r}"
    _check_finite(metric.name, metric.value, *metric.samples, *metric.statistics.values())
    assert not (metric.headline and metric.kind is Kind.INFO), (
        f"{metric.name} is the headline, but of a kind that is never compared"
    )


def check_call_tree(tree: CallTree | None) -> None:
    """Check a profile."""
    if tree is None:
        return
    assert isinstance(tree, CallTree), tree
    assert tree.unit.strip(), "the call tree has no unit"
    for stack, cost in tree.stacks.items():
        assert stack, "a stack without frames"
        assert all(isinstance(frame, Frame) for frame in stack), stack
        assert all(frame.function for frame in stack), f"a frame without a name in {stack}"
        _check_finite(f"stack {stack}", cost)
        assert cost >= 0, f"stack {stack} has cost {cost}"


def check_timeline(timeline: Timeline | None) -> None:
    """Check a course over time."""
    if timeline is None:
        return
    assert isinstance(timeline, Timeline), timeline
    assert timeline.unit.strip(), "the timeline has no unit"
    times = [time for time, _ in timeline.points]
    assert times == sorted(times), "the points are not in order of time"
    _check_finite("timeline", *(value for _, value in timeline.points))


def _check_finite(name: str, *values: Any) -> None:
    for value in values:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        assert number, f"{name}: {value!r} is not a number"
        assert math.isfinite(value), f"{name}: {value} is not finite"
