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
_STACK: Final = struct.Struct("<4Q")  # size, interval, same, mask: struct ring_stack


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
    CODE = 23
    STACK = 24


_ABOUT_PROGRAMS: Final = frozenset({Kind.ATTACH, Kind.EXEC, Kind.EXEC_FAILED, Kind.SPAWN})
# Text, or a stack, follows the first record of their chunk, which has no other.
_ALONE: Final = _ABOUT_PROGRAMS | {Kind.CODE, Kind.STACK}

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
        kind: ATTACH, EXEC, EXEC_FAILED, SPAWN or CODE.
        pid: Which process: the spawned one for SPAWN.
        window: 0 if none was open.
        stamp: In the unit of the ring's clock.
        flags: OWN_MALLOC and FOREIGN, of an ATTACH.
        text: The program; lines of its `maps` for CODE.
    """

    kind: Kind
    pid: int
    window: int
    stamp: int
    flags: int
    text: str


class Stack(NamedTuple):
    """Where a block was asked for.

    Attributes:
        order: Of its chunk: which stack this is.
        interval: Bytes from one stack to the next when it was taken, in the mean.
        mask: Which registers: sample_regs_user of perf_event_open(2).
        stack: Bytes from the stack pointer upwards.
        same: How many more there are, as the last stack of the thread has them.
    """

    pid: int
    tid: int
    window: int
    order: int
    size: int
    interval: int
    mask: int
    registers: tuple[int, ...]
    stack: bytes
    same: int


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


class Alone(NamedTuple):
    """A chunk that holds one record, and what follows it."""

    stamp: int
    kind: Kind
    block: Block


def alone(data: bytes) -> list[Alone]:
    """Return where notes and stacks are in `data`, in order of time."""
    found = []
    for block in blocks(data):
        if block.records:
            stamp, _, kind_size, _ = RECORD.unpack_from(data, block.at)
            if kind_size & 0xFF in _ALONE:
                found.append(Alone(stamp, Kind(kind_size & 0xFF), block))
    return sorted(found, key=lambda each: (each.stamp, each.block.order))


def notes(data: bytes) -> list[Note]:
    """Return the notes about programs in `data`, in order of time."""
    return [note(data, each) for each in alone(data) if each.kind in _ABOUT_PROGRAMS]


def note(data: bytes, place: Alone) -> Note:
    """Return the note at a place."""
    stamp, address, kind_size, aux = RECORD.unpack_from(data, place.block.at)
    start = place.block.at + RECORD.size
    text = data[start : start + (kind_size >> 8)].decode("utf-8", "surrogateescape")
    return Note(place.kind, address, place.block.window, stamp, aux, text)


def stack(data: bytes, place: Alone) -> Stack:
    """Return the stack at a place; a copy."""
    block = place.block
    _stamp, _address, kind_size, order = RECORD.unpack_from(data, block.at)
    start = block.at + RECORD.size
    size, interval, same, mask = _STACK.unpack_from(data, start)
    registers = struct.unpack_from(f"<{mask.bit_count()}Q", data, start + _STACK.size)
    copied = data[start + _STACK.size + 8 * len(registers) : start + (kind_size >> 8)]
    return Stack(
        block.pid, block.tid, block.window, order, size, interval, mask, registers, copied, same
    )


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
    return records[:1] if records and records[0][2] & 0xFF in _ALONE else records
