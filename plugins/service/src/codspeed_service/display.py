"""Results of a local run as the service computed them: a line, tables, or a comparison.

Source: spec/cli-upload.md 5.5. No I/O here: lines come out, and what the service may leave out
prints as "-".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from codspeed_service import contract, quantity
from codspeed_service.table import Cell, draw

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_TITLES: Final = {
    "valgrind": "\u2699 CPU Simulation",
    "walltime": "\u23f1 Walltime",
    "memory": "\u25a4 Memory",
}
_HEADINGS: Final = {
    "valgrind": ("Benchmark", "Time", "Instr.", "Cache", "Memory", "Sys. Time"),
    "walltime": ("Benchmark", "Time (best)", "Iterations", "StdDev", "Total time"),
    "memory": ("Benchmark", "Peak memory", "Total allocated", "Allocations"),
}
_COMPARED: Final = ("Benchmark", "Base", "Head", "Change", "Status")
_STATUS: Final = {"Untouched": "No Change", "NoChange": "No Change"}
_PLAIN_CATEGORIES: Final = frozenset({"New", "Improvement", "Regression", "Untouched"})
_NOTHING: Final = Cell("-", ("dim",))
# Smaller changes are shown as none.
_NOTEWORTHY: Final = 0.005
_MUCH, _SOME = 0.7, 0.2  # of a benchmark's time
_STEADY, _FAIR = 0.02, 0.05  # relative standard deviation


def results(found: Sequence[Mapping[str, Any]], paint: Callable[..., str]) -> list[str]:
    """Return a line for one result, a table per executor for several."""
    if len(found) == 1:
        return [summary(found[0])]
    lines: list[str] = []
    for executor in _executors(found):
        rows = [_row(executor, each) for each in found if _executor(each) == executor]
        heading = [Cell(text, ("bold",)) for text in _HEADINGS[executor]]
        lines += draw(_TITLES[executor], [heading, *rows], paint)
    return lines


def comparison(found: Mapping[str, Any], paint: Callable[..., str]) -> list[str]:
    """Return the overall line and a table per executor."""
    compared: Sequence[Mapping[str, Any]] = found.get("resultComparisons") or ()
    lines = [impact(found.get("impact"), paint)]
    for executor in _executors(compared):
        heading = [Cell(text, ("bold",)) for text in _COMPARED]
        rows = [_compared(executor, each) for each in compared if _executor(each) == executor]
        lines += draw(_TITLES[executor], [heading, *rows], paint)
    return lines


def impact(change: float | None, paint: Callable[..., str]) -> str:
    """Return the overall line of a comparison; positive is better."""
    if change is None:
        return "Impact: -"
    if abs(change) < _NOTEWORTHY:
        return paint(f"\u25cf Impact: {abs(change):.1%}", "dim")
    sign, look = ("\u2191", "green") if change > 0 else ("\u2193", "red")
    return paint(f"{sign} Impact: {change:+.1%}", look, "bold")


def without_callgraph(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the benchmarks whose call graph could not be made, with the reason."""
    lines = []
    for each in found:
        result = each.get("result") if "baseValue" in each else each
        issues = (result or {}).get("issues") or {}
        reason = issues.get("callgraphGenerationFailure")
        if reason:
            lines.append(f"{_name(each)}: {reason}")
    return lines


def summary(found: Mapping[str, Any]) -> str:
    """Return one result as a line."""
    name, value, executor = _name(found), float(found["value"]), _executor(found)
    detail: Mapping[str, Any] | None = found.get(executor)
    if executor == "walltime":
        line = f"{name}: best {quantity.duration(value)}"
        if detail is None:
            return line
        spread = _relative(detail.get("stdev"), value)
        shown = "N/A" if spread is None else f"{spread:.2%}"
        total = quantity.duration(float(detail["totalTime"]))
        count = f"{int(detail['iterations']):,}"
        return f"{line} ({count} iterations, rel. stddev: {shown}, total {total})"
    if executor == "memory":
        line = f"{name}: peak {quantity.memory(value)}"
        if detail is None:
            return line
        total = quantity.memory(float(detail["totalAllocated"]))
        return f"{line} (total allocated: {total}, {int(detail['allocCalls']):,} allocations)"
    return f"{name}: {quantity.duration(value)}"


def _executors(found: Sequence[Mapping[str, Any]]) -> list[str]:
    there = {_executor(each) for each in found}
    return [executor for executor in contract.EXECUTORS if executor in there]


def _executor(found: Mapping[str, Any]) -> str:
    return str(found["benchmark"]["executor"]).lower()


def _name(found: Mapping[str, Any]) -> str:
    return str(found["benchmark"]["name"])


def _value(executor: str, value: float | None) -> Cell:
    if value is None:
        return _NOTHING
    text = quantity.memory(value) if executor == "memory" else quantity.duration(value)
    return Cell(text, ("cyan",))


def _row(executor: str, found: Mapping[str, Any]) -> list[Cell]:
    value = found.get("value")
    start = [Cell(_name(found)), _value(executor, value)]
    detail: Mapping[str, Any] | None = found.get(executor)
    if executor == "valgrind":
        detail = (detail or {}).get("timeDistribution")
    if detail is None:
        return [*start, *[_NOTHING] * (len(_HEADINGS[executor]) - len(start))]
    if executor == "valgrind":
        shares = [_share(quantity.share(detail.get(key), value)) for key in ("ir", "l1m", "llm")]
        return [*start, *shares, Cell(quantity.duration(float(detail.get("sys") or 0.0)))]
    if executor == "walltime":
        total = quantity.duration(float(detail["totalTime"]))
        spread = _spread(_relative(detail.get("stdev"), value))
        return [*start, Cell(f"{int(detail['iterations']):,}"), spread, Cell(total)]
    # Big numbers of memory results come as decimal text.
    total = quantity.memory(float(detail["totalAllocated"]))
    return [*start, Cell(total), Cell(f"{int(detail['allocCalls']):,}")]


def _share(value: float | None) -> Cell:
    if value is None:
        return _NOTHING
    look = ("bold",) if value >= _MUCH else () if value >= _SOME else ("dim",)
    return Cell(f"{value:.1%}", look)


def _relative(part: Any, whole: Any) -> float | None:
    ratio = quantity.share(part, whole)
    return ratio if ratio is not None and math.isfinite(ratio) else None


def _spread(value: float | None) -> Cell:
    if value is None:
        return Cell("N/A", ("dim",))
    look = "green" if value <= _STEADY else "yellow" if value <= _FAIR else "red"
    return Cell(f"{value:.2%}", (look,))


def _compared(executor: str, found: Mapping[str, Any]) -> list[Cell]:
    return [
        Cell(_name(found)),
        _value(executor, found.get("baseValue")),
        _value(executor, found.get("value")),
        _change(found.get("change")),
        Cell(_status(found)),
    ]


def _change(change: float | None) -> Cell:
    if change is None:
        return _NOTHING
    if abs(change) < _NOTEWORTHY:
        return Cell(f"{abs(change):.1%}", ("dim",))
    return Cell(f"{change:+.1%}", ("green" if change > 0 else "red", "bold"))


def _status(found: Mapping[str, Any]) -> str:
    category = found.get("category")
    word = str(category if category in _PLAIN_CATEGORIES else found.get("status") or "-")
    return _STATUS.get(word, word)
