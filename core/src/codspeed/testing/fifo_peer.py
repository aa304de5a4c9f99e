"""One end of the hook protocol, played by a script: a client against a real session, or a runner.

As a client it speaks like the published ones (two writes a frame, blocking until the reply) and
also as they never should: torn frames, garbage, silence. As a runner it answers from a thread.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from typing import TYPE_CHECKING, Final

from codspeed.hooks.codec import (
    Ack,
    AddMarker,
    Command,
    CurrentBenchmark,
    Decoder,
    GetIntegrationMode,
    IntegrationModeResponse,
    PingProfiler,
    SetIntegration,
    SetVersion,
    StartProfiler,
    StopProfiler,
    encode,
)
from codspeed.model import IntegrationMode, MarkerKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Self

# What a client of each protocol generation says first (docs/protocol.md, "Generations").
HANDSHAKES: Final[Mapping[int, tuple[Command, ...]]] = {
    0: (PingProfiler(),),
    1: (PingProfiler(), SetVersion(1)),
    2: (SetVersion(2), GetIntegrationMode()),
}

_READ_BYTES: Final = 65536


def make_fifos(folder: Path) -> tuple[Path, Path]:
    """Create a control and an acknowledge FIFO in `folder`; return their paths in this order."""
    paths = folder / "ctl.fifo", folder / "ack.fifo"
    for path in paths:
        os.mkfifo(path, 0o600)
    return paths


class FifoPeer:
    """A client that says what it is told to. A context manager; opens the FIFOs when entered."""

    def __init__(self, ctl: Path, ack: Path, *, timeout: float = 5.0) -> None:
        """Wait at most `timeout` seconds for the FIFOs to appear, and as long for each reply."""
        self._paths = ctl, ack
        self._timeout = timeout
        self._decoder = Decoder()
        self._ctl = self._ack = -1

    def __enter__(self) -> Self:
        deadline = time.monotonic() + self._timeout
        self._ctl, self._ack = (_open_when_there(path, deadline) for path in self._paths)
        return self

    def __exit__(self, *_exception: object) -> None:
        os.close(self._ctl)
        os.close(self._ack)

    def say(self, *commands: Command) -> list[Command]:
        """Send each command as real clients do, in two writes, and return the replies."""
        replies = []
        for command in commands:
            frame = encode(command)
            self.put(frame[:4], frame[4:])
            replies.append(self.reply())
        return replies

    def put(self, *pieces: bytes) -> None:
        """Send raw bytes, one write(2) a piece; nothing is waited for."""
        for piece in pieces:
            os.write(self._ctl, piece)

    def reply(self) -> Command:
        """Wait for one frame of the runner and return it.

        Raises:
            TimeoutError: If none comes in time.
        """
        data = b""
        while True:
            for command in self._decoder.feed(data):
                return command
            if not select.select([self._ack], [], [], self._timeout)[0]:
                msg = f"no reply within {self._timeout:g} s"
                raise TimeoutError(msg)
            data = os.read(self._ack, _READ_BYTES)

    def greet(self, generation: int, name: str = "peer", version: str = "1.0.0") -> list[Command]:
        """Shake hands as a client of `generation` (0, 1 or 2) does, and introduce itself."""
        return self.say(*HANDSHAKES[generation], SetIntegration(name, version))

    def run_benchmark(self, pid: int, uri: str, rounds: Sequence[tuple[int, int]] = ()) -> None:
        """Report one benchmark: Start, rounds as (start, end) in nanoseconds, Stop, its name."""
        kinds = MarkerKind.ROUND_START, MarkerKind.ROUND_END
        marks = [
            AddMarker(pid, kind, timestamp)
            for pair in rounds
            for kind, timestamp in zip(kinds, pair, strict=True)
        ]
        self.say(StartProfiler(), *marks, StopProfiler(), CurrentBenchmark(pid, uri))


def polite(mode: IntegrationMode) -> Callable[[Command], bytes]:
    """Return an answer for `serving` that agrees to everything and measures in `mode`."""

    def answer(command: Command) -> bytes:
        is_question = isinstance(command, GetIntegrationMode)
        return encode(IntegrationModeResponse(mode) if is_question else Ack())

    return answer


@contextlib.contextmanager
def serving(ctl: Path, ack: Path, answer: Callable[[Command], bytes]) -> Iterator[list[Command]]:
    """Play the runner in a thread: write `answer(command)` for each command; b"" stays silent.

    Yields:
        The commands that have arrived, in order; grows while the context is open.
    """
    seen: list[Command] = []
    stop_reader, stop_writer = os.pipe()
    fds = [os.open(path, os.O_RDWR) for path in (ctl, ack)]
    thread = threading.Thread(target=_serve, args=(*fds, stop_reader, answer, seen), daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        os.close(stop_writer)
        thread.join()
        for fd in (*fds, stop_reader):
            os.close(fd)


def _serve(
    ctl: int, ack: int, stop: int, answer: Callable[[Command], bytes], seen: list[Command]
) -> None:
    decoder = Decoder()
    while True:
        ready = select.select([ctl, stop], [], [])[0]
        if ctl not in ready:
            return
        for command in decoder.feed(os.read(ctl, _READ_BYTES)):
            seen.append(command)
            os.write(ack, answer(command))


def _open_when_there(path: Path, deadline: float) -> int:
    while True:
        try:
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
