"""Measure the slices of one part side by side on this machine.

Each slice has a supervising process: a fork of the runner, made while it has one thread, that does
for its slice what the runner does for a whole command. So an executor need not know of threads,
and each slice has its own main thread, which is the one that gets signals, its own event loop and
its own process group. What the user is told travels over a socket to the runner, which shows it:
output by whole lines, so that slices do not mix within one.

Ctrl-C and termination reach the runner only, which hands them on. A supervisor whose runner is
gone sees the end of its socket and stops too.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed.errors import (
    BenchmarkFailedError,
    CodspeedError,
    InterruptedRunError,
    PluginCrashError,
)
from codspeed.model import Outcome, Reporter, RunPart, Rusage
from codspeed.orchestrate import interrupt
from codspeed.protocols import Executor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TICK_S: Final = 0.2
_END_GRACE_S: Final = 5.0
# A line is held back until it ends, but not for ever: progress dots never end one.
_LONGEST_LINE_BYTES: Final = 1 << 16


@attrs.frozen
class Ended:
    """How a slice ended.

    Attributes:
        outcome: What was measured; None if nothing was.
        failure: What the executor or the session raised.
    """

    outcome: Outcome | None
    failure: CodspeedError | None = None


@attrs.frozen
class Merged:
    """What all slices of a part came to."""

    outcome: Outcome | None
    failures: tuple[CodspeedError, ...]


@attrs.frozen
class Supervisor:
    """What a supervising process does.

    Attributes:
        executor: Measures each slice; what it remembers stays in the supervisor.
        session: Makes the session of a slice, which tells the reporter.
        guard: Turns whatever a plugin raises into one of our errors.
    """

    executor: Executor
    session: Callable[[RunPart, Reporter], Any]
    guard: Callable[[], contextlib.AbstractContextManager[None]]

    def __call__(
        self, part: RunPart, connection: Connection, runners: Connection, came: Sequence[int]
    ) -> None:
        """Measure one slice and send how it ended; runs in a process of its own.

        Args:
            part: The slice.
            connection: Our end.
            runners: The runner's end, which we inherited; open here, it would never seem closed.
            came: Signals that came before we had handlers.
        """
        runners.close()
        os.setpgid(0, 0)  # signals of the terminal are for the runner
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)  # several readers of one standard input get a share each
        with interrupt.raised():
            ended = self._ended(part, connection, came)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the runner is gone
            connection.send(("ended", attrs.evolve(ended, failure=_portable(ended.failure))))

    def _ended(self, part: RunPart, connection: Connection, came: Sequence[int]) -> Ended:
        session = self.session(part, _Relay(connection))
        session.watch(connection.fileno(), _stop_ourselves)
        outcome: Outcome | None = None
        try:
            _heed(came)
            with self.guard():
                outcome = self.executor.measure(part, session)
        except CodspeedError as failure:
            return Ended(outcome or session.partial, failure)
        except KeyboardInterrupt:
            interrupted = InterruptedRunError("interrupted", hint="finished benchmarks are kept")
            return Ended(outcome or session.partial, interrupted)
        return Ended(outcome)


def _heed(came: Sequence[int]) -> None:
    """Stop before anything begins if a signal came while we were forked."""
    if came:
        raise KeyboardInterrupt


def _stop_ourselves() -> None:
    """Nothing is ever sent to a supervisor: what it reads is the end of its runner."""
    os.kill(os.getpid(), signal.SIGTERM)


def _portable(failure: CodspeedError | None) -> CodspeedError | None:
    """Return an error that can be sent; a plugin's own class may not be."""
    try:
        pickle.loads(pickle.dumps(failure))  # noqa: S301 - our own bytes
    except Exception:  # noqa: BLE001 - whatever a foreign class does when it is copied
        assert failure is not None, "None can be sent"
        return PluginCrashError(failure.problem, hint=failure.hint)
    return failure


class _Relay(Reporter):
    """Sends what a session tells to the runner's process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _send(self, *message: Any) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the runner is gone
            self._connection.send(message)

    def debug(self, text: str) -> None:
        self._send("debug", text)

    def info(self, text: str) -> None:
        self._send("info", text)

    def warning(self, text: str) -> None:
        self._send("warning", text)

    def error(self, error: CodspeedError) -> None:
        self._send("error", _portable(error))

    def output(self, data: bytes, *, stream: str) -> None:
        self._send("output", data, stream)

    def benchmark(self, uri: str) -> None:
        self._send("benchmark", uri)


class _Lines:
    """Puts the output of one slice together to whole lines."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._held = {"stdout": b"", "stderr": b""}

    def add(self, data: bytes, stream: str) -> None:
        data = self._held[stream] + data
        end = data.rfind(b"\n") + 1
        if not end and len(data) > _LONGEST_LINE_BYTES:
            end = len(data)
        self._held[stream] = data[end:]
        if end:
            self._reporter.output(data[:end], stream=stream)

    def flush(self) -> None:
        for stream, data in self._held.items():
            if data:
                self._reporter.output(data + b"\n", stream=stream)
                self._held[stream] = b""


@attrs.define
class _Running:
    """A slice that is measured."""

    number: int
    process: BaseProcess
    connection: Connection
    lines: _Lines
    ended: Ended | None = None

    def receive(self, reporter: Reporter) -> bool:
        """Take one message; False after the last one."""
        try:
            kind, *values = self.connection.recv()
        except (EOFError, ConnectionResetError):
            return False
        if kind == "ended":
            self.ended = values[0]
        elif kind == "output":
            self.lines.add(*values)
        else:
            getattr(reporter, kind)(*values)
        return True

    def close(self) -> Ended:
        """Return how it ended, also when it could not say so."""
        self.lines.flush()
        self.connection.close()
        self.process.join(_END_GRACE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        if self.ended is not None:
            return self.ended
        problem = f"slice {self.number} ended without a word (status {self.process.exitcode})"
        return Ended(None, BenchmarkFailedError(problem, hint="was it killed? dmesg may say why"))


def measure(supervisor: Supervisor, parts: Sequence[RunPart], reporter: Reporter) -> Merged:
    """Measure all slices at once; returns when the last one ended.

    Args:
        supervisor: What each process does.
        parts: The pieces of the part, each with its launch; their folders exist.
        reporter: Told from this process only.
    """
    began = time.perf_counter_ns()
    with interrupt.noted() as came, contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(_started(supervisor, number, part, came, reporter))
            for number, part in enumerate(parts, 1)
        ]
        ends = _served(running, came, reporter)
    outcomes = [end.outcome for end in ends if end.outcome is not None]
    outcome = merged(outcomes, wall_ns=time.perf_counter_ns() - began)
    return Merged(outcome, tuple(_failures(ends, outcome)))


def _failures(ends: Sequence[Ended], outcome: Outcome | None) -> Iterator[CodspeedError]:
    """Yield what went wrong, each once; the outcome says itself that it was interrupted."""
    is_told = outcome is not None and outcome.interrupted
    for failure in {end.failure.problem: end.failure for end in ends if end.failure}.values():
        if not (is_told and isinstance(failure, InterruptedRunError)):
            yield failure


@contextlib.contextmanager
def _started(
    supervisor: Supervisor, number: int, part: RunPart, came: list[int], reporter: Reporter
) -> Iterator[_Running]:
    """Start a supervisor; it is gone at the end, on every path."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=supervisor, args=(part, theirs, ours, came)
    )
    process.start()
    theirs.close()
    try:
        yield _Running(number, process, ours, _Lines(reporter))
    finally:
        ours.close()
        if process.is_alive():
            process.kill()
        process.join()


def _served(running: Sequence[_Running], came: list[int], reporter: Reporter) -> list[Ended]:
    """Show what slices tell and hand signals on until all have ended."""
    ends: list[Ended] = []
    left = {each.connection: each for each in running}
    told = 0
    while left:
        for connection in wait(list(left), _TICK_S):
            assert isinstance(connection, Connection)
            if not left[connection].receive(reporter):
                ends.append(left.pop(connection).close())
        for _ in came[told:]:  # asked twice, a session does not wait any longer
            told += 1
            for each in left.values():
                _interrupt(each.process)
        reporter.tick()
    return ends


def _interrupt(process: BaseProcess) -> None:
    with contextlib.suppress(ProcessLookupError):
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, signal.SIGINT)


def merged(outcomes: Sequence[Outcome], *, wall_ns: int) -> Outcome | None:
    """Return one outcome for all slices; None if there is none.

    Args:
        outcomes: In any order.
        wall_ns: How long they took together.
    """
    if not outcomes:
        return None
    last = max(outcomes, key=lambda outcome: outcome.status != 0)
    windows = [window for outcome in outcomes for window in outcome.windows]
    notes = [note for outcome in outcomes for note in outcome.notes]
    return attrs.evolve(
        last,
        interrupted=any(outcome.interrupted for outcome in outcomes),
        rusage=_summed([outcome.rusage for outcome in outcomes], wall_ns),
        integration=next(filter(None, (outcome.integration for outcome in outcomes)), None),
        windows=tuple(sorted(windows, key=lambda window: window.start)),
        notes=tuple(dict.fromkeys(notes)),
    )


def _summed(usages: Sequence[Rusage], wall_ns: int) -> Rusage:
    sums = {name: sum(getattr(usage, name) for usage in usages) for name in attrs.asdict(Rusage())}
    biggest = max(usage.max_rss_bytes for usage in usages)
    return Rusage(**{**sums, "wall_ns": wall_ns, "max_rss_bytes": biggest})
