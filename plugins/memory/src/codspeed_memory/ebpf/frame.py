"""The stack frame of our programs, and the way from there into the ring of events.

An event lies at the top as `layout.EVENT` has it. Below it is room for what helpers want an address
of; each program uses it as it likes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codspeed_memory.ebpf import layout
from codspeed_memory.ebpf.assembler import FRAME, R0, R1, R2, R3, R4, Helper, Program

if TYPE_CHECKING:
    from codspeed_memory.ebpf.maps import Maps

STAMP, ADDRESS, KIND_SIZE, AUX, PID, TID, WINDOW, UNUSED = -48, -40, -32, -24, -16, -12, -8, -4
KEY: Final = -56
WORD: Final = -64
BELOW: Final = -72  # the next 8 bytes

# Flags of bpf_ringbuf_output, and the question of bpf_ringbuf_query.
_NO_WAKEUP, WAKEUP = 1, 2
_UNREAD: Final = 0


def emit(program: Program, maps: Maps) -> None:
    """Stamp the event at the top of the frame and put it into the ring; changes R0 to R5."""
    program.call(Helper.TIME_NS)
    program.store(FRAME, STAMP, R0)
    program.map(R1, maps.events)
    program.set(R2, _UNREAD)
    program.call(Helper.RING_QUERY)
    program.set(R4, _NO_WAKEUP)
    quiet, done = program.fresh("quiet"), program.fresh("done")
    program.jump_if(R0, "<", maps.ring_bytes // 8, quiet)
    # Once for each sleep: a wake-up costs more than an event.
    program.value_of(R1, maps.control)
    program.load(R2, R1, layout.SLEEPING, 4)
    program.jump_if(R2, "==", 0, quiet)
    program.store_value(R1, layout.SLEEPING, 0, 4)
    program.set(R4, WAKEUP)
    program.label(quiet)
    program.map(R1, maps.events)
    program.copy(R2, FRAME)
    program.change(R2, "+", STAMP)
    program.set(R3, layout.EVENT.size)
    program.call(Helper.RING_OUTPUT)
    program.jump_if(R0, "==", 0, done)
    program.value_of(R1, maps.control)
    program.set(R2, 1)
    program.count(R1, layout.DROPPED, R2)
    program.label(done)
