"""Benchmarks and call trees of a part, from the callgrind files in its folder.

Totals are always read, bodies only for a call tree, and for the count without allocators while the
files are small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codspeed.model import BenchmarkResult, Direction, Kind, Metric
from codspeed_native import fold
from codspeed_valgrind.reader import folder as folders
from codspeed_valgrind.reader import tree as trees
from codspeed_valgrind.reader.model import DEFAULT_MODEL, MODELS, NOMINAL_GHZ, hits
from codspeed_valgrind.reader.totals import CallgrindError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from codspeed.model import CallTree, RunPart
    from codspeed_valgrind.reader.folder import Folder, Measured

# Reading bodies takes about a second per 25 MB; a run that wrote so much took minutes.
ALLOCATOR_LIMIT_BYTES: Final = 16_000_000


def read_results(part: RunPart, *, cycle_model: str = DEFAULT_MODEL) -> tuple[BenchmarkResult, ...]:
    """Return one result per URI, in the order of measurement.

    What a killed process left counts as far as it is whole, with a note.

    Args:
        cycle_model: A key of `reader.model.MODELS`.

    Raises:
        TruncatedError: If a file is cut off and there is no whole result at all.
        CallgrindError: If a file can't be understood and there is no result at all.
        ResultsError: If `targets.json` can't be understood.
    """
    found = folders.read(part.folder)
    uris = dict.fromkeys(each.uri for each in found.measured)
    if not uris and found.faults:
        raise found.faults[0]
    return tuple(_result(uri, found, cycle_model) for uri in uris)


def faults(part: RunPart) -> tuple[CallgrindError, ...]:
    """Return what is wrong with the files of a part: cut off (`TruncatedError`) or damaged."""
    return folders.read(part.folder).faults


def call_tree(part: RunPart, uri: str) -> CallTree | None:
    """Return the stacks of a benchmark, all processes and threads together; None if there are none.

    The sum of the costs is the benchmark's `ir`.

    Raises:
        CallgrindError: If a file can't be understood.
    """
    base = "" if part.launch.cwd is None else str(part.launch.cwd)
    measured = folders.read(part.folder).of(uri)
    return fold.merge(trees.call_tree(each.body(), each.names(), base=base) for each in measured)


def name_of(uri: str) -> str:
    """Return the part of a URI that names the benchmark; the rest says where it is defined."""
    path, separator, name = uri.partition("::")
    return name if separator and name else path


def _result(uri: str, found: Folder, cycle_model: str) -> BenchmarkResult:
    measured = found.of(uri)
    costs = _added(measured)
    cycles = MODELS[cycle_model].cycles(costs)
    metrics = (
        Metric("estimated_cycles", cycles, "count", kind=Kind.EXACT, headline=True),
        Metric("time", cycles / NOMINAL_GHZ, "ns", kind=Kind.EXACT, label="Time"),
        _count("ir", costs.get("Ir", 0), "Instr."),
        *_hits(costs),
        *_allocators(found, measured, costs.get("Ir", 0)),
        *_system_calls(costs),
    )
    return BenchmarkResult(uri, name_of(uri), metrics, tuple(_notes(uri, found, measured)))


def _added(measured: Sequence[Measured]) -> dict[str, int]:
    """Add up counters; an event that only some processes count is left out."""
    every = [each.part.costs for each in measured]
    shared = [event for event in every[0] if all(event in costs for costs in every)]
    return {event: sum(costs[event] for costs in every) for event in shared}


def _hits(costs: Mapping[str, int]) -> Iterator[Metric]:
    found = hits(costs)
    if found is not None:
        yield _neutral("l1_hits", found.l1, "count", "L1")
        yield _count("ll_hits", found.ll, "LL")
        yield _count("ram_hits", found.ram, "RAM")


def _allocators(found: Folder, measured: Sequence[Measured], ir: int) -> Iterator[Metric]:
    if found.total_bytes > ALLOCATOR_LIMIT_BYTES:
        return
    cost = sum(trees.allocator_cost(each.body()) for each in measured)
    yield _count("ir_no_alloc", ir - cost, "")
    yield _neutral("alloc_share", 100 * cost / ir if ir else 0.0, "percent", "Alloc.")


def _system_calls(costs: Mapping[str, int]) -> Iterator[Metric]:
    if "sysCount" in costs:
        yield _count("sys_count", costs["sysCount"], "")
    # Wall-clock and CPU time inside of the kernel: as noisy as any, never to be gated on.
    for name, event in (("sys_time", "sysTime"), ("sys_cpu_time", "sysCpuTime")):
        if event in costs:
            yield _info(name, costs[event], "ns", "")


def _notes(uri: str, found: Folder, measured: Sequence[Measured]) -> Iterator[str]:
    processes = {each.part.pid for each in measured}
    if len(processes) > 1:
        yield f"the sum of {len(processes)} processes"
    runs = {(each.part.pid, each.part.number) for each in found.measured if each.uri == uri}
    if len(runs) > len(processes):
        yield f"measured {len(runs)} times in this run; the last one in each process counts"
    if any(isinstance(fault, TruncatedError) for fault in found.faults):
        yield "a profile of this run is cut off: results may be missing"


def _count(name: str, value: float, label: str) -> Metric:
    return Metric(name, value, "count", kind=Kind.EXACT, label=label)


def _neutral(name: str, value: float, unit: str, label: str) -> Metric:
    """Neither more nor less of it is better: it says where the rest comes from."""
    return Metric(name, value, unit, direction=Direction.NONE, kind=Kind.EXACT, label=label)


def _info(name: str, value: float, unit: str, label: str) -> Metric:
    return Metric(name, value, unit, direction=Direction.NONE, kind=Kind.INFO, label=label)
