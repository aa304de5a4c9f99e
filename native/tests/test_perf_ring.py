"""A ring as the kernel fills it: in shared memory that the test writes itself."""

from __future__ import annotations

import mmap
import os
import struct
import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform != "linux":
    pytest.skip("rings are the kernel's of Linux", allow_module_level=True)

from codspeed_native.perf_ring import Ring
from codspeed_native.urgency import urgent

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = 1024
SIZE = PAGES * mmap.PAGESIZE
HEAD_AT, TAIL_AT = 1024, 1032


class Kernel:
    """Writes records, as the other side of the ring."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, SIZE + mmap.PAGESIZE)
        self.head = 0

    def begin_at(self, offset: int) -> None:
        self.head = offset
        for at in (HEAD_AT, TAIL_AT):
            os.pwrite(self.fd, struct.pack("<Q", offset), at)

    def write(self, *records: bytes) -> None:
        for byte in b"".join(records):
            os.pwrite(self.fd, bytes([byte]), mmap.PAGESIZE + self.head % SIZE)
            self.head += 1
        os.pwrite(self.fd, struct.pack("<Q", self.head), HEAD_AT)

    def fill(self, record: bytes, count: int) -> None:
        """The same, of many that do not reach the end of the ring."""
        os.pwrite(self.fd, record * count, mmap.PAGESIZE + self.head % SIZE)
        self.head += len(record) * count
        os.pwrite(self.fd, struct.pack("<Q", self.head), HEAD_AT)

    def tail(self) -> int:
        return int(struct.unpack("<Q", os.pread(self.fd, 8, TAIL_AT))[0])


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    os.close(made.fd)


@pytest.fixture
def ring(kernel: Kernel) -> Iterator[Ring]:
    made = Ring(kernel.fd, PAGES)
    yield made
    made.close()


def _record(size: int, filler: int = 1) -> bytes:
    return struct.pack("<IHH", 9, 0, size) + bytes([filler]) * (size - 8)


def test_records_come_out_whole_and_room_is_made(kernel: Kernel, ring: Ring) -> None:
    kernel.write(_record(24), _record(16))

    pieces = [bytes(piece) for piece in ring.pieces()]

    assert pieces == [_record(24) + _record(16)]
    assert kernel.tail() == 40
    assert list(ring.pieces()) == []


@pytest.mark.parametrize("before_the_end", [8, 16, 24, 32])
def test_a_record_may_go_on_at_the_beginning_of_the_ring(
    kernel: Kernel, ring: Ring, before_the_end: int
) -> None:
    kernel.begin_at(5 * SIZE - before_the_end)
    written = [_record(24, 1), _record(24, 2), _record(16, 3)]
    kernel.write(*written)

    pieces = [bytes(piece) for piece in ring.pieces()]

    assert b"".join(pieces) == b"".join(written)
    assert all(int.from_bytes(piece[6:8], "little") in {16, 24} for piece in pieces)
    assert kernel.tail() == kernel.head


def test_room_is_made_piece_by_piece(kernel: Kernel, ring: Ring) -> None:
    record = _record(32_768)
    kernel.fill(record, 100)

    tails = []
    sizes = []
    for piece in ring.pieces():
        tails.append(kernel.tail())
        sizes.append(len(piece))

    assert sum(sizes) == 100 * len(record)
    assert all(size % len(record) == 0 for size in sizes)
    assert tails == [sum(sizes[:index]) for index in range(len(sizes))]
    assert len(sizes) == 4


def test_what_was_not_taken_stays(kernel: Kernel, ring: Ring) -> None:
    kernel.fill(_record(32_768), 64)

    taken = len(next(ring.pieces()))

    assert kernel.tail() == 0
    assert len(next(ring.pieces())) == taken


def test_being_urgent_ends_with_its_block() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with urgent():
        inside = os.getpriority(os.PRIO_PROCESS, 0)

    assert os.getpriority(os.PRIO_PROCESS, 0) == before
    assert inside in {before, min(before, -10)}, "root in a container may lack the right"
