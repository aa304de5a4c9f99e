"""Counters of the whole machine, read at the edges of a window, while a benchmark waits.

Files stay open. Those that are missing, or too slow here to be read while somebody waits, are named
once. Sources: proc_stat(5), Documentation/accounting/psi.rst, Documentation/scheduler/
sched-stats.rst, Documentation/ABI/testing/sysfs-devices-system-cpu.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from codspeed.launch.processes import PROC

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SYS: Final = Path("/sys")
_FILE_BYTES: Final = 1 << 16
# /proc/stat counts every interrupt of every CPU: on large machines it takes a millisecond.
_SLOW_NS: Final = 100_000
_TRIES: Final = 3
# Each costs microseconds, and what holds for one CPU of a socket mostly holds for all.
_MOST_CPUS: Final = 8

# Fields of the line `cpu` of /proc/stat; guest time is in user time already.
_IDLE, _WAITING_FOR_IO, _STEAL, _GUEST = 3, 4, 7, 8
_RUN_DELAY: Final = 8  # of a line `cpuN` of /proc/schedstat, the name included


class Counters(NamedTuple):
    """What was counted until a moment; None where it can't be read.

    Attributes:
        at_ns: CLOCK_MONOTONIC.
        busy: Ticks of all CPUs that did something.
        idle: Ticks of all CPUs that did not.
        steal: Ticks in which the hypervisor ran something else.
        pressure_cpu: Microseconds in which a program waited for a CPU.
        pressure_memory: Microseconds in which a program waited for memory.
        pressure_io: Microseconds in which a program waited for a disk.
        queue_ns: Waiting for a CPU, summed over all programs; only without `pressure_cpu`.
        throttles: How often CPUs were slowed down because of heat or power.
        frequency_khz: Of the fastest CPU now.
    """

    at_ns: int
    busy: int | None = None
    idle: int | None = None
    steal: int | None = None
    pressure_cpu: int | None = None
    pressure_memory: int | None = None
    pressure_io: int | None = None
    queue_ns: int | None = None
    throttles: int | None = None
    frequency_khz: int | None = None


class _Source:
    """Files that are read together, and what their content means."""

    def __init__(
        self, paths: Sequence[Path], parse: Callable[[list[bytes]], tuple[int, ...]]
    ) -> None:
        self.parse = parse
        self.files: list[int] = []
        for path in paths:
            with contextlib.suppress(OSError):
                self.files.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def read(self) -> tuple[int, ...] | None:
        try:
            return self.parse([os.pread(file, _FILE_BYTES, 0) for file in self.files])
        except (OSError, ValueError, IndexError):
            return None

    def close(self) -> None:
        for file in self.files:
            os.close(file)
        self.files = []


class Machine:
    """The counters of this machine. Close it.

    Attributes:
        missing: What can't be known here, a sentence each.
    """

    def __init__(self, *, proc: Path = PROC, sys: Path = SYS, slow_ns: int = _SLOW_NS) -> None:
        """Open what there is.

        Args:
            proc: Where /proc is.
            sys: Where /sys is.
            slow_ns: What takes longer is not read.
        """
        self.missing: tuple[str, ...] = ()
        self._slow_ns = slow_ns
        cpus = sys / "devices/system/cpu"
        self._stat = self._usable(_Source([proc / "stat"], _times), "how busy the CPUs are, steal")
        self._pressure = [
            self._usable(_Source([proc / "pressure" / name], _total), f"{name} pressure")
            for name in ("cpu", "memory", "io")
        ]
        # Not missed: few machines have the first without the second, and virtual ones no third.
        self._queue = (
            None if self._pressure[0] else _working(_Source([proc / "schedstat"], _queued))
        )
        self._throttles = _working(_Source(_of_cpus(cpus, "thermal_throttle/*_count"), _added))
        self._frequency = _working(_Source(_of_cpus(cpus, "cpufreq/scaling_cur_freq"), _largest))

    def read(self) -> Counters:
        """Return what is counted now."""
        busy, idle, steal = _values(self._stat, 3)
        cpu, memory, io = (_values(source, 1)[0] for source in self._pressure)
        return Counters(
            time.monotonic_ns(),
            busy,
            idle,
            steal,
            cpu,
            memory,
            io,
            _values(self._queue, 1)[0],
            _values(self._throttles, 1)[0],
            _values(self._frequency, 1)[0],
        )

    def close(self) -> None:
        """Close all files."""
        for source in (
            self._stat, *self._pressure, self._queue, self._throttles, self._frequency
        ):  # fmt: skip
            if source is not None:
                source.close()

    def _usable(self, source: _Source, what: str) -> _Source | None:
        """Return a source that works and is quick enough; else note what is lost."""
        if _working(source) is None:
            self.missing = (*self.missing, f"this kernel does not tell: {what}")
            return None
        quickest_ns = min(_duration_ns(source) for _ in range(_TRIES))
        if quickest_ns > self._slow_ns:
            source.close()
            text = f"takes {quickest_ns / 1e6:.1f} ms to read here, so it is not: {what}"
            self.missing = (*self.missing, text)
            return None
        return source


def _working(source: _Source) -> _Source | None:
    if source.files and source.read() is not None:
        return source
    source.close()
    return None


def _duration_ns(source: _Source) -> int:
    before_ns = time.thread_time_ns()  # the machine may be busy; reading is work of our own
    source.read()
    return time.thread_time_ns() - before_ns


def _values(source: _Source | None, count: int) -> tuple[int | None, ...]:
    read = None if source is None else source.read()
    return (None,) * count if read is None else read


def _of_cpus(folder: Path, pattern: str) -> list[Path]:
    numbers = sorted(os.sched_getaffinity(0))[:_MOST_CPUS]
    return [path for number in numbers for path in sorted(folder.glob(f"cpu{number}/{pattern}"))]


def _times(texts: list[bytes]) -> tuple[int, ...]:
    times = [int(word) for word in texts[0].split(b"\n", 1)[0].split()[1 : _GUEST + 1]]
    idle = times[_IDLE] + times[_WAITING_FOR_IO]
    return sum(times) - idle - times[_STEAL], idle, times[_STEAL]


def _total(texts: list[bytes]) -> tuple[int, ...]:
    """Return `total` of the line `some`: at least one program waited."""
    line = texts[0].split(b"\n", 1)[0]
    if not line.startswith(b"some"):
        raise ValueError(line)
    return (int(line.rpartition(b"total=")[2]),)


def _queued(texts: list[bytes]) -> tuple[int, ...]:
    lines = (line.split() for line in texts[0].splitlines())
    return (sum(int(words[_RUN_DELAY]) for words in lines if words[:1] and words[0][:3] == b"cpu"),)


def _added(texts: list[bytes]) -> tuple[int, ...]:
    return (sum(map(int, texts)),)


def _largest(texts: list[bytes]) -> tuple[int, ...]:
    return (max(map(int, texts)),)
