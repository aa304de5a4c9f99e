"""The shim on the other architecture: built by the cross compiler, run by the emulator."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codspeed_memory import compiled, raw, ring, shim, stacks
from codspeed_memory.clock import Clock
from codspeed_memory.recording import Recording
from codspeed_native.symbolize import Symbolizer

if TYPE_CHECKING:
    from codspeed_memory.raw import Event

pytestmark = [pytest.mark.process, pytest.mark.tool]

ROOT = Path("/usr/aarch64-linux-gnu")
PROGRAMS = Path(__file__).with_name("programs")


@pytest.fixture(scope="module")
def cross() -> tuple[str, str]:
    found = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
    if found[0] is None or found[1] is None:
        pytest.skip("no aarch64: apt-get install gcc-aarch64-linux-gnu qemu-user")
    return found[0], found[1]


def built(compiler: str, source: Path, target: Path, *flags: str) -> Path:
    command = [compiler, "-O2", "-std=gnu11", "-pthread", str(source), "-o", str(target), *flags]
    subprocess.run(command, check=True)
    return target


def recorded(cross: tuple[str, str], folder: Path, name: str, *words: str) -> list[Event]:
    return raw.merged(data_of(cross, folder, name, *words), Clock())


def data_of(
    cross: tuple[str, str], folder: Path, name: str, *words: str, stack_interval: int = 0
) -> bytes:
    compiler, emulator = cross
    sources = Path(shim.__file__).with_name("native")
    flags = ("-shared", "-fPIC", *compiled.shim_flags("aarch64"))
    library = built(compiler, sources / "shim.c", folder / "shim.so", *flags)
    target = built(compiler, PROGRAMS / f"{name}.c", folder / name)
    # The emulator's counter is no clock of ours: stamps are CLOCK_MONOTONIC here.
    made = ring.Ring(flags=0, stack_interval=stack_interval)
    with made as shared, tempfile.TemporaryFile() as file:
        with shim._drained(shared, file) as drainer:
            shared.set_word(ring.ENABLED, 1)
            command = [emulator, "-L", str(ROOT), "-E", f"{shim.PRELOAD}={library}"]
            command += ["-E", f"{shim.RING}={shared.path}", str(target), *words]
            environment = {k: v for k, v in os.environ.items() if k != shim.PRELOAD}
            subprocess.run(command, check=True, env=environment)
            shared.set_word(ring.STOP, 1)
            compiled.helper().ring_bell(shared.address)
            assert drainer.wait() == 0
        assert shared.long_word(ring.DROPPED) == 0
        file.seek(0)
        return file.read()


def test_figures_are_exact_there_too(cross: tuple[str, str], tmp_path: Path) -> None:
    events = recorded(cross, tmp_path, "behaviours", "many_allocs")

    kinds = [event.kind for event in events if event.kind < raw.Kind.REALLOC_BEGIN]
    assert kinds == [raw.Kind.MALLOC] * 101 + [raw.Kind.FREE] * 101
    assert sum(event.size for event in events if event.kind == raw.Kind.MALLOC) == 7200


def test_threads_fill_their_own_chunks_there_too(cross: tuple[str, str], tmp_path: Path) -> None:
    events = recorded(cross, tmp_path, "pairs", "20000", "4")

    mallocs = sum(event.kind == raw.Kind.MALLOC for event in events)
    assert mallocs == 20_000
    assert len({event.tid for event in events}) == 5


def test_a_forked_child_is_its_own_process_there_too(
    cross: tuple[str, str], tmp_path: Path
) -> None:
    """The emulator may ignore that the page is to be wiped: then an atfork handler does it."""
    events = recorded(cross, tmp_path, "behaviours", "fork_test")

    sizes = [(event.size, event.pid) for event in events if event.kind == raw.Kind.MALLOC]
    assert [size for size, _pid in sizes] == [256, 512]
    assert len({pid for _size, pid in sizes}) == 2


def test_stacks_are_followed_there_too(cross: tuple[str, str], tmp_path: Path) -> None:
    """The emulator does not copy memory for a process: its list of mappings tells where to stop."""
    data = data_of(cross, tmp_path, "sites", "split", stack_interval=16_384)
    (tmp_path / "data").write_bytes(data)
    with (tmp_path / "data").open("rb") as file:
        chains = stacks.chains(Recording(file=file), {})[1]["allocated"]
    symbolizer = Symbolizer()
    costs = {
        tuple(frame.function for frame in symbolizer.stack(chain)): cost
        for chain, cost in chains.items()
    }
    large = sum(cost for names, cost in costs.items() if ("split", "large") in pairwise(names))

    assert all("main" in names for names in costs)
    assert 65 < 100 * large / sum(costs.values()) < 75
