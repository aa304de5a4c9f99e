"""What a whole simulation run costs, beside plain Valgrind with the same options, turn by turn.

Both run the same pytest suite under callgrind with the same arguments and variables. The CPU time
of everything counts: codspeed's own start, its questions to the interpreter, reading the counters,
writing the bundle. Target: at most 1.05x.

    python benchmarks/simulation_overhead.py [--rounds 7] [--size 1] [--python VENV/bin/python]

The Python needs pytest-codspeed; without the option an environment is made in the user's cache.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from codspeed.launch.environment import injected
from codspeed.launch.lock import hold
from codspeed.launch.still import padded, stilled
from codspeed.model import Launch, RunPart, Sharing
from codspeed_valgrind import capabilities, wrapper
from codspeed_valgrind.descriptor import ValgrindOptions
from codspeed_valgrind.plan import Planner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

VERSION = "5.0.4"
SUITE = """
import ast, copy, inspect, json, re, textwrap
import pytest

SIZE = {size}
DATA = {{str(i): [i, str(i), {{"value": i * 0.5}}] for i in range(60 * SIZE)}}
SOURCE = inspect.getsource(textwrap) * SIZE

def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

@pytest.mark.parametrize("turn", range(2))
@pytest.mark.parametrize("work", [
    pytest.param(lambda: copy.deepcopy(DATA), id="deepcopy"),
    pytest.param(lambda: json.loads(json.dumps(DATA)), id="json"),
    pytest.param(lambda: ast.unparse(ast.parse(SOURCE)), id="ast"),
    pytest.param(lambda: re.findall(r"(\\w+)\\s*=\\s*(\\w+)", SOURCE), id="regex"),
    pytest.param(lambda: [fib(12) for _ in range(SIZE)], id="fib"),
])
def test_work(benchmark, work, turn):
    benchmark(work)
"""


def main() -> int:
    """Measure, print, and return 0; 1 if there is no Valgrind."""
    options = _options()
    found = capabilities.find("stock")
    if found is None:
        sys.stderr.write("valgrind is missing: apt-get install valgrind libc6-dbg\n")
        return 1
    python = options.python or _environment()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "test_suite.py").write_text(SUITE.format(size=options.size), "utf-8")
        command = (str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_suite.py")
        ways: dict[str, Callable[[int], float]] = {
            "codspeed run": lambda turn: _product(command, work, turn),
            "plain valgrind": lambda turn: _plain(found, command, work, turn),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(options.rounds):
            for name in list(ways) if turn % 2 else list(reversed(ways)):
                times[name].append(ways[name](turn))
    _show(times)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7, help="runs of each way")
    parser.add_argument("--size", type=int, default=1, help="how much each benchmark does")
    parser.add_argument("--python", type=Path, help="one that has pytest-codspeed")
    return parser.parse_args()


def _environment() -> Path:
    """Return a Python with pytest-codspeed, made once per user."""
    name = f"pytest-codspeed-{VERSION}-py{sys.version_info[0]}{sys.version_info[1]}"
    folder = platformdirs.user_cache_path("codspeed-tests") / name
    python = folder / "bin/python"
    if not (folder / "ready").exists():
        subprocess.run((sys.executable, "-m", "venv", "--clear", folder), check=True)
        subprocess.run(
            (python, "-m", "pip", "install", "-q", f"pytest-codspeed=={VERSION}"), check=True
        )
        (folder / "ready").touch()
    return python


def _product(command: Sequence[str], work: Path, turn: int) -> float:
    runner = (sys.executable, "-m", "codspeed.cli", "run", "-m", "simulation", "--no-store")
    options = ("--skip-upload", "--bundle-dir", str(work / f"bundles-{turn}"))
    return _cpu_seconds((*runner, *options, "--", *command), work, os.environ)


def _plain(
    found: capabilities.Capabilities, command: Sequence[str], work: Path, turn: int
) -> float:
    folder = work / f"plain-{turn}"
    folder.mkdir()
    launch = Launch(tuple(command), cwd=work)
    part = RunPart(0, "valgrind", "simulation", "plain", launch, folder)
    plan = Planner(part, ValgrindOptions(), found).entrypoint(os.environ)
    still = stilled(os.environ).variables
    variables = injected(part, "instrumentation", go_runner_version=None)
    environment = padded({**still, **variables, "PYTHONMALLOC": "pymalloc"})
    argv = wrapper.wrapped(launch, plan.valgrind).argv
    temp = Path(tempfile.gettempdir())
    with hold("libc-probes", Sharing.SHARED, temp=temp, timeout=600, waiting=print):
        return _cpu_seconds(argv, work, environment)


def _cpu_seconds(argv: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> float:
    before = os.times()
    subprocess.run(
        argv,
        cwd=cwd,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    after = os.times()
    user = after.children_user - before.children_user
    return user + after.children_system - before.children_system


def _show(times: dict[str, list[float]]) -> None:
    print(f"{'CPU seconds':20}{'median':>10}{'min':>10}{'max':>10}")
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{name:20}{median:10.2f}{min(seconds):10.2f}{max(seconds):10.2f}")
    product, plain = times.values()
    ratios = [ours / theirs for ours, theirs in zip(product, plain, strict=True)]
    print(f"ratio of turns: median {statistics.median(ratios):.3f} (target: at most 1.05)")


if __name__ == "__main__":
    sys.exit(main())
