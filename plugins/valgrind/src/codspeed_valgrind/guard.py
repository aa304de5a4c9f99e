"""Uprobes in the C library kill every process under Valgrind: find out before, explain after.

A uprobe is a breakpoint instruction that the kernel writes over the first byte of a function, in
every process that maps the library. Valgrind translates that byte, and the program dies of SIGTRAP.
"""

from __future__ import annotations

import ctypes
import platform
import signal
from typing import TYPE_CHECKING, Final

from codspeed.errors import BenchmarkFailedError, ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# What memory profilers probe.
ALLOCATORS: Final = ("malloc", "free", "calloc", "realloc", "posix_memalign")
# The kernel's breakpoint: int3 (arch/x86/include/asm/uprobes.h), and for arm64 brk #5
# (UPROBES_BRK_IMM in arch/arm64/include/asm/brk-imm.h), both as bytes in memory.
_BREAKPOINTS: Final = {"x86_64": b"\xcc", "aarch64": (0xD4200000 | 5 << 5).to_bytes(4, "little")}
# As waitpid tells it, and as a shell does.
_TRAPPED: Final = frozenset({-signal.SIGTRAP, 128 + signal.SIGTRAP})
_TRAP_LINE: Final = "default action of signal 5 (SIGTRAP)"
_HINT: Final = (
    "another program probes the C library (memory mode, bpftrace, perf probe); "
    "wait for its end, then measure again"
)


def probed(names: Sequence[str], *, read: Callable[[str, int], bytes] | None = None) -> list[str]:
    """Return those functions of our C library that begin with a breakpoint.

    Args:
        names: Functions; those that do not exist are left out.
        read: Returns the first bytes of a function; of our own process by default.
    """
    breakpoint_bytes = _BREAKPOINTS.get(platform.machine(), b"")
    if not breakpoint_bytes:
        return []
    first_bytes = read or _first_bytes
    size = len(breakpoint_bytes)
    return [name for name in names if first_bytes(name, size) == breakpoint_bytes]


def check(*, read: Callable[[str, int], bytes] | None = None) -> None:
    """Refuse to simulate while there are uprobes on the allocator.

    Raises:
        ToolError: Names the functions.
    """
    found = probed(ALLOCATORS, read=read)
    if found:
        problem = f"there are breakpoints in the C library: {', '.join(found)}"
        raise ToolError(problem, hint=f"they would kill what runs under Valgrind; {_HINT}")


def explained(status: int, log_lines: Iterable[str]) -> BenchmarkFailedError | None:
    """Return the error for a command that a breakpoint ended; None for any other end.

    Args:
        status: Of the command; 0 is a good end.
        log_lines: Valgrind's, of all processes: the command may be a parent of the one that died.
    """
    if status == 0 or not (status in _TRAPPED or any(_TRAP_LINE in line for line in log_lines)):
        return None
    problem = f"failed to execute the benchmark process: signal: {signal.SIGTRAP:d} (SIGTRAP)"
    hint = f"most likely a uprobe appeared in a library while it ran: {_HINT}"
    return BenchmarkFailedError(problem, hint=hint)


def _first_bytes(name: str, size: int) -> bytes:
    try:
        function = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return b""
    address = ctypes.cast(function, ctypes.c_void_p).value
    return ctypes.string_at(address, size) if address else b""
