"""What core needs to know of the memory executor without loading it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from codspeed.model import OptionStyle, Support, System, option
from codspeed.protocols import ExecutorDescriptor

if TYPE_CHECKING:
    from codspeed_memory.executor import MemoryExecutor

# The shim knows the counter and the system calls of these.
_ARCHITECTURES: Final = ("x86_64", "aarch64")


@attrs.frozen
class MemoryOptions:
    """Options of memory mode.

    Attributes:
        memory_backend: What sees the allocations; "auto": the preloaded shim, and uprobes for a
            benchmark that it can't see.
        python_allocator: "auto": malloc under native, left alone under compat.
        allow_dropped: Accept a run of which events were lost.
        memory_stacks: Sample who allocates, for `codspeed flame`.
    """

    memory_backend: str = option(
        "auto",
        env="CODSPEED_MEMORY_BACKEND",
        choices=("auto", "shim", "ebpf"),
        help="What records allocations: a preloaded library (shim), uprobes (ebpf, needs root); "
        "auto: the first, and the second for programs that it can't see",
    )
    python_allocator: str = option(
        "auto",
        env="CODSPEED_PYTHON_ALLOCATOR",
        choices=("auto", "default", "pymalloc", "malloc"),
        help="CPython's allocator; auto: malloc in memory mode, else pymalloc; "
        "with --compat codspeed as the reference has it",
    )
    allow_dropped: bool = option(
        False,  # noqa: FBT003 - the default of a flag
        style=OptionStyle.FLAG,
        help="Accept memory results of which allocation events were lost",
    )
    memory_stacks: bool = option(
        False,  # noqa: FBT003 - the default of a flag
        style=OptionStyle.FLAG,
        env="CODSPEED_MEMORY_STACKS",
        help="Sample call stacks of allocations, for flame graphs of memory",
    )


def _load() -> type[MemoryExecutor]:
    from codspeed_memory.executor import MemoryExecutor  # noqa: PLC0415 - only when selected

    return MemoryExecutor


def _support(system: System) -> Support:
    if system.os != "linux":
        return Support.unsupported("allocations can be recorded on Linux only")
    if system.arch not in _ARCHITECTURES:
        return Support.unsupported(f"no memory mode on {system.arch}, only on x86_64 and aarch64")
    return Support.ok()


descriptor: Final = ExecutorDescriptor(
    name="memory",
    label="Memory",
    mode="memory",
    runner_mode="memory",
    options=MemoryOptions,
    load=_load,
    support=_support,
)
