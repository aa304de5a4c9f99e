"""Comparisons and runs as tables for people and as JSON for programs. No I/O here.

Names of benchmarks and branches may hold brackets, so everything is `Text`, never markup.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

import attrs
from rich.box import ROUNDED
from rich.table import Table
from rich.text import Text

from codspeed.model import Kind
from codspeed.model.quantity import format_change, format_difference, format_value
from codspeed_report.compare import COMPARED, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codspeed_report.compare import Comparison, Row
    from codspeed_report.resolve import Taken
    from codspeed_report.rows import RunSummary
    from codspeed_report.selection import Measurement, Run, Selection

# Schemas of the JSON documents. History: 1 first version.
COMPARE_SCHEMA: Final = "codspeed.compare/1"
LIST_SCHEMA: Final = "codspeed.store.list/1"
SHOW_SCHEMA: Final = "codspeed.store.show/1"
GC_SCHEMA: Final = "codspeed.store.gc/1"

ONE_INVOCATION: Final = (
    "No verdict on sampled metrics: one invocation on each side is no evidence of a change, "
    "however many rounds it has."
)
_NS_PER_SECOND: Final = 1_000_000_000
_AGES: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"))
_SHORT_COMMIT: Final = 10


def headline(base: Taken, head: Taken, *, now_ns: int) -> Text:
    """Return the line that says which runs were taken and why."""
    head_text = _introduced(head.selection.run, head.why, now_ns=now_ns)
    base_text = _introduced(base.selection.run, base.why, now_ns=now_ns)
    return Text(f"Comparing {head_text} with {base_text}")


def comparison_table(comparison: Comparison, *, every_metric: bool) -> Table:
    """Return the rows as a table: the headline metrics, or every one."""
    table = _table("Benchmark", "Metric", "Base", "Head", "Change", "Spread", "Note")
    several = len({row.series.executor for row in comparison.rows}) > 1
    for row in comparison.rows:
        if every_metric or row.series.headline:
            table.add_row(*_comparison_cells(row, with_executor=several))
    return table


def remarks(comparison: Comparison) -> tuple[Text, ...]:
    """Return what is said around the table: warnings, and what the numbers do not tell."""
    warnings = [Text(f"warning: {text}", "yellow") for text in comparison.warnings]
    if any(row.status is Status.NO_VERDICT for row in comparison.rows):
        warnings.append(Text(ONE_INVOCATION))
    return tuple(warnings)


def comparison_json(comparison: Comparison, base: Taken, head: Taken) -> str:
    """Return the comparison with every metric as a JSON document."""
    document = {
        "schema": COMPARE_SCHEMA,
        "base": {**run_plain(base.selection.run), "why": base.why},
        "head": {**run_plain(head.selection.run), "why": head.why},
        "warnings": list(comparison.warnings),
        "rows": [_row_plain(row) for row in comparison.rows],
    }
    return to_json(document)


def runs_table(runs: Sequence[RunSummary], *, now_ns: int) -> Table:
    """Return the stored runs, a line each."""
    table = _table("Run", "Age", "Commit", "Branch", "Variant", "Mode", "Benchmarks", "Profiles")
    for run in runs:
        cells = (
            run.run_id + ("" if run.exit_code == 0 else f" (exit {run.exit_code})"),
            age(now_ns - run.created_ns),
            _commit(run.commit, is_dirty=run.dirty),
            run.branch or "-",
            _variant(run.variant) or "-",
            ", ".join(run.modes),
            format_value(run.benchmarks, "count"),
            format_value(run.profile_bytes, "bytes"),
        )
        table.add_row(*(Text(cell) for cell in cells))
    return table


def run_text(taken: Taken, *, profiles_removed: bool, now_ns: int) -> Text:
    """Return what there is to say of one run beside its numbers."""
    run, path = taken.selection.run, taken.path
    lines = [_introduced(run, "", now_ns=now_ns)]
    if run.variant:
        lines.append(f"variant: {_variant(run.variant)}")
    for part in taken.selection.parts:
        lines.append(f"{part.mode} ({part.executor}, {part.model or 'no model'}): {part.label}")
        if part.error:
            lines.append(f"  did not end well: {part.error}")
    lines.extend(f"{name}: {value}" for name, value in sorted(run.fingerprint.items()))
    lines.append(f"bundle: {path}" if path.exists() else f"bundle: gone from {path}")
    if profiles_removed:
        lines.append("profiles: removed by `codspeed store gc`")
    return Text("\n".join(lines))


def run_table(selection: Selection) -> Table:
    """Return every number of a run that is meant for people."""
    table = _table("Benchmark", "Mode", "Metric", "Value", "Spread", "Rounds")
    modes = {part.index: part.mode for part in selection.parts}
    for measured in selection.measurements:
        series = measured.series
        if not (series.headline or series.label):
            continue
        cells = (
            series.name,
            modes.get(measured.part, series.executor),
            series.label or series.metric,
            format_value(measured.value, series.unit),
            _percent(measured.spread),
            "-" if measured.rounds is None else format_value(measured.rounds, "count"),
        )
        table.add_row(*(Text(cell) for cell in cells))
    return table


def run_plain(run: Run) -> dict[str, Any]:
    """Return what identifies a run, JSON-ready."""
    fields = attrs.asdict(run, filter=lambda field, _value: field.name != "fingerprint")
    return {**fields, "variant": dict(run.variant)}


def selection_plain(selection: Selection) -> dict[str, Any]:
    """Return a run with all its numbers, JSON-ready."""
    return {
        **run_plain(selection.run),
        "fingerprint": dict(selection.run.fingerprint),
        "parts": [attrs.asdict(part) for part in selection.parts],
        "results": [
            {**_series_plain(each), **_numbers_plain(each), "part": each.part}
            for each in selection.measurements
        ],
        "notes": [attrs.asdict(note) for note in selection.notes],
    }


def to_json(document: Any) -> str:
    """Return indented JSON that ends with a newline; what is no number is null."""
    return json.dumps(_finite(document), indent=2, ensure_ascii=False) + "\n"


def age(elapsed_ns: int) -> str:
    """Return how long ago something was: `3 days ago`, `just now`."""
    seconds = max(0, elapsed_ns) // _NS_PER_SECOND  # clocks of other machines may be ahead
    for length, word in _AGES:
        count = seconds // length
        if count:
            return f"{count} {word}{'' if count == 1 else 's'} ago"
    return "just now"


def _introduced(run: Run, why: str, *, now_ns: int) -> str:
    facts = [f"commit {_commit(run.commit, is_dirty=run.dirty)}" if run.commit else "no commit"]
    if run.branch:
        facts.append(f"branch {run.branch}")
    facts.append(age(now_ns - run.created_ns))
    if run.exit_code:
        facts.append(f"ended with exit code {run.exit_code}")
    return f"{run.run_id} ({', '.join(facts)}{'; ' if why else ''}{why})"


def _comparison_cells(row: Row, *, with_executor: bool) -> tuple[Text, ...]:
    series = row.series
    name = f"{series.name} [{series.executor}]" if with_executor else series.name
    return (
        Text(name),
        Text(series.label or series.metric),
        Text(value_text(row.base)),
        Text(value_text(row.head)),
        Text(change_text(row), "bold" if row.status is Status.CHANGED else ""),
        Text(spread_text(row)),
        Text("; ".join(filter(None, (status_text(row), row.note)))),
    )


def change_text(row: Row) -> str:
    """Return the relative change; a dash where there is none."""
    return format_change(row.change) if row.status in COMPARED else "-"


def status_text(row: Row) -> str:
    """Return what a row says beside its numbers; empty if they say it all."""
    if row.status is Status.NO_VERDICT:
        return ""
    if row.status is Status.CHANGED and row.base is not None and row.head is not None:
        return f"changed by {format_difference(row.head.value - row.base.value, row.series.unit)}"
    return str(row.status.value)


def spread_text(row: Row) -> str:
    """Return the spread of both sides, or that there can be none."""
    sides = (row.base, row.head)
    if all(side is None or side.spread is None for side in sides):
        return "exact" if row.series.kind is Kind.EXACT else "-"
    return " / ".join(_percent(None if side is None else side.spread) for side in sides)


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else format_value(fraction * 100, "percent")


def value_text(measured: Measurement | None) -> str:
    """Return a number with its unit; a dash if there is none."""
    return "-" if measured is None else format_value(measured.value, measured.series.unit)


def _commit(commit: str, *, is_dirty: bool) -> str:
    return (commit[:_SHORT_COMMIT] or "-") + (" + changes" if is_dirty else "")


def _variant(variant: Any) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(variant.items()))


def _row_plain(row: Row) -> dict[str, Any]:
    measured = row.head or row.base
    return {
        **({} if measured is None else _series_plain(measured)),
        "status": row.status.value,
        "base": None if row.base is None else _numbers_plain(row.base),
        "head": None if row.head is None else _numbers_plain(row.head),
        "change": row.change,
        "note": row.note,
    }


def _series_plain(measured: Measurement) -> dict[str, Any]:
    plain = attrs.asdict(measured.series)
    return {**plain, "kind": plain["kind"].value, "direction": plain["direction"].value}


def _numbers_plain(measured: Measurement) -> dict[str, Any]:
    return {
        "value": measured.value,
        "q1": measured.q1,
        "q3": measured.q3,
        "low": measured.low,
        "rounds": measured.rounds,
        "spread": measured.spread,
    }


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def _table(*columns: str) -> Table:
    table = Table(box=ROUNDED)
    numeric = {"Base", "Head", "Change", "Spread", "Value", "Rounds", "Benchmarks", "Profiles"}
    for column in columns:
        table.add_column(column, justify="right" if column in numeric else "left", overflow="fold")
    return table
