"""The runner's side of the ring: make it, switch recording on and off, read its counters.

The layout is `native/ring.h`. The ring is a memfd: it has no name that could be left behind, and
targets open it as `/proc/<runner>/fd/<n>`, so no descriptor is inherited and a program that closes
all of its own does no harm. It is gone when the last process that mapped it is.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codspeed.errors import ToolError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

MAGIC: Final = 0x474E524D
VERSION: Final = 2
COUNTER_CLOCK: Final = 1
MAPPINGS: Final = 2
PROBED: Final = 4

_PAGE: Final = 4096
_DESCRIPTION_BYTES: Final = 64  # struct ring_chunk
# 2048 threads may record at once. Only pages that were used exist, the lowest chunks first.
CHUNKS: Final = 2048
CHUNK_BYTES: Final = 32 * 1024
# A stack is cut where its chunk ends; those of pytest have up to 50 KB.
STACK_CHUNK_BYTES: Final = 64 * 1024

_HEADER: Final = struct.Struct("<8I2Q")
# Offsets in struct ring_header.
ENABLED: Final = 8
STACK_INTERVAL: Final = 40
STACKS: Final = 48
DROPPED: Final = 72
WAITS: Final = 80
STOP: Final = 88 + 7 * 4
CLOSED: Final = STOP + 4
ERROR: Final = CLOSED + 4

_CLOCK_SOURCE: Final = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")


class Ring:
    """A ring that nobody uses yet; leaving its context unmaps and closes it."""

    def __init__(
        self,
        *,
        flags: int = 0,
        chunks: int = CHUNKS,
        chunk_bytes: int | None = None,
        stack_interval: int = 0,
    ) -> None:
        """Make the memory.

        Args:
            flags: COUNTER_CLOCK, MAPPINGS and PROBED.
            chunks: How many threads can record at once.
            chunk_bytes: Size of each; as what is recorded needs it by default.
            stack_interval: Bytes of allocations from one stack to the next; 0: no stacks.

        Raises:
            ToolError: If there is no memory.
        """
        if chunk_bytes is None:
            chunk_bytes = STACK_CHUNK_BYTES if stack_interval else CHUNK_BYTES
        table = _PAGE
        data = table + -(-chunks * _DESCRIPTION_BYTES // _PAGE) * _PAGE
        size = data + chunks * chunk_bytes
        self.flags = flags
        try:
            self.fd = os.memfd_create("codspeed-memory")
            os.ftruncate(self.fd, size)
            self._map = mmap.mmap(self.fd, size)
        except OSError as failure:
            problem = f"no memory for the ring of allocation events: {failure.strerror}"
            raise ToolError(problem, hint=f"it takes up to {size >> 20} MB") from failure
        header = (MAGIC, VERSION, 0, flags, chunk_bytes, chunks, table, data, _pid_namespace())
        _HEADER.pack_into(self._map, 0, *header, stack_interval)

    @property
    def path(self) -> str:
        """Where other processes of this user open it."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    @property
    def address(self) -> int:
        """Where it is mapped, for the helper library."""
        return ctypes.addressof(ctypes.c_char.from_buffer(self._map))

    def word(self, offset: int) -> int:
        """Return a 32-bit word of the header."""
        value: int = struct.unpack_from("<I", self._map, offset)[0]
        return value

    def long_word(self, offset: int) -> int:
        """Return a 64-bit word of the header."""
        value: int = struct.unpack_from("<Q", self._map, offset)[0]
        return value

    def set_word(self, offset: int, value: int) -> None:
        """Store a 32-bit word in one piece: other processes read it at any time."""
        ctypes.c_uint32.from_buffer(self._map, offset).value = value

    def set_long_word(self, offset: int, value: int) -> None:
        """Store a 64-bit word in one piece."""
        ctypes.c_uint64.from_buffer(self._map, offset).value = value

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Switch off, unmap and close."""
        self.set_word(ENABLED, 0)
        self.set_word(CLOSED, 1)
        self._map.close()
        os.close(self.fd)


def clock_flags() -> int:
    """Return COUNTER_CLOCK where the counter runs evenly and alike on all cores.

    On x86 the kernel has checked that if it uses the counter as its own clock; the counter of
    aarch64 is so by definition.
    """
    if os.uname().machine == "aarch64":
        return COUNTER_CLOCK
    try:
        source = _CLOCK_SOURCE.read_text("ascii").strip()
    except OSError:
        return 0
    return COUNTER_CLOCK if source == "tsc" else 0


def _pid_namespace() -> int:
    try:
        name = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        return 0
    return int("".join(filter(str.isdigit, name)) or "0")
