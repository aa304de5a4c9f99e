"""How quick the local store is with a million results (the target: compare two runs in 50 ms).

Fills an index run by run through the code that `codspeed run` uses, then measures what the verbs
do: compare the last two runs, find the base by itself, list, and the history of one series beside a
bare SQL query. Each figure is the median over repetitions, each with a newly opened index.

    python benchmarks/store.py [--runs 500] [--series 2000] [--repeat 15]
"""

from __future__ import annotations

import argparse
import contextlib
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from codspeed import bundle as bundles
from codspeed.model import (
    BenchmarkResult,
    Bundle,
    Comparability,
    Compat,
    Manifest,
    Metric,
    PartRecord,
    PartResults,
    RunContext,
)
from codspeed_report import resolve
from codspeed_report.compare import compare
from codspeed_report.store import INDEX, Store, use

if TYPE_CHECKING:
    from collections.abc import Callable

_STEP_NS = 3_600_000_000_000
_FIRST_NS = 1_700_000_000_000_000_000


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--series", type=int, default=2000)
    parser.add_argument("--repeat", type=int, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "bundles").mkdir()
        _fill(root, arguments.runs, arguments.series)
        for name, action in _actions(root).items():
            _say(f"{name:<44}{_median_ms(action, arguments.repeat):10.2f} ms")


def _fill(root: Path, runs: int, series: int) -> None:
    started = time.perf_counter()

    def add_all(store: Store) -> None:
        for number in range(runs):
            bundle = _bundle(root, number, series)
            store.add(bundle)
            bundle.path.mkdir()  # so that looking for new bundles costs what it does in life
            (bundle.path / bundles.MANIFEST).touch()

    use(root, add_all)
    seconds = time.perf_counter() - started
    size = (root / INDEX).stat().st_size / 1e6
    _say(f"{runs * series:,} results stored in {seconds:.1f} s, {size:.0f} MB")


def _actions(root: Path) -> dict[str, Callable[[], object]]:
    newest = use(root, lambda store: store.runs(2))
    head, base = (run.run_id for run in newest)

    def compare_named(store: Store) -> object:
        taken = resolve.pair(store, base, head)
        return compare(taken[0].selection, taken[1].selection)

    def compare_found(store: Store) -> object:
        store.sync()
        taken = resolve.pair(store, None, None)
        return compare(taken[0].selection, taken[1].selection)

    return {
        "compare two runs (target: 50 ms)": lambda: use(root, compare_named),
        "look for bundles, find two runs, compare": lambda: use(root, compare_found),
        "the two runs' rows by bare SQL": lambda: _two_runs(root / INDEX, base, head),
        "one series over all runs by bare SQL": lambda: _history(root / INDEX),
        "list 20 runs": lambda: use(root, lambda store: store.runs(20)),
        "list all runs": lambda: use(root, lambda store: store.runs()),
    }


def _two_runs(index: Path, base: str, head: str) -> list[object]:
    query = """
        SELECT a.value, b.value FROM result AS a JOIN result AS b USING (series, part)
        WHERE a.run = (SELECT id FROM run WHERE run_id = ?)
        AND b.run = (SELECT id FROM run WHERE run_id = ?)
    """
    with contextlib.closing(sqlite3.connect(index)) as database:
        return database.execute(query, (base, head)).fetchall()


def _history(index: Path) -> list[object]:
    query = "SELECT run, value FROM result WHERE series = 7 ORDER BY run"
    with contextlib.closing(sqlite3.connect(index)) as database:
        return database.execute(query).fetchall()


def _median_ms(action: Callable[[], object], repeat: int) -> float:
    times = []
    for _ in range(repeat):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


def _bundle(root: Path, number: int, series: int) -> Bundle:
    """Return a run without files: indexing needs none."""
    created_ns = _FIRST_NS + number * _STEP_NS
    run_id = bundles.new_run_id(created_ns)
    results = tuple(
        BenchmarkResult(
            uri=f"tests/benchmarks/test_module_{each % 40}.py::test_function[case-{each}]",
            name=f"test_function[case-{each}]",
            metrics=(_metric(1000.0 + each + number % 7),),
        )
        for each in range(series)
    )
    manifest = _manifest(run_id, created_ns, number)
    return Bundle(
        root / "bundles" / run_id,
        manifest,
        (PartResults(0, "walltime", "walltime", "walltime/1", results),),
    )


def _metric(value: float) -> Metric:
    spread = {"q1": value * 0.99, "q3": value * 1.02, "min": value * 0.9, "rounds": 100.0}
    return Metric("time", value, "ns", headline=True, label="Time", statistics=spread)


def _manifest(run_id: str, created_ns: int, number: int) -> Manifest:
    return Manifest(
        schema=1,
        run_id=run_id,
        created_ns=created_ns,
        codspeed="0.1.0",
        plugins={},
        context=RunContext("local", "o/r", "o-r", Path("/r"), commit=f"{number:040x}"),
        variant={},
        fingerprint={"cpu_model": "a model", "kernel": "6.1"},
        parts=(_PART,),
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


_PART = PartRecord(
    index=0,
    executor="walltime",
    distribution="codspeed-walltime",
    version="0.1.0",
    mode="walltime",
    label="",
    argv=("pytest",),
    cwd="",
    harnessed=False,
    compat=Compat.NATIVE,
    folder="profiles/walltime-0",
    archive="plain",
    model="walltime/1",
    comparability=Comparability(refuses=("cpu_model",)),
)


if __name__ == "__main__":
    main()
