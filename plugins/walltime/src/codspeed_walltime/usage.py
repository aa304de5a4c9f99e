"""CPU time, waiting for a CPU and context switches of the benchmark's processes, by window.

For integrations that know only wall time; our exec-harness reads the same of each round itself.
`usage.json` in the profile folder, version 1, so that a restored part has the numbers too.

What is counted are the command and all that descends from it. A window holds more than its rounds:
what an integration does between two of them, with some also its search for the number of
iterations. CPU time is therefore read at each marker as well; `rounds.py` tells what of it is a
round's.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import attrs

from codspeed import wire
from codspeed.errors import ResultsError
from codspeed.launch.processes import (
    PROC,
    TICK_NS,
    Processes,
    Reading,
    Used,
    cpu_ns,
    descendants,
    started_ns,
    used,
)
from codspeed_walltime.rounds import MOST_DOUBT, RoundUsage, of_rounds
from codspeed_walltime.rounds import Reading as CpuReading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from codspeed.model import Window

USAGE: Final = "usage.json"
_VERSION: Final = 1
# Each costs 20 us at an edge of the window. Of more nothing is said.
_MOST_PROCESSES: Final = 64
_OTHER_VERSION: Final = f"CPU time is not known: {USAGE} was written by another version of codspeed"


@attrs.frozen
class WindowUsage:
    """What was used while the window of a benchmark was open.

    Attributes:
        wall_ns: How long it was open.
        cpu_ns: CPU time of the command and its descendants; None if it is not known to 5 %.
        queue_ns: How long their threads were ready to run and had no CPU, summed over threads.
        switches: Context switches of these threads.
        rounds: What of it can be said of the rounds; None if nothing can.
    """

    wall_ns: int
    cpu_ns: int | None
    queue_ns: int
    switches: int
    rounds: RoundUsage | None = None


@attrs.frozen
class Usage:
    """What the file holds.

    Attributes:
        notes: What holds for each benchmark of the part.
        windows: The latest of each benchmark, by URI.
    """

    version: int = _VERSION
    notes: tuple[str, ...] = ()
    windows: Mapping[str, WindowUsage] = attrs.field(factory=dict)


@attrs.define
class Seen:
    """A window as it was seen; nanoseconds on CLOCK_MONOTONIC.

    Of processes that were not followed when it opened the CPU time is in `born_ns` if they began in
    it; else nothing can be said of the window.

    Attributes:
        markers: Who sent each, and the CPU time of that process when it came.
        born_ns: CPU time of processes that began in this window and were not followed.
        is_whole: False if a process that was not followed was there before.
    """

    start_ns: int
    before: Reading
    end_ns: int = 0
    after: Reading | None = None
    markers: list[tuple[int, CpuReading]] = attrs.field(factory=list)
    born_ns: int = 0
    is_whole: bool = True

    def saw_begin(self, began_ns: int) -> bool:
        """Whether a process began after this window, given a moment that is early by a tick."""
        return began_ns + TICK_NS >= self.start_ns


class Watch:
    """Reads what the benchmark's processes use whenever the integration waits for an answer.

    Attributes:
        windows: Those that were closed, in order.
    """

    def __init__(self, *, proc: Path = PROC) -> None:
        """Prepare; nothing is opened yet."""
        self.windows: list[Seen] = []
        self._proc = proc
        self._processes = Processes(proc=proc)
        self._root = 0
        self._is_tool = False
        self._is_crowd = False
        self._open: Seen | None = None

    def spawned(self, pid: int, *, is_tool: bool = False) -> None:
        """Follow the command, which is held before its exec; not a tool that starts it."""
        self._root = pid
        self._is_tool = is_tool
        self.refresh()

    def refresh(self) -> None:
        """Look for descendants; they are followed from now on.

        Usually between windows; the forks of the JVM's harness introduce themselves inside of one.
        """
        known = self._processes.pids
        found = descendants(self._root, proc=self._proc)[self._is_tool :]
        self._is_crowd = len(found) > _MOST_PROCESSES
        self._processes.follow(found[:_MOST_PROCESSES])
        if self._open is not None:
            for pid in self._processes.pids - known:
                began_ns = started_ns(pid, proc=self._proc)
                if began_ns is not None and not self._open.saw_begin(began_ns):
                    self._open.is_whole = False

    def started(self) -> None:
        """A window opens."""
        self._open = Seen(time.monotonic_ns(), self._processes.read())
        self._open.is_whole = not self._is_crowd

    def stopped(self) -> None:
        """It closes."""
        seen, self._open = self._open, None
        if seen is None:
            return
        seen.after = self._processes.read()
        seen.end_ns = time.monotonic_ns()
        self.windows.append(seen)

    def marker(self, pid: int) -> None:
        """A process marked a moment, and waits."""
        if self._open is None:
            return
        cpu = cpu_ns(pid)
        if cpu is not None:
            self._open.markers.append((pid, CpuReading(time.monotonic_ns(), cpu)))

    def named(self, pid: int) -> None:
        """The latest window got its name from `pid`, which waits; nothing is measured now."""
        known = self._processes.pids
        self.refresh()
        if not self.windows:
            return
        seen = self.windows[-1]
        for fresh in self._processes.pids - known:
            began_ns, cpu = started_ns(fresh, proc=self._proc), cpu_ns(fresh)
            if began_ns is None or cpu is None or began_ns > seen.end_ns:
                continue
            if seen.saw_begin(began_ns):
                seen.born_ns += cpu
            else:
                seen.is_whole = False
        # One that is none of the command's descendants: what it does is not what we read.
        is_ours = pid in self._processes.pids or cpu_ns(pid) is None
        seen.is_whole &= is_ours and not self._is_crowd

    def close(self) -> None:
        """Close all files; the windows stay."""
        self._processes.close()


def summed(windows: Sequence[Window], seen: Sequence[Seen]) -> dict[str, WindowUsage]:
    """Return what was used in the latest window of each benchmark."""
    found: dict[str, WindowUsage] = {}
    starts = [each.start_ns for each in seen]
    for window in windows:
        if window.uri is None:
            continue
        found.pop(window.uri, None)  # an earlier one says nothing of this
        position = bisect.bisect_right(starts, window.start) - 1
        if position >= 0 and window.end >= seen[position].end_ns:
            usage = _usage(window, seen[position])
            if usage is not None:
                found[window.uri] = usage
    return found


def _usage(window: Window, seen: Seen) -> WindowUsage | None:
    if seen.after is None or not seen.is_whole or not seen.after.cpu:
        return None
    total = used(seen.before, seen.after)
    total = total._replace(cpu_ns=total.cpu_ns + seen.born_ns)
    is_known = total.blur_ns <= MOST_DOUBT * total.cpu_ns
    return WindowUsage(
        wall_ns=window.end - window.start,
        cpu_ns=total.cpu_ns if is_known else None,
        queue_ns=total.queue_ns,
        switches=total.switches,
        rounds=_of_rounds(window, seen, total) if is_known else None,
    )


def _of_rounds(window: Window, seen: Seen, total: Used) -> RoundUsage | None:
    """Read the rounds one by one if one process did the work, else all of them as one."""
    assert seen.after is not None, "asked before"
    before, after = seen.before.cpu, seen.after.cpu
    whole = [CpuReading(seen.start_ns, 0), CpuReading(seen.end_ns, total.cpu_ns)]
    speakers = {pid for pid, _reading in seen.markers}
    markers = [reading for _pid, reading in seen.markers] if len(speakers) == 1 else []
    speaker = min(speakers, default=0)
    if markers and speaker in before and speaker in after:
        own_ns = after[speaker] - before[speaker]
        if total.cpu_ns - own_ns <= MOST_DOUBT * total.cpu_ns:
            first = CpuReading(seen.start_ns, before[speaker])
            last = CpuReading(seen.end_ns, after[speaker])
            curve = [first, *markers, last]
            return of_rounds(window.rounds, curve, markers)
    return of_rounds(window.rounds, whole, markers)


def dump(usage: Usage) -> bytes:
    """Return the file's bytes."""
    return wire.dump_json(wire.to_plain(usage))


def read(folder: Path) -> Usage:
    """Return what a part's processes used; nothing if it was not noted.

    A file that can't be understood is no reason to lose the times: a note says so.
    """
    try:
        data = (folder / USAGE).read_bytes()
    except OSError:
        return Usage()
    try:
        document = wire.load_json(data, where=USAGE, error=ResultsError)
        found = wire.from_plain(document, Usage, where=USAGE, error=ResultsError)
    except ResultsError as failure:
        return Usage(notes=(f"CPU time is not known: {failure.problem}",))
    return found if found.version == _VERSION else Usage(notes=(_OTHER_VERSION,))
