"""What records allocations: the seam between the executor and the shim, uprobes, or both.

A backend is armed before the child runs, switched by the windows, and gives a `Recording`: blocks
of records as native/ring.h has them, so everything behind it is the same for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from codspeed_memory.auto import AutoBackend
from codspeed_memory.shim import ShimBackend

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from codspeed.model import Launch, RunPart
    from codspeed.protocols import Session
    from codspeed_memory.recording import Recording


class Backend(Protocol):
    """One run of a part.

    Attributes:
        takes_stacks: Whether it can sample who allocates.
    """

    takes_stacks: bool

    @property
    def name(self) -> str:
        """Return what it is called, for the measurement-model id; final when it was armed."""

    def target_launch(self, target: Launch) -> Launch:
        """Return how a harness starts one target, which alone is to be recorded."""

    def uncovered(self, launch: Launch) -> str | None:
        """Return why nothing of this command could be seen; None if it can be tried."""

    def armed(self, part: RunPart, session: Session) -> AbstractContextManager[Launch]:
        """Be ready to record: yield how the command is started; undone on every path.

        Raises:
            CodspeedError: If it can't record here; nothing ran then.
        """

    def spawned(self, pid: int) -> None:
        """The command's process exists, and is held before its exec.

        Raises:
            Refused: If it can't be recorded.
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
    """
    if name == "ebpf":
        from codspeed_memory.ebpf.backend import EbpfBackend  # noqa: PLC0415 - few runs need it

        return EbpfBackend()
    if name == "auto":
        return AutoBackend(mappings=mappings, stack_interval=stack_interval)
    return ShimBackend(mappings=mappings, stack_interval=stack_interval)
