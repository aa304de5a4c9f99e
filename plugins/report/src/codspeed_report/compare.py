"""Two runs side by side: which numbers may be compared, how much they changed, how much they vary.

No I/O here, and no verdict on sampled metrics: rounds of one invocation share its luck, so that any
test on them raises a false alarm in about half of all comparisons without a change (measured).
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed.model import Kind
from codspeed_report.selection import Measurement, Selection, Series

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_Key = tuple[str, str, str]  # executor, uri, metric
_MISSING = object()
_ENVIRONMENT: Final = "environment_hash"  # of the names and lengths of variables, set by core


class Status(enum.Enum):
    """What can be said of one row."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    NO_VERDICT = "no-verdict"
    INCOMPARABLE = "incomparable"
    NEW = "new"
    MISSING = "missing"


COMPARED = frozenset({Status.CHANGED, Status.UNCHANGED, Status.NO_VERDICT})


@attrs.frozen
class Row:
    """One metric of one benchmark in both runs.

    Attributes:
        series: As in the head; as in the base if the head has none.
        base: None if the base does not have it.
        head: None if the head does not have it.
        change: Head over base, minus 1; None if that can't be said.
        note: What to know about this row.
    """

    series: Series
    base: Measurement | None
    head: Measurement | None
    status: Status
    change: float | None = None
    note: str = ""


@attrs.frozen
class Comparison:
    """All rows, and what holds for several of them, a sentence each."""

    base: Selection
    head: Selection
    rows: tuple[Row, ...]
    warnings: tuple[str, ...]

    @property
    def is_comparable(self) -> bool:
        """Whether at least one row could be compared."""
        return any(row.status in COMPARED for row in self.rows)


def compare(base: Selection, head: Selection) -> Comparison:
    """Compare every metric that is not only informative; rows in the order of the head."""
    rows = tuple(_rows(base, head))
    return Comparison(base, head, rows, tuple(_warnings(base, head)))


def differences(
    base: Mapping[str, Any], head: Mapping[str, Any], names: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the fields among `names` that differ, as `name: base -> head`.

    A field that only one side knows differs; one that neither knows does not.
    """
    return tuple(
        f"{name}: {_shown(base.get(name, _MISSING))} \u2192 {_shown(head.get(name, _MISSING))}"
        for name in names
        if base.get(name) != head.get(name)
    )


def _rows(base: Selection, head: Selection) -> Iterator[Row]:
    refused = {
        executor: _refusals(base, head, executor)
        for executor in _executors(base) & _executors(head)
    }
    notes = _notes(base, head)
    before, after = _by_key(base), _by_key(head)
    for key, measured in after.items():
        row = _row(before.get(key), measured, refused.get(key[0], ()))
        yield _with_notes(row, notes.get(key[:2], ()))
    for key, measured in before.items():
        if key not in after:
            yield Row(measured.series, measured, None, Status.MISSING)


def _row(base: Measurement | None, head: Measurement, refused: tuple[str, ...]) -> Row:
    if base is None:
        return Row(head.series, None, head, Status.NEW)
    reasons = refused + _meanings(base.series, head.series)
    if not (math.isfinite(base.value) and math.isfinite(head.value)):
        reasons += ("a value is not a number",)
    if reasons:
        return Row(head.series, base, head, Status.INCOMPARABLE, None, "; ".join(reasons))
    change = head.value / base.value - 1 if base.value else None
    if head.series.kind is not Kind.EXACT:
        return Row(head.series, base, head, Status.NO_VERDICT, change)
    if head.value == base.value:
        return Row(head.series, base, head, Status.UNCHANGED, 0.0)
    return Row(head.series, base, head, Status.CHANGED, change)


def _meanings(base: Series, head: Series) -> tuple[str, ...]:
    """Return how two numbers of the same name mean different things."""
    if base is head:  # the store makes each series once
        return ()
    meanings = (
        ("measurement model", base.model, head.model),
        ("unit", base.unit, head.unit),
        ("kind", base.kind.value, head.kind.value),
    )
    return tuple(
        f"{what}: {_shown(before)} \u2192 {_shown(after)}"
        for what, before, after in meanings
        if before != after
    )


def _refusals(base: Selection, head: Selection, executor: str) -> tuple[str, ...]:
    names = _fields(base, head, executor, "refuses")
    return differences(base.run.fingerprint, head.run.fingerprint, names)


def _warnings(base: Selection, head: Selection) -> Iterator[str]:
    for executor in sorted(_executors(base) & _executors(head)):
        names = _fields(base, head, executor, "warns")
        machine = tuple(name for name in names if name != _ENVIRONMENT)
        differing = differences(base.run.fingerprint, head.run.fingerprint, machine)
        if differing:
            yield f"{executor} results may differ because of the machine: {'; '.join(differing)}"
        if _ENVIRONMENT in names:
            yield from _environments(base, head, executor)
    if base.run.variant != head.run.variant:
        labels = tuple(sorted({*base.run.variant, *head.run.variant}))
        differing = differences(base.run.variant, head.run.variant, labels)
        yield f"the runs are of different variants: {'; '.join(differing)}"
    for side, selection in (("base", base), ("head", head)):
        for part in selection.parts:
            if part.error:
                name = part.label or part.executor
                yield f"in the {side} {name!r} did not end well: {part.error}"


def _environments(base: Selection, head: Selection, executor: str) -> Iterator[str]:
    """Name the likely cause of small changes; how to read it is in docs/simulation.md."""
    before, after = (side.run.fingerprint.get(_ENVIRONMENT) for side in (base, head))
    if before != after:
        yield (
            f"{executor}: the commands saw environment variables of other names or lengths, which"
            " moves counters a little: the likely cause of small changes; --environment strict"
            " leaves them out"
        )


def _fields(base: Selection, head: Selection, executor: str, which: str) -> tuple[str, ...]:
    """Return the fields that either side's executor names, each once, in order."""
    parts = [part for part in (*base.parts, *head.parts) if part.executor == executor]
    names = [name for part in parts for name in getattr(part.comparability, which)]
    return tuple(dict.fromkeys(names))


def _executors(selection: Selection) -> set[str]:
    return {part.executor for part in selection.parts}


def _by_key(selection: Selection) -> dict[_Key, Measurement]:
    """Index by name; of a metric that several parts measured the last stays, and a note tells."""
    return {
        (measured.series.executor, measured.series.uri, measured.series.metric): measured
        for measured in sorted(selection.measurements, key=lambda measured: measured.part)
        if measured.series.kind is not Kind.INFO
    }


def _notes(base: Selection, head: Selection) -> dict[tuple[str, str], tuple[str, ...]]:
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for side, selection in (("base", base), ("head", head)):
        for note in selection.notes:
            key = (note.executor, note.uri)
            found[key] = (*found.get(key, ()), f"{side}: {note.text}")
    return found


def _with_notes(row: Row, notes: tuple[str, ...]) -> Row:
    if not notes:
        return row
    return attrs.evolve(row, note="; ".join(filter(None, (row.note, *notes))))


def _shown(value: Any) -> str:
    return "unknown" if value is _MISSING or value is None or value == "" else str(value)
