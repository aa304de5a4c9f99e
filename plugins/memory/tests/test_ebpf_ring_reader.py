"""Reading a ring of the kernel: only what is whole, across the end, giving the room back."""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING

import pytest

from codspeed_memory.ebpf.ring_reader import RingReader, written_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = mmap.PAGESIZE
RING = 2 * PAGE
STRIDE = 32
BUSY = 1 << 31


class Kernel:
    """The other end, in a file with the layout of the map: ours, theirs, the data twice."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("ring")
        os.ftruncate(self.fd, 2 * PAGE + 2 * RING)
        self.written = 0

    def write(self, number: int, *, busy: bool = False) -> None:
        record = struct.pack("<II", (STRIDE - 8) | (BUSY if busy else 0), 0)
        record += number.to_bytes(STRIDE - 8, "little")
        for index, byte in enumerate(record):
            at = (self.written + index) % RING
            for copy in (0, RING):
                os.pwrite(self.fd, bytes([byte]), 2 * PAGE + copy + at)
        self.written += STRIDE
        os.pwrite(self.fd, struct.pack("<Q", self.written), PAGE)

    def finish(self, index: int) -> None:
        """Somebody has written record `index` to its end."""
        os.pwrite(self.fd, struct.pack("<I", STRIDE - 8), 2 * PAGE + index * STRIDE % RING)

    def read_up_to(self) -> int:
        return int(struct.unpack("<Q", os.pread(self.fd, 8, 0))[0])


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    os.close(made.fd)


def taken(reader: RingReader) -> list[int]:
    found: list[int] = []

    def note(chunk: memoryview) -> None:
        starts = range(8, len(chunk), STRIDE)
        found.extend(int.from_bytes(chunk[at : at + STRIDE - 8], "little") for at in starts)

    reader.take(note)
    return found


def test_all_that_is_whole_is_taken_once(kernel: Kernel) -> None:
    with RingReader(kernel.fd, RING, STRIDE) as reader:
        kernel.write(1)
        kernel.write(2)

        assert taken(reader) == [1, 2]
        assert taken(reader) == []
        assert kernel.read_up_to() == 2 * STRIDE


def test_nothing_behind_an_unfinished_record_is_taken(kernel: Kernel) -> None:
    with RingReader(kernel.fd, RING, STRIDE) as reader:
        kernel.write(1)
        kernel.write(2, busy=True)
        kernel.write(3)

        assert taken(reader) == [1]
        kernel.finish(1)
        assert taken(reader) == [2, 3]


def test_records_across_the_end_are_whole(kernel: Kernel) -> None:
    with RingReader(kernel.fd, RING, 48) as odd:
        assert odd.take(lambda _: None) == 0
    with RingReader(kernel.fd, RING, STRIDE) as reader:
        for number in range(3 * RING // STRIDE):
            kernel.write(number)
            assert taken(reader) == [number]


def test_what_write_leaves_over_is_written_too(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, True)
    data = os.urandom(200_000)
    if not os.fork():
        written_to(writing)(memoryview(data))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        assert file.read() == data
    os.wait()
