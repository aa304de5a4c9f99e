"""A probe at the chosen instruction is hit as often as one at the entry: counted by the kernel."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codspeed_memory.ebpf.functions import allocator_of
from codspeed_native import elf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
UPROBES = Path("/sys/bus/event_source/devices/uprobe/type")
CALLS = 300
PERF_EVENT_OPEN = 298
ATTRIBUTE_BYTES = 112
CLOSE_ON_EXEC = 8

pytestmark = [
    pytest.mark.process,
    pytest.mark.tool,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="elsewhere the entry is probed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can set uprobes"),
]


def opened(path: Path, offset: int, pid: int) -> int:
    """Count the hits of an instruction in one process; perf_event_open(2) of the uprobe PMU."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    kind = int(UPROBES.read_text())
    where = ctypes.addressof(name), offset
    attribute = struct.pack("=II5QIIQQ", kind, ATTRIBUTE_BYTES, *[0] * 7, *where)
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = attribute.ljust(ATTRIBUTE_BYTES, b"\0"), pid, -1, -1, CLOSE_ON_EXEC
    descriptor: int = libc.syscall(PERF_EVENT_OPEN, *arguments)
    if descriptor < 0:
        pytest.skip(f"no uprobes here: {os.strerror(ctypes.get_errno())}")
    return descriptor


def counted(command: Sequence[str | Path], env: dict[str, str], probes: list[int]) -> list[int]:
    """Return how often a program, the first of whose libraries is probed, hit each offset."""
    library = Path(env["LIBRARY"])
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe) as running:
        assert running.stdout is not None
        os.read(running.stdout.fileno(), 1)  # what allocates before main has done so
        descriptors = [opened(library, offset, running.pid) for offset in probes]
        running.communicate(b"x")
    counts = [int.from_bytes(os.read(descriptor, 8), "little") for descriptor in descriptors]
    with ThreadPoolExecutor(len(probes)) as pool:  # each waits until the kernel is done with it
        list(pool.map(os.close, descriptors))
    assert running.returncode == 0
    return counts


@pytest.mark.parametrize("name", ["libc.so.6", "libjemalloc.so.2", "libmimalloc.so.2"])
def test_chosen_instructions_are_reached_once_in_each_call(
    program: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    if not (LIBRARIES / name).exists() or not UPROBES.exists():
        pytest.skip(f"no {name} or no uprobes here")
    # A copy: a probe in the system's would hit every process, and end Valgrind's.
    library = Path(shutil.copy((LIBRARIES / name).resolve(), tmp_path / name))
    file = elf.read(library)
    allocator = allocator_of(file)
    assert allocator is not None
    addresses = {symbol.name.partition("@")[0]: symbol.address for symbol in file.functions()}
    moved = {}  # probe -> entry
    for probe in allocator.probes:
        entry = probe.offset - (file.address_of(probe.offset) or 0) + addresses[probe.names[0]]
        if entry != probe.offset and not probe.names[0].endswith("_small"):  # those check nothing
            moved[probe] = entry
    env = {"LD_LIBRARY_PATH": str(tmp_path), "LIBRARY": str(library)}
    if name != "libc.so.6":
        env["LD_PRELOAD"] = str(library)

    calls = [f"{probe.role.value}:{probe.names[0]}" for probe in moved]
    offsets = [probe.offset for probe in moved]
    counts = counted([program("callers"), *calls], env, offsets + list(moved.values()))

    assert counts[: len(moved)] == counts[len(moved) :]
    assert min(counts) >= CALLS
