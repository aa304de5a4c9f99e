"""What a default run of pytest-codspeed 5 with thousands of markers costs, beside a bare echo.

The client is the real one: pytest with pytest-codspeed, two benchmarks as users write them, two
markers a round. In the runner's place stands the session of codspeed or the least that a Python
process can do: epoll, read, write an Ack. Turn by turn, so that both meet the same moods of the
machine. Targets: at most 60 us of the runner's CPU per frame, and no more rounds lost than to the
echo. It uses the FIFO paths of published clients: nothing else may run benchmarks meanwhile.

    python benchmarks/markers.py PYTHON [--blocks 4]

PYTHON is an interpreter that has pytest-codspeed >= 5.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from codspeed.environment import read_system
from codspeed.hooks.codec import Ack, Decoder, GetIntegrationMode, IntegrationModeResponse, encode
from codspeed.hooks.fifo import FifoPaths
from codspeed.hooks.session import FifoSession
from codspeed.model import IntegrationMode, Launch
from codspeed.testing.fifo import fifo_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SUITE = """
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

def test_short(benchmark):
    benchmark(fib, 5)

def test_longer(benchmark):
    benchmark(fib, 12)
"""


class Block(NamedTuple):
    """One run of the suite."""

    rounds: int
    cpu_per_frame: float
    frames: int


def main() -> None:
    """Measure and print a table."""
    options = _options()
    servers = {"echo": _echo, "codspeed": _session}
    blocks: dict[str, list[Block]] = {name: [] for name in servers}
    with fifo_lock(timeout=300):
        for turn in range(options.blocks):
            for name in sorted(servers, reverse=bool(turn % 2)):
                blocks[name].append(_block(servers[name], options.python))
    print(f"{'':10}{'rounds':>10}{'frames':>10}{'server CPU us/frame':>22}")
    for name, measured in blocks.items():
        rounds, cpu, frames = (statistics.median(column) for column in zip(*measured, strict=True))
        print(f"{name:10}{rounds:10.0f}{frames:10.0f}{cpu:22.1f}")
    kept = [
        ours.rounds / echo.rounds
        for ours, echo in zip(blocks["codspeed"], blocks["echo"], strict=True)
    ]
    print(f"rounds beside the echo's: {statistics.median(kept):.3f} (paired)")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python", help="an interpreter that has pytest-codspeed >= 5")
    parser.add_argument("--blocks", type=int, default=4)
    return parser.parse_args()


def _block(server: Callable[[tuple[str, ...], Mapping[str, str]], int], python: str) -> Block:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_suite.py").write_text(SUITE)
        environment = os.environ | {
            "CODSPEED_ENV": "runner",
            "CODSPEED_RUNNER_MODE": "walltime",
            "CODSPEED_PROFILE_FOLDER": name,
        }
        argv = (python, "-m", "pytest", "-q", "--codspeed", str(folder / "test_suite.py"))
        before = _own_cpu()
        rounds_marked = server(argv, environment)
        cpu = _own_cpu() - before
        (results,) = (folder / "results").glob("*.json")
        total = json.loads(results.read_text())["benchmarks"]
    # `stats.rounds` is what was planned; what was run is what was marked.
    frames = 2 * rounds_marked + 5 + 3 * len(total)
    return Block(rounds_marked, cpu * 1e6 / frames, frames)


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _session(argv: tuple[str, ...], environment: Mapping[str, str]) -> int:
    mode = IntegrationMode.WALLTIME
    outcome = FifoSession(system=read_system(), environment=environment, mode=mode).run(
        Launch(argv)
    )
    if outcome.status != 0:
        sys.exit("the suite failed")
    return sum(len(window.rounds) for window in outcome.windows)


def _echo(argv: tuple[str, ...], environment: Mapping[str, str]) -> int:
    """Answer every frame at once; only what asks for the mode needs another answer."""
    paths = FifoPaths()
    for path in (paths.ctl, paths.ack):
        os.mkfifo(path, 0o600)
    try:
        return _answered(paths, argv, environment)
    finally:
        for path in (paths.ctl, paths.ack):
            path.unlink()


def _answered(paths: FifoPaths, argv: tuple[str, ...], environment: Mapping[str, str]) -> int:
    ctl, ack = (os.open(path, os.O_RDWR | os.O_NONBLOCK) for path in (paths.ctl, paths.ack))
    acknowledged = encode(Ack())
    mode = encode(IntegrationModeResponse(IntegrationMode.WALLTIME))
    asking = encode(GetIntegrationMode())
    poller = select.epoll()
    poller.register(ctl, select.EPOLLIN)
    seen = bytearray()
    output = subprocess.DEVNULL
    with subprocess.Popen(argv, env=environment, stdout=output) as child:
        pidfd = os.pidfd_open(child.pid)
        poller.register(pidfd, select.EPOLLIN)
        pending = b""
        while True:
            ready = {fd for fd, _events in poller.poll()}
            if ctl in ready:
                pending += os.read(ctl, 65536)
                if len(pending) >= 4 and len(pending) == 4 + int.from_bytes(pending[:4], "little"):
                    os.write(ack, mode if pending == asking else acknowledged)
                    seen += pending
                    pending = b""
            elif pidfd in ready:
                break
    for fd in (ctl, ack, pidfd):
        os.close(fd)
    poller.close()
    if child.returncode != 0:
        sys.exit("the suite failed")
    kinds = [type(command).__name__ for command in Decoder().feed(bytes(seen))]
    return kinds.count("AddMarker") // 2


if __name__ == "__main__":
    main()
