"""Names of chains: files, generated code, the kernel, and what nobody knows."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import pytest

from codspeed.model import Frame
from codspeed_native import perf_map
from codspeed_native.address_space import AddressSpaces
from codspeed_native.perf_map import PerfMap
from codspeed_native.perf_records import Mmap
from codspeed_native.symbolize import Symbolizer
from codspeed_native.unwind import Chain, End

KERNEL = 0xFFFFFFFF81000010


@pytest.fixture
def spaces() -> AddressSpaces:
    spaces = AddressSpaces()
    for start, path in ((0x10000, "//anon"), (0x20000, "/nowhere/libgone.so")):
        spaces.feed(Mmap(0, 1, 1, start, 0x1000, 0, "", is_executable=True, path=path))
    return spaces


def _names(_pid: int) -> PerfMap:
    return perf_map.parse(b"10000 10 py::f:/src/a.py\n90000 10 JS:*g /src/b.js:1:2\n")


def test_a_chain_becomes_a_stack_from_root_to_leaf(spaces: AddressSpaces, tmp_path: Path) -> None:
    (tmp_path / "kallsyms").write_text("ffffffff81000000 T _text\n")
    symbolizer = Symbolizer(jit_names=_names, kernel_symbols=tmp_path / "kallsyms", base="/src")
    addresses = (KERNEL, 0x10004, 0x10020, 0x20000, 0x90000, 0x5)

    stack = symbolizer.stack(Chain(spaces.space(1), addresses, End.ROOT))

    assert stack == (
        Frame("[unknown]", kind="jit"),
        Frame("g", kind="javascript", location="b.js:1"),
        Frame("[libgone.so]", "/nowhere/libgone.so"),
        Frame("[unknown]", kind="jit"),
        Frame("f", kind="python", location="a.py"),
        Frame("_text", "[kernel]", "kernel"),
    )


def test_names_of_generated_code_are_asked_for_once_and_only_if_there_is_some(
    spaces: AddressSpaces,
) -> None:
    asked = []

    def names(pid: int) -> PerfMap:
        asked.append(pid)
        return PerfMap()

    symbolizer = Symbolizer(jit_names=names)
    symbolizer.frame(spaces.space(1), KERNEL)
    before = list(asked)
    symbolizer.frame(spaces.space(1), 0x10000)
    symbolizer.frame(spaces.space(1), 0x10008)

    assert (before, asked) == ([], [1])


@pytest.mark.skipif(sys.platform != "linux", reason="it names code of this process")
def test_functions_of_files_have_their_names_and_kinds() -> None:
    spaces = AddressSpaces()
    spaces.adopt(os.getpid())
    space = spaces.space(os.getpid())
    libc = ctypes.CDLL(None)
    getpid = ctypes.cast(libc.getpid, ctypes.c_void_p).value
    in_python = ctypes.cast(ctypes.pythonapi.PyObject_Repr, ctypes.c_void_p).value
    assert getpid is not None
    assert in_python is not None

    in_libc = Symbolizer().frame(space, getpid)
    repr_ = Symbolizer().frame(space, in_python)
    chosen = Symbolizer(interpreters=[in_libc.module]).frame(space, getpid)

    assert "getpid" in in_libc.function
    assert "libc" in Path(in_libc.module).name
    assert in_libc.kind == "native"
    assert (repr_.function, repr_.kind) == ("PyObject_Repr", "interpreter")
    assert chosen.kind == "interpreter"
