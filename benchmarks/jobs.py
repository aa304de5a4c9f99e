"""How much faster `--jobs 2` is on a suite of 20 benchmarks, and what the split does to counters.

Runs of one and of several jobs take turns, so that load of the machine meets both. Beside them
stands what the machine itself gives: how much more two loops get done at once than one alone. On
two free cores that is 2; cores that share hardware or are busy give less. Target: at least 1.7
times as fast with two jobs on two free cores.

    python benchmarks/jobs.py [--jobs 2] [--rounds 3] [--python PYTHON-WITH-PYTEST-CODSPEED]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import simulated

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOOP = "for number in range(40_000_000): number * number"


def main() -> None:
    """Measure and print both tables."""
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = simulated.interpreter(options.python, folder)
        suite = Path(options.suite) if options.suite else simulated.copied_suite(folder)
        command = [python, "-m", "pytest", "-q", *options.pytest]
        runs: dict[int, list[simulated.Run]] = {1: [], options.jobs: []}
        ratios = []
        for _ in range(options.rounds):
            times = {}
            for jobs, done in runs.items():
                began = time.perf_counter()
                done.append(_run(command, suite, folder, jobs))
                times[jobs] = time.perf_counter() - began
            ratios.append(times[1] / times[options.jobs])
            print(
                f"1 job {times[1]:6.1f} s, {options.jobs} jobs {times[options.jobs]:6.1f} s:"
                f" {ratios[-1]:.2f} times as fast; bare loops {_capacity(options.jobs):.2f}"
                f" (load {os.getloadavg()[0]:.1f})",
                flush=True,
            )
        print(f"median {statistics.median(ratios):.2f}")
        _compare(runs[1], runs[options.jobs])


def _capacity(count: int) -> float:
    """Return how many times as much `count` loops get done at once as one alone."""
    return count * _loops(1) / _loops(count)


def _loops(count: int) -> float:
    began = time.perf_counter()
    loops = [subprocess.Popen([sys.executable, "-c", _LOOP]) for _ in range(count)]
    for loop in loops:
        loop.wait()
    return time.perf_counter() - began


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--python", default="")
    parser.add_argument("--suite", default="", help="folder with another suite")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest")
    return parser.parse_args()


def _run(command: Sequence[str], suite: Path, home: Path, jobs: int) -> simulated.Run:
    return simulated.measure(
        "run",
        command,
        cwd=suite,
        env=simulated.base_environment(home),
        options=["--jobs", str(jobs)],
    )


def _compare(serial: Sequence[simulated.Run], split: Sequence[simulated.Run]) -> None:
    """Say how far counters of the split run are from those of the serial one."""
    print(f"\nserial: {serial[0].model}\nsplit:  {split[0].model}")
    print(f"{'repeated exactly':20}{_same(serial)} serial, {_same(split)} split")
    for metric in simulated.METRICS:
        before, after = serial[-1].values[metric], split[-1].values[metric]
        changes = {name: after[name] / before[name] - 1 for name in before}
        moved = [abs(change) for change in changes.values() if change]
        farthest = max(changes, key=lambda name: abs(changes[name]))
        print(
            f"{metric}: {len(moved)} of {len(changes)} benchmarks differ, median"
            f" {statistics.median(abs(change) for change in changes.values()):.4%}, most"
            f" {changes[farthest]:+.4%} ({farthest})"
        )


def _same(runs: Sequence[simulated.Run]) -> str:
    return "yes" if all(run.values == runs[0].values for run in runs) else "no"


if __name__ == "__main__":
    main()
