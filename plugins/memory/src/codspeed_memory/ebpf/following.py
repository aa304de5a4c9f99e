"""The programs on tracepoints: who belongs to the benchmark, and what they bring to run.

Threads are followed by what the kernel does, not by what they say: a fork adds one, an exit removes
one, so any number may come and go. A file that is mapped to be executed and that nobody knows yet
stops the process until the worker has looked at it. Tracepoints are taken by their bare names: that
needs neither tracefs nor the trampolines that some kernels refuse (notes: fentry).
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

import attrs

from codspeed_memory.ebpf import layout
from codspeed_memory.ebpf.assembler import FRAME, R0, R1, R2, R3, R4, R6, R7, R8, R9, Helper
from codspeed_memory.ebpf.assembler import Program as Assembler
from codspeed_memory.ebpf.handlers import emit
from codspeed_memory.raw import Kind

if TYPE_CHECKING:
    from codspeed_memory.ebpf.maps import Maps

_MMAP: Final = 9  # x86-64
_EXECUTABLE: Final = 4  # PROT_EXEC
_ANONYMOUS: Final = 0x20  # MAP_ANONYMOUS
# struct pt_regs of x86-64: third to fifth argument of a system call.
_PROTECTION, _FLAGS, _DESCRIPTOR = 96, 56, 72
_WAKEUP: Final = 2

# The stack frame: an event at the top, as in `handlers`; below it what helpers need an address for.
_ADDRESS, _KIND_SIZE, _AUX, _PID, _TID, _WINDOW, _UNUSED = -40, -32, -24, -16, -12, -8, -4
_KEY: Final = -56
_WORD: Final = -64
_OTHER: Final = -72
_LEVEL: Final = -80
_REQUEST: Final = _LEVEL - layout.REQUEST.size  # its last fields are layout.FILE
_FILE: Final = _REQUEST + 16
_VALUE: Final = _REQUEST - layout.THREAD_BYTES


@attrs.frozen
class Fields:
    """Offsets of the kernel's fields, from its own type information."""

    task_pid: int
    task_tgid: int
    task_thread_pid: int
    pid_level: int
    pid_numbers: int
    number_bytes: int
    number_namespace: int
    namespace_inode: int
    task_mm: int
    task_files: int
    task_signal: int
    signal_live: int
    mm_exe_file: int
    files_table: int
    table_files: int
    file_inode: int
    inode_number: int
    inode_generation: int
    inode_superblock: int
    superblock_device: int


TRACEPOINTS: Final = ("sched_process_fork", "sched_process_exit", "sched_process_exec")
# Where libraries come in; not needed where the shim sees what they do.
OF_LIBRARIES: Final = "sys_enter"


def program_of(tracepoint: str, maps: Maps, fields: Fields, *, is_alone: bool) -> bytes:
    """Return the program for a tracepoint.

    Args:
        is_alone: No other backend records: each program that a process becomes is reported.
    """
    program = Assembler()
    program.copy(R6, R1)
    if tracepoint == "sched_process_fork":
        _on_fork(program, maps, fields)
    elif tracepoint == "sched_process_exit":
        _on_exit(program, maps, fields)
    elif tracepoint == "sched_process_exec":
        _on_exec(program, maps, fields, is_alone=is_alone)
    else:
        _on_system_call(program, maps, fields)
    program.label("leave")
    program.exit(0)
    return program.assembled()


def _find(program: Assembler, map_fd: int, key: int) -> None:
    """R0: the value of what is in the frame at `key`, or 0."""
    program.map(R1, map_fd)
    program.copy(R2, FRAME)
    program.change(R2, "+", key)
    program.call(Helper.LOOKUP)


def _find_current(program: Assembler, maps: Maps) -> None:
    """R7: the kernel's ids of process and thread, R8: the thread's value; leaves if not ours."""
    program.call(Helper.PID_TGID)
    program.copy(R7, R0)
    program.store(FRAME, _KEY, R0, 4)
    _find(program, maps.threads, _KEY)
    program.jump_if(R0, "==", 0, "leave")
    program.copy(R8, R0)


def _read(program: Assembler, target: int, pointer: int, offset: int, size: int = 8) -> None:
    """Read the kernel's memory at a register plus `offset`; 0 where nothing is."""
    program.store_value(FRAME, _WORD, 0)
    program.copy(R3, pointer)
    program.change(R3, "+", offset)
    program.copy(R1, FRAME)
    program.change(R1, "+", _WORD)
    program.set(R2, size)
    program.call(Helper.READ_KERNEL)
    program.load(target, FRAME, _WORD)


def _read_id(program: Assembler, target: int, task: int, level: int, fields: Fields) -> None:
    """Read a task's id in the namespace at a level; `level` is a register that helpers change."""
    program.change(level, "*", fields.number_bytes)
    program.store(FRAME, _LEVEL, level)
    _read(program, target, task, fields.task_thread_pid)
    program.load(R3, FRAME, _LEVEL)
    program.change_by(target, "+", R3)
    _read(program, target, target, fields.pid_numbers, 4)


# --- Threads come and go ---


def _on_fork(program: Assembler, maps: Maps, fields: Fields) -> None:
    """A thread and a vfork child have their parent's memory: what they do is its."""
    _find_current(program, maps)
    program.load(R9, R6, 8)
    _read(program, R1, R9, fields.task_pid, 4)
    program.store(FRAME, _OTHER, R1, 4)
    for at in range(0, layout.THREAD_BYTES, 8):
        program.store_value(FRAME, _VALUE + at, 0)
    for field in (layout.COVERED, layout.PID, layout.PROCESS):
        program.load(R1, R8, field, 4)
        program.store(FRAME, _VALUE + field, R1, 4)
    program.value_of(R1, maps.control)
    program.load(R2, R1, layout.LEVEL, 4)
    _read_id(program, R8, R9, R2, fields)
    program.store(FRAME, _VALUE + layout.TID, R8, 4)
    _read(program, R1, R9, fields.task_tgid, 4)
    program.change(R7, ">>", 32)
    program.jump_if_register(R1, "==", R7, "known")
    program.store(FRAME, _VALUE + layout.PROCESS, R8, 4)
    program.load(R1, FRAME, _VALUE + layout.PID, 4)
    program.jump_if(R1, "==", 0, "known")
    program.load(R7, R6, 0)
    _read(program, R7, R7, fields.task_mm)
    _read(program, R1, R9, fields.task_mm)
    program.jump_if_register(R1, "==", R7, "known")
    program.store(FRAME, _VALUE + layout.PID, R8, 4)
    program.label("known")
    _follow(program, maps, _OTHER)


def _follow(program: Assembler, maps: Maps, key: int) -> None:
    program.map(R1, maps.threads)
    program.copy(R2, FRAME)
    program.change(R2, "+", key)
    program.copy(R3, FRAME)
    program.change(R3, "+", _VALUE)
    program.set(R4, 0)
    program.call(Helper.UPDATE)
    followed = program.fresh("followed")
    program.jump_if(R0, "==", 0, followed)
    _count(program, maps, layout.UNFOLLOWED)
    program.label(followed)


def _count(program: Assembler, maps: Maps, counter: int) -> None:
    program.value_of(R1, maps.control)
    program.set(R2, 1)
    program.count(R1, counter, R2)


def _on_exit(program: Assembler, maps: Maps, fields: Fields) -> None:
    """The last thread of a process takes its memory with it."""
    _find_current(program, maps)
    program.load(R9, R8, layout.PID, 4)
    program.load(R1, R8, layout.COVERED, 4)
    program.jump_if(R1, "==", 0, "gone")
    program.load(R1, R8, layout.PROCESS, 4)
    program.jump_if_register(R1, "!=", R9, "gone")
    program.load(R1, R8, layout.TID, 4)
    program.store(FRAME, _TID, R1, 4)
    program.load(R1, R6, 0)
    _read(program, R1, R1, fields.task_signal)
    _read(program, R1, R1, fields.signal_live, 4)
    program.jump_if(R1, "!=", 0, "gone")
    _note(program, maps, Kind.DETACH, "gone")
    program.label("gone")
    program.map(R1, maps.threads)
    program.copy(R2, FRAME)
    program.change(R2, "+", _KEY)
    program.call(Helper.DELETE)


def _note(program: Assembler, maps: Maps, kind: Kind, otherwise: str) -> None:
    """Record an event without a block, of process R9 and thread `_TID`, if a window is open."""
    program.jump_if(R9, "==", 0, otherwise)
    program.value_of(R1, maps.control)
    program.load(R1, R1, layout.ENABLED, 4)
    program.jump_if(R1, "==", 0, otherwise)
    program.store(FRAME, _WINDOW, R1, 4)
    program.store(FRAME, _PID, R9, 4)
    program.store_value(FRAME, _UNUSED, 0, 4)
    program.store(FRAME, _ADDRESS, R9)
    program.store_value(FRAME, _KIND_SIZE, kind)
    program.store_value(FRAME, _AUX, 0)
    emit(program, maps)


# --- Files come in ---


def _on_exec(program: Assembler, maps: Maps, fields: Fields, *, is_alone: bool) -> None:
    """One thread is left, and has the process's id whatever its own was."""
    program.load(R1, R6, 8)
    program.store(FRAME, _OTHER, R1, 4)
    _find(program, maps.threads, _OTHER)
    program.jump_if(R0, "!=", 0, "ours")
    _adopt(program, maps, fields)
    program.label("ours")
    program.call(Helper.PID_TGID)
    program.change(R0, ">>", 32)
    program.store(FRAME, _KEY, R0, 4)
    program.load(R1, FRAME, _OTHER, 4)
    program.jump_if_register(R1, "==", R0, "same")
    program.map(R1, maps.threads)
    program.copy(R2, FRAME)
    program.change(R2, "+", _OTHER)
    program.call(Helper.DELETE)
    program.label("same")
    program.load(R9, R6, 0)
    program.value_of(R1, maps.control)
    program.load(R2, R1, layout.LEVEL, 4)
    _read_id(program, R7, R9, R2, fields)
    program.copy(R9, R7)
    program.value_of(R1, maps.control)
    program.load(R1, R1, layout.SILENT, 4)
    program.jump_if_register(R1, "!=", R7, "heard")
    program.set(R9, 0)
    program.label("heard")
    for at in range(0, layout.THREAD_BYTES, 8):
        program.store_value(FRAME, _VALUE + at, 0)
    program.store(FRAME, _VALUE + layout.PID, R9, 4)
    program.store(FRAME, _VALUE + layout.TID, R7, 4)
    program.store(FRAME, _VALUE + layout.PROCESS, R7, 4)
    program.store(FRAME, _TID, R7, 4)
    program.store(FRAME, _REQUEST, R7, 4)
    program.store(FRAME, _REQUEST + 4, R7, 4)
    program.load(R8, R6, 0)
    _read(program, R8, R8, fields.task_mm)
    _read(program, R8, R8, fields.mm_exe_file)
    _name_file(program, R8, fields)
    _find(program, maps.known, _FILE)
    program.set(R8, 0)
    program.jump_if(R0, "==", 0, "looked up")
    program.load(R8, R0, 0, 4)
    program.label("looked up")
    _cover(program, maps, is_alone=is_alone)
    program.jump_if(R8, "!=", 0, "leave")
    _ask(program, maps, layout.EXEC)


def _adopt(program: Assembler, maps: Maps, fields: Fields) -> None:
    """Leave unless this is the command that we wait for: it is held until then, so none is missed.

    The worker knows it by the id of its own pid namespace only, the kernel knows all of them.
    """
    program.value_of(R1, maps.control)
    program.load(R9, R1, layout.ROOT, 4)
    program.jump_if(R9, "==", 0, "leave")
    program.load(R8, R6, 0)
    _read(program, R8, R8, fields.task_thread_pid)
    _read(program, R7, R8, fields.pid_level, 4)
    program.copy(R1, R7)
    program.change(R1, "*", fields.number_bytes)
    program.change_by(R8, "+", R1)
    _read(program, R1, R8, fields.pid_numbers, 4)
    program.jump_if_register(R1, "!=", R9, "leave")
    _read(program, R8, R8, fields.pid_numbers + fields.number_namespace)
    _read(program, R8, R8, fields.namespace_inode, 4)
    program.value_of(R1, maps.control)
    program.load(R2, R1, layout.NAMESPACE, 4)
    program.jump_if_register(R2, "!=", R8, "leave")
    program.store(R1, layout.LEVEL, R7, 4)
    program.store_value(R1, layout.ROOT, 0, 4)


def _cover(program: Assembler, maps: Maps, *, is_alone: bool) -> None:
    """Tell that the process is another program now, where its allocator is ours to watch."""
    if not is_alone:
        program.jump_if(R8, "!=", layout.PROBED, "uncovered")
    program.store_value(FRAME, _VALUE + layout.COVERED, 1, 4)
    _follow(program, maps, _KEY)
    _note(program, maps, Kind.ATTACH, "covered")
    if not is_alone:
        program.jump("covered")
        program.label("uncovered")
        _follow(program, maps, _KEY)
    program.label("covered")


def _name_file(program: Assembler, file: int, fields: Fields) -> None:
    """Put the `layout.FILE` of a `struct file` into the frame; changes R8."""
    _read(program, R8, file, fields.file_inode)
    _read(program, R1, R8, fields.inode_generation, 4)
    program.store(FRAME, _FILE + 16, R1)
    _read(program, R1, R8, fields.inode_number)
    program.store(FRAME, _FILE + 8, R1)
    _read(program, R1, R8, fields.inode_superblock)
    _read(program, R1, R1, fields.superblock_device, 4)
    program.store(FRAME, _FILE, R1)


def _on_system_call(program: Assembler, maps: Maps, fields: Fields) -> None:
    program.load(R1, R6, 8)
    program.jump_if(R1, "!=", _MMAP, "leave")
    _find_current(program, maps)
    program.load(R1, R8, layout.PROCESS, 4)
    program.store(FRAME, _REQUEST, R1, 4)
    program.load(R1, R8, layout.TID, 4)
    program.store(FRAME, _REQUEST + 4, R1, 4)
    program.load(R9, R6, 0)
    _read(program, R1, R9, _PROTECTION)
    program.change(R1, "&", _EXECUTABLE)
    program.jump_if(R1, "==", 0, "leave")
    _read(program, R1, R9, _FLAGS)
    program.change(R1, "&", _ANONYMOUS)
    program.jump_if(R1, "!=", 0, "leave")
    _read(program, R9, R9, _DESCRIPTOR, 4)
    program.call(Helper.CURRENT_TASK)
    program.copy(R8, R0)
    _read(program, R8, R8, fields.task_files)
    _read(program, R8, R8, fields.files_table)
    _read(program, R8, R8, fields.table_files)
    program.change(R9, "<<", 3)
    program.change_by(R8, "+", R9)
    _read(program, R8, R8, 0)
    program.jump_if(R8, "==", 0, "leave")
    _name_file(program, R8, fields)
    _find(program, maps.known, _FILE)
    program.jump_if(R0, "!=", 0, "leave")
    _ask(program, maps, layout.MAPPED)


def _ask(program: Assembler, maps: Maps, why: int) -> None:
    """Have the worker look at the file in the frame, and stop the process until then."""
    program.store_value(FRAME, _REQUEST + 8, why, 4)
    program.load(R1, FRAME, _KEY, 4)
    program.store(FRAME, _REQUEST + 12, R1, 4)
    program.map(R1, maps.requests)
    program.copy(R2, FRAME)
    program.change(R2, "+", _REQUEST)
    program.set(R3, layout.REQUEST.size)
    program.set(R4, _WAKEUP)
    program.call(Helper.RING_OUTPUT)
    program.jump_if(R0, "!=", 0, "unasked")
    program.set(R1, signal.SIGSTOP)
    program.call(Helper.SEND_SIGNAL)
    program.jump_if(R0, "==", 0, "leave")
    program.label("unasked")
    _count(program, maps, layout.UNASKED)
