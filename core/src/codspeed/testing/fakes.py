"""Fakes that keep the contracts: an executor, a session, an uploader, a reporter."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zlib
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed.model import (
    BenchmarkResult,
    CallTree,
    Frame,
    IntegrationMode,
    Kind,
    Metric,
    Outcome,
    Reporter,
    Rusage,
    Timeline,
    option,
)
from codspeed.protocols import (
    ExecutorDefaults,
    ExecutorDescriptor,
    Hooks,
    Receipt,
    UploaderDefaults,
    UploaderDescriptor,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from codspeed.errors import CodspeedError
    from codspeed.model import Bundle, Launch, PartResults, RunPart, System, Window
    from codspeed.protocols import Session

_RSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024  # getrusage(2) of each system


@attrs.frozen
class FakeOptions:
    """Options of the fake executor."""

    fake_factor: int = option(1, help="Multiply every value", parse="int")


class FakeExecutor(ExecutorDefaults):
    """Gives every named window a value that depends on its URI alone."""

    integration_mode = IntegrationMode.WALLTIME
    deterministic = True

    def __init__(
        self,
        options: FakeOptions | None = None,
        *,
        results: Sequence[BenchmarkResult] | None = None,
        error: CodspeedError | None = None,
    ) -> None:
        """Prepare.

        Args:
            options: What the user set.
            results: What `results` returns; None to read it from the windows.
            error: Raised by `measure` after the command ran.
        """
        super().__init__(options or FakeOptions())
        self._results = results
        self._error = error

    def measure(self, part: RunPart, session: Session) -> Outcome:
        """Run the command once."""
        outcome = session.run(part.launch, Hooks())
        if self._error is not None:
            raise self._error
        return outcome

    def measurement_model(self, _part: RunPart, _outcome: Outcome) -> str:
        """Name the factor, since it changes every value."""
        return f"fake/x{self.options.fake_factor}"

    def results(self, part: RunPart) -> Sequence[BenchmarkResult]:
        """Return a benchmark for each named window."""
        if self._results is not None:
            return self._results
        return [self._result(uri) for uri in _uris(part)]

    def profile(self, part: RunPart, uri: str) -> CallTree | None:
        """Return a tree of two stacks whose costs sum up to the value."""
        if uri not in _uris(part):
            return None
        main = Frame("main")
        half = self._value(uri) / 2
        return CallTree("ticks", {(main,): half, (main, Frame("inner")): half})

    def timeline(self, part: RunPart, uri: str) -> Timeline | None:
        """Return a rise from nothing to the value."""
        if uri not in _uris(part):
            return None
        return Timeline("ticks", ((0, 0.0), (1_000, self._value(uri))))

    def _result(self, uri: str) -> BenchmarkResult:
        value = Metric(
            "ticks", self._value(uri), "count", kind=Kind.EXACT, headline=True, label="Ticks"
        )
        return BenchmarkResult(uri, uri.rpartition("::")[2], (value,))

    def _value(self, uri: str) -> float:
        return float(zlib.crc32(uri.encode()) % 1_000 * self.options.fake_factor)


def _uris(part: RunPart) -> list[str]:
    windows = () if part.outcome is None else part.outcome.windows
    return list(dict.fromkeys(window.uri for window in windows if window.uri))


def _load_executor() -> type[FakeExecutor]:
    return FakeExecutor


fake_executor = ExecutorDescriptor(
    name="fake", label="Fake", load=_load_executor, options=FakeOptions, mode="fake"
)


class FakeSession:
    """Runs the command as a plain child, without a FIFO; or plays a given outcome and runs nothing.

    Attributes:
        system: This machine.
        environment: What the command gets.
        launches: What it was asked to run.
        notes: What the user would have been told.
        partial: As of the product's session.
    """

    def __init__(
        self, outcome: Outcome | None = None, *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.environment: Mapping[str, str] = dict(
            os.environ if environment is None else environment
        )
        self.launches: list[Launch] = []
        self.notes: list[str] = []
        self.partial: Outcome | None = None
        self._outcome = outcome

    @property
    def system(self) -> System:
        """This machine."""
        from codspeed.environment import read_system  # noqa: PLC0415 - only for who asks

        return read_system(self.environment)

    def note(self, text: str) -> None:
        """Remember it."""
        self.notes.append(text)

    def run(self, launch: Launch, hooks: Hooks | None = None) -> Outcome:
        """Run `launch`, or tell `hooks` the windows of the given outcome."""
        self.launches.append(launch)
        hooks = hooks or Hooks()
        if self._outcome is None:
            self.partial = _run_child(launch, self.environment, hooks)
        else:
            self.partial = self._outcome
            hooks.spawned(os.getpid())
            hooks.released()
            for window in self._outcome.windows:
                _play(window, hooks)
        return self.partial

    def watch(self, _fd: int, _ready: Callable[[], None]) -> None:
        """Ignore it: there is no loop."""

    def pids(self) -> frozenset[int]:
        """Return nobody."""
        return frozenset()


def _play(window: Window, hooks: Hooks) -> None:
    hooks.started()
    hooks.stopped()
    if window.uri is not None:
        hooks.benchmark(window.pids[0] if window.pids else os.getpid(), window.uri)


def _run_child(launch: Launch, environment: Mapping[str, str], hooks: Hooks) -> Outcome:
    start = time.perf_counter_ns()
    stdin = subprocess.PIPE if launch.stdin is not None else None
    child = subprocess.Popen(
        launch.argv, env={**environment, **launch.env}, cwd=launch.cwd, stdin=stdin
    )
    hooks.spawned(child.pid)
    hooks.released()
    if child.stdin is not None:
        child.stdin.write(launch.stdin or b"")
        child.stdin.close()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)  # else its destructor would miss the end
    return Outcome(
        status=child.returncode,
        rusage=Rusage(
            wall_ns=time.perf_counter_ns() - start,
            user_ns=round(usage.ru_utime * 1e9),
            system_ns=round(usage.ru_stime * 1e9),
            max_rss_bytes=usage.ru_maxrss * _RSS_UNIT,
        ),
    )


class FakeUploader(UploaderDefaults):
    """Takes every bundle and remembers it.

    Attributes:
        uploaded: The bundles it took, in order.
    """

    def __init__(
        self, options: Any = None, *, refusal: str | None = None, error: CodspeedError | None = None
    ) -> None:
        """Prepare.

        Args:
            options: What the user set.
            refusal: Why no part is taken; None to take them.
            error: Raised by `upload`.
        """
        super().__init__(options)
        self.uploaded: list[Bundle] = []
        self._refusal = refusal
        self._error = error

    def accepts(self, _part: Any) -> str | None:
        """Give the same answer for every part."""
        return self._refusal

    def upload(self, bundle: Bundle) -> Receipt:
        """Remember the bundle."""
        if self._error is not None:
            raise self._error
        self.uploaded.append(bundle)
        return Receipt(f"took {bundle.path.name}", f"fake://{bundle.path.name}")


def _load_uploader() -> type[FakeUploader]:
    return FakeUploader


fake_uploader = UploaderDescriptor(name="fake", label="Fake", load=_load_uploader)


class FakeReporter(Reporter):
    """Remembers everything it is told.

    Attributes:
        events: (method, argument) in order; ticks are left out.
    """

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def told(self, method: str) -> list[Any]:
        """Return the arguments of all calls of `method`, in order."""
        return [argument for name, argument in self.events if name == method]

    @property
    def text(self) -> str:
        """What the command wrote, both streams as they came."""
        return b"".join(self.told("output")).decode("utf-8", "replace")

    def debug(self, text: str) -> None:
        """Remember it."""
        self.events.append(("debug", text))

    def info(self, text: str) -> None:
        """Remember it."""
        self.events.append(("info", text))

    def warning(self, text: str) -> None:
        """Remember it."""
        self.events.append(("warning", text))

    def error(self, error: CodspeedError) -> None:
        """Remember it."""
        self.events.append(("error", error))

    def part_started(self, part: RunPart, *, count: int) -> None:  # noqa: ARG002 - part.index tells
        """Remember the part."""
        self.events.append(("part_started", part))

    def output(self, data: bytes, *, stream: str) -> None:  # noqa: ARG002 - one text for both
        """Remember the bytes."""
        self.events.append(("output", data))

    def window(self, *, is_open: bool) -> None:
        """Remember it."""
        self.events.append(("window", is_open))

    def benchmark(self, uri: str) -> None:
        """Remember it."""
        self.events.append(("benchmark", uri))

    def part_finished(self, part: RunPart, results: PartResults | None) -> None:
        """Remember both."""
        self.events.append(("part_finished", (part, results)))

    def finished(self, bundle: Bundle | None, lines: Sequence[str]) -> None:
        """Remember both."""
        self.events.append(("finished", (bundle, tuple(lines))))
