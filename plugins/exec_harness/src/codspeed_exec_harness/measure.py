"""Measure targets in order, and tell the runner and the results file about each."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import attrs

from codspeed.errors import BenchmarkFailedError, CodspeedError, ProtocolError
from codspeed.model import MarkerKind, Rounds
from codspeed_exec_harness import loop
from codspeed_exec_harness.bounds import resolve
from codspeed_exec_harness.interrupt import Interrupt
from codspeed_exec_harness.process import Process, child_environment, max_rss_floor
from codspeed_exec_harness.results import ResultsFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from codspeed.protocols import Target

# Modes in which Node.js is asked for a perf map (spec/executors.md 6.7).
_NODE_MODES: Final = frozenset({"walltime", "simulation"})

_logger = logging.getLogger(__name__)


class Client(Protocol):
    """The part of `codspeed.hooks.client.Client` that is used here."""

    def start(self) -> None:
        """Open a window."""

    def stop(self) -> None:
        """Close it."""

    def benchmark(self, pid: int, uri: str) -> None:
        """Name it."""

    def add_markers(self, markers: Iterable[tuple[int, MarkerKind, int]]) -> None:
        """Send the limits of rounds."""


@attrs.frozen(kw_only=True)
class Measurement:
    """What is the same for all targets.

    Attributes:
        mode: "walltime", "memory", "simulation" or a plugin's.
        repetition: Until the bounds are met, or once.
        client: None without a runner.
        results: None when nothing is written, as in the modes that measure from outside.
        interrupt: Entered by the caller.
    """

    mode: str
    repetition: Rounds
    client: Client | None
    results: ResultsFile | None
    interrupt: Interrupt

    def run(self, targets: Sequence[Target]) -> None:
        """Measure each target; the first that fails ends it.

        Raises:
            UsageError: If the bounds of any target do not fit; nothing ran then.
            BenchmarkFailedError: If a command can't be started or fails.
            ProtocolError: If the runner is lost; what was measured is in the results file.
            InterruptedRunError: If a signal came.
        """
        if self.repetition is Rounds.TIMED:
            for target in targets:
                resolve(target.bounds)
        for target in targets:
            self.interrupt.check()
            _logger.info("Executing: %s", target.name)
            try:
                self._measure(target)
            except BenchmarkFailedError as error:
                raise _naming(target, error) from error
        self.interrupt.check()

    def _measure(self, target: Target) -> None:
        environment = child_environment(
            target.launch, os.environ, profile_node=self.mode in _NODE_MODES
        )
        with _inside(target):
            process = Process(target.launch, environment, self.interrupt)
            if self.repetition is Rounds.TIMED:
                self._measure_timed(target, process)
            else:
                with self._window():
                    process.run()
                self._name_window(target)

    def _measure_timed(self, target: Target, process: Process) -> None:
        rounds: list[loop.Round] = []
        try:
            with self._window():
                with _no_garbage_collection():
                    rounds = loop.measure(process.run, resolve(target.bounds), time.perf_counter_ns)
                if self.client is not None:
                    self.client.add_markers(_markers(rounds))
            self._name_window(target)
        finally:
            if rounds and self.results is not None:
                self.results.add(target, rounds, max_rss_floor=max_rss_floor())

    @contextlib.contextmanager
    def _window(self) -> Iterator[None]:
        """Keep a window open; it is closed on every path, and the first error counts."""
        if self.client is None:
            yield
            return
        self.client.start()
        try:
            yield
        except BaseException:
            with contextlib.suppress(ProtocolError):
                self.client.stop()
            raise
        self.client.stop()

    def _name_window(self, target: Target) -> None:
        if self.client is not None:
            self.client.benchmark(os.getpid(), target.uri)


def _markers(rounds: Iterable[loop.Round]) -> Iterator[tuple[int, MarkerKind, int]]:
    pid = os.getpid()
    for item in rounds:
        yield pid, MarkerKind.ROUND_START, item.start_ns
        yield pid, MarkerKind.ROUND_END, item.end_ns


@contextlib.contextmanager
def _inside(target: Target) -> Iterator[None]:
    """Be in the target's folder: posix_spawn has no way to say where."""
    if target.launch.cwd is None:
        yield
        return
    before = Path.cwd()
    try:
        os.chdir(target.launch.cwd)
    except OSError as error:
        problem = f"Cannot enter the folder '{target.launch.cwd}': {error.strerror}"
        raise BenchmarkFailedError(problem) from error
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _naming(target: Target, error: CodspeedError) -> BenchmarkFailedError:
    """Return `error` with the target in it; the first line stays the reference's sentence."""
    hint = f"Target: {target.name}"
    return BenchmarkFailedError(
        error.problem, hint=hint if error.hint is None else f"{hint}\n{error.hint}"
    )
