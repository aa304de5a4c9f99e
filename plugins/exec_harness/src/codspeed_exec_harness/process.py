"""One round: start the command, wait for its end, and ask the kernel what it cost.

The clock runs from immediately before posix_spawn to the end of the wait. (The reference starts it
after the spawn, so a program that is quicker than the return of fork has no time at all: a
deliberate difference.) Everything else here happens outside of these two readings.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codspeed.errors import BenchmarkFailedError
from codspeed_exec_harness.loop import Round

if TYPE_CHECKING:
    from collections.abc import Mapping
    from resource import struct_rusage

    from codspeed.model import Launch
    from codspeed_exec_harness.interrupt import Interrupt

_NODE_OPTION: Final = "--perf-basic-prof"
_SUDO: Final = ("sudo", "--non-interactive", "--preserve-env")

# ru_maxrss is in kilobytes, on macOS in bytes.
_RSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024

# Linux counts resident pages per CPU and adds them up now and then; off by 0.3 MB on 2 CPUs.
_RSS_BLUR: Final = 1 << 20

_REASONS: Final = {
    errno.ENOENT: "no such program, or the interpreter in its #! line does not exist",
    errno.ENOEXEC: "neither an executable of this machine nor a script with a #! line",
}


class Process:
    """A command that is ready to be run again and again; `run` is one round."""

    def __init__(
        self, launch: Launch, environment: Mapping[str, str], interrupt: Interrupt
    ) -> None:
        """Find the program; relative paths are seen from the current folder.

        Raises:
            BenchmarkFailedError: If there is no such program.
        """
        argv = _resolved(launch, environment.get("PATH"))
        self._label = launch.argv[0]
        self._path = os.fsencode(argv[0])
        self._argv = tuple(os.fsencode(word) for word in argv)
        if not launch.sudo:
            # A program may look at the name by which it was called.
            self._argv = (os.fsencode(launch.argv[0]), *self._argv[1:])
        self._environment = {
            os.fsencode(name): os.fsencode(value) for name, value in environment.items()
        }
        self._interrupt = interrupt
        # Python ignores these; the command must not inherit that.
        self._signals = [
            getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)
        ]
        self._can_wait_without_reaping = hasattr(os, "waitid")  # on macOS from Python 3.13
        self._has_schedstat = Path("/proc/self/schedstat").exists()

    def run(self) -> Round:
        """Run the command once.

        Raises:
            BenchmarkFailedError: If it can't be started, or ends with a status other than 0.
            InterruptedRunError: If a signal came meanwhile.
        """
        clock = time.perf_counter_ns
        interrupt = self._interrupt
        interrupt.check()
        try:
            start_ns = clock()
            pid = os.posix_spawn(self._path, self._argv, self._environment, setsigdef=self._signals)
        except (OSError, ValueError) as error:  # ValueError: a variable's name holds "="
            raise self._not_started(error) from error
        interrupt.child = pid
        if not self._can_wait_without_reaping:
            _, status, usage = os.wait4(pid, 0)
            end_ns = clock()
            interrupt.child = 0
            return self._finished(start_ns, end_ns, None, status, usage)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        end_ns = clock()
        # The process is a zombie now: its files in /proc are final, its id still its own.
        queue_ns = _queue_ns(pid) if self._has_schedstat else None
        interrupt.child = 0
        _, status, usage = os.wait4(pid, 0)
        return self._finished(start_ns, end_ns, queue_ns, status, usage)

    def _finished(
        self, start_ns: int, end_ns: int, queue_ns: int | None, status: int, usage: struct_rusage
    ) -> Round:
        self._interrupt.check()
        if status:
            problem = f"Command exited with non-zero status: {status_text(status)}"
            raise BenchmarkFailedError(problem)
        return Round(
            start_ns,
            end_ns,
            round((usage.ru_utime + usage.ru_stime) * 1e9),
            queue_ns,
            usage.ru_nvcsw,
            usage.ru_nivcsw,
            usage.ru_maxrss * _RSS_UNIT,
        )

    def _not_started(self, error: OSError | ValueError) -> BenchmarkFailedError:
        reason = str(error)
        if isinstance(error, OSError):
            reason = _REASONS.get(error.errno or 0, error.strerror or reason)
        return BenchmarkFailedError(f"Cannot start '{self._label}': {reason}")


def child_environment(
    launch: Launch, inherited: Mapping[str, str], *, profile_node: bool
) -> dict[str, str]:
    """Return the variables of the command: its own on top of the inherited ones.

    Args:
        launch: The command.
        inherited: The harness's own environment.
        profile_node: Ask Node.js for a perf map (spec/executors.md 6.7).
    """
    environment = {**inherited, **launch.env}
    words = environment.get("NODE_OPTIONS", "").split()
    if profile_node and _NODE_OPTION not in words:
        environment["NODE_OPTIONS"] = " ".join((*words, _NODE_OPTION))
    return environment


def status_text(status: int) -> str:
    """Return a wait status in the reference's words: `exit status: 3`, `signal: 9 (SIGKILL)`."""
    if not os.WIFSIGNALED(status):
        return f"exit status: {os.WEXITSTATUS(status)}"
    number = os.WTERMSIG(status)
    name = ""
    with suppress(ValueError):  # real-time signals have no name
        name = f" ({signal.Signals(number).name})"
    return f"signal: {number}{name}{' (core dumped)' if os.WCOREDUMP(status) else ''}"


def max_rss_floor() -> int:
    """Return the `max_rss_bytes` up to which a round may show our memory instead of its own; or 0.

    posix_spawn shares the harness's memory until the exec, and Linux counts that as the child's.
    """
    with suppress(OSError):
        status = Path("/proc/self/status").read_bytes()
        for line in status.splitlines():
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024 + _RSS_BLUR
    return 0


def _resolved(launch: Launch, search_path: str | None) -> tuple[str, ...]:
    """Return the command with its program, and sudo if needed, looked up on PATH."""
    program = _found(launch.argv[0], search_path)
    if not launch.sudo or os.geteuid() == 0:
        return (program, *launch.argv[1:])
    return (_found(_SUDO[0], search_path), *_SUDO[1:], program, *launch.argv[1:])


def _found(program: str, search_path: str | None) -> str:
    if os.sep in program:
        return program
    found = shutil.which(program, path=search_path)
    if found is None:
        problem = f"Cannot start '{program}': no such program on PATH"
        raise BenchmarkFailedError(problem, hint="check the spelling, or give the program's path")
    return found


def _queue_ns(pid: int) -> int | None:
    """Return the run-queue time of the main thread, the second number of schedstat."""
    try:
        descriptor = os.open(f"/proc/{pid}/schedstat", os.O_RDONLY)
    except OSError:  # hidden from us, as with hidepid
        return None
    try:
        return int(os.read(descriptor, 128).split()[1])
    except (OSError, IndexError, ValueError):
        return None
    finally:
        os.close(descriptor)
