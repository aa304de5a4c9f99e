"""Read what `perf record` writes: files and pipes, both with or without zstd.

Records come out in order of time. A stream should say where all rings were drained
(`FINISHED_ROUND`), as perf does: without that, all of it is held in memory to be sorted. Source of
the layouts: the kernel's tools/perf/Documentation/perf.data-file-format.txt and
tools/perf/util/header.h and event.h.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING, ClassVar, Final, NoReturn

from codspeed_native.perf_decoder import HEADER, SAMPLE, Attribute, Decoder, Event
from codspeed_native.perf_records import PerfDataError, Rounds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import zstandard

    from codspeed_native.perf_decoder import Buffer
    from codspeed_native.perf_records import Record

MAGIC: Final = b"PERFILE2"

_PIPE_HEAD: Final = struct.Struct("<8sQ")
# Magic, size of the header, size of an attribute entry, sections of attributes and data.
_FILE_HEAD: Final = struct.Struct("<8sQQQQQQ")
_SECTION: Final = struct.Struct("<QQ")
_U64: Final = struct.Struct("<Q")
_U32: Final = struct.Struct("<I")

# Records of perf itself (PERF_RECORD_USER_TYPE_START is 64).
_FIRST_OF_PERF: Final = 64
_HEADER_ATTR: Final = 64
_TRACING_DATA: Final = 66
_FINISHED_ROUND: Final = 68
_AUXTRACE: Final = 71
_COMPRESSED: Final = 81
_COMPRESSED2: Final = 83

FINISHED_ROUND: Final = HEADER.pack(_FINISHED_ROUND, 0, HEADER.size)


class PerfDataTruncatedError(PerfDataError):
    """A recording ends in the middle of a record; all whole records before were handed out.

    Attributes:
        records: How many these were.
    """

    slug: ClassVar[str] = "perf-data-truncated"

    def __init__(self, problem: str, *, hint: str | None = None, records: int = 0) -> None:
        super().__init__(problem, hint=hint)
        self.records = records


def read(path: Path) -> Iterator[Record]:
    """Yield the records of a recording in order of time; the file is mapped, not read.

    Raises:
        PerfDataError: If it can't be read or understood.
        PerfDataTruncatedError: At the end, if there should have been more.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            # An empty file can't be mapped. The map closes when the last sample is gone.
            data: Buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    except (OSError, ValueError) as failure:
        problem = f"{path} can't be read: {failure}"
        raise PerfDataError(problem) from failure
    return records(data)


def records(data: Buffer) -> Iterator[Record]:
    """Yield the records of a recording in order of time. Raises as `read` does."""
    view = memoryview(data)
    if bytes(view[:8]) != MAGIC:
        problem = "this is no recording of perf (its first bytes are not PERFILE2)"
        raise PerfDataError(problem)
    if len(view) < _PIPE_HEAD.size:
        raise _truncated(0, len(view))
    if _PIPE_HEAD.unpack_from(view)[1] == _PIPE_HEAD.size:
        return _Reader([]).records(view, _PIPE_HEAD.size, len(view))
    events, start, end = _file_head(view)
    return _Reader(events).records(view, start, end)


def events(data: Buffer) -> tuple[Event, ...]:
    """Return what was recorded, without reading samples: for a pipe, up to its first sample.

    Raises:
        PerfDataError: If it can't be understood.
    """
    view = memoryview(data)
    if bytes(view[:8]) == MAGIC and len(view) >= _FILE_HEAD.size:
        if _PIPE_HEAD.unpack_from(view)[1] != _PIPE_HEAD.size:
            return tuple(_file_head(view)[0])
        return tuple(_pipe_events(view))
    problem = "this is no recording of perf, or it is cut off"
    raise PerfDataError(problem)


# --- Heads ----------------------------------------------------------------------------------------


def _file_head(view: memoryview) -> tuple[list[Event], int, int]:
    """Return the events of a file, and where its records begin and end."""
    try:
        head = _FILE_HEAD.unpack_from(view)
        _, _, entry_size, attributes_at, attributes_size, start, size = head
        if not _SECTION.size < entry_size <= attributes_size <= len(view):
            _damaged(attributes_at, "the list of events is empty or too long")
        found = []
        for at in range(attributes_at, attributes_at + attributes_size, entry_size):
            ids_at, ids_size = _SECTION.unpack_from(view, at + entry_size - _SECTION.size)
            if ids_at + ids_size > len(view):
                _damaged(at, "the ids of an event lie outside")
            ids = struct.unpack_from(f"<{ids_size // 8}Q", view, ids_at)
            raw = bytes(view[at : at + entry_size - _SECTION.size])
            found.append(Event(Attribute.parse(raw), ids))
    except (struct.error, OverflowError) as failure:
        problem = f"the head of the recording is damaged: {failure}"
        raise PerfDataError(problem, hint="record again") from failure
    # perf writes the size when it ends; killed before, all up to the end of the file are records.
    return found, start, start + size if size else len(view)


def _attribute_event(view: memoryview, at: int, end: int) -> Event:
    """Read a HEADER_ATTR record: the attribute, whose second word is its size, and its ids."""
    if end - at < HEADER.size + 8:
        _damaged(at, "an attribute is too short")
    (size,) = _U32.unpack_from(view, at + HEADER.size + 4)
    ids_at = at + HEADER.size + -(-size // 8) * 8
    if ids_at > end:
        _damaged(at, "an attribute is longer than its record")
    ids = struct.unpack_from(f"<{(end - ids_at) // 8}Q", view, ids_at)
    return Event(Attribute.parse(bytes(view[at + HEADER.size : ids_at])), ids)


def _pipe_events(view: memoryview) -> Iterator[Event]:
    at, end = _PIPE_HEAD.size, len(view)
    while at + HEADER.size <= end:
        kind, _, size = HEADER.unpack_from(view, at)
        if kind < _FIRST_OF_PERF or size < HEADER.size or at + size > end:
            return
        if kind == _HEADER_ATTR:
            yield _attribute_event(view, at, at + size)
        at += size + _trailing(view, at, kind, end)


def _trailing(view: memoryview, at: int, kind: int, end: int) -> int:
    """Return how many bytes follow a record beyond its own size."""
    if kind == _TRACING_DATA and at + 12 <= end:
        return -(-int(_U32.unpack_from(view, at + 8)[0]) // 8) * 8
    if kind == _AUXTRACE and at + 16 <= end:
        return int(_U64.unpack_from(view, at + 8)[0])
    return 0


def _damaged(at: int, why: str) -> NoReturn:
    problem = f"the recording is damaged at byte {at}: {why}"
    raise PerfDataError(problem, hint="record again")


def _truncated(count: int, at: int) -> PerfDataTruncatedError:
    problem = f"the recording is cut off after {count} records, at byte {at}"
    hint = "perf was killed or the disk was full; what was read is right"
    return PerfDataTruncatedError(problem, hint=hint, records=count)


# --- Records --------------------------------------------------------------------------------------


class _Reader:
    """Walks over records; attributes of a pipe come among them."""

    def __init__(self, known: list[Event]) -> None:
        self._events = known
        self._decoder = Decoder(known) if known else None
        self._rounds = Rounds()
        self._count = 0
        self._stream: zstandard.ZstdDecompressionObj | None = None
        self._carry = b""
        self._stopped_at = 0

    def records(self, view: memoryview, start: int, end: int) -> Iterator[Record]:
        """Yield all in order of time; whatever is wrong, first what is whole."""
        failure: PerfDataError | None = None
        try:
            for ready in self._block(view, start, min(end, len(view))):
                yield from ready
        except PerfDataError as damaged:
            failure = damaged
        yield from self._rounds.rest()
        if failure is None and (self._stopped_at < end or self._carry):
            failure = _truncated(self._count, self._stopped_at)
        if failure is not None:
            raise failure

    def _block(self, view: memoryview, at: int, end: int) -> Iterator[list[Record]]:
        """Take in whole records, yield what becomes ready, remember where it stopped."""
        found: list[Record] = []
        try:
            while at + HEADER.size <= end:
                kind, misc, size = HEADER.unpack_from(view, at)
                following = at + size
                if size < HEADER.size:
                    _damaged(at, f"a record of {size} bytes")
                if following > end:
                    break
                if kind == SAMPLE and self._decoder is not None:
                    self._count += 1
                    found.append(self._decoder.sample(view, at, following))
                elif kind < _FIRST_OF_PERF:
                    self._take(found, view, at, (kind, misc, following))
                elif kind == _FINISHED_ROUND:
                    self._rounds.add(found)
                    found = []
                    yield self._rounds.finish()
                elif kind in {_COMPRESSED, _COMPRESSED2}:
                    self._rounds.add(found)
                    found = []
                    yield from self._compressed(view, at, kind, following)
                else:
                    following += _trailing(view, at, kind, end)
                    if following > end:
                        break
                    if kind == _HEADER_ATTR and self._decoder is None:
                        self._events.append(_attribute_event(view, at, following))
                at = following
        finally:
            self._rounds.add(found)
            self._stopped_at = at

    def _take(
        self, found: list[Record], view: memoryview, at: int, header: tuple[int, int, int]
    ) -> None:
        if self._decoder is None:
            self._decoder = Decoder(self._events)
        record = self._decoder.record(view, at, *header)
        self._count += 1
        if record is not None:
            found.append(record)

    def _compressed(self, view: memoryview, at: int, kind: int, end: int) -> Iterator[list[Record]]:
        """Take in the records of a part of the zstd stream; one may reach into the next part."""
        payload = view[at + HEADER.size : end]
        if kind == _COMPRESSED2:
            if len(payload) < _U64.size:
                _damaged(at, "a compressed record is too short")
            (size,) = _U64.unpack_from(payload)
            payload = payload[_U64.size : _U64.size + size]
        block = memoryview(self._carry + self._decompressed(payload, at))
        self._carry = b""
        yield from self._block(block, 0, len(block))
        self._carry = bytes(block[self._stopped_at :])

    def _decompressed(self, payload: memoryview, at: int) -> bytes:
        import zstandard  # noqa: PLC0415 - few recordings are compressed

        if self._stream is None:
            self._stream = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)
        try:
            return self._stream.decompress(payload)
        except zstandard.ZstdError as failure:
            problem = f"the recording is damaged at byte {at}: {failure}"
            raise PerfDataError(problem, hint="record again") from failure
