from __future__ import annotations

import platform
import signal

import pytest

from codspeed.errors import ToolError
from codspeed_valgrind import guard

BREAKPOINTS = {"x86_64": b"\xcc", "aarch64": b"\xa0\x00\x20\xd4"}

pytestmark = pytest.mark.skipif(
    platform.machine() not in BREAKPOINTS, reason="no Valgrind on this processor"
)


def test_breakpoints_in_the_allocator_are_refused_by_name() -> None:
    def read(name: str, size: int) -> bytes:
        return BREAKPOINTS[platform.machine()] if name in {"malloc", "free"} else b"\x48" * size

    with pytest.raises(ToolError) as caught:
        guard.check(read=read)

    assert caught.value.problem == "there are breakpoints in the C library: malloc, free"


def test_an_allocator_without_breakpoints_is_fine() -> None:
    guard.check(read=lambda _name, size: b"\x41" * size)


def test_the_bytes_are_those_of_the_functions() -> None:
    first = guard._first_bytes("malloc", 1)

    assert len(first) == 1
    assert guard._first_bytes("no_such_function_anywhere", 1) == b""


@pytest.mark.parametrize("status", [-signal.SIGTRAP, 128 + signal.SIGTRAP])
def test_an_end_by_sigtrap_is_explained(status: int) -> None:
    error = guard.explained(status, [])

    assert error is not None
    assert "SIGTRAP" in error.problem
    assert "uprobe" in (error.hint or "")


def test_an_end_by_sigtrap_of_a_child_shows_in_the_log() -> None:
    line = "Process terminating with default action of signal 5 (SIGTRAP)"

    assert guard.explained(4, [line]) is not None
    assert guard.explained(0, [line]) is None
    assert guard.explained(4, ["something else"]) is None
