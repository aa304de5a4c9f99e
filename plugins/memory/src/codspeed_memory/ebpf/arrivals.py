"""The programs on exec and mmap: what a followed process brings to run.

A file that is mapped to be executed and that nobody knows yet stops the process until the worker
has looked at it. What is not recorded, the harness, is not held up.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

from codspeed_memory.ebpf import frame, layout, tracing
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
    from codspeed_memory.ebpf.maps import Maps

_MMAP: Final = 9  # x86-64
_EXECUTABLE: Final = 4  # PROT_EXEC
_ANONYMOUS: Final = 0x20  # MAP_ANONYMOUS
# struct pt_regs of x86-64: third to fifth argument of a system call.
_PROTECTION, _FLAGS, _DESCRIPTOR = 96, 56, 72


def on_exec(program: Program, maps: Maps, fields: tracing.Fields, *, is_alone: bool) -> None:
    """Make the process what its new program is, and have that looked at if it is unknown."""
    _find_former(program, maps, fields)
    _describe(program, maps, fields)
    program.load(R8, R6, 0)
    tracing.read(program, R8, R8, fields.task_mm)
    tracing.read(program, R8, R8, fields.mm_exe_file)
    _name_file(program, R8, fields)
    tracing.find(program, maps.known, tracing.FILE)
    program.set(R8, 0)
    program.jump_if(R0, "==", 0, "looked up")
    program.load(R8, R0, 0, 4)
    program.label("looked up")
    _cover(program, maps, is_alone=is_alone)
    program.jump_if(R8, "!=", 0, "leave")
    program.jump_if(R9, "==", 0, "leave")
    _ask(program, maps, layout.EXEC)


def _find_former(program: Program, maps: Maps, fields: tracing.Fields) -> None:
    """Find the thread by its former id; leave if it is not ours.

    One thread is left, and has the process's id whatever its own was.
    """
    program.load(R1, R6, 8)
    program.store(FRAME, tracing.OTHER, R1, 4)
    tracing.find(program, maps.threads, tracing.OTHER)
    program.jump_if(R0, "!=", 0, "ours")
    _adopt(program, maps, fields)
    program.label("ours")
    program.call(Helper.PID_TGID)
    program.change(R0, ">>", 32)
    program.store(FRAME, frame.KEY, R0, 4)
    program.load(R1, FRAME, tracing.OTHER, 4)
    program.jump_if_register(R1, "==", R0, "same")
    program.map(R1, maps.threads)
    program.copy(R2, FRAME)
    program.change(R2, "+", tracing.OTHER)
    program.call(Helper.DELETE)
    program.label("same")


def _describe(program: Program, maps: Maps, fields: tracing.Fields) -> None:
    """Put the thread's value and the request into the frame; R9: whose memory it is."""
    program.load(R9, R6, 0)
    program.value_of(R1, maps.control)
    program.load(R2, R1, layout.LEVEL, 4)
    tracing.read_id(program, R7, R9, R2, fields)
    program.copy(R9, R7)
    program.value_of(R1, maps.control)
    program.load(R1, R1, layout.SILENT, 4)
    program.jump_if_register(R1, "!=", R7, "heard")
    program.set(R9, 0)
    program.label("heard")
    for at in range(0, layout.THREAD_BYTES, 8):
        program.store_value(FRAME, tracing.VALUE + at, 0)
    program.store(FRAME, tracing.VALUE + layout.PID, R9, 4)
    ids = (tracing.VALUE + layout.TID, tracing.VALUE + layout.PROCESS, frame.TID)
    for place in (*ids, tracing.REQUEST, tracing.REQUEST + 4):
        program.store(FRAME, place, R7, 4)


def _adopt(program: Program, maps: Maps, fields: tracing.Fields) -> None:
    """Leave unless this is the command that we wait for: it is held until then, so none is missed.

    The worker knows it by the id of its own pid namespace only, the kernel knows all of them.
    """
    program.value_of(R1, maps.control)
    program.load(R9, R1, layout.ROOT, 4)
    program.jump_if(R9, "==", 0, "leave")
    program.load(R8, R6, 0)
    tracing.read(program, R8, R8, fields.task_thread_pid)
    tracing.read(program, R7, R8, fields.pid_level, 4)
    program.copy(R1, R7)
    program.change(R1, "*", fields.number_bytes)
    program.change_by(R8, "+", R1)
    tracing.read(program, R1, R8, fields.pid_numbers, 4)
    program.jump_if_register(R1, "!=", R9, "leave")
    tracing.read(program, R8, R8, fields.pid_numbers + fields.number_namespace)
    tracing.read(program, R8, R8, fields.namespace_inode, 4)
    program.value_of(R1, maps.control)
    program.load(R2, R1, layout.NAMESPACE, 4)
    program.jump_if_register(R2, "!=", R8, "leave")
    program.store(R1, layout.LEVEL, R7, 4)
    program.store_value(R1, layout.ROOT, 0, 4)


def _cover(program: Program, maps: Maps, *, is_alone: bool) -> None:
    """Tell that the process is another program now, where its allocator is ours to watch."""
    if not is_alone:
        program.jump_if(R8, "!=", layout.PROBED, "uncovered")
    program.store_value(FRAME, tracing.VALUE + layout.COVERED, 1, 4)
    tracing.follow(program, maps, frame.KEY)
    tracing.note(program, maps, Kind.ATTACH, "covered")
    if not is_alone:
        program.jump("covered")
        program.label("uncovered")
        tracing.follow(program, maps, frame.KEY)
    program.label("covered")


def _name_file(program: Program, file: int, fields: tracing.Fields) -> None:
    """Put the `layout.FILE` of a `struct file` into the frame; changes R8."""
    tracing.read(program, R8, file, fields.file_inode)
    tracing.read(program, R1, R8, fields.inode_generation, 4)
    program.store(FRAME, tracing.FILE + 16, R1)
    tracing.read(program, R1, R8, fields.inode_number)
    program.store(FRAME, tracing.FILE + 8, R1)
    tracing.read(program, R1, R8, fields.inode_superblock)
    tracing.read(program, R1, R1, fields.superblock_device, 4)
    program.store(FRAME, tracing.FILE, R1)


def on_system_call(program: Program, maps: Maps, fields: tracing.Fields) -> None:
    """Have a file looked at that is about to be mapped to execute, if it is unknown."""
    program.load(R1, R6, 8)
    program.jump_if(R1, "!=", _MMAP, "leave")
    tracing.find_current(program, maps)
    program.load(R1, R8, layout.PID, 4)
    program.jump_if(R1, "==", 0, "leave")
    for place, field in ((0, layout.PROCESS), (4, layout.TID)):
        program.load(R1, R8, field, 4)
        program.store(FRAME, tracing.REQUEST + place, R1, 4)
    program.load(R9, R6, 0)
    tracing.read(program, R1, R9, _PROTECTION)
    program.change(R1, "&", _EXECUTABLE)
    program.jump_if(R1, "==", 0, "leave")
    tracing.read(program, R1, R9, _FLAGS)
    program.change(R1, "&", _ANONYMOUS)
    program.jump_if(R1, "!=", 0, "leave")
    tracing.read(program, R9, R9, _DESCRIPTOR, 4)
    _find_file(program, fields)
    _name_file(program, R8, fields)
    tracing.find(program, maps.known, tracing.FILE)
    program.jump_if(R0, "!=", 0, "leave")
    _ask(program, maps, layout.MAPPED)


def _find_file(program: Program, fields: tracing.Fields) -> None:
    """R8: the `struct file` of descriptor R9; leaves if there is none."""
    program.call(Helper.CURRENT_TASK)
    program.copy(R8, R0)
    tracing.read(program, R8, R8, fields.task_files)
    tracing.read(program, R8, R8, fields.files_table)
    tracing.read(program, R8, R8, fields.table_files)
    program.change(R9, "<<", 3)
    program.change_by(R8, "+", R9)
    tracing.read(program, R8, R8, 0)
    program.jump_if(R8, "==", 0, "leave")


def _ask(program: Program, maps: Maps, why: int) -> None:
    """Have the worker look at the file in the frame, and stop the process until then."""
    program.store_value(FRAME, tracing.REQUEST + 8, why, 4)
    program.load(R1, FRAME, frame.KEY, 4)
    program.store(FRAME, tracing.REQUEST + 12, R1, 4)
    program.map(R1, maps.requests)
    program.copy(R2, FRAME)
    program.change(R2, "+", tracing.REQUEST)
    program.set(R3, layout.REQUEST.size)
    program.set(R4, frame.WAKEUP)
    program.call(Helper.RING_OUTPUT)
    program.jump_if(R0, "!=", 0, "unasked")
    program.set(R1, signal.SIGSTOP)
    program.call(Helper.SEND_SIGNAL)
    program.jump_if(R0, "==", 0, "leave")
    program.label("unasked")
    tracing.count(program, maps, layout.UNASKED)
