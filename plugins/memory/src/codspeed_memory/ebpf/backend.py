"""The backend of uprobes alone: every allocator that the benchmark maps is probed."""

from __future__ import annotations

import contextlib
import tempfile
from typing import IO, TYPE_CHECKING

import attrs

from codspeed_memory import coverage, python_target
from codspeed_memory.clock import Clock
from codspeed_memory.ebpf import blocks, rights
from codspeed_memory.ebpf.probes import Finished, Limits, Probes
from codspeed_memory.recording import Recording

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from codspeed.model import Launch, RunPart
    from codspeed.protocols import Session


class EbpfBackend:
    """See `codspeed_memory.backend.Backend`."""

    name = "ebpf"
    takes_stacks = False

    def __init__(self, limits: Limits | None = None) -> None:
        """Take what it may use, for tests."""
        self._limits = limits
        self._probes: Probes | None = None
        self._events: IO[bytes] | None = None
        self._recording: IO[bytes] | None = None
        self._is_silent = False

    def target_launch(self, target: Launch) -> Launch:
        """Start it as it is: the harness that starts it is left out."""
        return _with_own_allocator(target, target.env)

    def uncovered(self, launch: Launch) -> str | None:
        """See all that has an allocator with a name."""
        return coverage.unprobed(launch)

    @contextlib.contextmanager
    def armed(self, part: RunPart, session: Session) -> Iterator[Launch]:
        """Load the programs; probes come when something is mapped that has allocators."""
        if refused := rights.lacking():
            raise refused
        with contextlib.ExitStack() as stack:
            # No names: whatever happens to us, nothing is left behind.
            self._events = stack.enter_context(tempfile.TemporaryFile(dir=part.folder))
            self._recording = stack.enter_context(tempfile.TemporaryFile(dir=part.folder))
            self._probes = stack.enter_context(
                Probes(self._events, is_alone=True, limits=self._limits, prefix=rights.prefix())
            )
            self._is_silent = part.harnessed
            environment = {**session.environment, **part.launch.env}
            yield _with_own_allocator(part.launch, environment)

    def spawned(self, pid: int) -> None:
        """Follow the child, which is held before its exec."""
        assert self._probes is not None, "armed"
        self._probes.follow(pid, is_silent=self._is_silent)

    def enable(self, window: int) -> int:
        """Switch in the memory that the programs look at."""
        assert self._probes is not None, "armed"
        return self._probes.enable(window)

    def disable(self) -> int:
        """Switch off."""
        assert self._probes is not None, "armed"
        return self._probes.disable()

    def finish(self) -> Recording:
        """Remove the probes and sort what they recorded."""
        assert self._probes is not None, "armed"
        assert self._events is not None, "armed"
        assert self._recording is not None, "armed"
        done: Finished = self._probes.finish()
        blocks.appended(self._events, self._recording, Clock())
        return Recording(file=self._recording, dropped=done.dropped, gaps=done.gaps)


def _with_own_allocator(launch: Launch, environment: Mapping[str, str]) -> Launch:
    """Hide the variable from a CPython that refuses it: the shim does so inside of each process."""
    refused = environment.get(python_target.VARIABLE) == "malloc"
    if not refused or not coverage.is_free_threaded(launch):
        return launch
    return attrs.evolve(launch, env={**launch.env, python_target.VARIABLE: ""})
