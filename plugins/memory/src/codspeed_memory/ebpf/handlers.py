"""The programs on allocation functions: what is recorded at their entry and return.

One program serves all functions; the probe's cookie says which it is. A free is recorded at the
entry and an allocation at the return, so that no address ever looks live twice; a realloc gives up
the old block at the entry. Calls inside of another (realloc of nothing calls malloc, operator
delete calls free) are part of it: a call that is marked as outer leaves its stack pointer with the
thread, and what is entered at or below that is left out. What an exception left behind is noticed
by a call from further up.

Three forms, for three ages of kernels: a session is one program that decides at the entry whether
the return is trapped at all and hands 8 bytes on; else two programs, on a link for many functions
or on one perf event each.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import attrs

from codspeed_memory.ebpf import at_entry, at_return, hit
from codspeed_memory.ebpf.assembler import R0, R1, R6, Program

if TYPE_CHECKING:
    from codspeed_memory.ebpf.maps import Maps


class Form(enum.Enum):
    """How the programs are attached."""

    SESSION = "session"
    MULTI = "multi"
    PERF = "perf"


@attrs.frozen
class SessionCalls:
    """BTF ids of the kernel's functions that a session calls."""

    cookie: int
    is_return: int


def session(maps: Maps, calls: SessionCalls) -> bytes:
    """Return the program for entries and returns."""
    program = Program()
    program.copy(R6, R1)
    program.call_kernel(calls.is_return)
    program.jump_if(R0, "!=", 0, "return")
    at_entry.add(program, maps, calls)
    program.label("return")
    at_return.add(program, maps, calls)
    hit.finish(program, maps)
    return program.assembled()


def entering(maps: Maps) -> bytes:
    """Return the program for entries alone."""
    program = Program()
    program.copy(R6, R1)
    at_entry.add(program, maps, None)
    hit.finish(program, maps)
    return program.assembled()


def returning(maps: Maps) -> bytes:
    """Return the program for returns alone."""
    program = Program()
    program.copy(R6, R1)
    at_return.add(program, maps, None)
    hit.finish(program, maps)
    return program.assembled()
