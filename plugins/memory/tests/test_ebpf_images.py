"""What a process has mapped, and which calls of `free` are a C library's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codspeed_memory.ebpf import images, internal_calls
from codspeed_memory.ebpf.functions import Allocator, allocator_of
from codspeed_native import elf

if TYPE_CHECKING:
    from collections.abc import Callable


def test_only_files_that_are_mapped_to_execute_are_images() -> None:
    text = (
        "5600-5601 r--p 00000000 08:01 12    /bin/a b\n"
        "5601-5602 r-xp 00001000 08:01 12    /bin/a b\n"
        "5602-5603 r-xp 00002000 fd:10 34    /lib/c (deleted)\n"
        "7000-7001 rwxp 00000000 00:00 0 \n"
        "7001-7002 r-xp 00000000 00:00 0     [vdso]\n"
    )

    assert list(images._parsed(text)) == [
        images.Image(8 << 20 | 1, 12, "5601-5602", "/bin/a b"),
        images.Image(0xFD << 20 | 0x10, 34, "5602-5603", "/lib/c (deleted)"),
    ]


def test_our_own_images_can_be_opened_by_their_mappings() -> None:
    pid = os.getpid()
    program = Path(images.program_of(pid))
    (mine,) = (image for image in images.of(pid) if image.path == str(program))

    fd = images.opened(pid, mine)
    try:
        assert os.path.samestat(os.fstat(fd), program.stat())
        assert os.fstat(fd).st_ino == mine.inode
    finally:
        os.close(fd)
    assert program.samefile(sys.executable)


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    with subprocess.Popen(["true"]) as gone:
        pass

    assert images.of(gone.pid) == []
    assert images.program_of(gone.pid) == ""
    assert not images.await_stop(gone.pid, gone.pid)
    images.resume(gone.pid, keep_stops=True)


# --- Calls of the library itself ---


def found(path: Path) -> tuple[tuple[int, ...], elf.Elf, Allocator]:
    file = elf.read(path)
    allocator = allocator_of(file)
    assert allocator is not None
    return internal_calls.sites(file, allocator), file, allocator


def callers(sites: tuple[int, ...], file: elf.Elf, allocator: Allocator) -> set[str]:
    """Return the functions in which the sites are, as objdump tells them."""
    probe = next(each for each in allocator.probes if "free" in each.names)
    at = file.address_of(probe.offset)
    assert at is not None
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", str(file.path)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names, name, calls = set(), "", False
    for line in listing.splitlines():
        address = line.strip().partition(":")[0]
        if line.endswith(">:"):
            name = line.split()[1].strip("<>:")
        elif calls and address and int(address, 16) - at in sites:
            names.add(name)
        calls = "call" in line and "free" in line
    return names


def test_the_c_library_has_some(private_libc: Path) -> None:
    """At the end of a thread at least: for what is cached, and for the cache."""
    sites, _file, _allocator = found(private_libc)

    assert len(sites) >= 2
    assert all(-(1 << 31) <= site < 1 << 31 for site in sites)


@pytest.mark.process
def test_in_a_static_program_only_those_of_ending_threads(
    program: Callable[..., Path],
) -> None:
    if shutil.which("objdump") is None:
        pytest.skip("objdump is missing: apt-get install binutils")
    sites, file, allocator = found(program("edges", "-static"))

    names = callers(sites, file, allocator)
    assert len(sites) >= 2
    assert names
    assert all("freeres" in name or "tcache" in name for name in names)


@pytest.mark.process
def test_a_program_with_its_own_malloc_has_none(program: Callable[..., Path]) -> None:
    assert found(program("own_malloc"))[0] == ()
