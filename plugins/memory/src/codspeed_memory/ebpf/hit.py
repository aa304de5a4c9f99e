"""What programs on functions have in common: the thread, the cookie, the registers, the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codspeed_memory.ebpf import frame, layout
from codspeed_memory.ebpf.assembler import FRAME, R0, R1, R2, R6, R8, R9, Helper, Program

if TYPE_CHECKING:
    from codspeed_memory.ebpf.maps import Maps
    from codspeed_memory.raw import Kind

# struct pt_regs of x86-64 (arch/x86/include/asm/ptrace.h), by the instruction set's numbers.
_REGISTERS: Final = (80, 88, 96, 40, 152, 32, 104, 112, 72, 64, 56, 48, 24, 16, 8, 0)
RESULT: Final = 80
INSTRUCTION_POINTER: Final = 128
STACK_POINTER: Final = 152
USUAL_FIRST, USUAL_SECOND = 7, 6  # rdi and rsi

STATUS: Final = frame.BELOW  # of the program, when the event is in the ring
SKIP_RETURN: Final = 1


def find_thread(program: Program, maps: Maps) -> None:
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


def argument(program: Program, target: int, shift: int, usual: int) -> None:
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


def when_kind(program: Program, kind: Kind, label: str) -> None:
    """Go on at a label if the cookie says that kind; changes R0."""
    program.copy(R0, R9)
    program.change(R0, "&", 0xFF)
    program.jump_if(R0, "==", kind, label)


def unless(program: Program, flag: int, label: str) -> None:
    """Go on at a label unless the cookie has the flag; changes R0."""
    program.copy(R0, R9)
    program.change(R0, "&", flag)
    program.jump_if(R0, "==", 0, label)


def finish(program: Program, maps: Maps) -> None:
    """Put the event of the frame into the ring; wake its reader only when it fills up."""
    program.label("emit")
    frame.emit(program, maps)
    program.load(R0, FRAME, STATUS)
    program.label("leave with result")
    program.exit_with_result()
    program.label("leave")
    program.exit(SKIP_RETURN)
