"""Records to rows of the index and back: the only module that knows the order of columns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed import bundle as bundles
from codspeed.model import Comparability, Direction, Kind
from codspeed_report.retention import folder_bytes
from codspeed_report.selection import Measurement, Part, Run, Series, readable

if TYPE_CHECKING:
    from codspeed.model import Bundle


@attrs.frozen
class RunSummary:
    """A line of `store list`; `profile_bytes` is the size when the run was stored."""

    run_id: str
    created_ns: int
    commit: str
    branch: str
    dirty: bool
    variant: Mapping[str, str]
    exit_code: int
    profile_bytes: int
    benchmarks: int
    modes: tuple[str, ...]


def variant(bundle: Bundle) -> str:
    """Return the labels of a run as the text that tells series apart."""
    return json.dumps(dict(bundle.manifest.variant), sort_keys=True)


def of_run(bundle: Bundle) -> tuple[Any, ...]:
    """Return the row of ADD_RUN and, as its last two values, that of ADD_FINGERPRINT."""
    manifest, context = bundle.manifest, bundle.manifest.context
    fields = json.dumps(dict(manifest.fingerprint), sort_keys=True, default=str)
    return (
        manifest.run_id,
        bundle.path.name,
        manifest.created_ns,
        readable(context.repository),
        context.commit,
        context.commit_time,
        readable(context.branch),
        readable(context.base),
        context.dirty,
        context.provider,
        context.event,
        variant(bundle),
        manifest.codspeed,
        manifest.exit_code,
        len({(part.executor, each.uri) for part in bundle.results for each in part.benchmarks}),
        folder_bytes(bundle.path / bundles.PROFILES),
        hashlib.sha256(fields.encode()).hexdigest(),
        fields,
    )


def of_parts(run: int, bundle: Bundle) -> list[tuple[Any, ...]]:
    """Return the rows of ADD_PART; `run` is the key of the run."""
    return [
        (
            run,
            part.index,
            part.executor,
            part.mode,
            part.model,
            readable(part.label),
            part.status,
            part.interrupted,
            json.dumps(part.comparability.refuses),
            json.dumps(part.comparability.warns),
            readable(part.error),
            part.error_slug,
        )
        for part in bundle.manifest.parts
    ]


def of_measurement(
    run: int, variant_text: str, measured: Measurement
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return the rows of ADD_SERIES and ADD_RESULT."""
    series = measured.series
    key = (
        series.uri,
        series.executor,
        series.metric,
        variant_text,
        series.model,
        series.unit,
        series.kind.value,
        series.direction.value,
    )
    numbers = (measured.value, measured.q1, measured.q3, measured.low, measured.rounds)
    return (
        (*key, series.name, series.label, series.headline),
        (run, measured.part, *numbers, *key),
    )


def summary(row: tuple[Any, ...]) -> RunSummary:
    """Return a row of LIST_RUNS as a record."""
    run_id, created, commit, branch, dirty, labels, exit_code, count, size, modes = row
    return RunSummary(
        run_id=run_id,
        created_ns=created,
        commit=commit,
        branch=branch,
        dirty=bool(dirty),
        variant=json.loads(labels),
        exit_code=exit_code,
        profile_bytes=size,
        benchmarks=count,
        modes=tuple(modes.split(",")) if modes else (),
    )


def run(row: tuple[Any, ...]) -> Run:
    """Return a row of READ_RUN as a record."""
    _, run_id, created, commit, branch, dirty, labels, fields, exit_code = row
    return Run(
        run_id=run_id,
        created_ns=created,
        commit=commit,
        branch=branch,
        dirty=bool(dirty),
        variant=json.loads(labels),
        fingerprint=json.loads(fields),
        exit_code=exit_code,
    )


def part(row: tuple[Any, ...]) -> Part:
    """Return a row of READ_PARTS as a record."""
    position, executor, mode, model, label, refuses, warns, error = row
    comparability = Comparability(tuple(json.loads(refuses)), tuple(json.loads(warns)))
    return Part(position, executor, mode, model, label, comparability, error)


def series(row: tuple[Any, ...]) -> Series:
    """Return a row of READ_SERIES as a record."""
    _, uri, executor, metric, model, unit, kind, direction, name, label, headline = row
    return Series(
        uri,
        executor,
        metric,
        model,
        unit,
        _KINDS[kind],
        _DIRECTIONS[direction],
        name,
        label,
        bool(headline),
    )


# Looked up thousands of times; calling the enum class is ten times slower.
_KINDS: Final = {kind.value: kind for kind in Kind}
_DIRECTIONS: Final = {direction.value: direction for direction in Direction}
