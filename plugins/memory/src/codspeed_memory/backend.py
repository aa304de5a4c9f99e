"""What records allocations: the seam between the executor and the shim, or another backend.

A backend is armed before the child runs, switched by the windows, and gives a `Recording`: blocks
of records as native/ring.h has them, so everything behind it is the same for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from codspeed.errors import UnsupportedError
from codspeed_memory.shim import ShimBackend

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from codspeed.model import Launch, RunPart
    from codspeed.protocols import Session
    from codspeed_memory.recording import Recording


class Backend(Protocol):
    """One run of a part.

    Attributes:
        name: Part of the measurement-model id.
        takes_stacks: Whether it can sample who allocates.
    """

    name: str
    takes_stacks: bool

    def target_launch(self, target: Launch) -> Launch:
        """Return how a harness starts one target, which alone is to be recorded."""

    def uncovered(self, launch: Launch) -> str | None:
        """Return why nothing of this command could be seen; None if it can be tried."""

    def armed(self, part: RunPart, session: Session) -> AbstractContextManager[Launch]:
        """Be ready to record: yield how the command is started; undone on every path.

        Raises:
            CodspeedError: If it can't record here; nothing ran then.
        """

    def enable(self, window: int) -> int:
        """Record from now on, for this window; return when it began (CLOCK_MONOTONIC, ns).

        Raises:
            Refused: If it can't.
        """

    def disable(self) -> int:
        """Record no longer; return when that was."""

    def finish(self) -> Recording:
        """Return what was recorded; the child has ended.

        Raises:
            CodspeedError: If that can't be had.
        """


def chosen(name: str, *, mappings: bool, stack_interval: int = 0) -> Backend:
    """Return a backend by its option value.

    Args:
        name: "auto", "shim" or "ebpf".
        mappings: Record anonymous mappings too: arenas of interpreters.
        stack_interval: Bytes of allocations from one stack to the next; 0: no stacks.

    Raises:
        UnsupportedError: For "ebpf".
    """
    if name == "ebpf":
        problem = "the eBPF backend of memory mode is not built yet"
        raise UnsupportedError(problem, hint="use --memory-backend shim; it needs no rights")
    return ShimBackend(mappings=mappings, stack_interval=stack_interval)
