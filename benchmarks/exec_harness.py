"""What exec-harness costs per round, beside hyperfine in the same run.

Both run the same command equally often, turn by turn, so that both meet the same moods of the
machine. Two questions: what do they *report* for a round (the target: at most 1.05x), and what does
the whole loop take, with everything that happens between rounds? For the second, a process of two
rounds is taken off, because an interpreter starts slower than a binary.

    python benchmarks/exec_harness.py [--blocks 15] [--rounds 300] [COMMAND...]
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Run(NamedTuple):
    """One process: the time of each round, and what the process took; microseconds."""

    times: list[float]
    wall: float
    cpu: float


Tool: TypeAlias = "Callable[[int], Run]"


class Block(NamedTuple):
    """One process that ran all rounds; microseconds per round, `start_wall` per process."""

    reported_min: float
    reported_median: float
    loop_wall: float
    loop_cpu: float
    start_wall: float


def main() -> int:
    """Measure, print a table, and return 0; 1 if hyperfine is missing."""
    options = _options()
    hyperfine = shutil.which("hyperfine")
    if hyperfine is None:
        sys.stderr.write("hyperfine is missing: apt-get install hyperfine\n")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        tools: dict[str, Tool] = {
            "exec-harness": lambda rounds: _harness(options.command, rounds, Path(folder)),
            "hyperfine -N": lambda rounds: _hyperfine(
                hyperfine, options.command, rounds, Path(folder)
            ),
        }
        blocks: dict[str, list[Block]] = {name: [] for name in tools}
        for index in range(options.blocks):
            order = list(tools) if index % 2 else list(reversed(tools))
            for name in order:
                blocks[name].append(_block(tools[name], options.rounds))
    _show(blocks, options)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--blocks", type=int, default=15, help="processes of each tool")
    parser.add_argument("--rounds", type=int, default=300, help="rounds in each process")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    # The full path: neither tool is to be charged for looking it up.
    options.command = options.command or [shutil.which("true") or "true"]
    return options


def _harness(command: Sequence[str], rounds: int, folder: Path) -> Run:
    # The mode keeps it away from a runner that may be at work on this machine.
    argv = [sys.executable, "-P", "-m", "codspeed_exec_harness", "-m", "simulation"]
    argv += ["--rounds", "timed", "--warmup-time", "0", "--max-rounds", str(rounds), *command]
    target = folder / "profile"
    wall, cpu = _timed(argv, {"CODSPEED_PROFILE_FOLDER": str(target), "CODSPEED_LOG": "warn"})
    (results,) = (target / "results").glob("*.json")
    document = json.loads(results.read_text(encoding="utf-8"))
    results.unlink()
    times = document["benchmarks"][0]["codspeed"]["rounds"]["wall_ns"]
    return Run([time_ns / 1e3 for time_ns in times], wall, cpu)


def _hyperfine(program: str, command: Sequence[str], rounds: int, folder: Path) -> Run:
    export = folder / "hyperfine.json"
    argv = [program, "-N", "-w", "0", "-r", str(rounds), "--style", "none"]
    wall, cpu = _timed([*argv, "--export-json", str(export), shlex.join(command)], {})
    times = json.loads(export.read_text(encoding="utf-8"))["results"][0]["times"]
    return Run([seconds * 1e6 for seconds in times], wall, cpu)


def _timed(argv: Sequence[str], variables: dict[str, str]) -> tuple[float, float]:
    """Return wall and CPU microseconds of a process and its children."""
    before = os.times()
    start = time.perf_counter()
    subprocess.run(
        argv,
        check=True,
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wall = time.perf_counter() - start
    after = os.times()
    cpu = after.children_user + after.children_system
    return wall * 1e6, (cpu - before.children_user - before.children_system) * 1e6


def _block(tool: Tool, rounds: int) -> Block:
    start = tool(2)  # hyperfine needs two
    whole = tool(rounds)
    more = rounds - 2
    return Block(
        reported_min=min(whole.times),
        reported_median=statistics.median(whole.times),
        loop_wall=(whole.wall - start.wall) / more,
        loop_cpu=(whole.cpu - start.cpu) / more,
        start_wall=start.wall,
    )


def _show(blocks: dict[str, list[Block]], options: argparse.Namespace) -> None:
    write = sys.stdout.write
    command = shlex.join(options.command)
    write(f"{command}: {options.blocks} blocks of {options.rounds} rounds, us per round\n")
    write(f"{'':34}{'min':>10}{'median':>10}\n")
    for field, label in (
        ("reported_min", "reported, fastest round"),
        ("reported_median", "reported, median round"),
        ("loop_wall", "loop, wall"),
        ("loop_cpu", "loop, CPU"),
        ("start_wall", "process of two rounds"),
    ):
        columns = {
            name: [getattr(block, field) for block in found] for name, found in blocks.items()
        }
        for name, values in columns.items():
            middle = statistics.median(values)
            write(f"{label:25} {name:>13}{min(values):>9.1f}{middle:>9.1f}\n")
        ours, theirs = columns.values()
        ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
        spread = f"{ratios[0]:.3f} to {ratios[-1]:.3f}"
        write(f"{label:25} ratio, median of pairs {statistics.median(ratios):.3f} ({spread})\n")


if __name__ == "__main__":
    sys.exit(main())
