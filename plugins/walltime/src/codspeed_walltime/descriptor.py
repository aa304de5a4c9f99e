"""What core needs to know of the walltime executor without loading it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codspeed.model import Support, System
from codspeed.protocols import ExecutorDescriptor

if TYPE_CHECKING:
    from codspeed_walltime.executor import WalltimeExecutor


def _load() -> type[WalltimeExecutor]:
    from codspeed_walltime.executor import WalltimeExecutor  # noqa: PLC0415 - only when selected

    return WalltimeExecutor


def _support(system: System) -> Support:
    if system.os == "windows":
        return Support.unsupported("benchmarks can't be run on Windows; bundles can be read there")
    return Support.ok()


descriptor = ExecutorDescriptor(
    name="walltime",
    label="Walltime",
    mode="walltime",
    load=_load,
    support=_support,
)
