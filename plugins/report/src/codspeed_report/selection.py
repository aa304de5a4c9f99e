"""What is compared: the numbers of one run, whether they come from a bundle or from the index.

No I/O here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from codspeed.model import Comparability, Direction, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codspeed.model import BenchmarkResult, Bundle, Manifest, Metric, PartResults


@attrs.frozen
class Run:
    """Which run it is and where it was measured.

    Attributes:
        created_ns: Nanoseconds since the epoch.
        commit: Empty outside a repository.
        branch: Empty on a detached HEAD.
        fingerprint: The machine, as plain JSON values.
        exit_code: How the run ended.
    """

    run_id: str
    created_ns: int
    commit: str = ""
    branch: str = ""
    dirty: bool = False
    variant: Mapping[str, str] = attrs.field(factory=dict)
    fingerprint: Mapping[str, Any] = attrs.field(factory=dict)
    exit_code: int = 0


@attrs.frozen
class Part:
    """One command of the run under one executor; `error` is empty if it went well."""

    index: int
    executor: str
    mode: str
    model: str
    label: str = ""
    comparability: Comparability = attrs.field(factory=Comparability)
    error: str = ""


@attrs.frozen
class Series:
    """What a number is: everything but the run it came from.

    Attributes:
        name: Of the benchmark, for people.
        model: The measurement-model id: what a number means.
    """

    uri: str
    executor: str
    metric: str
    model: str
    unit: str
    kind: Kind
    direction: Direction
    name: str
    label: str
    headline: bool


@attrs.frozen
class Measurement:
    """One number, in the unit of its series; what was not recorded is None.

    Attributes:
        part: Index of the part that measured it.
        q1: First quartile of the samples.
        q3: Third quartile of the samples.
        low: The smallest sample.
        rounds: How many samples there are.
    """

    series: Series
    part: int
    value: float
    q1: float | None = None
    q3: float | None = None
    low: float | None = None
    rounds: float | None = None

    @property
    def spread(self) -> float | None:
        """Interquartile range over the value; None where that says nothing."""
        if self.q1 is None or self.q3 is None or not self.value:
            return None
        return (self.q3 - self.q1) / abs(self.value)


@attrs.frozen
class Note:
    """A limit of one benchmark's result, a sentence."""

    executor: str
    uri: str
    text: str


@attrs.frozen
class Selection:
    """The numbers of one run, in the order in which their series were first seen."""

    run: Run
    parts: tuple[Part, ...]
    measurements: tuple[Measurement, ...]
    notes: tuple[Note, ...] = ()


def of_bundle(bundle: Bundle) -> Selection:
    """Return what a bundle holds."""
    return Selection(
        run=_run(bundle.manifest),
        parts=_parts(bundle),
        measurements=tuple(_measurements(bundle)),
        notes=tuple(_notes(bundle)),
    )


def plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return `fields` as they come back from JSON, so that equal facts are equal values."""
    values: dict[str, Any] = json.loads(json.dumps(fields, default=str))
    return values


def readable(text: str) -> str:
    """Return `text` with what is no Unicode escaped: a database can't hold the rest of a character.

    Arguments and paths of the system may hold such bytes (surrogate escapes, PEP 383).
    """
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def _run(manifest: Manifest) -> Run:
    context = manifest.context
    return Run(
        run_id=manifest.run_id,
        created_ns=manifest.created_ns,
        commit=context.commit,
        branch=readable(context.branch),
        dirty=context.dirty,
        variant=dict(manifest.variant),
        fingerprint=plain(manifest.fingerprint),
        exit_code=manifest.exit_code,
    )


def _parts(bundle: Bundle) -> tuple[Part, ...]:
    return tuple(
        Part(
            index=record.index,
            executor=record.executor,
            mode=record.mode,
            model=record.model,
            label=readable(record.label),
            comparability=record.comparability,
            error=readable(record.error),
        )
        for record in bundle.manifest.parts
    )


def _measurements(bundle: Bundle) -> Iterator[Measurement]:
    for results in bundle.results:
        for benchmark in results.benchmarks:
            for metric in benchmark.metrics:
                yield _measurement(results, benchmark, metric)


def _measurement(results: PartResults, benchmark: BenchmarkResult, metric: Metric) -> Measurement:
    statistics = metric.statistics
    series = Series(
        uri=readable(benchmark.uri),
        executor=results.executor,
        metric=metric.name,
        model=results.model,
        unit=metric.unit,
        kind=metric.kind,
        direction=metric.direction,
        name=readable(benchmark.name),
        label=readable(metric.label),
        headline=metric is benchmark.headline,
    )
    return Measurement(
        series=series,
        part=results.part,
        value=float(metric.value),
        q1=statistics.get("q1"),
        q3=statistics.get("q3"),
        low=statistics.get("min"),
        rounds=statistics.get("rounds", len(metric.samples) or None),
    )


def _notes(bundle: Bundle) -> Iterator[Note]:
    seen: set[tuple[str, str]] = set()
    for results in bundle.results:
        for benchmark in results.benchmarks:
            for text in benchmark.notes:
                yield Note(results.executor, readable(benchmark.uri), readable(text))
            key = (results.executor, readable(benchmark.uri))
            if key in seen:
                text = "measured more than once in this run; the last measurement is shown"
                yield Note(*key, text)
            seen.add(key)
