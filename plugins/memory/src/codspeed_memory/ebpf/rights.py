"""Whether this process may place uprobes: found by loading a program of two instructions."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Final

from codspeed_memory.ebpf import syscalls
from codspeed_memory.ebpf.assembler import Program
from codspeed_memory.ebpf.syscalls import ProbesRefusedError, ProgramType

# Capability numbers of linux/capability.h.
_NEEDED: Final = {"CAP_BPF": 39, "CAP_PERFMON": 38}
_ADMIN: Final = 21  # has both of them
_HINT: Final = "run codspeed as root, or use --memory-backend shim, which needs no rights"


def lacking() -> ProbesRefusedError | None:
    """Return why no probe can be placed; None if they can, as far as is known."""
    if platform.machine() != "x86_64":
        problem = f"the eBPF backend does not know {platform.machine()}"
        return ProbesRefusedError(problem, hint="use --memory-backend shim")
    program = Program()
    program.exit(0)
    try:
        os.close(syscalls.load(ProgramType.KPROBE, program.assembled(), name="rights"))
    except OSError as failure:
        return ProbesRefusedError(_told(failure), hint=_HINT)
    return None


def _told(failure: OSError) -> str:
    missing = _missing()
    if missing:
        return f"eBPF needs rights that this process lacks: {' and '.join(missing)}"
    return f"the kernel lets nobody load eBPF programs here: {failure.strerror}"


def _missing() -> list[str]:
    try:
        text = Path("/proc/self/status").read_text("ascii")
    except OSError:
        return []
    line = next((line for line in text.splitlines() if line.startswith("CapEff:")), "CapEff: 0")
    held = int(line.split()[1], 16)
    if held >> _ADMIN & 1:
        return []
    return [name for name, bit in _NEEDED.items() if not held >> bit & 1]
