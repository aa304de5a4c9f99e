"""What programs on tracepoints have in common: find threads, read what the kernel knows, tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from codspeed_memory.ebpf import frame, layout
from codspeed_memory.ebpf.assembler import FRAME, R0, R1, R2, R3, R4, R7, R8, R9, Helper, Program

if TYPE_CHECKING:
    from codspeed_memory.ebpf.maps import Maps
    from codspeed_memory.raw import Kind

OTHER: Final = frame.BELOW  # a second key
_LEVEL: Final = frame.BELOW - 8
REQUEST: Final = _LEVEL - layout.REQUEST.size  # its last fields are layout.FILE
FILE: Final = REQUEST + 16
VALUE: Final = REQUEST - layout.THREAD_BYTES


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


def find(program: Program, map_fd: int, key: int) -> None:
    """R0: the value of what is in the frame at `key`, or 0."""
    program.map(R1, map_fd)
    program.copy(R2, FRAME)
    program.change(R2, "+", key)
    program.call(Helper.LOOKUP)


def find_current(program: Program, maps: Maps) -> None:
    """R7: the kernel's ids of process and thread, R8: the thread's value; leaves if not ours."""
    program.call(Helper.PID_TGID)
    program.copy(R7, R0)
    program.store(FRAME, frame.KEY, R0, 4)
    find(program, maps.threads, frame.KEY)
    program.jump_if(R0, "==", 0, "leave")
    program.copy(R8, R0)


def read(program: Program, target: int, pointer: int, offset: int, size: int = 8) -> None:
    """Read the kernel's memory at a register plus `offset`; 0 where nothing is."""
    program.store_value(FRAME, frame.WORD, 0)
    program.copy(R3, pointer)
    program.change(R3, "+", offset)
    program.copy(R1, FRAME)
    program.change(R1, "+", frame.WORD)
    program.set(R2, size)
    program.call(Helper.READ_KERNEL)
    program.load(target, FRAME, frame.WORD)


def read_id(program: Program, target: int, task: int, level: int, fields: Fields) -> None:
    """Read a task's id in the namespace at a level; `level` is a register that helpers change."""
    program.change(level, "*", fields.number_bytes)
    program.store(FRAME, _LEVEL, level)
    read(program, target, task, fields.task_thread_pid)
    program.load(R3, FRAME, _LEVEL)
    program.change_by(target, "+", R3)
    read(program, target, target, fields.pid_numbers, 4)


def follow(program: Program, maps: Maps, key: int) -> None:
    """Make the thread in the frame at `key` one of ours, with what is at VALUE."""
    program.map(R1, maps.threads)
    program.copy(R2, FRAME)
    program.change(R2, "+", key)
    program.copy(R3, FRAME)
    program.change(R3, "+", VALUE)
    program.set(R4, 0)
    program.call(Helper.UPDATE)
    followed = program.fresh("followed")
    program.jump_if(R0, "==", 0, followed)
    count(program, maps, layout.UNFOLLOWED)
    program.label(followed)


def count(program: Program, maps: Maps, counter: int) -> None:
    """Add one to a counter of `layout`."""
    program.value_of(R1, maps.control)
    program.set(R2, 1)
    program.count(R1, counter, R2)


def note(program: Program, maps: Maps, kind: Kind, otherwise: str) -> None:
    """Record an event without a block, of process R9, if a window is open."""
    program.jump_if(R9, "==", 0, otherwise)
    program.value_of(R1, maps.control)
    program.load(R1, R1, layout.ENABLED, 4)
    program.jump_if(R1, "==", 0, otherwise)
    program.store(FRAME, frame.WINDOW, R1, 4)
    program.store(FRAME, frame.PID, R9, 4)
    program.store_value(FRAME, frame.UNUSED, 0, 4)
    program.store(FRAME, frame.ADDRESS, R9)
    program.store_value(FRAME, frame.KIND_SIZE, kind)
    program.store_value(FRAME, frame.AUX, 0)
    frame.emit(program, maps)
