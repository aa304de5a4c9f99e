"""How quickly codspeed starts, beside a bare interpreter, in one interleaved run.

Prints ratios of medians beside the limits of the design. Not a test: a busy machine is not a fault
of the code.

    python benchmarks/startup.py [ROUNDS]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Users start from compiled modules: the first, unmeasured turn compiles them.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

CODSPEED = Path(sys.executable).parent / "codspeed"
LIMITS = {"--version": 3.0, "--help": 8.0, "run until its child starts": 15.0}


def wall(argv: list[str]) -> float:
    """Return how many seconds a command takes from start to end."""
    start = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def until_child(folder: Path) -> float:
    """Return how many seconds pass until a command under `run` is executed; includes a shell."""
    stamp = folder / "stamp"
    script = f"date +%s.%N > {stamp}"
    argv = [str(CODSPEED), "run", "--mode", "walltime", "--allow-empty", "--skip-setup"]
    argv += [
        "--uploader",
        "none",
        "--bundle-dir",
        str(folder / "bundles"),
        "--",
        "sh",
        "-c",
        script,
    ]
    start = time.time()
    subprocess.run(
        argv, check=False, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return float(stamp.read_text()) - start


def main() -> None:
    """Measure in turns and print a line per case."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    seconds: dict[str, list[float]] = {"bare": [], **{case: [] for case in LIMITS}}
    with tempfile.TemporaryDirectory() as name:
        until_child(Path(name))
        for _ in range(rounds):
            seconds["bare"].append(wall([sys.executable, "-c", "pass"]))
            seconds["--version"].append(wall([str(CODSPEED), "--version"]))
            seconds["--help"].append(wall([str(CODSPEED), "--help"]))
            seconds["run until its child starts"].append(until_child(Path(name)))
    bare = statistics.median(seconds["bare"])
    results = {case: statistics.median(values) / bare for case, values in seconds.items()}
    for case, limit in LIMITS.items():
        verdict = "ok" if results[case] <= limit else "TOO SLOW"
        sys.stdout.write(
            f"{case:28} {results[case]:5.1f}x of bare python, at most {limit:g}x: {verdict}\n"
        )
    if os.environ.get("BENCHMARK_JSON"):
        sys.stdout.write(json.dumps(results) + "\n")


if __name__ == "__main__":
    main()
