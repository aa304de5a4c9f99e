"""Cut the byte stream of a FIFO into commands, and commands into bytes. No I/O here.

A frame is a u32 payload length and the payload; a payload is bincode 1: u32 tag, then the fields in
order, fixed-width little endian, a string as u64 byte length and UTF-8. Source: docs/protocol.md.

The stream has no mark to find a frame's start by. Once one frame is wrong, nothing behind it can be
trusted: a decoder that lost its place stays lost.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs

from codspeed.errors import FramingError
from codspeed.model import IntegrationMode, MarkerKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Payload sizes in bytes. The smallest is a tag alone, the largest is the reference's limit.
MIN_PAYLOAD: Final = 4
MAX_PAYLOAD: Final = 8 * 1024 * 1024
# A length and a tag: no frame is shorter.
MIN_FRAME: Final = 8

# How much of a lost stream goes into the log, in bytes.
_SHOWN: Final = 1024


# --- Commands, in the order of their tags --------------------------------------------------------


@attrs.frozen
class CurrentBenchmark:
    """Name the benchmark that was just measured (clients call it ExecutedBenchmark)."""

    pid: int
    uri: str


@attrs.frozen
class StartProfiler:
    """Open a window."""


@attrs.frozen
class StopProfiler:
    """Close the window."""


@attrs.frozen
class Ack:
    """Reply: done."""


@attrs.frozen
class PingProfiler:
    """Ask whether somebody serves the FIFO; the handshake of generations 0 and 1."""


@attrs.frozen
class SetIntegration:
    """Introduce the integration."""

    name: str
    version: str


@attrs.frozen
class Err:
    """Reply: refused or out of place."""


@attrs.frozen
class AddMarker:
    """Put a mark on the time line; `timestamp` is CLOCK_MONOTONIC in nanoseconds."""

    pid: int
    kind: MarkerKind
    timestamp: int


@attrs.frozen
class SetVersion:
    """Announce the protocol version that the integration speaks."""

    version: int


@attrs.frozen
class GetIntegrationMode:
    """Ask what is measured."""


@attrs.frozen
class IntegrationModeResponse:
    """Reply to `GetIntegrationMode`."""

    mode: IntegrationMode


Command: TypeAlias = (
    CurrentBenchmark
    | StartProfiler
    | StopProfiler
    | Ack
    | PingProfiler
    | SetIntegration
    | Err
    | AddMarker
    | SetVersion
    | GetIntegrationMode
    | IntegrationModeResponse
)

# --- The wire: payload layouts -------------------------------------------------------------------

_LENGTH: Final = struct.Struct("<I")
_HEAD: Final = struct.Struct("<II")  # payload length, tag
_PID_TEXT: Final = struct.Struct("<IiQ")  # tag, pid, byte length of the text behind it
_TEXT: Final = struct.Struct("<Q")
_MARKER: Final = struct.Struct("<IiIQ")  # tag, pid, kind, timestamp
_VERSION: Final = struct.Struct("<IQ")  # tag, version
_MODE: Final = struct.Struct("<II")  # tag, mode

# Commands without fields are values: one of each is enough.
_BARE: Final[Mapping[int, Command]] = {
    1: StartProfiler(),
    2: StopProfiler(),
    3: Ack(),
    4: PingProfiler(),
    6: Err(),
    9: GetIntegrationMode(),
}


def _text(payload: bytes, at: int) -> tuple[str, int]:
    """Return the string at `at` and the offset behind it."""
    (length,) = _TEXT.unpack_from(payload, at)
    start, end = at + _TEXT.size, at + _TEXT.size + length
    if end > len(payload):
        msg = f"a string of {length} bytes in the {len(payload) - start} that are left"
        raise ValueError(msg)
    return payload[start:end].decode(), end


def _read_benchmark(payload: bytes) -> Command:
    _tag, pid, _length = _PID_TEXT.unpack_from(payload)
    uri, _end = _text(payload, 8)
    return CurrentBenchmark(pid, uri)


def _read_integration(payload: bytes) -> Command:
    name, end = _text(payload, 4)
    version, _end = _text(payload, end)
    return SetIntegration(name, version)


# Half of the time that an enum's own lookup takes; markers are the frames that count.
_MARKER_KINDS: Final = {int(kind): kind for kind in MarkerKind}


def _read_marker(payload: bytes) -> Command:
    _tag, pid, kind, timestamp = _MARKER.unpack_from(payload)
    known = _MARKER_KINDS.get(kind)
    return AddMarker(pid, MarkerKind(kind) if known is None else known, timestamp)


def _read_version(payload: bytes) -> Command:
    return SetVersion(_VERSION.unpack_from(payload)[1])


def _read_mode(payload: bytes) -> Command:
    return IntegrationModeResponse(IntegrationMode(_MODE.unpack_from(payload)[1]))


_READERS: Final[Mapping[int, Callable[[bytes], Command]]] = {
    0: _read_benchmark,
    5: _read_integration,
    7: _read_marker,
    8: _read_version,
    10: _read_mode,
}


_KNOWN: Final = frozenset({-1, *_BARE, *_READERS})


def _encoded(text: str) -> bytes:
    data = text.encode()
    return _TEXT.pack(len(data)) + data


_FIXED: Final[Mapping[type[Command], bytes]] = {
    type(command): _HEAD.pack(MIN_PAYLOAD, tag) for tag, command in _BARE.items()
}


def _payload(command: Command) -> bytes:
    match command:
        case AddMarker():
            return _MARKER.pack(7, command.pid, command.kind, command.timestamp)
        case CurrentBenchmark():
            uri = command.uri.encode()
            return _PID_TEXT.pack(0, command.pid, len(uri)) + uri
        case SetIntegration():
            return _LENGTH.pack(5) + _encoded(command.name) + _encoded(command.version)
        case SetVersion():
            return _VERSION.pack(8, command.version)
        case IntegrationModeResponse():
            return _MODE.pack(10, command.mode)
        case _:
            msg = f"{command!r} is no command"
            raise TypeError(msg)


def encode(command: Command) -> bytes:
    """Return the frame of `command`, length prefix included.

    Raises:
        ValueError: If a number does not fit its field, a text is no Unicode (a lone surrogate) or
            the payload is larger than `MAX_PAYLOAD`.
        TypeError: If `command` is none.
    """
    fixed = _FIXED.get(type(command))
    if fixed is not None:
        return fixed
    try:
        payload = _payload(command)
    except struct.error as error:
        msg = f"{command} does not fit its frame: {error}"
        raise ValueError(msg) from error
    if len(payload) > MAX_PAYLOAD:
        msg = f"a payload of {len(payload)} bytes; at most {MAX_PAYLOAD} are allowed"
        raise ValueError(msg)
    return _LENGTH.pack(len(payload)) + payload


# --- The stream ----------------------------------------------------------------------------------


class Decoder:
    """Commands out of bytes that arrive in pieces of any size."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Command]:
        """Take `data` and yield the commands that are whole now, maybe none.

        The bytes are taken by the call itself, frames are cut while the caller iterates: all good
        frames come out before the error of a bad one behind them. Commands that were not asked for
        stay and come first the next time. The bad frame stays too: feeding again raises again.

        Raises:
            FramingError: If the stream is lost: a length outside 4 B to 8 MiB, an unknown tag, a
                payload too short for its command, text that is not UTF-8, an unknown marker or
                mode. Bytes behind a complete command inside its frame are tolerated.
        """
        self._buffer += data
        return self._commands()

    @property
    def pending(self) -> bytes:
        """The bytes of a frame that is not complete, or is bad; empty between frames."""
        return bytes(self._buffer)

    @property
    def missing(self) -> int:
        """How many more bytes are surely part of the current frame; at least 1."""
        if len(self._buffer) < _LENGTH.size:
            return MIN_FRAME - len(self._buffer)
        (length,) = _LENGTH.unpack_from(self._buffer)
        return int(_LENGTH.size + length - len(self._buffer))

    def stalled(self, seconds: float) -> FramingError:
        """Return the error for a `pending` frame that was not completed within `seconds`."""
        return self._error(f"a frame stayed incomplete for {seconds:g} s")

    def _commands(self) -> Iterator[Command]:
        buffer = self._buffer
        while len(buffer) >= _LENGTH.size:
            try:
                end, tag = _frame_end(buffer)
                if end > len(buffer):
                    return
                command = _command(tag, bytes(buffer[_LENGTH.size : end]))
            except ValueError as error:
                raise self._error(str(error)) from error
            del buffer[:end]
            yield command

    def _error(self, problem: str) -> FramingError:
        return FramingError(
            f"the byte stream on the FIFO is broken: {problem}",
            hint=(
                "two processes that report at once do this: run the benchmarks serially"
                " (pytest: -n0)"
            ),
            offending=self._buffer[:_SHOWN].hex(),
        )


def _frame_end(buffer: bytearray) -> tuple[int, int]:
    """Return where the first frame ends and its tag; both are checked as early as possible.

    The tag is -1 while it has not arrived.
    """
    if len(buffer) >= MIN_FRAME:
        length, tag = _HEAD.unpack_from(buffer)
    else:
        (length,), tag = _LENGTH.unpack_from(buffer), -1
    if not MIN_PAYLOAD <= length <= MAX_PAYLOAD:
        msg = f"a length of {length} bytes (possible are {MIN_PAYLOAD} to {MAX_PAYLOAD})"
        raise ValueError(msg)
    if tag not in _KNOWN:
        msg = f"unknown tag {tag}"
        raise ValueError(msg)
    return length + _LENGTH.size, tag


def _command(tag: int, payload: bytes) -> Command:
    bare = _BARE.get(tag)
    if bare is not None:
        return bare
    try:
        return _READERS[tag](payload)
    except (struct.error, ValueError) as error:
        msg = f"the payload does not fit tag {tag}: {error}"
        raise ValueError(msg) from error
