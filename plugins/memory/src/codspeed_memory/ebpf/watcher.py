"""What a process brings to run is looked at while the process is stopped, and always continued.

A file is looked at once in a run. Whatever goes wrong, the process goes on: then the file is named
as not covered, or the whole run fails afterwards.
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from codspeed.errors import CodspeedError
from codspeed_memory.coverage import NAMELESS
from codspeed_memory.ebpf import images, internal_calls, layout, syscalls
from codspeed_memory.ebpf.functions import allocator_of
from codspeed_memory.raw import Kind
from codspeed_native import elf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from codspeed_memory.ebpf.images import Image
    from codspeed_memory.ebpf.maps import Maps
    from codspeed_memory.ebpf.probing import Prober

_ELF: Final = b"\x7fELF"
_U32: Final = struct.Struct("<I")


class Request(NamedTuple):
    """A process has stopped for a file; see `layout.REQUEST`."""

    pid: int
    tid: int
    why: int
    key: int
    file: tuple[int, int, int]


class Watcher:
    """Looks at files for one run.

    Attributes:
        gaps: Sentences about programs of which nothing is seen.
    """

    def __init__(
        self, maps: Maps, prober: Prober, store: Callable[[memoryview], object], *, is_alone: bool
    ) -> None:
        """Take what to attach with; `store` appends to the recording.

        Args:
            is_alone: All allocators are probed; else only those of programs that the shim misses.
        """
        self.gaps: dict[str, None] = {}
        self._maps = maps
        self._prober = prober
        self._store = store
        self._is_alone = is_alone
        # Device, inode and time of change -> it is probed.
        self._known: dict[tuple[int, int, int], bool] = {}

    def serve(self, take: Callable[[], Sequence[Request]]) -> None:
        """Look at what processes stopped for, and continue them.

        Args:
            take: Returns what was asked since the last time.
        """
        stopped: Counter[int] = Counter()
        try:
            while requests := take():
                # Whatever happens to one of them, all are continued.
                stopped.update(request.pid for request in requests)
                for request in requests:
                    if images.await_stop(request.pid, request.tid):
                        self._look(request)
        finally:
            for pid, times in stopped.items():
                # Of several threads' stops one may still wait: it is ours, not somebody else's.
                images.resume(pid, keep_stops=times == 1)

    def _look(self, request: Request) -> None:
        found = images.of(request.pid)
        asked = [each for each in found if (each.device, each.inode) == request.file[:2]]
        # The loader comes with a program unasked; and some file systems show another number in
        # the list of mappings than the file has.
        wanted = found if request.why == layout.EXEC or not asked else asked
        program = images.program_of(request.pid)
        probed = {each: self._probe(request.pid, each, program) for each in wanted}
        if not found:
            return  # it is gone
        is_probed = any(probed[each] for each in asked or wanted)
        value = layout.PROBED if is_probed else layout.PLAIN
        syscalls.put(self._maps.known, layout.FILE.pack(*request.file), _U32.pack(value))
        if request.why == layout.EXEC and is_probed and not self._is_alone:
            self._cover(request.key)

    def _probe(self, pid: int, image: Image, program: str) -> bool:
        """Return whether there is something to probe, and it is probed."""
        try:
            fd = images.opened(pid, image)
        except OSError as failure:
            self._miss(image, f"it can't be read: {failure.strerror}")
            return False
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return False  # a device
            identity = status.st_dev, status.st_ino, status.st_ctime_ns
            if identity not in self._known:
                self._known[identity] = False
                self._known[identity] = self._attached(fd, image, is_program=image.path == program)
            return self._known[identity]
        except elf.ElfError as failure:
            self._miss(image, failure.problem)
        except (CodspeedError, OSError, ValueError) as failure:
            self._miss(image, f"it can't be probed: {failure}")
        finally:
            os.close(fd)
        return False

    def _attached(self, fd: int, image: Image, *, is_program: bool) -> bool:
        if not (self._is_alone or is_program):
            return False  # the shim sees what libraries do
        if os.pread(fd, len(_ELF), 0) != _ELF:
            return False  # code that was generated
        with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as data:
            file = elf.parse(data, image.path)  # type: ignore[arg-type] # what it does with bytes it can do too
            allocator = allocator_of(file)
            calls = internal_calls.sites(file, allocator) if allocator else ()
        if allocator is None:
            if is_program and file.is_static:
                self._miss(image, NAMELESS)
            return False
        number = len(self._known)
        for site in calls:
            key = layout.SITE.pack(number, site & 0xFFFFFFFF)
            syscalls.put(self._maps.internal, key, _U32.pack(1))
        self._prober.attach(f"/proc/self/fd/{fd}", allocator, number, has_sites=bool(calls))
        return True

    def _miss(self, image: Image, why: str) -> None:
        self.gaps[f"allocations of {image.path} are not counted: {why}"] = None

    def _cover(self, thread: int) -> None:
        """Say of a stopped process that its program is covered, as the kernel's side will say."""
        key = _U32.pack(thread)
        value = syscalls.get(self._maps.threads, key, layout.THREAD_BYTES)
        if value is None:
            return
        syscalls.put(
            self._maps.threads,
            key,
            value[: layout.COVERED] + _U32.pack(1) + value[layout.COVERED + 4 :],
        )
        owner, tid = _U32.unpack_from(value, layout.PID)[0], _U32.unpack_from(value, layout.TID)[0]
        window = self.window()
        if owner and window:
            record = layout.EVENT.pack(
                time.monotonic_ns(), owner, Kind.ATTACH, 0, owner, tid, window, 0
            )
            self._store(memoryview(bytes(layout.RING_HEADER_BYTES) + record))

    def window(self) -> int:
        """Return the window that is open, or 0."""
        value = syscalls.get(self._maps.control, _U32.pack(0), layout.CONTROL_BYTES)
        assert value is not None, "an array has all of its values"
        return int(_U32.unpack_from(value, layout.ENABLED)[0])
