"""Calls of `free` that a C library makes to itself, past the name that others can replace.

When a thread ends, glibc frees what it had cached for it through the same entry: blocks that the
program has long freed. No preloaded free ever meets these calls, so they are no events. They are
told by where they come from: a call instruction straight to the function, where all others inside
of the library go through its table of replaceable names (sysdeps/generic/PLT of malloc and free).
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from codspeed_memory.ebpf.functions import Role
from codspeed_native.elf import Section

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codspeed_memory.ebpf.functions import Allocator, Probe
    from codspeed_native.elf import Elf, Segment

_LOADED, _EXECUTABLE, _PROGBITS = 1, 1, 1
_CALL: Final = re.compile(rb"\xe8(?=(....))", re.DOTALL)
_CALL_BYTES: Final = 5
_ONLY_GLIBC_HAS: Final = "gnu_get_libc_version"
_DISTANCE: Final = struct.Struct("<i")
# Where the program itself calls the function just so, its callers are told by name.
_ENDS_OF_THREADS: Final = re.compile(r"tcache_thread_shutdown|arena_thread_freeres|thread_freeres")


def sites(file: Elf, allocator: Allocator) -> tuple[int, ...]:
    """Return the return addresses of such calls, minus the address of the probe of `free`.

    Raises:
        codspeed_native.elf.ElfError: If the file is damaged, or is gone meanwhile.
    """
    names = {each.name.partition("@")[0]: each for each in file.functions()}
    if not file.is_static and _ONLY_GLIBC_HAS not in names:
        return ()
    probe = next((each for each in allocator.probes if "free" in each.names), None)
    if probe is None or probe.role is not Role.FREE:
        return ()
    found = _callers(file, names["free"].address)
    if file.is_static:
        found = filter(_Named(file), found)
    at = _address(file, probe)
    return tuple(sorted(caller - at for caller in found))


def _address(file: Elf, probe: Probe) -> int:
    found = file.address_of(probe.offset)
    return probe.offset if found is None else found


def _callers(file: Elf, function: int) -> Iterator[int]:
    """Yield the return addresses of calls straight to an address."""
    for segment in file.segments:
        if segment.kind != _LOADED or not segment.flags & _EXECUTABLE:
            continue
        for at, (distance,) in _calls(file, segment):
            after = segment.address + at + _CALL_BYTES
            if after + distance == function:
                yield after


def _calls(file: Elf, segment: Segment) -> Iterator[tuple[int, tuple[int]]]:
    text = Section("", _PROGBITS, segment.address, segment.offset, segment.file_size, 0)
    for call in _CALL.finditer(file.data(text)):
        yield call.start(), _DISTANCE.unpack(call[1])


class _Named:
    """Whether an address is in a function that ends threads."""

    def __init__(self, file: Elf) -> None:
        self._functions = file.functions()
        self._starts = [function.address for function in self._functions]

    def __call__(self, address: int) -> bool:
        index = bisect_right(self._starts, address) - 1
        return index >= 0 and bool(_ENDS_OF_THREADS.search(self._functions[index].name))
