"""Code that was made at run time: jitdump files, names of it, frames of names."""

from __future__ import annotations

import contextlib
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed.model import Frame
from codspeed_native import jit_names, jitdump
from codspeed_native.jitdump import JitdumpError, Load, Unwinding

if TYPE_CHECKING:
    from pathlib import Path

HEADER = struct.pack("<IIIIIIQQ", 0x4A695444, 1, 40, 62, 0, 7, 1, 0)


def _record(kind: int, time: int, body: bytes) -> bytes:
    return struct.pack("<IIQ", kind, 16 + len(body), time) + body


def _load(time: int, address: int, name: bytes, code: bytes = b"code") -> bytes:
    head = struct.pack("<IIQQQQ", 7, 8, address, address, len(code), 1)
    return _record(0, time, head + name + b"\0" + code)


UNWINDING = _record(4, 5, struct.pack("<QQQ", 6, 2, 0) + b"fffffh"[:6])
DUMP = HEADER + _load(4, 0x1000, b"one") + UNWINDING + _load(6, 0x2000, b"two") + _record(1, 7, b"")


def test_functions_come_in_the_order_in_which_they_were_made() -> None:
    assert jitdump.parse(DUMP) == (
        Load(4, 7, 8, 0x1000, 4, "one", None),
        Load(6, 7, 8, 0x2000, 4, "two", Unwinding(b"ffff", b"fh")),
    )


def test_unwind_data_is_about_the_next_function_only() -> None:
    loads = jitdump.parse(DUMP + _load(8, 0x3000, b"three"))

    assert [load.unwinding is not None for load in loads] == [False, True, False]


def test_a_record_that_is_half_there_ends_it() -> None:
    assert [load.name for load in jitdump.parse(DUMP + _load(8, 0x3000, b"three")[:-1])] == [
        "one",
        "two",
    ]


@pytest.mark.parametrize("data", [b"", b"x" * 40, HEADER + bytes(16)])
def test_what_is_no_jitdump_is_refused(data: bytes) -> None:
    with pytest.raises(JitdumpError):
        jitdump.parse(data)


def test_names_are_those_of_the_map_and_over_them_those_of_the_dump(tmp_path: Path) -> None:
    (tmp_path / "perf-7.map").write_text("1000 10 old\n3000 10 mapped\n")
    (tmp_path / "jit-7.dump").write_bytes(DUMP)

    names = jit_names.read(7, tmp_path)

    assert [names.name_of(at) for at in (0x1000, 0x1004, 0x2000, 0x3000, 0x4000)] == [
        "one",
        "old",
        "two",
        "mapped",
        None,
    ]
    assert jit_names.read(8, tmp_path).ranges == ()


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("py::Class.f:/src/a.py", Frame("Class.f", kind="python", location="a.py")),
        ("py::<module>:<string>", Frame("<module>", kind="python", location="<string>")),
        ("JS:*f /src/a.js:3:14", Frame("f", kind="javascript", location="a.js:3")),
        ("JS:~ file:///x/b.js:1:2", Frame("(anonymous)", kind="javascript", location="/x/b.js:1")),
        ("Builtin:Call", Frame("Builtin:Call", kind="jit")),
    ],
)
def test_names_become_frames(name: str, frame: Frame) -> None:
    assert jit_names.frame(name, base="/src") == frame


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("/usr/bin/python3.12", True),
        ("/usr/lib/libpython3.13t.so.1.0", True),
        ("/usr/bin/node", True),
        ("/usr/lib/libc.so.6", False),
        ("/usr/lib/_json.cpython-311-x86_64-linux-gnu.so", False),
    ],
)
def test_interpreters_are_known_by_their_file(module: str, *, expected: bool) -> None:
    assert jit_names.is_runtime(module) is expected


@given(st.data())
def test_garbage_raises_jitdump_error_only(data: st.DataObject) -> None:
    raw = bytearray(DUMP)
    for at in data.draw(st.lists(st.integers(4, len(raw) - 1), max_size=5)):
        raw[at] = data.draw(st.integers(0, 255))

    with contextlib.suppress(JitdumpError):
        jitdump.parse(bytes(raw))
