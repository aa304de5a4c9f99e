"""Write perf's pipe format (`perf.pipedata`): what `perf record -o -` writes, from our own ring.

16 bytes of header, the attribute of the samples, then records, compressed as perf does it with
`--compression-level`. Layouts: tools/perf/util/header.h and event.h of Linux.
"""

from __future__ import annotations

import collections
import struct
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import zstandard

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC: Final = struct.pack("<8sQ", b"PERFILE2", 16)
_HEADER: Final = struct.Struct("<IHH")
_COUNT: Final = struct.Struct("<Q")
_LOST, _COMM, _FORK, _SAMPLE, _MMAP2, _LOST_SAMPLES = 2, 3, 7, 9, 10, 13
_ATTRIBUTE, _FINISHED_ROUND, _FEATURE, _COMPRESSED = 64, 68, 80, 81
_COMPRESSION: Final = 27  # HEADER_COMPRESSED: version, type (1 is zstd), level, ratio, buffer bytes

# In samples of perf_event.SAMPLE_TYPE, behind header, ip, pid, tid and time: the chain, registers,
# then the stack.
_CHAIN_AT: Final = 32
_PROTECTION_AT: Final = 64  # of MMAP2: header, pid, tid, address, length, offset, 24 bytes of file
_EXECUTABLE: Final = 4
_SIDE_BAND_BYTES: Final = 32 << 20
_TRAILER_BYTES: Final = 16  # of other records: pid, tid and time
_LEVEL: Final = 1
# Each compressed record is a part of one stream. perf unpacks it into a buffer of a fixed size.
_SLICE_BYTES: Final = 1 << 20
_MOST_WAITING_BYTES: Final = 64 << 20
_UNPACKED_BYTES: Final = 8 << 20
_PAYLOAD_BYTES: Final = 65_520  # with its header it must fit a u16


class PipeWriter:
    """A perf.pipedata that grows.

    Attributes:
        samples: How many were written.
        stack_bytes: How much of stacks they have together.
        lost: How many records the kernel could not write, because the ring was full.
        is_hurried: Keep what is written for later: `finish_round` compresses it when there is time
            again, or too much of it waits; `flush` at the end. To be set by the caller.
        pids: Every process that was named by a record of what it mapped or who it is.
        side_band: Copies of the records of who mapped code, began, or is called how, whole and as
            they came, so not in order of time; None if they were not asked for, or grew too many.
    """

    def __init__(self, file: BinaryIO, attribute: bytes, *, with_side_band: bool = False) -> None:
        """Write the beginning.

        Args:
            file: Unbuffered or not; it is the caller's to close.
            attribute: perf_event_attr of the sampling event.
            with_side_band: Whether `side_band` is wanted: it saves reading the whole file again.

        Raises:
            OSError: If the file can't be written.
        """
        self.samples = 0
        self.stack_bytes = 0
        self.lost = 0
        self.is_hurried = False
        self.pids: set[int] = set()
        self.side_band: bytearray | None = bytearray() if with_side_band else None
        self._waiting: collections.deque[bytes | None] = collections.deque()  # None ends a round
        self._waiting_bytes = 0
        self._file = file
        # Kept: to get so much memory anew each time takes longer than to fill it.
        self._room = bytearray()
        self._registers = struct.unpack_from("<Q", attribute, 80)[0].bit_count()
        self._stream: Any = zstandard.ZstdCompressor(level=_LEVEL).compressobj()
        file.write(_MAGIC)
        file.write(_record(_ATTRIBUTE, attribute + _COUNT.pack(0)))
        compression = struct.pack("<QIIIII4x", _COMPRESSION, 1, 1, _LEVEL, 1, _UNPACKED_BYTES)
        file.write(_record(_FEATURE, compression))

    def write(self, records: bytes | memoryview) -> None:
        """Append whole records as they came out of a ring.

        Raises:
            OSError: If the file can't be written.
        """
        room = self._room
        if len(room) < len(records):
            room = self._room = bytearray(len(records))
        end = 0
        for piece in self._trimmed(memoryview(records)):
            start, end = end, end + len(piece)
            room[start:end] = piece
        with memoryview(room) as view:
            if self.is_hurried or self._waiting:
                self._waiting.append(bytes(view[:end]))
                self._waiting_bytes += end
            else:
                self._pack_all(view[:end])

    def flush(self) -> None:
        """Write what waits.

        Raises:
            OSError: If the file can't be written.
        """
        while self._waiting:
            part = self._waiting.popleft()
            if part is None:
                self._file.write(_ROUND)
            else:
                self._waiting_bytes -= len(part)
                self._pack_all(memoryview(part))

    def _pack_all(self, whole: memoryview) -> None:
        for start in range(0, len(whole), _SLICE_BYTES):
            self._pack(whole[start : start + _SLICE_BYTES])

    def _pack(self, part: memoryview) -> None:
        packed = self._stream.compress(part)
        packed += self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        for offset in range(0, len(packed), _PAYLOAD_BYTES):
            self._file.write(_record(_COMPRESSED, packed[offset : offset + _PAYLOAD_BYTES]))

    def add_lost(self, records: int) -> None:
        """Write down how many records were lost in all, if no record of the ring told it yet.

        Raises:
            OSError: If the file can't be written.
        """
        missing = records - self.lost
        if missing > 0:
            self.write(_record(_LOST, struct.pack("<QQ", 0, missing) + bytes(_TRAILER_BYTES)))

    def finish_round(self) -> None:
        """Say that every ring was drained: what is older than the round before is in order."""
        if not self._waiting:
            self._file.write(_ROUND)
            return
        self._waiting.append(None)
        if not self.is_hurried or self._waiting_bytes > _MOST_WAITING_BYTES:
            self.flush()

    def _trimmed(self, records: memoryview) -> Iterator[bytes | memoryview]:
        """Yield what is to be stored, and count.

        A sample has room for the largest stack that was asked for. What lies above the end of the
        real one is left over from earlier records, and is left out.
        """
        offset = 0
        while offset + _HEADER.size <= len(records):
            kind, _misc, size = _HEADER.unpack_from(records, offset)
            if size < _HEADER.size:
                break  # never from a kernel; a loop without end would be worse than a loss
            record = records[offset : offset + size]
            offset += size
            if kind == _SAMPLE:
                self.samples += 1
                yield from self._sample(record)
            else:
                self._note(kind, record)
                yield record

    def _note(self, kind: int, record: memoryview) -> None:
        if kind in {_COMM, _MMAP2, _FORK}:
            self.pids.add(struct.unpack_from("<I", record, 8)[0])
            self._remember(kind, record)
        elif kind == _LOST:
            self.lost += _COUNT.unpack_from(record, 16)[0]
        elif kind == _LOST_SAMPLES:
            self.lost += _COUNT.unpack_from(record, 8)[0]

    def _remember(self, kind: int, record: memoryview) -> None:
        if self.side_band is None:
            return
        if kind != _MMAP2 or struct.unpack_from("<I", record, _PROTECTION_AT)[0] & _EXECUTABLE:
            self.side_band += record
        if len(self.side_band) > _SIDE_BAND_BYTES:
            self.side_band = None

    def _sample(self, record: memoryview) -> Iterator[bytes | memoryview]:
        """Yield the pieces of a sample without the unused end of its stack."""
        at = _CHAIN_AT + 8 + 8 * _COUNT.unpack_from(record, _CHAIN_AT)[0]
        has_registers = _COUNT.unpack_from(record, at)[0] != 0
        at += 8 + (8 * self._registers if has_registers else 0)
        room = _COUNT.unpack_from(record, at)[0]
        if room == 0:
            yield record
            return
        used = min(-(-_COUNT.unpack_from(record, at + 8 + room)[0] // 8) * 8, room)
        self.stack_bytes += used
        kind, misc, size = _HEADER.unpack_from(record)
        yield _HEADER.pack(kind, misc, size - room + used)
        yield record[_HEADER.size : at]
        yield _COUNT.pack(used)
        yield record[at + 8 : at + 8 + used]
        yield record[at + 8 + room :]


def _record(kind: int, payload: bytes) -> bytes:
    return _HEADER.pack(kind, 0, _HEADER.size + len(payload)) + payload


_ROUND: Final = _record(_FINISHED_ROUND, b"")
