"""The part of a program that runs when a function returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codspeed_memory.ebpf import frame, hit, layout
from codspeed_memory.ebpf.assembler import (
    FRAME,
    R0,
    R1,
    R2,
    R3,
    R4,
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

_RETURN_ADDRESS_BYTES: Final = 8


def add(program: Program, maps: Maps, calls: SessionCalls | None) -> None:
    """Record what was allocated; `calls` if the program is a session's."""
    hit.find_thread(program, maps)
    if calls is not None:
        hit.unless(program, layout.OUTER, "light return")
    _take_held(program)
    hit.when_kind(program, Kind.FREE, "leave")
    program.load(R3, R8, layout.FIRST)
    program.load(R4, R8, layout.SECOND)
    program.load(R7, R6, hit.RESULT)
    hit.when_kind(program, Kind.REALLOC, "reallocated")
    hit.unless(program, layout.BY_REFERENCE, "allocated")
    _read_address(program)
    if calls is not None:
        program.label("light return")
        program.value_of(R1, maps.control)
        program.load(R1, R1, layout.LATEST, 4)
        program.store(FRAME, frame.WINDOW, R1, 4)
        program.copy(R1, R6)
        program.call_kernel(calls.cookie)
        program.load(R3, R0, 0)
        program.load(R7, R6, hit.RESULT)
    program.label("allocated")
    program.jump_if(R7, "==", 0, "leave")
    _record(program)
    program.label("reallocated")
    _reallocated(program)


def _take_held(program: Program) -> None:
    """Leave unless this is the return of the call that the thread is in."""
    program.load(R1, R8, layout.LIMIT)
    program.jump_if(R1, "==", 0, "leave")
    program.load(R1, R8, layout.CALL)
    program.jump_if_register(R1, "!=", R9, "leave")
    program.load(R1, R8, layout.STACK)
    program.change(R1, "+", _RETURN_ADDRESS_BYTES)
    program.load(R2, R6, hit.STACK_POINTER)
    program.jump_if_register(R1, "!=", R2, "leave")
    program.store_value(R8, layout.LIMIT, 0)
    program.load(R1, R8, layout.WINDOW, 4)
    program.store(FRAME, frame.WINDOW, R1, 4)


def _read_address(program: Program) -> None:
    program.change(R7, "<<", 32)  # the status is an int
    program.jump_if(R7, "!=", 0, "leave")
    program.copy(R7, R3)
    program.copy(R1, FRAME)
    program.change(R1, "+", frame.WORD)
    program.set(R2, 8)
    program.copy(R3, R4)
    program.call(Helper.READ_USER)
    program.jump_if(R0, "!=", 0, "leave")
    program.copy(R3, R7)
    program.load(R7, FRAME, frame.WORD)
    program.jump("allocated")


def _record(program: Program) -> None:
    """R7 is the address, R3 the size; the kind is the cookie's."""
    program.store(FRAME, frame.ADDRESS, R7)
    program.change(R3, "<<", 8)
    program.copy(R0, R9)
    program.change(R0, "&", 0xFF)
    program.change_by(R3, "|", R0)
    program.store(FRAME, frame.KIND_SIZE, R3)
    program.store_value(FRAME, hit.STATUS, 0)
    program.jump("emit")


def _reallocated(program: Program) -> None:
    program.jump_if(R7, "==", 0, "not reallocated")
    program.store(FRAME, frame.AUX, R4)
    _record(program)
    program.label("not reallocated")
    program.jump_if(R4, "==", 0, "leave")
    program.store(FRAME, frame.ADDRESS, R4)
    program.change(R3, "<<", 8)
    program.change(R3, "|", Kind.REALLOC_FAILED)
    program.store(FRAME, frame.KIND_SIZE, R3)
    program.store_value(FRAME, hit.STATUS, 0)
    program.jump("emit")
