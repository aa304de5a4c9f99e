"""How long `codspeed run` takes after its child has ended: the wait nobody asked for.

The child notes the time of its last action. Until the run's own log says that the child's end was
seen, nothing is stored; after that results are read, bundled, indexed and shown. Target: at most
50 ms before storing.

    python benchmarks/end_of_run.py [--runs 20]
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

from codspeed.environment import read_system
from codspeed.hooks.fifo import FifoPaths
from codspeed.hooks.session import FifoSession
from codspeed.model import IntegrationMode, Launch

CHILD = "import sys, time; open(sys.argv[1], 'w').write(str(time.monotonic_ns()))"


def main() -> None:
    """Measure and print a table."""
    runs = _options().runs
    seen, stored, indexed = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        stamp = Path(folder, "stamp")
        child = [sys.executable, "-c", CHILD, str(stamp)]
        for _ in range(runs):
            seen.append(_session_end(child, Path(folder), stamp))
            stored.append(_run_end(child, Path(folder), stamp, "--no-store"))
            indexed.append(_run_end(child, Path(folder), stamp))
    print(f"{'from the end of the child to':45}{'median ms':>10}{'max ms':>10}")
    for label, times in (
        ("its end being seen (before storing)", seen),
        ("the end of `codspeed run --no-store`", stored),
        ("the end of `codspeed run`", indexed),
    ):
        print(f"{label:45}{statistics.median(times):10.1f}{max(times):10.1f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    return parser.parse_args()


def _session_end(child: list[str], folder: Path, stamp: Path) -> float:
    system = read_system()
    session = FifoSession(
        system=system,
        environment=system.env,
        mode=IntegrationMode.WALLTIME,
        paths=FifoPaths(folder / "ctl", folder / "ack"),
    )
    session.run(Launch(tuple(child)))
    return (time.monotonic_ns() - int(stamp.read_text())) / 1e6


def _run_end(child: list[str], folder: Path, stamp: Path, *options: str) -> float:
    command = [sys.executable, "-m", "codspeed.cli", "run", "-m", "walltime", "--allow-empty"]
    environment = os.environ | {"XDG_DATA_HOME": str(folder)}
    subprocess.run(
        [*command, *options, "--", *child], env=environment, check=True, capture_output=True
    )
    return (time.monotonic_ns() - int(stamp.read_text())) / 1e6


if __name__ == "__main__":
    main()
