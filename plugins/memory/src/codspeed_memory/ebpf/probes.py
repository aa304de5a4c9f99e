"""The runner's end of the worker: start it, say whom to follow, switch, and take the counters."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Self

import attrs

from codspeed.errors import Refused, ToolError
from codspeed_memory.ebpf import layout
from codspeed_memory.ebpf.maps import RING_BYTES
from codspeed_memory.ebpf.syscalls import ProbesRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_MESSAGE_BYTES: Final = 1 << 20
_START_S: Final = 60.0
# -I: nothing of the user's working directory or variables is imported with root's rights.
_WORKER: Final = (sys.executable, "-I", "-m", "codspeed_memory.ebpf.worker")
_STOP_S: Final = 120.0
# What is counted besides events.
_TOLD: Final = {
    "unfollowed": "{} threads or processes could not be followed: their allocations are missing",
    "unasked": "{} files were mapped that nobody could look at: allocations may be missing",
}
_LOST: Final = "the process that has the probes has ended"


@attrs.frozen
class Finished:
    """What the worker says at the end.

    Attributes:
        dropped: Events that were lost, and whatever else makes the figures too low.
        gaps: Sentences about programs of which nothing was seen.
    """

    dropped: int
    gaps: tuple[str, ...]


@attrs.frozen
class Limits:
    """What a run may use.

    Attributes:
        form: One of `handlers.Form`; the best that works if empty.
        ring_bytes: Of the kernel's ring, a power of two.
        threads: How many can be followed at one time.
    """

    form: str = ""
    ring_bytes: int = RING_BYTES
    threads: int = layout.THREADS


class Probes:
    """One run's probes; all are gone when its context has ended."""

    def __init__(
        self,
        file: IO[bytes],
        *,
        is_alone: bool,
        limits: Limits | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        """Take where events go, as `layout` has them.

        Args:
            is_alone: No shim records beside them.
            limits: What the worker may use, for tests.
            prefix: What gives the worker root's rights; see `rights`.
        """
        self._prefix = prefix
        self._file = file
        self._options = {"alone": is_alone, **attrs.asdict(limits or Limits())}
        self._stack = contextlib.ExitStack()
        self._root = 0
        self._control: mmap.mmap | None = None
        self.form = ""

    def __enter__(self) -> Self:
        """Start the worker.

        Raises:
            ProbesRefusedError: If the kernel does not let us.
        """
        with contextlib.ExitStack() as stack:
            self._worker, self._peer = stack.enter_context(_started(self._prefix))
            self._peer.settimeout(_START_S)
            options = json.dumps(self._options).encode()
            with contextlib.suppress(OSError):  # it is gone: it has not said why
                socket.send_fds(self._peer, [options], [self._file.fileno()])
            self._accept(stack)
            self._stack = stack.pop_all()
        return self

    def _accept(self, stack: contextlib.ExitStack) -> None:
        data, fds, _, _ = socket.recv_fds(self._peer, _MESSAGE_BYTES, 1)
        message = json.loads(data) if data else {"failed": _LOST}
        if "failed" in message:
            raise ProbesRefusedError(message["failed"], hint="use --memory-backend shim")
        self.form = message["ready"]
        try:
            self._control = stack.enter_context(mmap.mmap(fds[0], mmap.PAGESIZE))
        finally:
            for fd in fds:
                os.close(fd)

    def __exit__(self, *exc: object) -> None:
        """Let the worker go; it continues what is stopped."""
        self._stack.__exit__(None, None, None)

    def follow(self, pid: int, *, is_silent: bool) -> None:
        """Record a process and all that it starts; a silent one itself is left out.

        Raises:
            Refused: If the worker is gone.
        """
        self._root = pid
        self._asked({"do": "follow", "pid": pid, "silent": is_silent})

    def enable(self, window: int) -> int:
        """Record from now on; return when that was (CLOCK_MONOTONIC, ns).

        Raises:
            Refused: If the worker is gone.
        """
        if self._control is None or self._worker.poll() is not None:
            raise Refused(_LOST, hint="was it killed?")
        began = time.monotonic_ns()
        struct.pack_into("<I", self._control, layout.LATEST, window)
        struct.pack_into("<I", self._control, layout.ENABLED, window)
        return began

    def disable(self) -> int:
        """Record no longer; return when that was."""
        if self._control is not None:
            struct.pack_into("<I", self._control, layout.ENABLED, 0)
        return time.monotonic_ns()

    def finish(self) -> Finished:
        """Remove the probes; return what was missed.

        Raises:
            ToolError: If the worker is gone, or what it recorded can't be trusted.
        """
        self.disable()
        self._peer.settimeout(_STOP_S)
        try:
            answer = self._asked({"do": "finish"})
        except Refused as failure:
            self._continue()
            raise ToolError(failure.problem, hint=failure.hint) from failure
        if answer["failed"]:
            problem = f"allocation events could not be stored: {answer['failed']}"
            raise ToolError(problem, hint="free space, or name another folder")
        counters = answer["counters"]
        gaps = [text.format(counters[name]) for name, text in _TOLD.items() if counters[name]]
        return Finished(sum(counters.values()), (*answer["gaps"], *gaps))

    def _continue(self) -> None:
        """The worker was killed: it may have left processes stopped."""
        if self._root:
            with contextlib.suppress(OSError):
                os.killpg(self._root, signal.SIGCONT)

    def _asked(self, message: Mapping[str, object]) -> dict[str, Any]:
        try:
            self._peer.send(json.dumps(message).encode())
            data = self._peer.recv(_MESSAGE_BYTES)
        except OSError:
            data = b""
        if not data:
            raise Refused(_LOST, hint="was it killed?")
        answer: dict[str, Any] = json.loads(data)
        return answer


@contextlib.contextmanager
def _started(prefix: Sequence[str]) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """Run the worker; it ends when it does not hear us any more.

    Raises:
        ProbesRefusedError: If it does not come to life.
    """
    with contextlib.ExitStack() as stack:
        with (
            tempfile.TemporaryDirectory(prefix="codspeed-probes-") as folder,
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server,
        ):
            path = str(Path(folder) / "socket")
            server.bind(path)
            server.listen(1)
            # A session of its own: Ctrl-C is for the benchmark.
            worker = subprocess.Popen(
                [*prefix, *_WORKER, path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            stack.callback(worker.wait)
            peer = stack.enter_context(_connected(server, worker))
        yield worker, peer


def _connected(server: socket.socket, worker: subprocess.Popen[bytes]) -> socket.socket:
    """Wait for the worker, or for its end; take nobody else."""
    pidfd = os.pidfd_open(worker.pid)
    try:
        ready = select.select([server.fileno(), pidfd], [], [], _START_S)[0]
    finally:
        os.close(pidfd)
    if server.fileno() not in ready:
        worker.terminate()
        problem = "the process for the probes does not start"
        raise ProbesRefusedError(problem, hint="use --memory-backend shim")
    peer = server.accept()[0]
    _pid, uid, _gid = struct.unpack(
        "iII", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    )
    if uid not in {0, os.geteuid()}:
        peer.close()
        problem = f"somebody else (uid {uid}) answered in place of the process for the probes"
        raise ProbesRefusedError(problem)
    return peer
