"""What the runner itself takes around a command with a profile, at its start and at its end.

The command notes when its first line ran and when its last one did, and has one window of half a
second. What is left of the whole time is the runner's, but for what the same interpreter takes to
start and to end by itself, which is measured beside it and taken off. CPU is the runner's, by the
kernel's account: it tells more on a busy machine. Target: at most 400 ms, start and end together
(the reference: 1,078 ms with samply, 1,488 ms with perf).

    python benchmarks/profile_overhead.py [--runs 11] [--python PATH] [--cold]
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

_PROGRAM: Final = """
import time; first = time.monotonic_ns()
import json, os, sys
from pathlib import Path
if "CODSPEED_PROFILE_FOLDER" in os.environ:
    from codspeed.hooks.client import connect
    client = connect()
    client.set_integration("overhead", "1.0.0")
    client.start()
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        sum(range(10_000))
    client.stop()
    client.benchmark(os.getpid(), "overhead::burn")
    stats = "min_ns max_ns mean_ns stdev_ns q1_ns median_ns q3_ns rounds total_time"
    stats += " iqr_outlier_rounds stdev_outlier_rounds iter_per_round warmup_iters"
    stats = dict.fromkeys(stats.split(), 1)
    one = {"name": "burn", "uri": "overhead::burn", "config": {}, "stats": stats}
    creator = {"name": "overhead", "version": "1.0.0", "pid": os.getpid()}
    document = {"creator": creator, "instrument": {"type": "walltime"}, "benchmarks": [one]}
    folder = Path(os.environ["CODSPEED_PROFILE_FOLDER"], "results")
    folder.mkdir(exist_ok=True)
    (folder / f"{os.getpid()}.json").write_text(json.dumps(document))
Path(sys.argv[1]).write_text(f"{first} {time.process_time_ns()} {time.monotonic_ns()}")
"""


class Turn(NamedTuple):
    """Milliseconds before the first line of the command, after its last one, and of the CPU."""

    start: float
    end: float
    cpu: float


def main() -> None:
    """Measure and print a table."""
    options = _options()
    rows = {
        "no profiler": ("--walltime-profiler", "none"),
        "our sampler": (),
        "our sampler, for the service": ("--compat", "codspeed"),
    }
    if shutil.which("perf") is not None:
        perf = ("--walltime-profiler", "perf")
        rows |= {"perf": perf, "perf, for the service": (*perf, "--compat", "codspeed")}
    turns: dict[str, list[Turn]] = {label: [] for label in rows}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "command.py").write_text(_PROGRAM)
        command = [options.python, str(work / "command.py"), str(work / "stamps")]
        own = []
        for turn in range(options.runs + 1):  # the first one fills caches, unless --cold
            own.append(_turn(command, work, os.environ | {}))
            for label, words in rows.items():
                measured = _turn([*_runner(work), *words, "--", *command], work, _environment(work))
                if turn or options.cold:
                    turns[label].append(measured)
                if options.cold:
                    shutil.rmtree(work / "cache", ignore_errors=True)
        _show(turns, Turn(*(statistics.median(part) for part in zip(*own, strict=True))))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--python", default=sys.executable, help="runs the command")
    parser.add_argument("--cold", action="store_true", help="with an empty cache each time")
    return parser.parse_args()


def _runner(work: Path) -> list[str]:
    words = ["run", "-m", "walltime", "--bundle-dir", str(work / "bundles")]
    return [sys.executable, "-m", "codspeed.cli", *words]


def _environment(work: Path) -> dict[str, str]:
    homes = {f"XDG_{kind}_HOME": str(work / kind.lower()) for kind in ("DATA", "CACHE", "CONFIG")}
    # Installed packages have their bytecode; those that are being worked on are to get theirs.
    left_out = {"CI", "PYTHONDONTWRITEBYTECODE"}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return kept | homes | {"CODSPEED_SKIP_UPLOAD": "true"}


def _turn(command: list[str], work: Path, environment: dict[str, str]) -> Turn:
    before = _children_cpu()
    began = time.monotonic_ns()
    subprocess.run(command, env=environment, check=True, capture_output=True, cwd=work)
    ended = time.monotonic_ns()
    first, used, last = map(int, (work / "stamps").read_text().split())
    cpu = 1e3 * (_children_cpu() - before) - used / 1e6
    return Turn((first - began) / 1e6, (ended - last) / 1e6, cpu)


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _show(turns: dict[str, list[Turn]], own: Turn) -> None:
    print(f"the command alone: {own.start:.0f} ms before its first line, {own.end:.0f} after")
    print(f"{'ms (median)':32}{'start':>8}{'end':>8}{'both':>8}{'most':>8}{'CPU':>8}")
    for label, each in turns.items():
        start = statistics.median(turn.start for turn in each) - own.start
        end = statistics.median(turn.end for turn in each) - own.end
        both = [turn.start + turn.end - own.start - own.end for turn in each]
        cpu = statistics.median(turn.cpu for turn in each) - own.cpu
        print(
            f"{label:32}{start:8.0f}{end:8.0f}{statistics.median(both):8.0f}{max(both):8.0f}"
            f"{cpu:8.0f}"
        )


if __name__ == "__main__":
    main()
