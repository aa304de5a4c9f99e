"""One child process in a process group of its own, held before its exec until it is released.

`os.fork` is used instead of `subprocess`, because the child must exist, be armed (perf events,
probes, terminal) and still not run a single instruction of the benchmark. Our own program has one
thread, so forking is safe (a test counts them); what the child does before its exec imports
nothing and takes no lock, so that the thread of an instrument does no harm either.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, TYPE_CHECKING, Final, NamedTuple, NoReturn, Self

from codspeed.errors import BenchmarkFailedError
from codspeed.model import Rusage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from codspeed.model import Launch

# Python ignores these; a benchmark must see what its shell would give it.
_IGNORED_BY_PYTHON: Final = ("SIGPIPE", "SIGXFSZ")
# Until its exec the child must end by these as any program does. Where they are ignored they stay
# so (nohup, or the background of a script).
_ENDING_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP")
_NOT_STARTED: Final = 127  # the shell's status for a program that was not found
_REASON_BYTES: Final = 4096
_GROUP_TIMEOUT_S: Final = 5.0
_GROUP_WAIT_S: Final = 0.000_1
_RSS_UNIT_BYTES: Final = 1 if sys.platform == "darwin" else 1024  # getrusage(2) of each system


class Child:
    """A spawned child. Leaving its context kills what is left of it and closes everything.

    Attributes:
        pid: Also the id of the process group.
        stdout: Read end of the child's standard output.
        stderr: Read end of the child's standard error.
        holds_terminal: The child's group is the terminal's foreground group.
        is_released: The program was executed.
    """

    def __init__(self, pid: int, *, stdout: int, stderr: int, go: int, failure: int) -> None:
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self.holds_terminal = False
        self.is_released = False
        self._go = go
        self._failure = failure
        self._released_ns = 0
        self._reaped: tuple[int, Rusage] | None = None

    def release(self, program: str) -> None:
        """Let the child exec.

        Raises:
            BenchmarkFailedError: If the program can't be executed.
        """
        self._released_ns = time.perf_counter_ns()
        with contextlib.suppress(BrokenPipeError):  # it was killed while it was held
            os.write(self._go, b"g")
        self._go = _closed(self._go)
        failure = os.read(self._failure, _REASON_BYTES)
        self._failure = _closed(self._failure)
        if failure:
            problem = f"failed to execute the benchmark process. {program}: {failure.decode()}"
            raise BenchmarkFailedError(
                problem, hint="check the spelling, PATH and --working-directory"
            )
        self.is_released = True

    def has_exited(self) -> bool:
        """Whether the child ended; it is not reaped."""
        if self._reaped is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def is_stopped(self) -> bool:
        """Whether the terminal stopped the child, by Ctrl-Z; tells it once for each stop.

        A SIGSTOP is no matter of the terminal: recorders hold a process by it for a moment.
        """
        try:
            stop = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG)
        except ChildProcessError:  # it ended
            return False
        return stop is not None and stop.si_status != signal.SIGSTOP

    def signal_group(self, number: int) -> None:
        """Send a signal to every process of the group; harmless when none is left."""
        if self._reaped is not None:
            return
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return
        except PermissionError:
            _signal_as_root(self.pid, number)

    def reap(self) -> tuple[int, Rusage]:
        """Wait for the end; return the status (minus the signal that ended it) and the usage."""
        if self._reaped is None:
            _pid, status, usage = os.wait4(self.pid, 0)
            wall_ns = time.perf_counter_ns() - self._released_ns if self._released_ns else 0
            self._reaped = (
                os.waitstatus_to_exitcode(status),
                Rusage(
                    wall_ns=wall_ns,
                    user_ns=round(usage.ru_utime * 1e9),
                    system_ns=round(usage.ru_stime * 1e9),
                    max_rss_bytes=usage.ru_maxrss * _RSS_UNIT_BYTES,
                    minor_faults=usage.ru_minflt,
                    major_faults=usage.ru_majflt,
                    voluntary_switches=usage.ru_nvcsw,
                    involuntary_switches=usage.ru_nivcsw,
                ),
            )
        return self._reaped

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Kill what is left if the child was not reaped, and close every descriptor."""
        if self._reaped is None:
            self.signal_group(signal.SIGKILL)
            self.reap()
        for fd in (self.stdout, self.stderr, self._go, self._failure):
            if fd >= 0:
                os.close(fd)


def _closed(fd: int) -> int:
    os.close(fd)
    return -1


def _signal_as_root(group: int, number: int) -> None:
    """Signal a group in which nothing is ours any more: a command that runs under sudo."""
    argv = ("sudo", "--non-interactive", "kill", "-s", str(number), "--", f"-{group}")
    with contextlib.suppress(OSError):
        subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def spawn(launch: Launch, environment: Mapping[str, str]) -> Child:
    """Fork a child that is held before its exec; see `Child.release`.

    Args:
        environment: The whole environment of the child; `launch.env` is set on top of it.

    Raises:
        BenchmarkFailedError: If no process can be made.
    """
    environment = {**environment, **launch.env}
    pipes = [os.pipe() for _ in range(4)]
    (stdout, stdout_write), (stderr, stderr_write), (go_read, go), (failure, failure_write) = pipes
    # Linux shares the CPU out among sessions first (autogroup). In one of its own, a benchmark with
    # dozens of busy threads leaves us enough to drain the rings of the sampler. But a session has
    # its own terminal, or none: so only where there is none to be lost, as in CI.
    is_alone = not _has_terminal()
    with _as_file(launch.stdin) as stdin:
        ends = _Ends(stdin, stdout_write, stderr_write, go_read, failure_write, go)
        try:
            pid = os.fork()
        except OSError as problem:
            for fd in (fd for pair in pipes for fd in pair):
                os.close(fd)
            text = f"failed to execute the benchmark process. {launch.argv[0]}: {problem.strerror}"
            raise BenchmarkFailedError(text, hint="too many processes, or no memory") from problem
        if pid == 0:
            _become(launch, environment, ends, is_alone=is_alone)
    for fd in (stdout_write, stderr_write, go_read, failure_write):
        os.close(fd)
    _await_group(pid, is_alone=is_alone)
    os.set_blocking(stdout, False)
    os.set_blocking(stderr, False)
    return Child(pid, stdout=stdout, stderr=stderr, go=go, failure=failure)


class _Ends(NamedTuple):
    """The child's ends of what connects it with us; no standard input: it inherits ours.

    Attributes:
        go_write: Our end, to be closed in the child: else it would not see that we died.
    """

    stdin: IO[bytes] | None
    stdout: int
    stderr: int
    go: int
    failure: int
    go_write: int


def _has_terminal() -> bool:
    """Whether this session has a terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _await_group(pid: int, *, is_alone: bool) -> None:
    """Return when the child has a process group of its own: from now on it may be killed."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if not is_alone:
            os.setpgid(pid, pid)  # in both processes: whoever comes first
        # Nobody but the child can give it a session. It may also be gone.
        end = time.monotonic() + _GROUP_TIMEOUT_S
        while os.getpgid(pid) != pid and time.monotonic() < end:
            time.sleep(_GROUP_WAIT_S)


def _become(
    launch: Launch, environment: Mapping[str, str], ends: _Ends, *, is_alone: bool
) -> NoReturn:
    """Turn the forked process into the benchmark; never returns."""
    reason = "unknown"
    try:
        _reset_signals()
        os.close(ends.go_write)
        if is_alone:
            os.setsid()
        else:
            os.setpgid(0, 0)
        if ends.stdin is not None:
            os.dup2(ends.stdin.fileno(), 0)
        os.dup2(ends.stdout, 1)
        os.dup2(ends.stderr, 2)
        if launch.cwd is not None:
            os.chdir(launch.cwd)
        if not os.read(ends.go, 1):
            os._exit(_NOT_STARTED)  # the runner died before it released us
        os.execvpe(launch.argv[0], launch.argv, environment)  # noqa: S606 - running commands is what we are for
    except OSError as problem:
        reason = os.strerror(problem.errno or 0)
    except BaseException as problem:  # noqa: BLE001 - nothing may unwind into the parent's stack
        reason = str(problem) or repr(problem)
    finally:
        os.write(ends.failure, reason.encode(errors="replace")[:_REASON_BYTES])
        os._exit(_NOT_STARTED)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for name in _IGNORED_BY_PYTHON:
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    for name in _ENDING_SIGNALS:
        number = getattr(signal, name)
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def _as_file(data: bytes | None) -> Iterator[IO[bytes] | None]:
    if data is None:
        yield None
        return
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield file


@contextlib.contextmanager
def terminal_for(child: Child) -> Iterator[None]:
    """Give the terminal on standard input to the child's group, and take it back at the end.

    Nothing happens if standard input is no terminal or we are not in its foreground.
    """
    if threading.current_thread() is not threading.main_thread() or not _is_foreground():
        yield
        return
    previous = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # else taking it back would stop us
    try:
        with contextlib.suppress(OSError):
            os.tcsetpgrp(0, child.pid)
            child.holds_terminal = True
        yield
    finally:
        with contextlib.suppress(OSError):
            os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTTOU, previous)


def suspend_with(child: Child) -> None:
    """Stop this process as the terminal stopped the child; returns when both go on.

    Else Ctrl-Z would leave the user with a terminal in which nobody listens.
    """
    with contextlib.suppress(OSError):
        os.tcsetpgrp(0, os.getpgrp())
    os.killpg(0, signal.SIGTSTP)  # not SIGSTOP: without a shell to resume us it has no effect
    with contextlib.suppress(OSError):
        os.tcsetpgrp(0, child.pid)
    child.signal_group(signal.SIGCONT)


def _is_foreground() -> bool:
    try:
        return os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
