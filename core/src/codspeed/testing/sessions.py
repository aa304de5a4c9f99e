"""Sessions for tests: the product's own, on private FIFOs, so that tests do not meet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from codspeed.environment import read_system
from codspeed.hooks.fifo import FifoPaths
from codspeed.hooks.session import FifoSession
from codspeed.launch.environment import injected
from codspeed.protocols import Hooks
from codspeed.testing.sample import FIFO_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codspeed.model import Launch, MarkerKind, Outcome, Reporter, RunPart, System
    from codspeed.protocols import Executor, Session


def session(
    part: RunPart,
    executor: Executor,
    *,
    runner_mode: str = "",
    reporter: Reporter | None = None,
    fixed_paths: bool = False,
) -> Session:
    """Return a session as the product makes it for `part` under `executor`.

    Args:
        part: Its folder must exist.
        executor: Asked for its mode, limits and variables.
        runner_mode: What integrations read in CODSPEED_RUNNER_MODE; the part's mode if empty.
        reporter: Gets output and warnings.
        fixed_paths: Serve the paths that published clients use; hold `fifo_lock` then.
    """
    environment = {**os.environ}
    environment.update(injected(part, runner_mode or part.mode, go_runner_version=None))
    environment.update(executor.environment(part))
    paths = FifoPaths()
    if executor.integration_mode is not None and not fixed_paths:
        folder = part.folder.with_name(f"{part.folder.name}.fifos")
        folder.mkdir(exist_ok=True)
        paths = FifoPaths(folder / "ctl.fifo", folder / "ack.fifo")
        environment[FIFO_VARIABLE] = str(folder)
    return FifoSession(
        system=read_system(),
        environment=environment,
        mode=executor.integration_mode,
        min_protocol=executor.min_protocol,
        min_clients=executor.min_clients,
        reporter=reporter,
        paths=paths,
    )


class RecordingSession:
    """A session that notes what an executor asks of it and what its hooks are told.

    Attributes:
        launches: What was run, in order.
        events: Names of the callbacks, in order.
    """

    def __init__(self, inner: Session) -> None:
        self._inner = inner
        self.launches: list[Launch] = []
        self.events: list[str] = []

    @property
    def system(self) -> System:
        """Pass it on."""
        return self._inner.system

    @property
    def environment(self) -> Mapping[str, str]:
        """Pass it on."""
        return self._inner.environment

    def note(self, text: str) -> None:
        """Pass it on."""
        self._inner.note(text)

    def run(self, launch: Launch, hooks: Hooks | None = None) -> Outcome:
        """Note the launch and run it."""
        self.launches.append(launch)
        return self._inner.run(launch, _RecordingHooks(hooks or Hooks(), self.events))

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Pass it on."""
        self._inner.watch(fd, ready)

    def pids(self) -> frozenset[int]:
        """Pass it on."""
        return self._inner.pids()


class _RecordingHooks(Hooks):
    def __init__(self, inner: Hooks, events: list[str]) -> None:
        self._inner = inner
        self._events = events

    def spawned(self, pid: int) -> None:
        self._events.append("spawned")
        self._inner.spawned(pid)

    def released(self) -> None:
        self._inner.released()

    def integration(self, name: str, version: str) -> None:
        self._events.append("integration")
        self._inner.integration(name, version)

    def started(self) -> None:
        self._events.append("started")
        self._inner.started()

    def stopped(self) -> None:
        self._events.append("stopped")
        self._inner.stopped()

    def benchmark(self, pid: int, uri: str) -> None:
        self._events.append("benchmark")
        self._inner.benchmark(pid, uri)

    def marker(self, pid: int, kind: MarkerKind, timestamp: int) -> None:
        self._inner.marker(pid, kind, timestamp)  # not noted: how many come is the integration's

    def healthy(self) -> bool:
        return self._inner.healthy()
