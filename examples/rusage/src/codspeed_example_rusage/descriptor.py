"""What the command line needs to know. Every start reads it, so it imports next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from codspeed.model import OptionStyle, Support, System, option
from codspeed.protocols import ExecutorDescriptor

if TYPE_CHECKING:
    from codspeed_example_rusage.executor import RusageExecutor


@attrs.frozen
class RusageOptions:
    """`--rusage-user-only` on the command line, `rusage-user-only` in codspeed.yml."""

    rusage_user_only: bool = option(
        default=False,
        style=OptionStyle.FLAG,
        help="Leave the time that the kernel works for the command out of its CPU time",
    )


def _support(system: System) -> Support:
    if system.os == "windows":
        return Support.unsupported("Windows has no wait4")
    return Support.ok()


def _load() -> type[RusageExecutor]:
    from codspeed_example_rusage.executor import RusageExecutor  # noqa: PLC0415 - only when selected

    return RusageExecutor


descriptor = ExecutorDescriptor(
    name="rusage",
    label="CPU time and memory",
    mode="rusage",
    options=RusageOptions,
    support=_support,
    load=_load,
)
