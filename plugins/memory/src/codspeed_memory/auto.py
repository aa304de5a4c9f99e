"""The shim, and uprobes beside it for a program that it can't see, where we have the rights.

The probes are for what the benchmark itself is: a static program, or one with an allocator of its
own. To arm them takes a third of a second, so they are not armed in case that something of the kind
is started somewhere below; such programs are named, as with the shim alone.
"""

from __future__ import annotations

import contextlib
import tempfile
from typing import IO, TYPE_CHECKING, Final

import attrs

from codspeed_memory import coverage
from codspeed_memory.ebpf import rights
from codspeed_memory.shim import ShimBackend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codspeed.model import Launch, RunPart
    from codspeed.protocols import Session
    from codspeed_memory.ebpf.probes import Probes
    from codspeed_memory.recording import Recording

# Why the shim can't see what probes on the program's own functions can.
_FOR_PROBES: Final = frozenset({coverage.STATIC, coverage.BRINGS_OWN})


class AutoBackend:
    """See `codspeed_memory.backend.Backend`."""

    takes_stacks = True

    def __init__(self, *, mappings: bool = False, stack_interval: int = 0) -> None:
        """Take what else to record; see `ShimBackend`."""
        self._shim = ShimBackend(mappings=mappings, stack_interval=stack_interval)
        self._wants_probes = False
        self._probes: Probes | None = None
        self._events: IO[bytes] | None = None
        self._is_silent = False

    @property
    def name(self) -> str:
        """Tell both only if both recorded."""
        return "shim" if self._probes is None else "shim+ebpf"

    def target_launch(self, target: Launch) -> Launch:
        """Preload the shim: a static program does not mind, and what it starts may be dynamic."""
        return self._shim.target_launch(target)

    def uncovered(self, launch: Launch) -> str | None:
        """Look at the program's file, and remember if it is one for probes."""
        reason = self._shim.uncovered(launch)
        if reason not in _FOR_PROBES or rights.lacking() is not None:
            return reason
        reason = coverage.unprobed(launch)
        self._wants_probes |= reason is None
        return reason

    @contextlib.contextmanager
    def armed(self, part: RunPart, session: Session) -> Iterator[Launch]:
        """Arm the shim, and the probes if there is something for them."""
        self._shim.has_probes = self._wants_probes
        with contextlib.ExitStack() as stack:
            launch = stack.enter_context(self._shim.armed(part, session))
            if self._wants_probes:
                from codspeed_memory.ebpf.probes import Probes  # noqa: PLC0415 - few runs need them

                self._is_silent = part.harnessed
                self._events = stack.enter_context(tempfile.TemporaryFile(dir=part.folder))
                self._probes = stack.enter_context(
                    Probes(self._events, is_alone=False, prefix=rights.prefix())
                )
            yield launch

    def spawned(self, pid: int) -> None:
        """Follow the child."""
        if self._probes is not None:
            self._probes.follow(pid, is_silent=self._is_silent)

    def enable(self, window: int) -> int:
        """Switch both on; the shim first, since it reads its clock: all events come later."""
        began = self._shim.enable(window)
        if self._probes is not None:
            self._probes.enable(window)
        return began

    def disable(self) -> int:
        """Switch both off."""
        if self._probes is not None:
            self._probes.disable()
        return self._shim.disable()

    def finish(self) -> Recording:
        """Put both recordings into one."""
        recording = self._shim.finish()
        if self._probes is None or self._events is None:
            return recording
        from codspeed_memory.ebpf import blocks  # noqa: PLC0415 - see above

        done = self._probes.finish()
        blocks.appended(self._events, recording.file, recording.clock)
        return attrs.evolve(
            recording, dropped=recording.dropped + done.dropped, gaps=recording.gaps + done.gaps
        )
