"""One child process in a process group of its own, held before its exec until it is released.

`os.fork` is used instead of `subprocess`, because the child must exist, be armed (perf events,
probes, terminal) and still not run a single instruction of the benchmark. The runner has one
thread, so forking is safe.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
from typing import IO, TYPE_CHECKING, Final, NoReturn, Self

from codspeed.errors import BenchmarkFailedError
from codspeed.model import Rusage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from codspeed.model import Launch

# Python ignores these; a benchmark must see what its shell would give it.
_DEFAULTED_SIGNALS: Final = ("SIGPIPE", "SIGXFSZ", "SIGINT", "SIGTERM", "SIGHUP", "SIGTTOU")
_RSS_UNIT_BYTES: Final = 1 if sys.platform == "darwin" else 1024  # getrusage(2) of each system


class Child:
    """A spawned child. Leaving its context kills what is left of it and closes everything.

    Attributes:
        pid: Also the id of the process group.
        stdout: Read end of the child's standard output.
        stderr: Read end of the child's standard error.
        holds_terminal: The child's group is the terminal's foreground group.
    """

    def __init__(self, pid: int, *, stdout: int, stderr: int, go: int, failure: int) -> None:
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self.holds_terminal = False
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
        os.write(self._go, b"g")
        self._go = _closed(self._go)
        failure = os.read(self._failure, 16)
        self._failure = _closed(self._failure)
        if failure:
            reason = os.strerror(int(failure))
            problem = f"failed to execute the benchmark process. {program}: {reason}"
            raise BenchmarkFailedError(
                problem, hint="check the spelling, PATH and --working-directory"
            )

    def has_exited(self) -> bool:
        """Whether the child ended; it is not reaped."""
        if self._reaped is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def signal_group(self, number: int) -> None:
        """Send a signal to every process of the group; harmless when none is left."""
        if self._reaped is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

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


def spawn(launch: Launch, environment: Mapping[str, str]) -> Child:
    """Fork a child that is held before its exec; see `Child.release`.

    Args:
        environment: The whole environment of the child; `launch.env` is set on top of it.
    """
    environment = {**environment, **launch.env}
    stdout_read, stdout_write = os.pipe()
    stderr_read, stderr_write = os.pipe()
    go_read, go_write = os.pipe()
    failure_read, failure_write = os.pipe()
    with _as_file(launch.stdin) as stdin:
        pid = os.fork()
        if pid == 0:
            _become(launch, environment, stdin, stdout_write, stderr_write, go_read, failure_write)
    for fd in (stdout_write, stderr_write, go_read, failure_write):
        os.close(fd)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.setpgid(pid, pid)  # in both processes: whoever comes first
    os.set_blocking(stdout_read, False)
    os.set_blocking(stderr_read, False)
    return Child(pid, stdout=stdout_read, stderr=stderr_read, go=go_write, failure=failure_read)


def _become(
    launch: Launch,
    environment: Mapping[str, str],
    stdin: IO[bytes] | None,
    stdout: int,
    stderr: int,
    go: int,
    failure: int,
) -> NoReturn:
    """Turn the forked process into the benchmark; never returns."""
    error = 0
    try:
        signal.set_wakeup_fd(-1)
        for name in _DEFAULTED_SIGNALS:
            signal.signal(getattr(signal, name), signal.SIG_DFL)
        os.setpgid(0, 0)
        if stdin is not None:
            os.dup2(stdin.fileno(), 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        if launch.cwd is not None:
            os.chdir(launch.cwd)
        if not os.read(go, 1):
            os._exit(127)  # the runner died before it released us
        os.execvpe(launch.argv[0], launch.argv, environment)  # noqa: S606 - running commands is what we are for
    except OSError as problem:
        error = problem.errno or 0
    except BaseException:  # noqa: BLE001 - nothing may unwind into the parent's stack
        error = 0
    finally:
        os.write(failure, str(error).encode())
        os._exit(127)


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
    if not _is_foreground():
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


def _is_foreground() -> bool:
    try:
        return os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False
