"""`--realtime`: the benchmark runs before all ordinary programs, and not on the runner's CPU.

The command gets the scheduling policy SCHED_FIFO before its first instruction, and hands it down to
everything that it starts, also through the exec-harness, sudo and a systemd scope. Its priority is
the lowest there is: above every ordinary program, below whatever the kernel itself does in real
time. One CPU is left to the runner, which has to answer and to empty the sampler's rings while the
benchmark spins. All or nothing: where the kernel refuses, no CPU is taken away either, so that the
numbers are those of a run without `--realtime`. See sched(7).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from codspeed.launch.privilege import can_elevate_without_prompt

_PRIORITY: Final = 1
_SETTINGS: Final = Path("/proc/sys/kernel")
_LACKING: Final = (
    "it needs root, CAP_SYS_NICE or RLIMIT_RTPRIO of at least 1 (`rtprio` in limits.conf); in a "
    "container or cgroup without a real-time budget root is refused too"
)


class Realtime:
    """The state of `--realtime` in one part.

    Attributes:
        is_on: The benchmark was started in real time.
        note: What it came to, for the user and each result; empty before `begin`.
    """

    def __init__(self, *, settings: Path = _SETTINGS) -> None:
        self.is_on = False
        self.note = ""
        self._settings = settings
        self._own_cpus: set[int] | None = None

    def begin(self, pid: int) -> None:
        """Let a process that is held before its exec run in real time, if that may be."""
        if not hasattr(os, "sched_setscheduler") or not sys.platform.startswith("linux"):
            self.note = "--realtime had no effect: it exists on Linux only"
            return
        cpus = sorted(os.sched_getaffinity(0))
        share = self._throttling()
        if len(cpus) == 1 and share is None:
            self.note = (
                "--realtime had no effect: with one CPU and kernel.sched_rt_runtime_us=-1 a "
                "benchmark that spins would stop the machine"
            )
            return
        refusal = _refused(pid)
        if refusal:
            self.note = f"--realtime had no effect: {refusal}; {_LACKING}"
            return
        self.is_on = True
        kept = self._divide(pid, cpus)
        self.note = f"real time: SCHED_FIFO {_PRIORITY}, {kept}; {_holes(share)}"

    def end(self) -> None:
        """Give the runner its CPUs back."""
        if self._own_cpus is not None:
            os.sched_setaffinity(0, self._own_cpus)
            self._own_cpus = None

    def _divide(self, pid: int, cpus: list[int]) -> str:
        """Keep the first CPU for the runner; return what was done."""
        if len(cpus) == 1:
            return (
                "on the only CPU: while a benchmark spins nothing else runs, the runner included, "
                "and samples may be lost"
            )
        own, rest = cpus[0], cpus[1:]
        os.sched_setaffinity(pid, rest)
        self._own_cpus = set(cpus)
        os.sched_setaffinity(0, {own})
        return f"on CPU {_listed(rest)}, with CPU {own} left to everything else"

    def _throttling(self) -> tuple[int, int] | None:
        """Return how much of a period belongs to real time, in microseconds; None: all of it."""
        try:
            runtime = int((self._settings / "sched_rt_runtime_us").read_text())
            period = int((self._settings / "sched_rt_period_us").read_text())
        except (OSError, ValueError):
            return (950_000, 1_000_000)  # the kernel's own setting
        return None if runtime < 0 or runtime >= period else (runtime, period)


def _refused(pid: int) -> str:
    """Set the policy, with sudo's help if the kernel wants that; return why not, or nothing."""
    try:
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(_PRIORITY))
    except OSError as failure:
        if isinstance(failure, PermissionError) and _set_as_root(pid):
            return ""
        return f"the kernel refuses ({failure.strerror})"
    return ""


def _set_as_root(pid: int) -> bool:
    if os.geteuid() == 0 or not can_elevate_without_prompt():
        return False
    argv = ("sudo", "--non-interactive", "chrt", "--fifo", "--pid", str(_PRIORITY), str(pid))
    try:
        subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        return False
    return os.sched_getscheduler(pid) == os.SCHED_FIFO


def _holes(share: tuple[int, int] | None) -> str:
    if share is None:
        return "threads that spin keep their CPUs from all ordinary programs"
    runtime, period = share
    hole_ms, period_s = (period - runtime) / 1e3, period / 1e6
    return (
        f"programs that wait for the same CPU still get {hole_ms:g} ms of each {period_s:g} s "
        "(kernel.sched_rt_runtime_us), so a few rounds are longer by that"
    )


def _listed(cpus: list[int]) -> str:
    """Write neighbours as ranges: `1-3,6`."""
    ranges: list[list[int]] = []
    for cpu in cpus:
        if ranges and ranges[-1][-1] == cpu - 1:
            ranges[-1][1:] = [cpu]
        else:
            ranges.append([cpu])
    return ",".join("-".join(map(str, each)) for each in ranges)
