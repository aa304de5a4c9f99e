"""From the records of a run to a call tree per benchmark.

Samples outside of rounds are left out, and so is what lies above the integration's root frame: both
belong to whoever runs the benchmark.
"""

from __future__ import annotations

import bisect
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from codspeed_native import jit_names, perf_data
from codspeed_native.address_space import AddressSpaces
from codspeed_native.benchmark_tree import benchmark_tree
from codspeed_native.perf_records import Lost, Sample
from codspeed_native.symbolize import Symbolizer
from codspeed_native.unwind import End, Unwinder
from codspeed_walltime.profiler import PIPEDATA
from codspeed_walltime.profiles import UNIT, Profiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from codspeed.model import Outcome, Window
    from codspeed_native.unwind import Chain

_OUR_HARNESS: Final = "exec-harness"


def profiles(
    folder: Path, outcome: Outcome, *, only: str | None = None, budget_s: float | None = None
) -> Profiles | None:
    """Make the profiles of a run from its perf.pipedata.

    Args:
        folder: Has the records, and copies of the names that JITs left.
        outcome: Of the same run.
        only: Leave other benchmarks out.
        budget_s: Seconds that following the stacks may take.

    Returns:
        None if the budget did not suffice.

    Raises:
        PerfDataError: If the records can't be understood.
        OSError: If they can't be read.
    """
    deadline = None if budget_s is None else time.monotonic() + budget_s
    found = _chains(folder, outcome, only, deadline)
    if found is None:
        return None
    chains, lost = found
    symbolizer = Symbolizer(jit_names=lambda pid: jit_names.read(pid, folder))
    trees = {}
    truncated = 0
    for uri, counted in chains.items():
        stacks = [(symbolizer.stack(chain), chain.end, n) for chain, n in counted.items()]
        trees[uri] = benchmark_tree(UNIT, stacks)
        truncated += sum(n for _stack, end, n in stacks if end is not End.ROOT)
    inside = sum(counted.total() for counted in chains.values())
    return Profiles(trees, inside, truncated, lost)


def _chains(
    folder: Path, outcome: Outcome, only: str | None, deadline: float | None
) -> tuple[Mapping[str, Counter[Chain]], int] | None:
    """Unwind the samples that belong to a benchmark; the rest only costs its reading."""
    spans = _Spans(outcome.windows)
    not_measured = _harness_pids(outcome)
    spaces = AddressSpaces()
    unwinder = Unwinder(spaces)
    chains: dict[str, Counter[Chain]] = {}
    lost = 0
    for record in perf_data.read(folder / PIPEDATA):
        if isinstance(record, Sample):
            uri = spans.uri_at(record.time)
            if uri is None or uri != (only or uri) or record.pid in not_measured:
                continue
            if deadline is not None and time.monotonic() > deadline:
                return None
            chains.setdefault(uri, Counter())[unwinder.chain(record)] += 1
        else:
            if isinstance(record, Lost):
                lost += record[3]
            spaces.feed(record)
    return chains, lost


def _harness_pids(outcome: Outcome) -> frozenset[int]:
    """Return processes that only start what is measured."""
    if outcome.integration is None or outcome.integration.name != _OUR_HARNESS:
        return frozenset()
    return frozenset(pid for window in outcome.windows for pid in window.pids)


class _Spans:
    """When which benchmark was measured."""

    def __init__(self, windows: Iterable[Window]) -> None:
        self._spans = sorted(_spans(windows))
        self._starts = [start for start, _end, _uri in self._spans]

    def uri_at(self, time_ns: int) -> str | None:
        """Return the benchmark that was measured at a time; None between them."""
        index = bisect.bisect_right(self._starts, time_ns) - 1
        if index < 0:
            return None
        _start, end, uri = self._spans[index]
        return uri if time_ns <= end else None


def _spans(windows: Iterable[Window]) -> Iterator[tuple[int, int, str]]:
    for window in windows:
        if window.uri is not None:
            for start, end in window.rounds or ((window.start, window.end),):
                yield start, end, window.uri
