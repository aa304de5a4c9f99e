"""What is mapped where, while processes fork, exec and map over what was there."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed_native import elf
from codspeed_native.address_space import AddressSpaces, Mapping, Space
from codspeed_native.image import Images, is_file, own_vdso
from codspeed_native.perf_records import Comm, Exit, Fork, Mmap


def _map(start: int, size: int, path: str = "/a", *, pid: int = 1, offset: int = 0) -> Mmap:
    return Mmap(0, pid, pid, start, size, offset, "", is_executable=True, path=path)


def _paths(space: Space) -> list[tuple[int, int, str]]:
    return [(each.start, each.end, each.path) for each in space.mappings]


def test_of_what_is_mapped_over_only_the_ends_remain() -> None:
    spaces = AddressSpaces()
    spaces.feed(_map(0x1000, 0x5000, offset=0x100))
    before = spaces.space(1)
    spaces.feed(_map(0x2000, 0x1000, "/b"))

    after = spaces.space(1)
    assert [tuple(each)[:4] for each in after.mappings] == [
        (0x1000, 0x2000, 0x100, "/a"),
        (0x2000, 0x3000, 0, "/b"),
        (0x3000, 0x6000, 0x2100, "/a"),
    ]
    assert _paths(before) == [(0x1000, 0x6000, "/a")], "earlier samples keep what was there"


def test_memory_that_a_jit_grows_stays_in_its_space() -> None:
    spaces = AddressSpaces()
    spaces.feed(_map(0x1000, 0x1000, "//anon"))
    first = spaces.space(1)
    spaces.feed(_map(0x1000, 0x3000, "//anon"))

    assert spaces.space(1) is first
    assert _paths(first) == [(0x1000, 0x4000, "//anon")]


def test_a_child_begins_with_what_its_parent_has_and_goes_its_own_way() -> None:
    spaces = AddressSpaces()
    spaces.feed(_map(0x1000, 0x1000))
    spaces.feed(Fork(1, 2, 2, 1, 1))
    spaces.feed(_map(0x8000, 0x1000, "/b", pid=2))

    assert _paths(spaces.space(1)) == [(0x1000, 0x2000, "/a")]
    assert _paths(spaces.space(2)) == [(0x1000, 0x2000, "/a"), (0x8000, 0x9000, "/b")]


def test_a_thread_shares_the_space_of_its_process() -> None:
    spaces = AddressSpaces()
    spaces.feed(_map(0x1000, 0x1000))
    space = spaces.space(1)
    spaces.feed(Fork(1, 1, 5, 1, 1))
    spaces.feed(Exit(2, 1, 5, 1, 1))

    assert spaces.space(1) is space


def test_a_new_program_begins_with_nothing() -> None:
    spaces = AddressSpaces()
    spaces.feed(_map(0x1000, 0x1000, "/usr/bin/python3"))
    old = spaces.space(1)
    spaces.feed(Comm(1, 1, 1, "renamed", is_exec=False))
    spaces.feed(Comm(2, 1, 1, "program", is_exec=True))

    assert (old.name, old.is_python, len(old.mappings)) == ("renamed", True, 1)
    assert (spaces.space(1).name, spaces.space(1).mappings) == ("program", ())


def test_a_number_that_is_used_again_is_another_process() -> None:
    spaces = AddressSpaces()
    spaces.feed(_map(0x1000, 0x1000, pid=2))
    spaces.feed(Exit(1, 2, 2, 1, 1))
    spaces.feed(Fork(2, 2, 2, 99, 99))

    assert spaces.space(2).mappings == ()


def test_what_can_not_be_run_and_what_is_the_kernels_is_left_out() -> None:
    spaces = AddressSpaces()
    spaces.feed(_map(0x1000, 0x1000)._replace(is_executable=False))
    spaces.feed(_map(0x1000, 0x1000, pid=2**32 - 1))

    assert spaces.space(1).mappings == ()
    assert spaces.space(2**32 - 1).mappings == ()


@pytest.mark.skipif(sys.platform != "linux", reason="it reads procfs")
def test_a_process_that_was_there_before_is_taken_over() -> None:
    spaces = AddressSpaces()
    spaces.adopt(os.getpid())

    paths = {each.path for each in spaces.space(os.getpid()).mappings}
    assert "[vdso]" in paths
    assert any("libc" in path for path in paths)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a vdso")
def test_of_a_list_of_mappings_what_can_be_run_is_taken_over() -> None:
    spaces = AddressSpaces()
    maps = (
        "1000-3000 r-xp 00000200 fe:00 7                  /lib/with a space.so\n"
        "3000-4000 rw-p 00002000 fe:00 7                  /lib/with a space.so\n"
        "5000-6000 rwxp 00000000 00:00 0 \n"
    )
    spaces.take(1, maps)
    spaces.space(1).rules[0x1000] = "kept"
    spaces.take(1, maps)

    space = spaces.space(1)
    assert space.mappings == (
        Mapping(0x1000, 0x3000, 0x200, "/lib/with a space.so"),
        Mapping(0x5000, 0x6000, 0, "//anon"),
    )
    assert space.rules == {0x1000: "kept"}, "what was known before is no news"


def test_the_vdso_has_names_and_call_frames() -> None:
    image = Images().of("[vdso]")

    assert image is not None
    found = {symbol.name: symbol for symbol in image.elf.functions()}
    clock = found.get("__vdso_clock_gettime") or found["__kernel_clock_gettime"]
    assert "clock_gettime" in str(image.name_of(clock.address))
    assert image.row(clock.address) is not None
    assert elf.parse(own_vdso(), "[vdso]").machine == image.elf.machine


def test_a_file_that_was_replaced_or_is_gone_is_not_used_and_it_is_said() -> None:
    images = Images()

    assert images.of(sys.executable, "00" * 20) is None or sys.platform != "linux"
    assert images.of("/nowhere/lib.so") is None
    assert set(images.faults) >= {"/nowhere/lib.so"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/usr/lib/a.so", True),
        ("//anon", False),
        ("[heap]", False),
        ("/memfd:doublemapper", False),
        ("/dev/zero", False),
        ("/usr/lib/a.so (deleted)", False),
        ("", False),
    ],
)
def test_files_are_told_from_memory(path: str, *, expected: bool) -> None:
    assert is_file(path) is expected


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(1, 30), st.sampled_from(["/a", "/b", "//anon"])),
        max_size=15,
    ),
)
def test_every_address_belongs_to_what_was_mapped_there_last(
    mapped: list[tuple[int, int, str]],
) -> None:
    space = Space(1, Images())
    for start, size, path in mapped:
        space.put(Mapping(start, start + size, start * 7, path))

    for address in range(100):
        covering = [each for each in mapped if each[0] <= address < each[0] + each[1]]
        found = space.find(address)
        assert (None if found is None else found.path) == (covering[-1][2] if covering else None)
        if found is not None:
            start = covering[-1][0]
            assert address - found.start + found.offset == address - start + start * 7
