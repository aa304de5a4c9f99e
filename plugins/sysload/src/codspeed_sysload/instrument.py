"""The instrument `sysload`: how disturbed the machine was while each benchmark was measured.

At the edges of a window it reads a few counters of the machine (`machine.py`); between windows it
looks who else used the CPUs (`others.py`). Results get both as metrics of kind info, and notes
where a threshold is exceeded (`verdict.py`), which are also shown as warnings. It never fails a
run: what can't be read is not there.
"""

from __future__ import annotations

import bisect
import contextlib
import os
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed.launch.processes import PROC
from codspeed.model import Direction, Kind, Metric, Reporter
from codspeed.protocols import Hooks, InstrumentDefaults
from codspeed_sysload.machine import SYS, Counters, Machine
from codspeed_sysload.others import Others, during

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from codspeed.model import BenchmarkResult, Outcome, RunPart, System
    from codspeed_sysload.others import Span
    from codspeed_sysload.verdict import Load

# More warnings than that bury the table.
_MOST_SHOWN: Final = 5
# By this name an executor tells how much of the wall time a benchmark waited for a CPU, in percent.
_WAITING: Final = "queue_share"
# And by this one how much of one CPU it used.
_USED: Final = "cpu_share"
_NEARLY_ALL: Final = 95.0


@attrs.define
class _Window:
    """What was read at the edges of a window.

    Attributes:
        cpus: On how many CPUs the process that named it may run; None if nobody did.
        is_first: It runs in real time, before all ordinary programs.
    """

    before: Counters
    after: Counters
    cpus: int | None = None
    is_first: bool = False

    def had_all(self, used: float | None) -> bool:
        """Whether the benchmark, which used so many percent of one CPU, had all that it may use."""
        if used is None or self.cpus is None:
            return self.is_first
        return self.is_first or used >= _NEARLY_ALL * self.cpus


class Sysload(InstrumentDefaults):
    """Annotates results with how loaded the machine was.

    Args:
        options: None; there are no options.
        proc: Where /proc is.
        sys: Where /sys is.
    """

    def __init__(self, options: Any = None, *, proc: Path = PROC, sys: Path = SYS) -> None:
        super().__init__(options)
        self._proc = proc
        self._sys = sys
        self._reporter = Reporter()
        self._windows: list[_Window] = []
        self._spans: Sequence[Span] = ()

    def prepare(self, _system: System, reporter: Reporter) -> None:
        """Take whom to tell."""
        self._reporter = reporter

    @contextlib.contextmanager
    def run(self, _part: RunPart) -> Iterator[Hooks]:
        """Read while the context is open."""
        self._windows.clear()
        machine = Machine(proc=self._proc, sys=self._sys)
        try:
            if machine.missing:
                self._reporter.info(f"sysload: {'; '.join(machine.missing)}")
            others = Others(proc=self._proc)
            self._spans = others.spans
            yield _Edges(machine, others, self._windows)
            if self._windows and self._windows[-1].after.at_ns > others.at_ns:
                others.look(least_ns=0)
        finally:
            machine.close()

    def annotate(
        self, _part: RunPart, outcome: Outcome, results: Sequence[BenchmarkResult]
    ) -> Sequence[BenchmarkResult]:
        """Return the results with what was seen during the latest window of each."""
        starts = [window.before.at_ns for window in self._windows]
        found: dict[str, _Window] = {}
        for window in outcome.windows:
            position = bisect.bisect_right(starts, window.start) - 1
            if window.uri is not None and position >= 0:
                seen = self._windows[position]
                if seen.after.at_ns <= window.end:
                    found[window.uri] = seen
        annotated = [self._annotated(result, found.get(result.uri)) for result in results]
        self._warn(results, annotated)
        return annotated

    def _annotated(self, result: BenchmarkResult, window: _Window | None) -> BenchmarkResult:
        from codspeed_sysload.verdict import load, warnings  # noqa: PLC0415 - after the run

        if window is None:
            return result
        others = during(self._spans, window.before.at_ns, window.after.at_ns)
        loaded = load(window.before, window.after)
        taken = {metric.name: metric.value for metric in result.metrics}
        metrics = [each for each in _metrics(loaded, others) if each.name not in taken]
        is_own = window.had_all(taken.get(_USED))
        notes = warnings(loaded, others, taken.get(_WAITING), is_own=is_own)
        return attrs.evolve(
            result, metrics=(*result.metrics, *metrics), notes=(*result.notes, *notes)
        )

    def _warn(self, before: Sequence[BenchmarkResult], after: Sequence[BenchmarkResult]) -> None:
        disturbed = [
            (new.name, new.notes[len(old.notes) :])
            for old, new in zip(before, after, strict=True)
            if len(new.notes) > len(old.notes)
        ]
        for name, notes in disturbed[:_MOST_SHOWN]:
            self._reporter.warning(f"{name}: {'; '.join(notes)}")
        more = len(disturbed) - _MOST_SHOWN
        if more > 0:
            text = f"{more} more benchmarks were disturbed; their results say by what"
            self._reporter.warning(text)


class _Edges(Hooks):
    """Reads when windows open and close, and looks around between them."""

    def __init__(self, machine: Machine, others: Others, windows: list[_Window]) -> None:
        self._machine = machine
        self._others = others
        self._windows = windows
        self._before: Counters | None = None

    def integration(self, name: str, version: str) -> None:
        del name, version
        if self._before is None:  # some introduce themselves while a window is open
            self._others.look()

    def started(self) -> None:
        self._before = self._machine.read()

    def stopped(self) -> None:
        if self._before is not None:
            self._windows.append(_Window(self._before, self._machine.read()))
            self._before = None

    def benchmark(self, pid: int, uri: str) -> None:
        del uri
        if self._windows:
            with contextlib.suppress(OSError):  # it ended, or is none of ours
                policy = os.sched_getscheduler(pid)
                self._windows[-1].is_first = policy in (os.SCHED_FIFO, os.SCHED_RR)
                self._windows[-1].cpus = len(os.sched_getaffinity(pid))
        self._others.look()


def _metrics(loaded: Load, others: Span | None) -> Iterator[Metric]:
    values: Mapping[str, tuple[float | None, str]] = {
        "machine_busy": (loaded.busy, "percent"),
        "machine_steal": (loaded.steal, "percent"),
        "pressure_cpu": (loaded.pressure_cpu, "percent"),
        "pressure_memory": (loaded.pressure_memory, "percent"),
        "pressure_io": (loaded.pressure_io, "percent"),
        "machine_queue": (loaded.queue, "percent"),
        "cpu_throttled": (loaded.throttles, "count"),
        "cpu_frequency": (loaded.frequency_mhz, "MHz"),
        "others_cpu": (None if others is None else 100 * others.share, "percent"),
    }
    for name, (value, unit) in values.items():
        if value is not None:
            yield Metric(name, float(value), unit, direction=Direction.NONE, kind=Kind.INFO)
