"""The reference's `MemtrackArtifact`: events as MessagePack maps in zstd frames.

Byte-compatible with spec/executors.md 4.5 and 7. `encode` is the plain twin of native/encode.h.
"""

from __future__ import annotations

import io
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any, Final, Self

import msgpack
import zstandard

from codspeed_memory.raw import Event, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIX: Final = ".MemtrackArtifact.msgpack"
FRAME_EVENTS: Final = 64 * 1024
_LEVEL: Final = -5
_READ_BYTES: Final = 1 << 20
_MOST_WORKERS: Final = 4

_NAMES: Final = {
    Kind.MALLOC: "Malloc",
    Kind.FREE: "Free",
    Kind.REALLOC: "Realloc",
    Kind.CALLOC: "Calloc",
    Kind.ALIGNED: "AlignedAlloc",
    Kind.MMAP: "Mmap",
    Kind.MUNMAP: "Munmap",
}
_KINDS: Final = {name: kind for kind, name in _NAMES.items()} | {"Brk": Kind.MMAP}


def encode(event: Event) -> bytes:
    """Return one event as the reference writes it; empty for what it does not know."""
    kind = event.kind
    if kind == Kind.REALLOC_FAILED and not event.size:
        kind = Kind.FREE  # to zero bytes: the block is gone
    name = _NAMES.get(Kind(kind))
    if name is None:
        return b""
    plain: dict[str, Any] = {
        "pid": event.pid,
        "tid": event.tid,
        "timestamp": event.ns,
        "addr": event.address,
        "type": name,
    }
    if kind == Kind.REALLOC:
        plain["old_addr"] = event.aux
    if kind != Kind.FREE:
        plain["size"] = event.size
    packed: bytes = msgpack.packb(plain)
    return packed


class FrameWriter:
    """Compresses encoded events, `FRAME_EVENTS` in a frame, on all processors.

    Used when the benchmark has ended: threads would disturb it, and the forks of the runner.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._frame = bytearray()
        self._events = 0
        self._frames = 0
        self._workers = min(_MOST_WORKERS, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(self._workers)
        self._pending: deque[Future[bytes]] = deque()

    @property
    def room(self) -> int:
        """How many events the frame still takes."""
        return FRAME_EVENTS - self._events

    def add(self, encoded: bytes | memoryview, events: int) -> None:
        """Add `events`, not more than there is room for."""
        self._frame += encoded
        self._events += events
        if self._events == FRAME_EVENTS:
            self._flush()

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the last frame and the threads; an empty artifact is one frame with nothing in it."""
        with self._pool:
            if kind is not None:
                return
            if self._events or not self._frames:
                self._flush()
            self._write(keep=0)

    def _flush(self) -> None:
        self._pending.append(self._pool.submit(_compressed, self._frame))
        self._frame = bytearray()
        self._events = 0
        self._frames += 1
        self._write(keep=self._workers)  # a few megabytes each: not all of them wait in memory

    def _write(self, *, keep: int) -> None:
        while len(self._pending) > keep:
            self._file.write(self._pending.popleft().result())


def _compressed(frame: bytearray) -> bytes:
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=False)
    return compressor.compress(frame)


def read(path: Path) -> Iterator[Event]:
    """Yield the events of an artifact of any reference version; stops quietly at its end.

    Raises:
        OSError: If it can't be read.
    """
    with path.open("rb") as file:
        unpacker = msgpack.Unpacker(max_buffer_size=0)
        try:
            for data in _decompressed(file):
                unpacker.feed(data)
                yield from map(_event, unpacker)
        except (zstandard.ZstdError, ValueError, KeyError, TypeError, msgpack.UnpackException):
            return


def _decompressed(file: IO[bytes]) -> Iterator[bytes]:
    """Yield plain MessagePack; before memtrack 1.1.0 it was not compressed."""
    magic = file.read(4)
    file.seek(0)
    source: Any = file
    if magic == zstandard.FRAME_HEADER:
        decompressor = zstandard.ZstdDecompressor()
        source = io.BufferedReader(
            decompressor.stream_reader(file, read_across_frames=True, closefd=False)
        )
    while data := source.read(_READ_BYTES):
        yield data


def _event(plain: Any) -> Event:
    return Event(
        ns=plain["timestamp"],
        address=plain["addr"],
        size=plain.get("size", 0),
        aux=plain.get("old_addr", 0),
        pid=plain["pid"],
        tid=plain["tid"],
        kind=_KINDS[plain["type"]],
        window=0,
    )
