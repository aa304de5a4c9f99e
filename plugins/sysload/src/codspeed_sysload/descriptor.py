"""What core knows of this instrument without loading it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codspeed.model import Rounds, Support, System
from codspeed.protocols import InstrumentDescriptor

if TYPE_CHECKING:
    from codspeed.model import RunPart
    from codspeed.protocols import Executor
    from codspeed_sysload.instrument import Sysload


def _load() -> type[Sysload]:
    from codspeed_sysload.instrument import Sysload  # noqa: PLC0415 - only when it takes part

    return Sysload


def _support(system: System) -> Support:
    if system.os != "linux":
        return Support.unsupported("only Linux tells how busy it is in a way that we read")
    return Support.ok()


def _wanted(_part: RunPart, executor: Executor, _options: Any) -> str | None:
    """Where a benchmark is repeated because its times vary, people want to know why they do."""
    return "its times depend on what else runs" if executor.rounds is Rounds.TIMED else None


def _status(_system: System) -> list[str]:
    from codspeed_sysload.machine import Machine  # noqa: PLC0415 - only for `codspeed status`

    machine = Machine()
    try:
        return [f"sysload: {text}" for text in machine.missing]
    finally:
        machine.close()


descriptor = InstrumentDescriptor(
    name="sysload",
    label="System load",
    load=_load,
    support=_support,
    status=_status,
    wanted=_wanted,
)
