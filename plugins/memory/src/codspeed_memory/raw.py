"""What the drainer wrote: blocks of records, and the notes among them. No I/O here.

`merged` is the plain twin of native/merge.h: the same events in the same order.
"""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from codspeed_memory.clock import Clock

BLOCK: Final = struct.Struct("<4IQ2I")  # pid, tid, count, window, order, flags, unused
RECORD: Final = struct.Struct("<4Q")  # stamp, address, kind and size, aux


class Kind(enum.IntEnum):
    """`enum record_kind` of native/ring.h."""

    MALLOC = 1
    FREE = 2
    REALLOC = 3
    CALLOC = 4
    ALIGNED = 5
    MMAP = 6
    MUNMAP = 7
    REALLOC_BEGIN = 16
    REALLOC_FAILED = 17
    ATTACH = 18
    DETACH = 19
    EXEC = 20
    EXEC_FAILED = 21
    SPAWN = 22


_WITH_TEXT: Final = frozenset({Kind.ATTACH, Kind.EXEC, Kind.EXEC_FAILED, Kind.SPAWN})

# Flags of an ATTACH.
OWN_MALLOC: Final = 1
FOREIGN: Final = 2


class Event(NamedTuple):
    """One event; `aux` is the old address of a realloc."""

    ns: int
    address: int
    size: int
    aux: int
    pid: int
    tid: int
    kind: int
    window: int


class Note(NamedTuple):
    """Something that is no heap event.

    Attributes:
        kind: ATTACH, EXEC, EXEC_FAILED or SPAWN.
        pid: Which process: the spawned one for SPAWN.
        window: 0 if none was open.
        stamp: In the unit of the ring's clock.
        flags: OWN_MALLOC and FOREIGN, of an ATTACH.
        text: The program.
    """

    kind: Kind
    pid: int
    window: int
    stamp: int
    flags: int
    text: str


class Block(NamedTuple):
    """Where the records of one chunk are, and whose they are."""

    at: int
    records: int
    pid: int
    tid: int
    window: int
    order: int


def blocks(data: bytes) -> Iterator[Block]:
    """Yield what is in `data`.

    Raises:
        ValueError: If it is cut off.
    """
    at = 0
    while at < len(data):
        if at + BLOCK.size > len(data):
            break
        pid, tid, count, window, order, _flags, _ = BLOCK.unpack_from(data, at)
        at += BLOCK.size
        if at + count * RECORD.size > len(data):
            break
        yield Block(at, count, pid, tid, window, order)
        at += count * RECORD.size
    if at != len(data):
        problem = f"the recording is cut off after {at} of {len(data)} bytes"
        raise ValueError(problem)


def notes(data: bytes) -> list[Note]:
    """Return the notes in `data`, in order of time."""
    found = []
    for block in blocks(data):
        if not block.records:
            continue
        stamp, address, kind_size, aux = RECORD.unpack_from(data, block.at)
        kind = kind_size & 0xFF
        if kind not in _WITH_TEXT:
            continue
        start = block.at + RECORD.size
        text = data[start : start + (kind_size >> 8)].decode("utf-8", "surrogateescape")
        found.append(Note(Kind(kind), address, block.window, stamp, aux, text))
    return sorted(found, key=lambda note: note.stamp)


def merged(data: bytes, clock: Clock) -> list[Event]:
    """Return the events of all windows, each window's in order of time."""
    found = []
    for block in blocks(data):
        if not block.window:
            continue
        last = 0
        for index, record in enumerate(_records(data, block)):
            last = max(last, record[0])
            found.append((block.window, last, block.order, index, block, record))
    found.sort(key=lambda item: item[:4])
    return [
        Event(
            clock.nanoseconds(stamp),
            record[1],
            record[2] >> 8,
            record[3],
            block.pid,
            block.tid,
            record[2] & 0xFF,
            window,
        )
        for window, stamp, _order, _index, block, record in found
    ]


def _records(data: bytes, block: Block) -> Sequence[tuple[int, int, int, int]]:
    end = block.at + block.records * RECORD.size
    records = list(RECORD.iter_unpack(data[block.at : end]))
    return records[:1] if records and records[0][2] & 0xFF in _WITH_TEXT else records
