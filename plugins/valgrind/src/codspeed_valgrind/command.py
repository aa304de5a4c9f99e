"""The arguments of Valgrind, and how a command is put behind them. No I/O here.

Source: spec/executors.md 2.1 for compat, to the letter; native is ours: counters are bit-identical,
but each cost line carries its whole call chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import attrs

from codspeed.model import Compat
from codspeed_valgrind.capabilities import Capabilities
from codspeed_valgrind.descriptor import ValgrindOptions

if TYPE_CHECKING:
    from collections.abc import Iterator


# The caches of the simulated machine, whatever the host's are (spec/executors.md 2.1).
_CACHES: Final = (
    "--cache-sim=yes",
    "--I1=32768,8,64",
    "--D1=32768,8,64",
    "--LL=8388608,16,64",
)
# esbuild is a program of Go; Valgrind changes argv[0] of Nix's rustup wrapper.
_NOT_TRACED: Final = "--trace-children-skip=*esbuild,*.rustup-wrapped"
# Deep enough for any stack that a person reads, now that interpreter frames are skipped.
_STACK_DEPTH: Final = 100


@attrs.frozen(kw_only=True)
class Request:
    """What the arguments follow from.

    Attributes:
        out_file: Pattern of the output file, with %p.
        log_file: Pattern of the log file, with %p.
        skip_objects: Files whose functions are the interpreter's; used if the Valgrind can.
        skip_functions: Their names; used otherwise.
        at_start: Measure from the first instruction, for programs that can't say when.
    """

    capabilities: Capabilities
    options: ValgrindOptions
    compat: Compat
    out_file: str
    log_file: str
    skip_objects: Sequence[str] = ()
    skip_functions: Sequence[str] = ()
    at_start: bool = False


def arguments(request: Request) -> tuple[str, ...]:
    """Return Valgrind's arguments, without its name and without the command."""
    make = _reference if request.compat is Compat.CODSPEED else _native
    return tuple(make(request))


def refused(request: Request) -> tuple[str, ...]:
    """Return the reference's options that were asked for and that this Valgrind does not know."""
    if request.options.simulation_tool != "callgrind":
        return ()
    capabilities, found = request.capabilities, []
    if request.options.cycle_estimation and not capabilities.cycle_estimation:
        found.append("--cycle-estimation")
    if request.skip_objects and not capabilities.obj_skip:
        found.append("--obj-skip")
    return tuple(found)


def _reference(request: Request) -> Iterator[str]:
    options, capabilities = request.options, request.capabilities
    is_callgrind = options.simulation_tool == "callgrind"
    yield from ("-q", "--trace-children=yes", *_CACHES)
    yield _instrumentation(request)
    yield from ("--collect-systime=nsec", "--read-inline-info=yes")
    if is_callgrind:
        if options.cycle_estimation and capabilities.cycle_estimation:
            yield "--cycle-estimation=yes"
        yield from ("--tool=callgrind", "--compress-strings=no")
        yield from ("--combine-dumps=yes", "--dump-line=no")
    else:
        yield "--tool=tracegrind"
    yield _NOT_TRACED
    if options.experimental_fair_sched:
        yield "--fair-sched=yes"
    if is_callgrind and capabilities.obj_skip:
        yield from (f"--obj-skip={path}" for path in request.skip_objects)
    yield from _files(request)


def _native(request: Request) -> Iterator[str]:
    options, capabilities = request.options, request.capabilities
    # Settings of the user's for other work (.valgrindrc, VALGRIND_OPTS) would move the numbers.
    yield from ("-q", "--command-line-only=yes", f"--tool={options.simulation_tool}")
    yield from ("--vgdb=no", "--trace-children=yes", _NOT_TRACED, *_CACHES)
    yield _instrumentation(request)
    yield "--collect-systime=nsec"
    if options.simulation_tool == "callgrind":
        if options.cycle_estimation and capabilities.cycle_estimation:
            yield "--cycle-estimation=yes"
        yield from ("--combine-dumps=yes", f"--separate-callers={_STACK_DEPTH}")
        # KCachegrind can't read compressed chains; our reader takes both.
        compressed = "no" if options.keep_raw else "yes"
        yield from ("--compress-strings=yes", f"--compress-mangled={compressed}")
    if options.experimental_fair_sched:
        yield "--fair-sched=yes"
    if options.simulation_tool == "callgrind":
        yield from _skips(request)
    yield from _files(request)


def _skips(request: Request) -> Iterator[str]:
    if request.capabilities.obj_skip:
        yield from (f"--obj-skip={path}" for path in request.skip_objects)
    else:
        yield from (f"--fn-skip={name}" for name in request.skip_functions)


def _instrumentation(request: Request) -> str:
    return f"--instr-atstart={'yes' if request.at_start else 'no'}"


def _files(request: Request) -> Iterator[str]:
    tool = request.options.simulation_tool
    yield f"--{tool}-out-file={request.out_file}"
    yield f"--log-file={request.log_file}"
