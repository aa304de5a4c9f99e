"""Simulate a command several times: what differs is not deterministic. No I/O but the cleaning."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from codspeed.model import Kind
from codspeed.model.quantity import format_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from codspeed.model import BenchmarkResult

# Counts of instructions and system calls move for other reasons than cache misses.
_SYSTEM_CALLS: Final = "sys_count"
_INSTRUCTIONS: Final = "ir"

Counters = dict[str, dict[str, float]]


def counters_of(results: Sequence[BenchmarkResult]) -> Counters:
    """Return the exact metrics of all benchmarks: URI -> name -> value."""
    return {
        result.uri: {
            metric.name: metric.value for metric in result.metrics if metric.kind is Kind.EXACT
        }
        for result in results
    }


def unsteady(runs: Sequence[Counters], cause: str) -> dict[str, str]:
    """Return what differed between runs: URI -> a sentence that names counters and likely cause.

    Args:
        runs: The counters of each run.
        cause: The likeliest cause that is known of the way it was run; empty if there is none.
    """
    found = {}
    for uri in dict.fromkeys(uri for run in runs for uri in run):
        values = [run[uri] for run in runs if uri in run]
        if len(values) < len(runs):
            found[uri] = f"measured in {len(values)} of {len(runs)} runs"
            continue
        changed = _changed(values)
        if changed:
            ranges = ", ".join(
                f"{name} {format_value(low, 'count')} to {format_value(high, 'count')}"
                for name, (low, high) in changed.items()
            )
            found[uri] = (
                f"not deterministic over {len(runs)} runs: {ranges}; "
                f"likely cause: {_cause(changed, cause)}"
            )
    return found


def _changed(values: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float]]:
    changed = {}
    for name in dict.fromkeys(name for value in values for name in value):
        seen = [value.get(name, 0.0) for value in values]
        if min(seen) != max(seen):
            changed[name] = (min(seen), max(seen))
    return changed


def _cause(changed: Mapping[str, object], cause: str) -> str:
    if _SYSTEM_CALLS in changed:
        return "it makes another number of system calls (clock, files, network, threads)"
    if _INSTRUCTIONS not in changed:
        return "the same instructions at other addresses, so other cache misses"
    return cause or "random numbers, the clock, threads, or files that change between runs"


def clear(folder: Path, *, keep: frozenset[str]) -> None:
    """Remove what a run left in the profile folder, so that the next one starts as it did."""
    for path in folder.iterdir():
        if path.name in keep:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
