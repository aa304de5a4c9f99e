"""The tracepoints that we are on, by their bare names: that needs neither tracefs nor trampolines.

Some kernels refuse programs on functions (fentry) whatever the rights; these they take.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from codspeed_memory.ebpf import syscalls
from codspeed_memory.ebpf.arrivals import on_exec, on_system_call
from codspeed_memory.ebpf.assembler import R1, R6, Program
from codspeed_memory.ebpf.following import on_exit, on_fork

if TYPE_CHECKING:
    from codspeed_memory.ebpf.maps import Maps
    from codspeed_memory.ebpf.tracing import Fields

_ALWAYS: Final = ("sched_process_fork", "sched_process_exit", "sched_process_exec")
# Where libraries come in; not needed where the shim sees what they do.
_OF_LIBRARIES: Final = "sys_enter"


class Tracepoints:
    """The programs that follow; letting them go stops nobody any more."""

    def __init__(self, made: Maps, fields: Fields, *, is_alone: bool) -> None:
        self._descriptors: list[int] = []
        try:
            for name in (*_ALWAYS, *((_OF_LIBRARIES,) if is_alone else ())):
                code = _assembled(name, made, fields, is_alone=is_alone)
                kind = syscalls.ProgramType.RAW_TRACEPOINT
                program = syscalls.load(kind, code, name=name)
                self._descriptors.append(program)
                self._descriptors.append(syscalls.on_tracepoint(program, name))
        except BaseException:
            self.close()
            raise

    def close(self) -> bool:
        """Follow nobody any more; return whether that is new."""
        descriptors, self._descriptors = self._descriptors, []
        for fd in descriptors:
            os.close(fd)
        return bool(descriptors)


def _assembled(name: str, maps: Maps, fields: Fields, *, is_alone: bool) -> bytes:
    program = Program()
    program.copy(R6, R1)
    match name:
        case "sched_process_fork":
            on_fork(program, maps, fields)
        case "sched_process_exit":
            on_exit(program, maps, fields)
        case "sched_process_exec":
            on_exec(program, maps, fields, is_alone=is_alone)
        case _:
            on_system_call(program, maps, fields)
    program.label("leave")
    program.exit(0)
    return program.assembled()
