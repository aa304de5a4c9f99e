"""perf_event_open(2) by ctypes: which event can be sampled here, and the descriptors to do it.

Per CPU there are two events of the benchmark and all its descendants. A dummy is always on: it owns
the ring and records mappings, names and forks, so that code which was loaded between two benchmarks
is known in the second. The sampling event writes into the same ring and is on only while it is told
to. Layouts: linux/perf_event.h.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import struct
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, Protocol

import attrs

from codspeed.errors import CodspeedError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SYSCALL: Final = {"x86_64": 298, "aarch64": 241}
ARCHITECTURES: Final = frozenset(_SYSCALL)
# Every register that unwinding may need, in the order of asm/perf_regs.h of each architecture.
_REGISTERS: Final = {"x86_64": 0xFF0FFF, "aarch64": (1 << 33) - 1}

_ENABLE: Final = 0x2400
_DISABLE: Final = 0x2401
_SET_OUTPUT: Final = 0x2405
_CLOSE_ON_EXEC: Final = 8
_CLOCK_MONOTONIC: Final = 1  # the clock of the integrations' markers

_TYPE_SOFTWARE: Final = 1
_CONFIG_DUMMY: Final = 9
_IP, _TID, _TIME, _CALLCHAIN, _REGS_USER, _STACK_USER = 1, 2, 4, 1 << 5, 1 << 12, 1 << 13
# The chain is always empty: `perf record --call-graph=dwarf --user-callchains` has it so, and who
# reads its recordings reads ours.
SAMPLE_TYPE: Final = _IP | _TID | _TIME | _CALLCHAIN | _REGS_USER | _STACK_USER

# Bits of perf_event_attr.
_DISABLED: Final = 1 << 0
_INHERIT: Final = 1 << 1
_EXCLUDE_KERNEL: Final = 1 << 5
_EXCLUDE_HYPERVISOR: Final = 1 << 6
_MMAP: Final = 1 << 8
_COMM: Final = 1 << 9
_FREQUENCY: Final = 1 << 10
_TASK: Final = 1 << 13
_WATERMARK: Final = 1 << 14
_SAMPLE_ID_ALL: Final = 1 << 18
_EXCLUDE_CHAIN_KERNEL: Final = 1 << 21
_EXCLUDE_CHAIN_USER: Final = 1 << 22
_MMAP2: Final = 1 << 23
_COMM_EXEC: Final = 1 << 24
_USE_CLOCKID: Final = 1 << 25

# type, size, config, frequency, sample_type, read_format, flags, wakeup, bp_type, config1, config2,
# branch_type, regs_user, stack_user, clockid, then regs_intr to sig_data.
_ATTR: Final = struct.Struct("=IIQQQQQIIQQQQIi32x")
_PROBE_ROUNDS: Final = 20_000
# Reading an event tells how many of its records found no room, after its count. Linux 6.0.
_FORMAT_LOST: Final = 1 << 4
_COUNT_AND_LOST: Final = struct.Struct("=QQ")
_FIRST_WITH_LOST: Final = 6

_SETTINGS: Final = Path("/proc/sys/kernel")
_ONLINE: Final = Path("/sys/devices/system/cpu/online")


class SamplingRefusedError(CodspeedError):
    """The kernel, or what confines us, does not let this process sample."""

    slug: ClassVar[str] = "sampling-refused"


class Event(NamedTuple):
    """What makes a sample due; `kind` and `config` are perf_event_attr's type and config."""

    name: str
    kind: int
    config: int


CYCLES: Final = Event("cycles", 0, 0)
# Counts time on the CPU with a timer of the kernel's, where there is no counter, as in most VMs.
CPU_CLOCK: Final = Event("cpu-clock", _TYPE_SOFTWARE, 0)


@attrs.frozen
class Sampling:
    """How to sample.

    Attributes:
        has_kernel: Samples in the kernel are taken too; they have the user's stack.
        frequency_hz: Samples per second of each CPU; not a divisor of timers' usual rates.
        stack_bytes: How much of the stack each sample has, at most 65,528.
    """

    event: Event
    has_kernel: bool
    frequency_hz: int = 997
    stack_bytes: int = 32_768

    @property
    def name(self) -> str:
        """Return the event as perf would write it."""
        return self.event.name if self.has_kernel else f"{self.event.name}:u"

    def attribute(self) -> bytes:
        """Return the perf_event_attr of the sampling event, disabled."""
        flags = _DISABLED | _FREQUENCY | _EXCLUDE_HYPERVISOR
        if not self.has_kernel:
            flags |= _EXCLUDE_KERNEL
        return _attribute(self.event, flags, self.frequency_hz, stack_bytes=self.stack_bytes)

    def side_band(self, watermark_bytes: int) -> bytes:
        """Return the perf_event_attr of the dummy; its ring wakes us at `watermark_bytes`."""
        flags = _MMAP | _MMAP2 | _COMM | _COMM_EXEC | _TASK | _WATERMARK | _EXCLUDE_KERNEL
        dummy = Event("dummy", _TYPE_SOFTWARE, _CONFIG_DUMMY)
        return _attribute(dummy, flags, 0, wakeup=watermark_bytes, stack_bytes=self.stack_bytes)


class Pair(NamedTuple):
    """The descriptors of one CPU."""

    side_band: int
    sampling: int


class Opener(Protocol):
    """Opens events; the second way is a helper with root's rights."""

    def __call__(self, pid: int, cpus: Sequence[int], attributes: Sequence[bytes]) -> list[int]:
        """Return a descriptor per CPU and attribute, CPU by CPU; see `open_directly`."""


def _attribute(
    event: Event, flags: int, frequency_hz: int, *, wakeup: int = 0, stack_bytes: int
) -> bytes:
    # Both events have one sample type, so that all records of the ring end in the same fields.
    flags |= _INHERIT | _SAMPLE_ID_ALL | _USE_CLOCKID | _EXCLUDE_CHAIN_KERNEL | _EXCLUDE_CHAIN_USER
    registers = _REGISTERS.get(platform.machine(), 0)
    form = _FORMAT_LOST if _tells_lost() else 0
    return _ATTR.pack(
        event.kind, _ATTR.size, event.config, frequency_hz, SAMPLE_TYPE, form, flags, wakeup,
        0, 0, 0, 0, registers, stack_bytes, _CLOCK_MONOTONIC,
    )  # fmt: skip


def open_directly(pid: int, cpus: Sequence[int], attributes: Sequence[bytes]) -> list[int]:
    """Open events of `pid` and its future descendants, with our own rights.

    Returns:
        A descriptor per CPU and attribute, CPU by CPU; the caller closes them.

    Raises:
        SamplingRefusedError: If the kernel refuses one; none stays open.
    """
    opened: list[int] = []
    try:
        for cpu in cpus:
            opened.extend(_open(attribute, pid, cpu) for attribute in attributes)
    except OSError as failure:
        for fd in opened:
            os.close(fd)
        raise refusal(failure) from failure
    return opened


def redirect(pairs: Sequence[Pair]) -> None:
    """Let each sampling event write into the ring of its CPU's dummy, which must be mapped."""
    for pair in pairs:
        fcntl.ioctl(pair.sampling, _SET_OUTPUT, pair.side_band)


def switch(pairs: Sequence[Pair], *, is_on: bool) -> None:
    """Turn sampling of the process and its descendants on or off; the side-band stays on."""
    request = _ENABLE if is_on else _DISABLE
    for pair in pairs:
        fcntl.ioctl(pair.sampling, request, 0)


def lost(pairs: Sequence[Pair]) -> int:
    """Return how many records found no room; 0 if the kernel does not tell (before Linux 6.0).

    The ring itself tells it with the next record that has room, if there is one.
    """
    if not _tells_lost():
        return 0
    count = 0
    for fd in (fd for pair in pairs for fd in pair):
        count += _COUNT_AND_LOST.unpack(os.read(fd, _COUNT_AND_LOST.size))[1]
    return count


def _tells_lost() -> bool:
    major = platform.release().partition(".")[0]
    return major.isdigit() and int(major) >= _FIRST_WITH_LOST


def choose(*, settings: Path = _SETTINGS) -> Sampling:
    """Return how to sample on this machine with the rights there are.

    Raises:
        SamplingRefusedError: If this process can't sample itself.
    """
    if platform.machine() not in _SYSCALL:
        problem = f"sampling is not implemented on {platform.machine()}"
        raise SamplingRefusedError(problem)
    limit_hz = _number(settings / "perf_event_max_sample_rate")
    frequency_hz = min(997, limit_hz) if limit_hz else 997
    refused: OSError | None = None
    for has_kernel in (True, False):
        for event in (CYCLES, CPU_CLOCK):
            sampling = Sampling(event, has_kernel=has_kernel, frequency_hz=frequency_hz)
            try:
                if _counts(sampling):
                    return sampling
            except OSError as failure:
                refused = failure
    raise refusal(refused or OSError(errno.EOPNOTSUPP, "no event counts"))


def online_cpus(path: Path = _ONLINE) -> list[int]:
    """Return the CPUs that may run something, as the kernel numbers them."""
    try:
        words = path.read_text().strip().split(",")
    except OSError:
        return sorted(os.sched_getaffinity(0))
    cpus: list[int] = []
    for word in words:
        first, _, last = word.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


def _counts(sampling: Sampling) -> bool:
    """Whether the event counts: some virtual machines let it be opened and count nothing."""
    fd = _open(sampling.attribute(), 0, -1)
    try:
        fcntl.ioctl(fd, _ENABLE, 0)
        for _ in range(_PROBE_ROUNDS):
            pass
        fcntl.ioctl(fd, _DISABLE, 0)
        return any(os.read(fd, _COUNT_AND_LOST.size)[:8])
    finally:
        os.close(fd)


def _open(attribute: bytes, pid: int, cpu: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    number = _SYSCALL.get(platform.machine(), -1)
    buffer = ctypes.create_string_buffer(attribute, len(attribute))
    fd: int = libc.syscall(
        ctypes.c_long(number), ctypes.byref(buffer), ctypes.c_int(pid), ctypes.c_int(cpu),
        ctypes.c_int(-1), ctypes.c_ulong(_CLOSE_ON_EXEC),
    )  # fmt: skip
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return fd


def refusal(failure: OSError) -> SamplingRefusedError:
    """Say what the kernel refused and what can be done."""
    problem = f"the kernel refuses to sample: {failure.strerror}"
    paranoid = _number(_SETTINGS / "perf_event_paranoid")
    if failure.errno in {errno.EACCES, errno.EPERM} and paranoid is not None and paranoid > 2:
        hint = f"sudo sysctl -w kernel.perf_event_paranoid=2 (it is {paranoid})"
    elif failure.errno in {errno.EACCES, errno.EPERM}:
        hint = "a container's seccomp profile may forbid perf_event_open"
    else:
        hint = "this kernel or virtual machine may have no perf events"
    return SamplingRefusedError(problem, hint=hint)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
