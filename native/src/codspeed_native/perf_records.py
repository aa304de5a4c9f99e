"""What the kernel tells through perf_event_open, as typed tuples; and how rings get into one order.

No I/O here. Source: perf_event_open(2) and the kernel's include/uapi/linux/perf_event.h.
"""

from __future__ import annotations

import bisect
import operator
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from codspeed.errors import CodspeedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Values in a kernel's chain that say where the addresses behind them come from.
CONTEXT_MAX: Final = 2**64 - 4095
CONTEXT_KERNEL: Final = 2**64 - 128
CONTEXT_USER: Final = 2**64 - 512


class PerfDataError(CodspeedError):
    """Recorded events can't be understood: damaged, or of a kind that we do not read."""

    slug: ClassVar[str] = "perf-data"


class Sample(NamedTuple):
    """Where a thread was.

    Attributes:
        time: Nanoseconds of the clock that the event was opened with.
        callchain: As the kernel wrote it, with its context values; empty if not asked for.
        abi: 0 if there are no registers (a kernel thread), 1 for 32 bit, 2 for 64 bit.
        registers: One per bit of sample_regs_user, the lowest bit first.
        stack: What was copied of the user's stack, from its stack pointer upwards.
    """

    time: int
    pid: int
    tid: int
    cpu: int
    event_id: int
    ip: int
    period: int
    callchain: tuple[int, ...]
    abi: int
    registers: tuple[int, ...]
    stack: memoryview


class Mmap(NamedTuple):
    """A process mapped `size` bytes of a file, from byte `offset` of it, at address `start`."""

    time: int
    pid: int
    tid: int
    start: int
    size: int
    offset: int
    build_id: str
    is_executable: bool
    path: str


class Comm(NamedTuple):
    """A thread has a new name; with `is_exec` its process runs a new program."""

    time: int
    pid: int
    tid: int
    name: str
    is_exec: bool


class Fork(NamedTuple):
    """A thread `tid` of process `pid` began; of the same process if `pid` is `parent_pid`."""

    time: int
    pid: int
    tid: int
    parent_pid: int
    parent_tid: int


class Exit(NamedTuple):
    """A thread ended."""

    time: int
    pid: int
    tid: int
    parent_pid: int
    parent_tid: int


class Lost(NamedTuple):
    """The kernel found no room for this many records."""

    time: int
    pid: int
    tid: int
    records: int


class Switch(NamedTuple):
    """A thread got the processor, or lost it; `is_preempted`: though it wanted to go on."""

    time: int
    pid: int
    tid: int
    is_out: bool
    is_preempted: bool


Record = Sample | Mmap | Comm | Fork | Exit | Lost | Switch


class Rounds:
    """Puts records of several rings, each in order by itself, into one order of time.

    A record that was written before all rings were drained can't come after they were drained
    again. So what is not newer than the newest record of the *previous* round is ready: perf's rule
    for its FINISHED_ROUND (tools/perf/util/ordered-events.c).
    """

    def __init__(self) -> None:
        self._waiting: list[Record] = []
        self._horizon = -1

    def add(self, records: Iterable[Record]) -> None:
        """Take what one ring held."""
        self._waiting.extend(records)

    def finish(self) -> list[Record]:
        """Say that all rings were drained; return the records that are ready, in order."""
        self._waiting.sort(key=_time)
        ready = bisect.bisect_right(self._waiting, self._horizon, key=_time)
        done, self._waiting = self._waiting[:ready], self._waiting[ready:]
        if self._waiting:
            self._horizon = self._waiting[-1].time
        return done

    def rest(self) -> list[Record]:
        """Return all that is left, in order."""
        done, self._waiting = sorted(self._waiting, key=_time), []
        return done


# Every record begins with its time: an index is quicker than a name.
_time: Final[Callable[[Record], int]] = operator.itemgetter(0)
