"""How long it takes to read what is read at the edges of a window, while the benchmark waits.

Two things are read at Start and at Stop: the benchmark's own processes (walltime) and the counters
of the machine (sysload). Beside them what is read at each marker, and the look at all processes
that is only taken between windows. Target: at most 200 us for an edge, at the median.

    python benchmarks/window_edges.py [--turns 2000] [--processes 3] [--threads 4]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from codspeed.launch.processes import Processes, cpu_ns, descendants, table
from codspeed_sysload.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

# A benchmark's processes: each starts the next and some threads, says so, and sleeps.
PROGRAM = """
import subprocess, sys, threading, time
more, threads = int(sys.argv[1]) - 1, int(sys.argv[2])
for _ in range(threads - 1):
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
if more:
    subprocess.Popen([sys.executable, "-c", sys.argv[3], str(more), *sys.argv[2:]])
else:
    print(flush=True)
time.sleep(3600)
"""


def main() -> None:
    """Measure and print a table."""
    options = _options()
    words = (str(options.processes), str(options.threads), PROGRAM)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], stdout=subprocess.PIPE, start_new_session=True
    ) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            _measure(child.pid, options)
        finally:
            os.killpg(child.pid, 9)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--threads", type=int, default=4)
    return parser.parse_args()


def _measure(pid: int, options: argparse.Namespace) -> None:
    machine, processes = Machine(), Processes()
    try:
        pids = descendants(pid)
        processes.follow(pids)
        processes.read()  # the first time opens the files of threads
        print(f"{len(pids)} processes of {options.threads} threads; {len(table())} in all")
        for text in machine.missing:
            print(f"not read: {text}")
        print(f"{'':44}{'median us':>10}{'p90 us':>9}{'CPU us':>9}")

        def edge() -> None:
            processes.read()
            machine.read()

        _row("an edge: both (target 200)", edge, options.turns)
        _row("  the benchmark's processes (walltime)", processes.read, options.turns)
        _row("  the machine (sysload)", machine.read, options.turns)
        _row("a marker", lambda: cpu_ns(pid), options.turns)
        _row("between windows: descendants (walltime)", lambda: descendants(pid), options.turns)
        _row("between windows: all processes (sysload)", table, options.turns // 20)
    finally:
        machine.close()
        processes.close()


def _row(name: str, action: Callable[[], object], turns: int) -> None:
    times = []
    before = time.process_time_ns()
    for _ in range(turns):
        start = time.perf_counter_ns()
        action()
        times.append((time.perf_counter_ns() - start) / 1e3)
    cpu = (time.process_time_ns() - before) / turns / 1e3
    p90 = statistics.quantiles(times, n=10)[8]
    print(f"{name:44}{statistics.median(times):10.1f}{p90:9.1f}{cpu:9.1f}")


if __name__ == "__main__":
    main()
