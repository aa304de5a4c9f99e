"""Whole memory measurements beside heaptrack's and memray's: from the command to the figures.

`memory_shim.py` says what recording costs the program; this says how long a user waits, analysis
included. Ours is `codspeed exec -m memory`: runner, harness, artifact, figures and timeline. The
others unwind stacks as well, and heaptrack sees no children: peers in purpose, not in work done.
Each on its own ground, turn by turn: heaptrack on C, memray on CPython with PYTHONMALLOC=malloc.

    python benchmarks/memory_peers.py [--pairs 1000000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Command = Sequence[str]
    Cost = tuple[float, float]
    """Seconds of wall and of CPU time, children included."""

_SOURCE: Final = Path(__file__).parents[1] / "plugins/memory/tests/programs/pairs.c"
_SCRIPT: Final = """
rows = [{"name": "row %d" % i, "values": [i, str(i)]} for i in range(100_000)]
rows.sort(key=lambda row: row["name"])
text = "".join(row["name"] for row in rows)
"""
_MALLOC: Final = {**os.environ, "PYTHONMALLOC": "malloc"}
_WAITED: Final = "waiting for"  # for another run on the machine: no cost of this one


def main() -> int:
    """Measure and print two tables; return 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = str(folder / "pairs")
        subprocess.run(["cc", "-O1", "-pthread", str(_SOURCE), "-o", program], check=True)
        command = [program, str(options.pairs)]
        print(f"C, {_events(command, folder)} events, {options.rounds} rounds in turn")
        _show(_measure(_native_tools(command, folder), options.rounds))
        script = folder / "script.py"
        script.write_text(_SCRIPT, encoding="utf-8")
        command = [sys.executable, str(script)]
        print(f"\nCPython with PYTHONMALLOC=malloc, {_events(command, folder)} events")
        _show(_measure(_python_tools(command, folder), options.rounds))
    return 0


def _native_tools(command: Command, folder: Path) -> dict[str, Callable[[], Cost]]:
    tools: dict[str, Callable[[], Cost]] = {
        "native": lambda: _timed([command]),
        "codspeed": lambda: _codspeed(command, folder),
    }
    if shutil.which("heaptrack") is None:
        print("heaptrack is missing: apt-get install heaptrack")
        return tools
    trace = str(folder / "trace")
    record = ["heaptrack", "-o", trace, *command]
    shown = ["sh", "-c", f"heaptrack_print -f {trace}.*"]
    tools["heaptrack, recording"] = lambda: _timed([record])
    tools["heaptrack, and print"] = lambda: _timed([record, shown])
    return tools


def _python_tools(command: Command, folder: Path) -> dict[str, Callable[[], Cost]]:
    tools: dict[str, Callable[[], Cost]] = {
        "native": lambda: _timed([command], _MALLOC),
        "codspeed": lambda: _codspeed(command, folder),
    }
    memray = shutil.which("memray")
    if memray is None:
        print("memray is missing: pip install memray, in an environment of its own, on PATH")
        return tools
    python, trace = str(Path(memray).with_name("python")), str(folder / "memray.bin")
    record = [python, memray, "run", "-q", "-f", "-o", trace, command[-1]]
    shown = [python, memray, "stats", trace]
    tools["native, memray's python"] = lambda: _timed([[python, command[-1]]], _MALLOC)
    tools["memray, recording"] = lambda: _timed([record], _MALLOC)
    tools["memray, and stats"] = lambda: _timed([record, shown], _MALLOC)
    return tools


def _codspeed(command: Command, folder: Path) -> Cost:
    """Measure a run that had to wait for nobody."""
    for _ in range(20):
        said: list[str] = []
        cost = _timed([_codspeed_command(command, folder)], said=said)
        if _WAITED not in said[0]:
            return cost
    sys.exit("other runs on this machine never pause")


def _codspeed_command(command: Command, folder: Path) -> Command:
    bundles = str(folder / "bundles")
    shutil.rmtree(bundles, ignore_errors=True)
    how = ["exec", "-m", "memory", "--compat", "native", "--no-store", "--bundle-dir", bundles]
    return [sys.executable, "-m", "codspeed.cli", *how, "--name", "it", "--", *command]


def _events(command: Command, folder: Path) -> int:
    """Return how many allocations and frees a command makes."""
    _timed([_codspeed_command(command, folder)])
    (path,) = folder.glob("bundles/*/results.json")
    (part,) = json.loads(path.read_text(encoding="utf-8"))["parts"]
    figures = {m["name"]: m["value"] for m in part["benchmarks"][0]["metrics"]}
    return int(figures["allocations"] + figures["frees"])


def _timed(
    commands: Sequence[Command], env: Mapping[str, str] | None = None, said: list[str] | None = None
) -> Cost:
    before, start = _children_cpu(), time.perf_counter()
    for command in commands:
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(command)}: {done.stderr}")
        if said is not None:
            said.append(done.stderr)
    return time.perf_counter() - start, _children_cpu() - before


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _measure(tools: Mapping[str, Callable[[], Cost]], rounds: int) -> dict[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {name: [] for name in tools}
    for index in range(rounds):
        for name in list(tools)[:: 1 if index % 2 else -1]:
            costs[name].append(tools[name]())
    return costs


def _show(costs: Mapping[str, Sequence[Cost]]) -> None:
    print(f"{'':26}{'wall min':>9}{'median':>9}{'CPU min':>9}{'median':>9}{'x ours':>9}")
    ours = statistics.median(wall for wall, _ in costs["codspeed"])
    for name, values in costs.items():
        walls, cpus = zip(*values, strict=True)
        middle = statistics.median(walls)
        print(
            f"{name:26}{min(walls):9.3f}{middle:9.3f}{min(cpus):9.3f}"
            f"{statistics.median(cpus):9.3f}{middle / ours:9.2f}"
        )


if __name__ == "__main__":
    sys.exit(main())
