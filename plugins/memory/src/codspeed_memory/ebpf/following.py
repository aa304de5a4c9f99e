"""The programs on fork and exit: who belongs to the benchmark.

Threads are followed by what the kernel does, not by what they say: a fork adds one, an exit removes
one, so any number may come and go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codspeed_memory.ebpf import frame, layout, tracing
from codspeed_memory.ebpf.assembler import FRAME, R1, R2, R6, R7, R8, R9, Helper, Program
from codspeed_memory.raw import Kind

if TYPE_CHECKING:
    from codspeed_memory.ebpf.maps import Maps


def on_fork(program: Program, maps: Maps, fields: tracing.Fields) -> None:
    """A thread and a vfork child have their parent's memory: what they do is its."""
    tracing.find_current(program, maps)
    program.load(R9, R6, 8)
    tracing.read(program, R1, R9, fields.task_pid, 4)
    program.store(FRAME, tracing.OTHER, R1, 4)
    for at in range(0, layout.THREAD_BYTES, 8):
        program.store_value(FRAME, tracing.VALUE + at, 0)
    for field in (layout.COVERED, layout.PID, layout.PROCESS):
        program.load(R1, R8, field, 4)
        program.store(FRAME, tracing.VALUE + field, R1, 4)
    program.value_of(R1, maps.control)
    program.load(R2, R1, layout.LEVEL, 4)
    tracing.read_id(program, R8, R9, R2, fields)
    program.store(FRAME, tracing.VALUE + layout.TID, R8, 4)
    tracing.read(program, R1, R9, fields.task_tgid, 4)
    program.change(R7, ">>", 32)
    program.jump_if_register(R1, "==", R7, "known")
    program.store(FRAME, tracing.VALUE + layout.PROCESS, R8, 4)
    program.load(R1, FRAME, tracing.VALUE + layout.PID, 4)
    program.jump_if(R1, "==", 0, "known")
    program.load(R7, R6, 0)
    tracing.read(program, R7, R7, fields.task_mm)
    tracing.read(program, R1, R9, fields.task_mm)
    program.jump_if_register(R1, "==", R7, "known")
    program.store(FRAME, tracing.VALUE + layout.PID, R8, 4)
    program.label("known")
    tracing.follow(program, maps, tracing.OTHER)


def on_exit(program: Program, maps: Maps, fields: tracing.Fields) -> None:
    """The last thread of a process takes its memory with it."""
    tracing.find_current(program, maps)
    program.load(R9, R8, layout.PID, 4)
    program.load(R1, R8, layout.COVERED, 4)
    program.jump_if(R1, "==", 0, "gone")
    program.load(R1, R8, layout.PROCESS, 4)
    program.jump_if_register(R1, "!=", R9, "gone")
    program.load(R1, R8, layout.TID, 4)
    program.store(FRAME, frame.TID, R1, 4)
    program.load(R1, R6, 0)
    tracing.read(program, R1, R1, fields.task_signal)
    tracing.read(program, R1, R1, fields.signal_live, 4)
    program.jump_if(R1, "!=", 0, "gone")
    tracing.note(program, maps, Kind.DETACH, "gone")
    program.label("gone")
    program.map(R1, maps.threads)
    program.copy(R2, FRAME)
    program.change(R2, "+", frame.KEY)
    program.call(Helper.DELETE)
