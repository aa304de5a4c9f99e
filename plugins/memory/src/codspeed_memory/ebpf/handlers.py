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
from typing import TYPE_CHECKING, Final

import attrs

from codspeed_memory.ebpf import frame, layout
from codspeed_memory.ebpf.assembler import FRAME, R0, R1, R2, R3, R4, R6, R7, R8, R9, Helper
from codspeed_memory.ebpf.assembler import Program as Assembler
from codspeed_memory.raw import Kind

if TYPE_CHECKING:
    from codspeed_memory.ebpf.maps import Maps

# struct pt_regs of x86-64 (arch/x86/include/asm/ptrace.h), by the instruction set's numbers.
_REGISTERS: Final = (80, 88, 96, 40, 152, 32, 104, 112, 72, 64, 56, 48, 24, 16, 8, 0)
_RESULT: Final = 80
_INSTRUCTION_POINTER: Final = 128
_STACK_POINTER: Final = 152
_USUAL_FIRST, _USUAL_SECOND = 7, 6  # rdi and rsi
_RETURN_ADDRESS_BYTES: Final = 8

_STATUS: Final = frame.BELOW  # of the program, when the event is in the ring
_SKIP_RETURN: Final = 1


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
    program = Assembler()
    program.copy(R6, R1)
    program.call_kernel(calls.is_return)
    program.jump_if(R0, "!=", 0, "return")
    _entry(program, maps, calls)
    program.label("return")
    _return(program, maps, calls)
    _emit(program, maps)
    return program.assembled()


def entry(maps: Maps) -> bytes:
    """Return the program for entries alone."""
    program = Assembler()
    program.copy(R6, R1)
    _entry(program, maps, None)
    _emit(program, maps)
    return program.assembled()


def at_return(maps: Maps) -> bytes:
    """Return the program for returns alone."""
    program = Assembler()
    program.copy(R6, R1)
    _return(program, maps, None)
    _emit(program, maps)
    return program.assembled()


def _find_thread(program: Assembler, maps: Maps) -> None:
    """R6: registers of the process; gives R8 the thread's value, R9 the cookie."""
    program.call(Helper.PID_TGID)
    program.store(FRAME, frame.KEY, R0, 4)
    program.map(R1, maps.threads)
    program.copy(R2, FRAME)
    program.change(R2, "+", frame.KEY)
    program.call(Helper.LOOKUP)
    program.jump_if(R0, "==", 0, "leave")
    program.copy(R8, R0)
    program.load(R1, R8, layout.PID, 4)
    program.jump_if(R1, "==", 0, "leave")
    program.store(FRAME, frame.PID, R1, 4)
    program.load(R1, R8, layout.TID, 4)
    program.store(FRAME, frame.TID, R1, 4)
    program.store_value(FRAME, frame.UNUSED, 0, 4)
    program.store_value(FRAME, frame.AUX, 0)
    program.copy(R1, R6)
    program.call(Helper.ATTACH_COOKIE)
    program.copy(R9, R0)


# --- Entry ---


def _entry(program: Assembler, maps: Maps, calls: SessionCalls | None) -> None:
    program.value_of(R1, maps.control)
    program.load(R7, R1, layout.ENABLED, 4)
    program.jump_if(R7, "==", 0, "leave")
    program.store(FRAME, frame.WINDOW, R7, 4)
    _find_thread(program, maps)
    program.load(R1, R6, _STACK_POINTER)
    program.load(R2, R8, layout.LIMIT)
    program.jump_if_register(R1, "<=", R2, "leave")
    program.store_value(R8, layout.LIMIT, 0)
    _argument(program, R7, layout.FIRST_SHIFT, _USUAL_FIRST)
    _when_kind(program, Kind.FREE, "free")
    _when_kind(program, Kind.REALLOC, "realloc")
    _allocation(program, calls)
    program.label("free")
    _free(program, maps)
    program.label("realloc")
    _argument(program, R3, layout.SECOND_SHIFT, _USUAL_SECOND)
    _hold(program, size=R3, second=R7)
    program.set(R0, 0)
    program.jump_if(R7, "==", 0, "leave with result")
    program.store_value(FRAME, _STATUS, 0)
    program.store(FRAME, frame.ADDRESS, R7)
    program.store_value(FRAME, frame.KIND_SIZE, Kind.REALLOC_BEGIN)
    program.jump("emit")


def _argument(program: Assembler, target: int, shift: int, usual: int) -> None:
    """Read the register of the process that the cookie names; changes R0 and `target`."""
    done = program.fresh("argument")
    program.copy(R0, R9)
    program.change(R0, ">>", shift)
    program.change(R0, "&", 15)
    for number in (usual, *(number for number in range(16) if number != usual)):
        other = program.fresh("register")
        program.jump_if(R0, "!=", number, other)
        program.load(target, R6, _REGISTERS[number])
        program.jump(done)
        program.label(other)
    program.set(target, 0)
    program.label(done)


def _when_kind(program: Assembler, kind: Kind, label: str) -> None:
    program.copy(R0, R9)
    program.change(R0, "&", 0xFF)
    program.jump_if(R0, "==", kind, label)


def _unless(program: Assembler, flag: int, label: str) -> None:
    """Go on at a label unless the cookie has the flag; changes R0."""
    program.copy(R0, R9)
    program.change(R0, "&", flag)
    program.jump_if(R0, "==", 0, label)


def _allocation(program: Assembler, calls: SessionCalls | None) -> None:
    """Keep the size, and where the address will be, until the return."""
    program.set(R3, 0)
    _unless(program, layout.PRODUCT | layout.BY_REFERENCE, "sized")
    _argument(program, R3, layout.SECOND_SHIFT, _USUAL_SECOND)
    _unless(program, layout.PRODUCT, "sized")
    program.change_by(R7, "*", R3)
    program.label("sized")
    if calls is not None:
        _unless(program, layout.OUTER, "light")
    _hold(program, size=R7, second=R3)
    program.exit(0)
    if calls is not None:
        program.label("light")
        program.copy(R1, R6)
        program.call_kernel(calls.cookie)
        program.store(R0, 0, R7)
        program.exit(0)


def _hold(program: Assembler, *, size: int, second: int) -> None:
    """Remember the call with its thread; R1, R2 and R4 change."""
    program.load(R1, R6, _STACK_POINTER)
    program.store(R8, layout.STACK, R1)
    _unless(program, layout.THROWS, limit := program.fresh("limit"))
    # The next call from where the exception arrives may have the very same stack pointer.
    program.change(R1, "-", 1)
    program.label(limit)
    program.store(R8, layout.LIMIT, R1)
    program.store(R8, layout.CALL, R9)
    program.store(R8, layout.FIRST, size)
    program.store(R8, layout.SECOND, second)
    program.load(R1, FRAME, frame.WINDOW, 4)
    program.store(R8, layout.WINDOW, R1, 4)


def _free(program: Assembler, maps: Maps) -> None:
    program.jump_if(R7, "==", 0, "leave")
    _unless(program, layout.HAS_SITES, "from outside")
    _leave_out_internal_calls(program, maps)
    program.label("from outside")
    program.store(FRAME, frame.ADDRESS, R7)
    program.store_value(FRAME, frame.KIND_SIZE, Kind.FREE)
    program.store_value(FRAME, _STATUS, _SKIP_RETURN)
    _unless(program, layout.OUTER, "emit")
    program.store_value(FRAME, _STATUS, 0)
    program.set(R3, 0)
    _hold(program, size=R3, second=R3)
    program.jump("emit")


def _leave_out_internal_calls(program: Assembler, maps: Maps) -> None:
    """See `internal_calls`: no interposed free would ever meet them."""
    program.copy(R1, FRAME)
    program.change(R1, "+", frame.WORD)
    program.set(R2, 8)
    program.load(R3, R6, _STACK_POINTER)
    program.call(Helper.READ_USER)
    program.jump_if(R0, "!=", 0, "from outside")
    program.load(R1, FRAME, frame.WORD)
    program.load(R2, R6, _INSTRUCTION_POINTER)
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


# --- Return ---


def _return(program: Assembler, maps: Maps, calls: SessionCalls | None) -> None:
    _find_thread(program, maps)
    if calls is not None:
        _unless(program, layout.OUTER, "light return")
    _take_held(program)
    _when_kind(program, Kind.FREE, "leave")
    program.load(R3, R8, layout.FIRST)
    program.load(R4, R8, layout.SECOND)
    program.load(R7, R6, _RESULT)
    _when_kind(program, Kind.REALLOC, "reallocated")
    _unless(program, layout.BY_REFERENCE, "allocated")
    _read_address(program)
    if calls is not None:
        program.label("light return")
        program.value_of(R1, maps.control)
        program.load(R1, R1, layout.LATEST, 4)
        program.store(FRAME, frame.WINDOW, R1, 4)
        program.copy(R1, R6)
        program.call_kernel(calls.cookie)
        program.load(R3, R0, 0)
        program.load(R7, R6, _RESULT)
    program.label("allocated")
    program.jump_if(R7, "==", 0, "leave")
    _record(program)
    program.label("reallocated")
    _reallocated(program)


def _take_held(program: Assembler) -> None:
    """Leave unless this is the return of the call that the thread is in."""
    program.load(R1, R8, layout.LIMIT)
    program.jump_if(R1, "==", 0, "leave")
    program.load(R1, R8, layout.CALL)
    program.jump_if_register(R1, "!=", R9, "leave")
    program.load(R1, R8, layout.STACK)
    program.change(R1, "+", _RETURN_ADDRESS_BYTES)
    program.load(R2, R6, _STACK_POINTER)
    program.jump_if_register(R1, "!=", R2, "leave")
    program.store_value(R8, layout.LIMIT, 0)
    program.load(R1, R8, layout.WINDOW, 4)
    program.store(FRAME, frame.WINDOW, R1, 4)


def _read_address(program: Assembler) -> None:
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


def _record(program: Assembler) -> None:
    """R7 is the address, R3 the size; the kind is the cookie's."""
    program.store(FRAME, frame.ADDRESS, R7)
    program.change(R3, "<<", 8)
    program.copy(R0, R9)
    program.change(R0, "&", 0xFF)
    program.change_by(R3, "|", R0)
    program.store(FRAME, frame.KIND_SIZE, R3)
    program.store_value(FRAME, _STATUS, 0)
    program.jump("emit")


def _reallocated(program: Assembler) -> None:
    program.jump_if(R7, "==", 0, "not reallocated")
    program.store(FRAME, frame.AUX, R4)
    _record(program)
    program.label("not reallocated")
    program.jump_if(R4, "==", 0, "leave")
    program.store(FRAME, frame.ADDRESS, R4)
    program.change(R3, "<<", 8)
    program.change(R3, "|", Kind.REALLOC_FAILED)
    program.store(FRAME, frame.KIND_SIZE, R3)
    program.store_value(FRAME, _STATUS, 0)
    program.jump("emit")


# --- The end of all ---


def _emit(program: Assembler, maps: Maps) -> None:
    """Put the event of the frame into the ring; wake its reader only when it fills up."""
    program.label("emit")
    frame.emit(program, maps)
    program.load(R0, FRAME, _STATUS)
    program.label("leave with result")
    program.exit_with_result()
    program.label("leave")
    program.exit(_SKIP_RETURN)
