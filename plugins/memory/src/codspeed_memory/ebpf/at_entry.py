"""The part of a program that runs when a function is entered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codspeed_memory.ebpf import frame, hit, layout
from codspeed_memory.ebpf.assembler import (
    FRAME,
    R0,
    R1,
    R2,
    R3,
    R6,
    R7,
    R8,
    R9,
    Helper,
    Program,
)
from codspeed_memory.raw import Kind

if TYPE_CHECKING:
    from codspeed_memory.ebpf.handlers import SessionCalls
    from codspeed_memory.ebpf.maps import Maps


def add(program: Program, maps: Maps, calls: SessionCalls | None) -> None:
    """Record a free, begin a realloc, or keep a size; `calls` if the program is a session's."""
    program.value_of(R1, maps.control)
    program.load(R7, R1, layout.ENABLED, 4)
    program.jump_if(R7, "==", 0, "leave")
    program.store(FRAME, frame.WINDOW, R7, 4)
    hit.find_thread(program, maps)
    program.load(R1, R6, hit.STACK_POINTER)
    program.load(R2, R8, layout.LIMIT)
    program.jump_if_register(R1, "<=", R2, "leave")
    program.store_value(R8, layout.LIMIT, 0)
    hit.argument(program, R7, layout.FIRST_SHIFT, hit.USUAL_FIRST)
    hit.when_kind(program, Kind.FREE, "free")
    hit.when_kind(program, Kind.REALLOC, "realloc")
    _allocation(program, calls)
    program.label("free")
    _free(program, maps)
    program.label("realloc")
    hit.argument(program, R3, layout.SECOND_SHIFT, hit.USUAL_SECOND)
    _hold(program, size=R3, second=R7)
    program.set(R0, 0)
    program.jump_if(R7, "==", 0, "leave with result")
    program.store_value(FRAME, hit.STATUS, 0)
    program.store(FRAME, frame.ADDRESS, R7)
    program.store_value(FRAME, frame.KIND_SIZE, Kind.REALLOC_BEGIN)
    program.jump("emit")


def _allocation(program: Program, calls: SessionCalls | None) -> None:
    """Keep the size, and where the address will be, until the return."""
    program.set(R3, 0)
    hit.unless(program, layout.PRODUCT | layout.BY_REFERENCE, "sized")
    hit.argument(program, R3, layout.SECOND_SHIFT, hit.USUAL_SECOND)
    hit.unless(program, layout.PRODUCT, "sized")
    program.change_by(R7, "*", R3)
    program.label("sized")
    if calls is not None:
        hit.unless(program, layout.OUTER, "light")
    _hold(program, size=R7, second=R3)
    program.exit(0)
    if calls is not None:
        program.label("light")
        program.copy(R1, R6)
        program.call_kernel(calls.cookie)
        program.store(R0, 0, R7)
        program.exit(0)


def _hold(program: Program, *, size: int, second: int) -> None:
    """Remember the call with its thread; R1, R2 and R4 change."""
    program.load(R1, R6, hit.STACK_POINTER)
    program.store(R8, layout.STACK, R1)
    hit.unless(program, layout.THROWS, limit := program.fresh("limit"))
    # The next call from where the exception arrives may have the very same stack pointer.
    program.change(R1, "-", 1)
    program.label(limit)
    program.store(R8, layout.LIMIT, R1)
    program.store(R8, layout.CALL, R9)
    program.store(R8, layout.FIRST, size)
    program.store(R8, layout.SECOND, second)
    program.load(R1, FRAME, frame.WINDOW, 4)
    program.store(R8, layout.WINDOW, R1, 4)


def _free(program: Program, maps: Maps) -> None:
    program.jump_if(R7, "==", 0, "leave")
    hit.unless(program, layout.HAS_SITES, "from outside")
    _leave_out_internal_calls(program, maps)
    program.label("from outside")
    program.store(FRAME, frame.ADDRESS, R7)
    program.store_value(FRAME, frame.KIND_SIZE, Kind.FREE)
    program.store_value(FRAME, hit.STATUS, hit.SKIP_RETURN)
    hit.unless(program, layout.OUTER, "emit")
    program.store_value(FRAME, hit.STATUS, 0)
    program.set(R3, 0)
    _hold(program, size=R3, second=R3)
    program.jump("emit")


def _leave_out_internal_calls(program: Program, maps: Maps) -> None:
    """See `internal_calls`: no interposed free would ever meet them."""
    program.copy(R1, FRAME)
    program.change(R1, "+", frame.WORD)
    program.set(R2, 8)
    program.load(R3, R6, hit.STACK_POINTER)
    program.call(Helper.READ_USER)
    program.jump_if(R0, "!=", 0, "from outside")
    program.load(R1, FRAME, frame.WORD)
    program.load(R2, R6, hit.INSTRUCTION_POINTER)
    program.change_by(R1, "-", R2)
    program.copy(R2, R9)
    program.change(R2, ">>", layout.FILE_SHIFT)
    program.store(FRAME, frame.WORD, R2, 4)
    program.store(FRAME, frame.WORD + 4, R1, 4)
    program.map(R1, maps.internal)
    program.copy(R2, FRAME)
    program.change(R2, "+", frame.WORD)
    program.call(Helper.LOOKUP)
    program.jump_if(R0, "!=", 0, "leave")
