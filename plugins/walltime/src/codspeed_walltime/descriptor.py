"""What core needs to know of the walltime executor without loading it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from codspeed.model import OptionStyle, Support, System, option
from codspeed.protocols import ExecutorDescriptor

if TYPE_CHECKING:
    from codspeed_walltime.executor import WalltimeExecutor


@attrs.frozen
class WalltimeOptions:
    """Options of walltime; the first four are the contract's (spec/cli-upload.md 1.4).

    Attributes:
        walltime_profiler: "auto": the builtin one where the kernel lets it sample, else none.
        enable_profiler: False is `walltime_profiler` "none".
        enable_perf: The old name of `enable_profiler`, and stronger; empty if it was not given.
        perf_unwinding_mode: How perf walks stacks; empty: as fits the command.
        profile_pass: Whether the profile is taken from the run that is timed, or from a second one.
        realtime: Run the benchmark before all ordinary programs, if the kernel lets us.
    """

    walltime_profiler: str = option(
        "auto",
        env="CODSPEED_WALLTIME_PROFILER",
        choices=("auto", "builtin", "perf", "samply", "none"),
        help="What samples the benchmarks for flame graphs (default auto)",
    )
    enable_profiler: bool = option(
        True,  # noqa: FBT003 - the default of a flag
        style=OptionStyle.OPTIONAL_BOOL,
        env="CODSPEED_PROFILER_ENABLED",
        help="Sample the benchmarks for flame graphs (default true)",
    )
    enable_perf: str = option(
        "",
        env="CODSPEED_PERF_ENABLED",
        choices=("true", "false"),
        help="Old name of --enable-profiler",
        hidden=True,
    )
    perf_unwinding_mode: str = option(
        "",
        env="CODSPEED_PERF_UNWINDING_MODE",
        choices=("fp", "dwarf"),
        help="How perf walks the stack: frame pointers (fp) or debug information (dwarf)",
    )
    profile_pass: str = option(
        "same",
        env="CODSPEED_PROFILE_PASS",
        choices=("same", "separate", "off"),
        help="Sample while timing (same, the default), in a second run (separate), or never (off)",
    )
    realtime: bool = option(
        False,  # noqa: FBT003 - the default of a flag
        style=OptionStyle.FLAG,
        help="Run the benchmarks with real-time priority, and leave one CPU to all else",
    )


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
    options=WalltimeOptions,
    load=_load,
    support=_support,
)
