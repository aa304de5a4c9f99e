"""A small synchronous client of the hook protocol: what our harness speaks, and tests.

One client serves one thread of one process; make another after a fork. The pipes are shared with
every other client on the machine, so only bytes of replies that are owed to us are read.

A late reply. A command that is not answered in time raises, but its reply is not lost: it stays in
the pipe and would pass for the reply to the next command, as it does in the published clients. This
client counts what it is owed, skips late replies first, and takes the one that belongs.
"""

from __future__ import annotations

import os
import select
import stat
import sys
from contextlib import ExitStack, suppress
from itertools import islice
from typing import TYPE_CHECKING, Final

from codspeed.errors import ProtocolError, ProtocolVersionError
from codspeed.hooks.codec import (
    MIN_FRAME,
    Ack,
    AddMarker,
    Command,
    CurrentBenchmark,
    Decoder,
    GetIntegrationMode,
    IntegrationModeResponse,
    SetIntegration,
    SetVersion,
    StartProfiler,
    StopProfiler,
    encode,
)
from codspeed.hooks.paths import ACK_FIFO, CTL_FIFO
from codspeed.hooks.version import RUNNER_VERSIONS, UPGRADE_RUNNER
from codspeed.model import IntegrationMode, MarkerKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from types import TracebackType
    from typing import Self

# One write(2) up to this many bytes is atomic, so that clients do not tear each other's frames.
_ATOMIC: Final[int] = getattr(select, "PIPE_BUF", 512)
_MARKERS_AT_ONCE: Final = _ATOMIC // len(encode(AddMarker(0, MarkerKind.ROUND_START, 0)))
# More than all replies to one write, and less than a lost stream could make us ask for.
_MAX_DRAIN: Final = 4096


def connect(
    expected_modes: Collection[IntegrationMode] = frozenset(IntegrationMode),
    *,
    timeout: float = 1.0,
    ctl: str | os.PathLike[str] = CTL_FIFO,
    ack: str | os.PathLike[str] = ACK_FIFO,
) -> Client | None:
    """Return a client that has shaken hands, or None if there is nobody to talk to.

    That is: the FIFOs are absent, not accessible or no FIFOs; nobody answers in `timeout` seconds
    (they are left over from a run that was killed); or the mode is none of `expected_modes`.

    Raises:
        ProtocolVersionError: If the runner refuses our protocol version.
        FramingError: If it answers with what is no frame.
    """
    fds = _opened(ctl, ack)
    if fds is None:
        return None
    with ExitStack() as stack:
        channel = _Channel(*fds, timeout=timeout)
        stack.callback(channel.close)
        mode = _shake_hands(channel)
        if mode is None or mode not in expected_modes:
            return None
        stack.pop_all()
    return Client(channel, mode)


class Client:
    """A conversation with the runner, made by `connect`.

    Every method waits for its reply and raises ProtocolError if the runner answers Err or nonsense,
    or does not answer in time. The client can be used further afterwards.

    Attributes:
        mode: What is measured.
    """

    def __init__(self, channel: _Channel, mode: IntegrationMode) -> None:
        self.mode = mode
        self._channel = channel

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close both FIFOs; there is no goodbye in the protocol."""
        self._channel.close()

    def set_integration(self, name: str, version: str) -> None:
        """Introduce the program that measures."""
        self._tell(SetIntegration(name, version))

    def start(self) -> None:
        """Open a window; what runs after the return is measured."""
        self._tell(StartProfiler())

    def stop(self) -> None:
        """Close the window."""
        self._tell(StopProfiler())

    def benchmark(self, pid: int, uri: str) -> None:
        """Name the window that was just closed."""
        self._tell(CurrentBenchmark(pid, uri))

    def marker(self, pid: int, kind: MarkerKind, timestamp: int) -> None:
        """Report one marker; `timestamp` is CLOCK_MONOTONIC in nanoseconds."""
        self._tell(AddMarker(pid, kind, timestamp))

    def add_markers(self, markers: Iterable[tuple[int, MarkerKind, int]]) -> None:
        """Report many markers, each (pid, kind, timestamp): a pipe-full in one write, then wait."""
        rest = iter(markers)
        while batch := [AddMarker(*marker) for marker in islice(rest, _MARKERS_AT_ONCE)]:
            for command, reply in zip(batch, self._channel.ask(*batch), strict=True):
                _require_ack(command, reply)

    def _tell(self, command: Command) -> None:
        (reply,) = self._channel.ask(command)
        _require_ack(command, reply)


def _require_ack(command: Command, reply: Command | None) -> None:
    if reply is None:
        problem = f"the runner did not answer {command} in time"
        raise ProtocolError(problem)
    if not isinstance(reply, Ack):
        problem = f"the runner answered {reply} to {command}"
        raise ProtocolError(problem)


def _shake_hands(channel: _Channel) -> IntegrationMode | None:
    """Announce our version and return the mode; None if the runner does not tell it."""
    version = RUNNER_VERSIONS.newest
    (reply,) = channel.ask(SetVersion(version))
    if reply is None:
        return None
    if not isinstance(reply, Ack):
        problem = f"the runner rejected protocol version {version}"
        raise ProtocolVersionError(problem, hint=UPGRADE_RUNNER)
    (reply,) = channel.ask(GetIntegrationMode())
    return reply.mode if isinstance(reply, IntegrationModeResponse) else None


# --- I/O -----------------------------------------------------------------------------------------


class _Channel:
    """Commands out, replies in; both descriptors are non-blocking and owned."""

    def __init__(self, ctl: int, ack: int, *, timeout: float) -> None:
        self._ctl = ctl
        self._ack = ack
        self._timeout = timeout  # seconds without any progress
        self._decoder = Decoder()
        self._owed = 0  # replies to what was written, late ones included

    def ask(self, *commands: Command) -> list[Command | None]:
        """Write `commands` at once and return their replies; None where none came in time."""
        replies: list[Command | None] = []
        if self._write(b"".join(map(encode, commands))):
            self._owed += len(commands)
            while self._owed and (reply := self._next()) is not None:
                self._owed -= 1
                replies.append(reply)
            late = len(replies) + self._owed - len(commands)
            replies = replies[late:]
        return replies + [None] * (len(commands) - len(replies))

    def close(self) -> None:
        """Close; late replies that are here by now are taken, or the next client meets them."""
        if self._ack < 0:
            return
        if self._owed:
            with suppress(OSError):
                os.read(self._ack, min(self._expected(), _MAX_DRAIN))
        os.close(self._ack)
        os.close(self._ctl)
        self._ack = self._ctl = -1

    def _write(self, data: bytes) -> bool:
        """Write by one write(2) where the pipe takes it; up to `_ATOMIC` bytes all or nothing."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._ctl, rest) :]
            except BlockingIOError:
                if not _is_ready(self._ctl, select.POLLOUT, self._timeout):
                    return False
        return True

    def _next(self) -> Command | None:
        """Return the next reply; None if nothing comes for `timeout`."""
        data = b""
        while True:
            for reply in self._decoder.feed(data):
                return reply  # the others stay in the decoder
            if not _is_ready(self._ack, select.POLLIN, self._timeout):
                return None
            try:
                data = os.read(self._ack, self._expected())
            except BlockingIOError:  # another client was faster
                data = b""

    def _expected(self) -> int:
        """How many bytes are surely ours: the rest of a frame, and that many more of least size."""
        return self._decoder.missing + MIN_FRAME * (self._owed - 1)


def _is_ready(fd: int, event: int, timeout: float) -> bool:
    poll = select.poll()
    poll.register(fd, event)
    return bool(poll.poll(timeout * 1000))


def _opened(ctl: str | os.PathLike[str], ack: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Return descriptors of both FIFOs, or None. Opened O_RDWR, which never waits for a peer."""
    if sys.platform == "win32":
        return None
    flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | os.O_NOFOLLOW
    with ExitStack() as stack:
        fds = []
        for path in (ctl, ack):
            try:
                fd = os.open(path, flags)
            except OSError:
                return None
            stack.callback(os.close, fd)
            if not stat.S_ISFIFO(os.fstat(fd).st_mode):
                return None
            fds.append(fd)
        stack.pop_all()
    return fds[0], fds[1]
