"""The backend that preloads our shim into the benchmark: no rights needed, nothing lost.

Three parties share the ring: the shim in every process of the benchmark, the drainer, a small
program that moves full chunks to a file, and the runner, which switches. The drainer is a process,
not a thread: the runner's session forks, and its one loop must answer the benchmark at once.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
from typing import IO, TYPE_CHECKING, Final

import attrs

from codspeed.errors import Refused, ToolError
from codspeed_memory import compiled, coverage, ring
from codspeed_memory.clock import Clock
from codspeed_memory.recording import Recording

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from codspeed.model import Launch, RunPart
    from codspeed.protocols import Session

PRELOAD: Final = "LD_PRELOAD"
RING: Final = "CODSPEED_MEMORY_RING"

_STOP_S: Final = 60.0
_LOST_DRAINER: Final = "the process that stores allocation events has ended"
# What the loader takes as a separator, or as a variable of its own.
_UNSAFE: Final = re.compile(r"[\s:$]")


class ShimBackend:
    """See `codspeed_memory.backend.Backend`.

    Attributes:
        has_probes: Programs that bring their own allocator are seen by probes.
    """

    name = "shim"
    takes_stacks = True

    def __init__(self, *, mappings: bool = False, stack_interval: int = 0) -> None:
        """Take what else to record.

        Args:
            mappings: Anonymous ones too, arenas of interpreters.
            stack_interval: Bytes of allocations from one stack to the next; 0: no stacks.
        """
        self._stack_interval = stack_interval
        self._flags = ring.clock_flags() | (ring.MAPPINGS if mappings else 0)
        self.has_probes = False
        self._pairs: list[tuple[int, int]] = []
        self._ring: ring.Ring | None = None
        self._drainer: subprocess.Popen[bytes] | None = None
        self._file: IO[bytes] | None = None
        self._window = 0

    # --- Before the run ---

    def target_launch(self, target: Launch) -> Launch:
        """Preload the shim into the target; the ring's place comes from the harness."""
        return _preloaded(target, {**os.environ, **target.env})

    def uncovered(self, launch: Launch) -> str | None:
        """Look at the program's file."""
        return coverage.unseen(launch)

    @contextlib.contextmanager
    def armed(self, part: RunPart, session: Session) -> Iterator[Launch]:
        """Make the ring and start the drainer; a harness gets no shim, only its targets do."""
        with contextlib.ExitStack() as stack:
            flags = self._flags | (ring.PROBED if self.has_probes else 0)
            self._ring = stack.enter_context(
                ring.Ring(flags=flags, stack_interval=self._stack_interval)
            )
            # No name: whatever happens to us, nothing is left behind.
            self._file = stack.enter_context(tempfile.TemporaryFile(dir=part.folder))
            self._drainer = stack.enter_context(_drained(self._ring, self._file))
            self._note_time()
            launch = attrs.evolve(part.launch, env={**part.launch.env, RING: self._ring.path})
            if not part.harnessed:
                launch = _preloaded(launch, {**session.environment, **launch.env})
            yield launch

    # --- Windows ---

    def spawned(self, pid: int) -> None:
        """Need not know: the shim in each process tells who it is."""

    def enable(self, window: int) -> int:
        """Store the window's number where every process looks; raises Refused if nobody drains."""
        drainer, shared = self._drainer, self._ring
        if drainer is None or shared is None or drainer.poll() is not None:
            raise Refused(_LOST_DRAINER, hint="was it killed, or is the disk full?")
        began = self._note_time()
        shared.set_long_word(ring.STACKS, 0)
        shared.set_word(ring.ENABLED, window)
        return began

    def disable(self) -> int:
        """Store a zero there."""
        if self._ring is not None:
            self._ring.set_word(ring.ENABLED, 0)
        return self._note_time()

    def _note_time(self) -> int:
        """Read both clocks: events lie between two readings, so conversion never moves them out."""
        ticks, ns = compiled.read_clocks()
        if not self._pairs or ticks > self._pairs[-1][0]:
            self._pairs.append((ticks, ns))
        return ns

    # --- After the run ---

    def finish(self) -> Recording:
        """Stop the drainer and take what it stored; raises ToolError if it failed."""
        shared, drainer, file = self._ring, self._drainer, self._file
        assert shared is not None, "armed"
        assert drainer is not None, "armed"
        assert file is not None, "armed"
        self.disable()
        shared.set_word(ring.STOP, 1)
        compiled.helper().ring_bell(shared.address)
        try:
            status = drainer.wait(_STOP_S)
        except subprocess.TimeoutExpired as failure:
            problem = "the process that stores allocation events does not end"
            raise ToolError(problem) from failure
        if status:
            raise _drainer_failed(status, shared.word(ring.ERROR))
        return Recording(
            file=file,
            clock=Clock(self._pairs if self._flags & ring.COUNTER_CLOCK else ()),
            dropped=shared.long_word(ring.DROPPED),
            waits=shared.long_word(ring.WAITS),
        )


def _drainer_failed(status: int, error: int) -> ToolError:
    reason = os.strerror(error) if error else f"status {status}"
    problem = f"allocation events could not be stored: {reason}"
    return ToolError(problem, hint="free space, or name another folder with --profile-folder")


@contextlib.contextmanager
def _drained(shared: ring.Ring, file: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Run the drainer; it is ended on every path, and ends by itself when we are killed."""
    program = str(compiled.drainer())
    # A session of its own: Ctrl-C is for the benchmark.
    drainer = subprocess.Popen(
        [program, str(shared.fd), str(file.fileno()), str(os.getpid())],
        pass_fds=(shared.fd, file.fileno()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert drainer.stdout is not None, "asked for"
    try:
        if drainer.stdout.readline() != b"ready\n":
            raise _drainer_failed(drainer.wait(), 0)
        yield drainer
    finally:
        drainer.stdout.close()
        drainer.kill()
        drainer.wait()


def _preloaded(launch: Launch, environment: Mapping[str, str]) -> Launch:
    """Put the shim in front of what the user preloads."""
    theirs = environment.get(PRELOAD, "")
    path = compiled.shim(families=coverage.needs_families(launch, environment))
    if _UNSAFE.search(str(path)):
        problem = f"{path} can't be preloaded: its name has a space, a colon or a dollar sign"
        raise ToolError(problem, hint="set XDG_CACHE_HOME to a folder with a plain name")
    value = f"{path}:{theirs}" if theirs else str(path)
    return attrs.evolve(launch, env={**launch.env, PRELOAD: value})
