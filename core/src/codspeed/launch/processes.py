"""What the kernel counts of processes: CPU time, waiting for a CPU, turns on a CPU, descendants.

All of it is read from /proc, which other systems do not have: there everything is empty or None.
Formats: proc_pid_stat(5), Documentation/scheduler/sched-stats.rst (`/proc/PID/schedstat`).

Two speeds: `Processes` keeps the files of few processes open and reads them in microseconds, while
a benchmark waits; `table` looks at every process of the machine, which takes milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PROC: Final = Path("/proc")
_CLOCK_SCHED: Final = 2  # CPUCLOCK_SCHED of posix-timers.h: nanoseconds, not ticks
_FILE_BYTES: Final = 4096
# Of all processes together, which makes 0.1 ms: the benchmark waits meanwhile.
_MOST_THREADS: Final = 32
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
TICK_NS: Final = 1_000_000_000 // _TICKS_PER_S

# Fields of /proc/PID/stat behind the name, which may hold anything: state is the first.
_PPID, _UTIME, _CSTIME, _START = 1, 11, 14, 19


class Entry(NamedTuple):
    """A process in the table of all.

    Attributes:
        name: Up to 15 bytes, as the process calls itself.
        own: CPU time of its threads, in ticks.
        reaped: CPU time of descendants that ended and were waited for, in ticks.
        start: When it began, in ticks since the machine did.
    """

    parent: int
    name: str
    own: int
    reaped: int
    start: int


class Reading(NamedTuple):
    """What some processes had used at one moment.

    Attributes:
        cpu: CPU time by process, in nanoseconds, also of threads that ended.
        reaped: By process, of descendants that ended: in nanoseconds, but counted in ticks.
        threads: By thread, of at most 32: nanoseconds it was ready to run and had no CPU, and how
            often it was given one, which is the number of its context switches.
    """

    cpu: dict[int, int]
    reaped: dict[int, int]
    threads: dict[str, tuple[int, int]]


class Used(NamedTuple):
    """What processes used between two readings.

    Attributes:
        cpu_ns: CPU time of all of them, and of descendants that ended.
        blur_ns: How far `cpu_ns` may be off, since what ended is counted in ticks.
        queue_ns: How long threads were ready to run and had no CPU; without those that ended.
        switches: Context switches of the same threads.
    """

    cpu_ns: int
    blur_ns: int
    queue_ns: int
    switches: int


def used(before: Reading, after: Reading) -> Used:
    """Return what was used between two readings of the same `Processes`.

    A process that ended is in what its parent reaped, with its whole life: so sums are compared.
    """
    reaped = sum(after.reaped.values()) - sum(before.reaped.values())
    cpu = sum(after.cpu.values()) - sum(before.cpu.values()) + reaped
    queue = switches = 0
    for thread, (waited, turns) in after.threads.items():
        waited_before, turns_before = before.threads.get(thread, (0, 0))
        queue += waited - waited_before
        switches += turns - turns_before
    # User and system time, each cut off at both ends.
    return Used(max(0, cpu), 2 * TICK_NS if reaped else 0, queue, switches)


def cpu_ns(pid: int) -> int | None:
    """Return the CPU time of a process, threads that ended included; None if it is gone.

    Exact for one that waits; a thread that runs right now is behind by up to a tick of the kernel's
    timer, 1 to 10 ms. Needs no file and no rights: clock_getcpuclockid(3) does the same.
    """
    try:
        return time.clock_gettime_ns((~pid << 3) | _CLOCK_SCHED)
    except OSError:
        return None


def started_ns(pid: int, *, proc: Path = PROC) -> int | None:
    """Return when a process began, on CLOCK_MONOTONIC, early by up to a tick; None: it is gone."""
    entry = _entry(proc, pid)
    if entry is None:
        return None
    asleep_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()
    return entry.start * TICK_NS - asleep_ns


def table(*, proc: Path = PROC) -> dict[int, Entry]:
    """Return every process that can be seen, by id."""
    found = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(proc):  # noqa: PTH208 - half the time of iterdir()
            if name.isdigit() and (entry := _entry(proc, int(name))) is not None:
                found[int(name)] = entry
    return found


def descendants(root: int, *, proc: Path = PROC) -> list[int]:
    """Return `root` and all that descends from it; a process whose parent ended does not."""
    found = [root]
    for pid in found:  # grows meanwhile
        found += _children(proc, pid)
    return found


def below(root: int, entries: dict[int, Entry]) -> set[int]:
    """Return `root` and all that descends from it in a table."""
    found = {root}
    waiting = [root]
    children: dict[int, list[int]] = {}
    for pid, entry in entries.items():
        children.setdefault(entry.parent, []).append(pid)
    while waiting:
        fresh = [pid for pid in children.get(waiting.pop(), ()) if pid not in found]
        found.update(fresh)
        waiting += fresh
    return found


class Processes:
    """Reads what some processes used, again and again. Close it."""

    def __init__(self, *, proc: Path = PROC) -> None:
        self._proc = proc
        self._followed: dict[int, _Followed] = {}

    def follow(self, pids: Iterable[int]) -> None:
        """Read these from now on, and no others."""
        wanted = list(pids)
        for pid in self._followed.keys() - set(wanted):
            self._followed.pop(pid).close()
        for pid in wanted:
            if pid not in self._followed:
                with contextlib.suppress(OSError):  # it is gone already
                    self._followed[pid] = _Followed(self._proc / str(pid))

    @property
    def pids(self) -> frozenset[int]:
        """Return which are followed."""
        return frozenset(self._followed)

    def read(self) -> Reading:
        """Return what those that are followed have used; one that ended is left out."""
        reading = Reading({}, {}, {})
        for pid, followed in self._followed.items():
            cpu = cpu_ns(pid)
            reaped = followed.read(reading.threads)
            if cpu is not None and reaped is not None:
                reading.cpu[pid] = cpu
                reading.reaped[pid] = reaped
        return reading

    def close(self) -> None:
        """Close all files."""
        self.follow(())


class _Followed:
    """The open files of one process."""

    def __init__(self, folder: Path) -> None:
        self._tasks = str(folder / "task")
        self._stat = os.open(folder / "stat", os.O_RDONLY | os.O_CLOEXEC)
        self._threads: dict[str, int] = {}

    def read(self, threads: dict[str, tuple[int, int]]) -> int | None:
        """Add its threads to `threads`; return CPU time of what it reaped, None if it is gone."""
        try:
            entry = _parsed(os.pread(self._stat, _FILE_BYTES, 0))
            self._look_for_threads(_MOST_THREADS - len(threads))
        except OSError:
            return None
        for name, fd in self._threads.items():
            with contextlib.suppress(OSError, ValueError):  # it ended, or does not tell
                _cpu, waited, turns = os.pread(fd, _FILE_BYTES, 0).split()
                threads[name] = (int(waited), int(turns))
        return entry.reaped * TICK_NS

    def _look_for_threads(self, most: int) -> None:
        names = os.listdir(self._tasks)[:most]  # noqa: PTH208 - half the time of iterdir()
        for gone in self._threads.keys() - names:
            os.close(self._threads.pop(gone))
        for name in names:
            if name not in self._threads:
                with contextlib.suppress(OSError):  # no such file in this kernel, or it ended
                    path = f"{self._tasks}/{name}/schedstat"
                    self._threads[name] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        for fd in (self._stat, *self._threads.values()):
            os.close(fd)
        self._threads.clear()


def _entry(proc: Path, pid: int) -> Entry | None:
    try:
        fd = os.open(f"{proc}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _parsed(os.read(fd, _FILE_BYTES))
    except (OSError, ValueError, IndexError):
        return None
    finally:
        os.close(fd)


def _parsed(stat: bytes) -> Entry:
    name, _, rest = stat.partition(b"(")[2].rpartition(b")")
    fields = rest.split()
    user, system, user_reaped, system_reaped = map(int, fields[_UTIME : _CSTIME + 1])
    return Entry(
        parent=int(fields[_PPID]),
        name=name.decode(errors="replace"),
        own=user + system,
        reaped=user_reaped + system_reaped,
        start=int(fields[_START]),
    )


def _children(proc: Path, pid: int) -> Iterator[int]:
    """Yield the children of each thread (CONFIG_PROC_CHILDREN, which distributions set)."""
    tasks = f"{proc}/{pid}/task"
    with contextlib.suppress(OSError):
        for thread in os.listdir(tasks):  # noqa: PTH208 - half the time of iterdir()
            with contextlib.suppress(OSError), open(f"{tasks}/{thread}/children", "rb") as file:  # noqa: PTH123 - half the time
                yield from map(int, file.read().split())
