"""Our ELF reader beside pyelftools, and on files that are damaged."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from elftools.elf.segments import NoteSegment
from hypothesis import given, settings
from hypothesis import strategies as st

from codspeed_native import elf

SOURCE = """
#include <stdio.h>
static int helper(int x) { return x + 1; }
int exported(int x) { return helper(x) * 2; }
__attribute__((weak)) int weak(int x) { return x; }
__asm__(".text\\n.globl bare\\n.type bare, @function\\nbare:\\n  nop\\n  nop\\n  ret\\n"
        ".globl after\\n.type after, @function\\n.size after, 1\\nafter:\\n  ret\\n");
int main(void) { return printf("%d", exported(1) + weak(1)) > 99; }
"""


def _libraries() -> list[Path]:
    """What is on every Linux machine that runs this: the interpreter and what it has loaded."""
    if sys.platform != "linux":
        return []
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    found = {Path(sys.executable).resolve()} | {
        Path(name) for name in mapped if "libc.so" in name or "libm.so" in name
    }
    return sorted(found)


def _oracle_functions(file: ELFFile) -> set[tuple[int, str]]:
    tables = [each for each in file.iter_sections() if isinstance(each, SymbolTableSection)]
    return {
        (symbol["st_value"], symbol.name)
        for table in tables
        for symbol in table.iter_symbols()
        if symbol["st_info"]["type"] in {"STT_FUNC", "STT_LOOS"}
        and symbol["st_shndx"] != "SHN_UNDEF"
    }


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One program, linked in four ways."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed")
    folder = tmp_path_factory.mktemp("elf")
    (folder / "source.c").write_text(SOURCE)
    ways = {
        "dynamic": (),
        "static": ("-static",),
        "static-pie": ("-static-pie",),
        "library": ("-shared", "-fPIC"),
    }
    made = {}
    for name, flags in ways.items():
        made[name] = folder / name
        command = [compiler, "-O0", "-Wl,--build-id", *flags, "source.c", "-o", name]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return made


@pytest.mark.parametrize("path", _libraries(), ids=lambda path: path.name)
def test_functions_and_headers_are_those_that_pyelftools_finds(path: Path) -> None:
    ours = elf.read(path)

    with path.open("rb") as stream:
        oracle = ELFFile(stream)
        assert {(f.address, f.name) for f in ours.functions()} == _oracle_functions(oracle)
        assert [s.name for s in ours.sections] == [s.name for s in oracle.iter_sections()]
        assert [(s.offset, s.address, s.file_size) for s in ours.segments] == [
            (s["p_offset"], s["p_vaddr"], s["p_filesz"]) for s in oracle.iter_segments()
        ]
        notes = [
            note["n_desc"]
            for segment in oracle.iter_segments()
            if isinstance(segment, NoteSegment)
            for note in segment.iter_notes()
            if note["n_type"] == "NT_GNU_BUILD_ID"
        ]
        assert ours.build_id == next(iter(notes), "")
        needed = [
            vars(tag)["needed"]
            for segment in oracle.iter_segments()
            if isinstance(segment, DynamicSegment)
            for tag in segment.iter_tags("DT_NEEDED")
        ]
        assert list(ours.needed) == needed


@pytest.mark.tool
@pytest.mark.parametrize(
    ("name", "is_static", "has_interpreter"),
    [
        ("dynamic", False, True),
        ("static", True, False),
        ("static-pie", True, False),
        ("library", False, False),
    ],
)
def test_it_tells_how_a_file_is_linked(
    compiled: dict[str, Path], name: str, *, is_static: bool, has_interpreter: bool
) -> None:
    read = elf.read(compiled[name])

    assert read.is_static is is_static
    assert bool(read.interpreter) is has_interpreter
    assert any("libc" in library for library in read.needed) is not is_static
    assert len(read.build_id) == 40


@pytest.mark.tool
def test_local_weak_and_sizeless_functions_are_found(compiled: dict[str, Path]) -> None:
    functions = {f.name: f for f in elf.read(compiled["library"]).functions()}

    assert {"helper", "exported", "weak", "bare", "after"} <= functions.keys()
    # It has no size of its own and reaches up to the next function.
    assert functions["bare"].size == functions["after"].address - functions["bare"].address == 3


@pytest.mark.tool
def test_nm_agrees(compiled: dict[str, Path]) -> None:
    if shutil.which("nm") is None:
        pytest.skip("nm is not installed")
    listed = subprocess.run(
        ["nm", compiled["static"]], check=True, capture_output=True, text=True
    ).stdout
    rows = [line.split() for line in listed.splitlines()]
    expected = {(int(row[0], 16), row[2]) for row in rows if len(row) == 3 and row[1] in "tTi"}

    ours = {(f.address, f.name) for f in elf.read(compiled["static"]).functions()}

    # nm also lists labels without a type; what has one is the same.
    assert {pair for pair in ours if pair in expected} | ours == ours
    assert {name for _, name in expected} >= {"main", "helper", "exported", "malloc"}
    assert {name for _, name in ours} >= {"main", "helper", "exported", "malloc", "weak"}


@pytest.mark.tool
def test_an_offset_in_the_file_becomes_an_address(compiled: dict[str, Path]) -> None:
    read = elf.read(compiled["static"])
    text = read.section(".text")
    assert text is not None

    assert read.address_of(text.offset + 5) == text.address + 5
    assert read.address_of(1 << 60) is None


def test_what_is_read_is_kept_until_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "copy"
    shutil.copyfile(Path(sys.executable).resolve(), path)
    first = elf.read(path)

    assert elf.read(path) is first
    assert first.functions() is first.functions()

    os.utime(path, ns=(1, 1))
    assert elf.read(path) is not first


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty", b"", "no 64-bit"),
        ("script", b"#!/bin/sh\n" * 20, "no 64-bit"),
        ("elf32", b"\x7fELF\x01\x01" + bytes(100), "no 64-bit"),
        ("cut", b"\x7fELF\x02\x01", "no 64-bit"),
    ],
)
def test_what_is_no_elf_file_is_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(elf.ElfError, match=message):
        elf.read(path)


def test_missing_files_folders_and_fifos_are_refused_and_do_not_hang(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    for path in (tmp_path / "missing", tmp_path, fifo):
        with pytest.raises(elf.ElfError):
            elf.read(path)


def _sample() -> bytes:
    """A real extension module: small, and it has all the tables."""
    folder = Path(sysconfig.get_path("stdlib")) / "lib-dynload"
    files = sorted(folder.glob("*.so"), key=lambda path: path.stat().st_size)
    return files[0].read_bytes() if files else Path(sys.executable).resolve().read_bytes()[:200_000]


SAMPLE = _sample() if sys.platform == "linux" else b"\x7fELF\x02\x01" + bytes(200)


@settings(max_examples=150)
@given(data=st.data())
def test_damage_is_an_error_of_ours_or_none_at_all(
    tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    damaged = bytearray(SAMPLE[: data.draw(st.integers(0, len(SAMPLE)))])
    head = st.integers(0, max(0, min(len(damaged), 800) - 1))
    anywhere = st.integers(0, max(0, len(damaged) - 1))
    for at in data.draw(st.lists(st.one_of(head, anywhere), max_size=6)):
        if at < len(damaged):
            damaged[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "file"
    path.write_bytes(damaged)

    with contextlib.suppress(elf.ElfError):
        elf.read(path).functions()
