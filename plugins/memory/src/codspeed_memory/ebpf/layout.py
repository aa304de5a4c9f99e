"""What programs in the kernel, the worker and the runner share: maps, records, cookies.

control   one array value, mapped by the worker and the runner: switch and counters
threads   by thread id: every thread of the benchmark, what it reports, the call it is in
known     by device, inode and generation: files that were looked at
internal  calls that a C library makes to its own free
events    ring of heap events, all of one size
requests  ring of what the worker has to look at before the process may go on
"""

from __future__ import annotations

import struct
from typing import Final

# --- control: offsets in bytes ---

CONTROL_BYTES: Final = 64
ENABLED: Final = 0  # u32: the window that is open; 0: none
LATEST: Final = 4  # u32: the latest window
DROPPED: Final = 8  # u64: events for which the ring had no room
UNFOLLOWED: Final = 16  # u64: threads for which the map had no room
UNASKED: Final = 24  # u64: files that nobody could be asked to look at
SILENT: Final = 32  # u32: a process that is followed but never recorded: the harness
ROOT: Final = 40  # u32: the process to follow from its exec on; 0: that has begun
NAMESPACE: Final = 44  # u32: inode of the pid namespace in which process ids are told
LEVEL: Final = 48  # u32: how deep that namespace is
SLEEPING: Final = 36  # u32: the worker waits until the ring of events has filled up

# --- threads: keys are the kernel's own ids, values have ids of our namespace ---

THREAD_BYTES: Final = 64
PID: Final = 0  # u32: whose memory it is; 0: nothing is recorded
TID: Final = 4  # u32
LIMIT: Final = 8  # u64: calls at or below this stack pointer are part of the call it is in; 0: none
STACK: Final = 16  # u64: stack pointer at that call's entry
CALL: Final = 24  # u64: cookie of that call
FIRST: Final = 32  # u64: its size
SECOND: Final = 40  # u64: the old block, or where the address will be
WINDOW: Final = 48  # u32: the window that was open
COVERED: Final = 52  # u32: its allocator is probed
PROCESS: Final = 56  # u32: which process it is of
# Nothing is taken for them until they are there.
THREADS: Final = 1 << 18

# --- known: {device, inode, generation: numbers of inodes are used again} -> u32 ---

FILE: Final = struct.Struct("<QQQ")
FILES: Final = 1 << 16
PLAIN, PROBED = 1, 2  # without functions to probe; with

# --- internal: {number of the file u32, return address minus that of the probe u32} -> u32 ---

SITE: Final = struct.Struct("<II")
SITES: Final = 1 << 12

# --- events: the ring's header, then stamp, address, kind and size, aux, pid, tid, window, unused

EVENT: Final = struct.Struct("<4Q4I")
RING_HEADER_BYTES: Final = 8
EVENT_STRIDE: Final = RING_HEADER_BYTES + EVENT.size

# --- requests: process, thread, why, key in `threads`, then as `known` ---

REQUEST: Final = struct.Struct("<4I3Q")
REQUEST_STRIDE: Final = RING_HEADER_BYTES + REQUEST.size
REQUESTS_BYTES: Final = 1 << 16
EXEC, MAPPED = 1, 2  # why: it became another program; it mapped a file

# --- cookie of a probe ---
#
# Bits: 0-7 the kind of the record, 8-11 and 12-15 registers of the arguments, then flags; 32-63
# the number of the file.

FIRST_SHIFT: Final = 8
SECOND_SHIFT: Final = 12
FILE_SHIFT: Final = 32
PRODUCT: Final = 1 << 16  # the size is the product of both arguments
BY_REFERENCE: Final = (
    1 << 17
)  # the address comes through the second argument, the result is a status
OUTER: Final = 1 << 18  # what it calls inside is part of it
THROWS: Final = 1 << 19  # may be left by an exception
HAS_SITES: Final = 1 << 20  # calls that `internal` lists are not the program's
