"""What --realtime does to the spread of wall time, beside the same runs without, turn by turn.

Run it on a machine that is busy with something else, or let it start programs that spin. CPU time
is printed beside: it should not care. Needs root, CAP_SYS_NICE or RLIMIT_RTPRIO.

    python benchmarks/realtime.py [--turns 5] [--rounds 40] [--hogs 0]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# About 50 ms, start of the interpreter included.
SPIN = "for _ in range(1_500_000): pass"
HEADINGS = ("median ms", "best ms", "IQR %", "CPU ms", "CPU IQR %", "queued %")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--hogs", type=int, default=0)
    options = parser.parse_args()
    ways: dict[str, tuple[str, ...]] = {"as usual": (), "--realtime": ("--realtime",)}
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in ways}
    with _hogs(options.hogs):
        for turn in range(options.turns):
            for name in sorted(ways, reverse=bool(turn % 2)):
                found[name].append(_measured(ways[name], options.rounds))
    print(f"{'':12}" + "".join(f"{heading:>12}" for heading in HEADINGS))
    for name, runs in found.items():
        row = [statistics.median(column) for column in zip(*runs, strict=True)]
        print(f"{name:12}" + "".join(f"{number:12.1f}" for number in row))


@contextlib.contextmanager
def _hogs(count: int) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            argv = (sys.executable, "-c", "while True: pass")
            process = stack.enter_context(subprocess.Popen(argv, start_new_session=True))
            stack.callback(process.kill)
        yield


def _measured(words: tuple[str, ...], rounds: int) -> tuple[float, ...]:
    """Return the numbers of `HEADINGS`."""
    with tempfile.TemporaryDirectory() as folder:
        command = (
            sys.executable, "-m", "codspeed.cli", "exec", "--mode", "walltime", "--no-store",
            "--uploader", "none", "--walltime-profiler", "none", "--bundle-dir", folder,
            "--warmup-time", "0", "--max-rounds", str(rounds), *words,
            "--", sys.executable, "-c", SPIN,
        )  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 or (words and "no effect" in done.stderr):
            sys.exit(done.stderr)
        (bundle,) = (path for path in Path(folder).iterdir() if path.is_dir())
        document = json.loads((bundle / "results.json").read_text())
    (benchmark,) = document["parts"][0]["benchmarks"]
    metrics = {metric["name"]: metric for metric in benchmark["metrics"]}
    cpu = metrics["cpu_time"]["samples"]
    low, middle, high = statistics.quantiles(cpu, n=4)
    return (
        metrics["wall_time"]["value"] / 1e6,
        metrics["wall_time_min"]["value"] / 1e6,
        metrics["wall_time_iqr"]["value"],
        middle / 1e6,
        100 * (high - low) / middle,
        metrics["queue_share"]["value"],
    )


if __name__ == "__main__":
    main()
