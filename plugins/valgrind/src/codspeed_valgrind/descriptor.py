"""What core needs to know of the simulation executor without loading it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from codspeed.model import OptionStyle, Support, System, option
from codspeed.protocols import ExecutorDescriptor

if TYPE_CHECKING:
    from codspeed_valgrind.executor import ValgrindExecutor

# Valgrind's tools that we can read the output of exist for these.
_ARCHITECTURES: Final = ("x86_64", "aarch64")


@attrs.frozen
class ValgrindOptions:
    """Options of simulation; the first six are the contract's (spec/cli-upload.md 1.4).

    Attributes:
        simulation_tool: "callgrind", or "tracegrind" of CodSpeed's Valgrind.
        cycle_estimation: Ask a Valgrind that can for its own estimate of cycles.
        exclude_allocations: Tell the service to leave allocators out; measures nothing else.
        valgrind_flavour: "auto": the stock Valgrind under native, CodSpeed's if found under compat.
        python_allocator: "auto": pymalloc under native, malloc under compat.
        repeat: Measure this often, and tell which counters differ.
        cycle_model: How counters become the headline.
        keep_raw: Write the raw files as KCachegrind reads them.
    """

    simulation_tool: str = option(
        "callgrind",
        env="CODSPEED_SIMULATION_TOOL",
        choices=("callgrind", "tracegrind"),
        help="The tool of Valgrind that simulates",
        hidden=True,
    )
    cycle_estimation: bool = option(
        True,  # noqa: FBT003 - the default of a flag
        style=OptionStyle.OPTIONAL_BOOL,
        env="CODSPEED_CYCLE_ESTIMATION",
        help="Let a Valgrind that can estimate cycles do so (default true)",
    )
    exclude_allocations: bool = option(
        False,  # noqa: FBT003 - see above
        style=OptionStyle.OPTIONAL_BOOL,
        env="CODSPEED_EXCLUDE_ALLOCATIONS",
        help="Ask the service to leave allocations out of simulated times",
    )
    experimental_fair_sched: bool = option(
        False,  # noqa: FBT003 - see above
        style=OptionStyle.FLAG,
        env="CODSPEED_EXPERIMENTAL_FAIR_SCHED",
        help="Let Valgrind schedule the threads of a program fairly",
    )
    experimental_cycle_estimation: bool = option(
        False,  # noqa: FBT003 - see above
        style=OptionStyle.FLAG,
        env="CODSPEED_EXPERIMENTAL_CYCLE_ESTIMATION",
        help="Has no effect; the replacement is --cycle-estimation",
        hidden=True,
    )
    experimental_exclude_allocations: bool = option(
        False,  # noqa: FBT003 - see above
        style=OptionStyle.FLAG,
        env="CODSPEED_EXPERIMENTAL_EXCLUDE_ALLOCATIONS",
        help="Has no effect; the replacement is --exclude-allocations",
        hidden=True,
    )
    valgrind_flavour: str = option(
        "auto",
        env="CODSPEED_VALGRIND_FLAVOUR",
        choices=("auto", "stock", "codspeed"),
        help="Which Valgrind: the distribution's (stock) or CodSpeed's (default auto)",
    )
    python_allocator: str = option(
        "auto",
        env="CODSPEED_PYTHON_ALLOCATOR",
        choices=("auto", "default", "pymalloc", "malloc"),
        help="CPython's allocator; auto: pymalloc, or malloc with --compat codspeed",
    )
    repeat: int = option(
        1,
        parse="int",
        metavar="N",
        help="Simulate N times and report every counter that differs",
    )
    cycle_model: str = option(
        "l1-5-35",
        choices=("l1-5-35", "kcachegrind", "ir"),
        help="How counters become estimated cycles (default l1-5-35)",
    )
    keep_raw: bool = option(
        False,  # noqa: FBT003 - see above
        style=OptionStyle.FLAG,
        help="Write the raw .out files in the form that KCachegrind reads",
    )


def _load() -> type[ValgrindExecutor]:
    from codspeed_valgrind.executor import ValgrindExecutor  # noqa: PLC0415 - only when selected

    return ValgrindExecutor


def _support(system: System) -> Support:
    if system.os != "linux":
        return Support.unsupported("Valgrind simulates programs of Linux only")
    if system.arch not in _ARCHITECTURES:
        return Support.unsupported(f"no simulation on {system.arch}, only on x86_64 and aarch64")
    return Support.ok()


descriptor: Final = ExecutorDescriptor(
    name="valgrind",
    label="CPU Simulation",
    mode="simulation",
    aliases=("instrumentation",),
    runner_mode="instrumentation",
    options=ValgrindOptions,
    load=_load,
    support=_support,
)
