"""What the memory shim costs: per event, loaded but off, and beside others that record every call.

All run the same program, turn by turn, so that all meet the same moods of the machine; the program
times itself. ns per event = (time - native time) / events. heaptrack and memray also unwind stacks:
they are peers in purpose, not in work done; the shim with stacks takes some, which are unwound
after the run, and one costs (time with - time without) / stacks. memray is run on CPython with
PYTHONMALLOC=malloc, where a program is its own ground; its line compares with the shim's on the
same script.

    python benchmarks/memory_shim.py [--pairs 2000000] [--rounds 7] [--threads 1]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codspeed.model import Launch
from codspeed.testing.parts import make_part
from codspeed_memory import raw
from codspeed_memory.executor import STACK_INTERVAL
from codspeed_memory.shim import ShimBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SOURCE: Final = Path(__file__).parents[1] / "plugins/memory/tests/programs/pairs.c"
_PYTHON: Final = """
import time
start = time.perf_counter()
rows = [{"name": "row %d" % i, "values": [i, str(i)]} for i in range(100_000)]
rows.sort(key=lambda row: row["name"])
text = "".join(row["name"] for row in rows)
print(0, 0, time.perf_counter() - start)
"""


class _Session:
    environment: Mapping[str, str] = os.environ


def main() -> int:
    """Measure and print two tables; return 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "pairs")
        subprocess.run(["cc", "-O1", "-pthread", str(_SOURCE), "-o", str(program)], check=True)
        command = [str(program), str(options.pairs), str(options.threads)]
        print(f"{' '.join(command[1:])}: pairs, threads; {options.rounds} rounds in turn")
        times = _measure(_native_tools(command, Path(folder)), options.rounds)
        _show(times, 2 * options.pairs)
        _show_stack(times, _under_shim(command, Path(folder), stacks=True)[2])
        script = Path(folder, "script.py")
        script.write_text(_PYTHON, encoding="utf-8")
        tools, events, taken = _python_tools(script, Path(folder))
        print(f"\nCPython with PYTHONMALLOC=malloc, {events} events")
        times = _measure(tools, options.rounds)
        _show(times, events)
        _show_stack(times, taken)
    return 0


def _native_tools(command: Sequence[str], folder: Path) -> dict[str, Callable[[], float]]:
    tools: dict[str, Callable[[], float]] = {
        "native": lambda: _seconds(command),
        "shim": lambda: _under_shim(command, folder)[0],
        "shim, stacks": lambda: _under_shim(command, folder, stacks=True)[0],
        "shim, off": lambda: _under_shim(command, folder, is_on=False)[0],
    }
    heaptrack = shutil.which("heaptrack")
    if heaptrack is None:
        print("heaptrack is missing: apt-get install heaptrack")
    else:
        trace = str(folder / "trace")
        tools["heaptrack"] = lambda: _seconds([heaptrack, "-o", trace, *command])
        tools["heaptrack --raw"] = lambda: _seconds([heaptrack, "--raw", "-o", trace, *command])
    return tools


def _python_tools(script: Path, folder: Path) -> tuple[dict[str, Callable[[], float]], int, int]:
    python = [sys.executable, str(script)]
    env = {**os.environ, "PYTHONMALLOC": "malloc"}
    tools: dict[str, Callable[[], float]] = {
        "native": lambda: _seconds(python, env),
        "shim": lambda: _under_shim(python, folder, env=env)[0],
        "shim, stacks": lambda: _under_shim(python, folder, env=env, stacks=True)[0],
    }
    _, events, taken = _under_shim(python, folder, env=env, stacks=True)
    memray = shutil.which("memray")
    if memray is None:
        print("memray is missing: pip install memray, in an environment of its own, on PATH")
    else:
        trace = str(folder / "memray.bin")
        interpreter = str(Path(memray).with_name("python"))
        run = [interpreter, memray, "run", "-q", "-f", "-o", trace, str(script)]
        tools["native, memray's python"] = lambda: _seconds([interpreter, str(script)], env)
        tools["memray"] = lambda: _seconds(run, env)
    return tools, events, taken


def _seconds(command: Sequence[str], env: Mapping[str, str] | None = None) -> float:
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if len(line.split()) == 3)
    return float(line.split()[2])


def _under_shim(
    command: Sequence[str],
    folder: Path,
    *,
    is_on: bool = True,
    stacks: bool = False,
    env: Mapping[str, str] | None = None,
) -> tuple[float, int, int]:
    """Return the program's own seconds and how many events and stacks were recorded."""
    backend = ShimBackend(stack_interval=STACK_INTERVAL if stacks else 0)
    launch = Launch(tuple(command), env=dict(env or os.environ))
    part = make_part(folder / "profile", launch.argv, launch=launch)
    with backend.armed(part, _Session()) as armed:  # type: ignore[arg-type]  # a stand-in: the shim asks it for nothing
        start = backend.enable(1) if is_on else 0
        seconds = _seconds(armed.argv, armed.env)
        recording = backend.finish()
        if recording.dropped:
            print(f"{recording.dropped} events dropped", file=sys.stderr)
        taken = sum(isinstance(each, raw.Stack) for each in recording.stacks())
        if not is_on or env is None:
            return seconds, 0, taken
        with tempfile.TemporaryFile() as artifact:
            return seconds, recording.analysed({1: start}, artifact)[1].events, taken


def _measure(tools: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in tools}
    for index in range(rounds):
        order = list(tools) if index % 2 else list(reversed(tools))
        for name in order:
            times[name].append(tools[name]())
            time.sleep(0)
    return times


def _show_stack(times: Mapping[str, Sequence[float]], taken: int) -> None:
    low = min(times["shim, stacks"]) - min(times["shim"])
    middle = statistics.median(times["shim, stacks"]) - statistics.median(times["shim"])
    print(
        f"{taken} stacks, us each: min {low / taken * 1e6:.1f}, median {middle / taken * 1e6:.1f}"
    )


def _show(times: Mapping[str, Sequence[float]], events: int) -> None:
    print(f"{'':26}{'min s':>9}{'median':>9}{'x min':>8}{'x med':>8}{'ns min':>8}{'ns med':>8}")
    native = times["native"]
    for name, values in times.items():
        base = times.get("native, memray's python", native) if name == "memray" else native
        low, middle = min(values), statistics.median(values)
        low0, middle0 = min(base), statistics.median(base)
        print(
            f"{name:26}{low:9.3f}{middle:9.3f}{low / low0:8.2f}{middle / middle0:8.2f}"
            f"{(low - low0) / events * 1e9:8.1f}{(middle - middle0) / events * 1e9:8.1f}"
        )


if __name__ == "__main__":
    sys.exit(main())
