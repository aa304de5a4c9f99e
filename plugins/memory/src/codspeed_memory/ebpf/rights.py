"""Whether uprobes may be placed: found by loading a program of two instructions.

By us, or by the worker with root's rights, if sudo gives them without asking. Run as a program,
this module is what sudo is asked to do.
"""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Final

from codspeed_memory.ebpf import syscalls
from codspeed_memory.ebpf.assembler import Program
from codspeed_memory.ebpf.syscalls import ProbesRefusedError, ProgramType

# Capability numbers of linux/capability.h.
_NEEDED: Final = {"CAP_BPF": 39, "CAP_PERFMON": 38}
_ADMIN: Final = 21  # has both of them
_HINT: Final = (
    "run codspeed as root, allow sudo without a password, "
    "or use --memory-backend shim, which needs no rights"
)
SUDO: Final = ("sudo", "--non-interactive")
_SUDO_S: Final = 30.0


def lacking() -> ProbesRefusedError | None:
    """Return why no probe can be placed; None if they can, as far as is known."""
    refused = _refused()
    return None if refused is None or _sudo_helps() else refused


def prefix() -> tuple[str, ...]:
    """Return what the worker is started with; nothing if we have the rights ourselves."""
    return () if _refused() is None else SUDO


def _refused() -> ProbesRefusedError | None:
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


@functools.cache
def _sudo_helps() -> bool:
    # -I: nothing of the user's working directory or variables is imported with root's rights.
    argv = [*SUDO, sys.executable, "-I", "-m", "codspeed_memory.ebpf.rights"]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SUDO_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _told(failure: OSError) -> str:
    missing = _missing()
    if missing:
        return f"eBPF needs rights that this process lacks: {' and '.join(missing)}"
    return f"the kernel lets nobody load eBPF programs here: {failure.strerror}"


def _missing() -> list[str]:
    held = _capabilities()
    if held >> _ADMIN & 1:
        return []
    return [name for name, bit in _NEEDED.items() if not held >> bit & 1]


def _capabilities() -> int:
    """Return what this process may do: bits by the numbers of capabilities."""
    try:
        text = Path("/proc/self/status").read_text("ascii")
    except OSError:
        return 0
    found = (line.split()[1] for line in text.splitlines() if line.startswith("CapEff:"))
    return int(next(found, "0"), 16)


if __name__ == "__main__":
    sys.exit(_refused() is not None)
