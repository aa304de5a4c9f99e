"""What it costs an integration to be answered, beside a bare echo process in the same run.

The client is the same in both cases: it sends AddMarker and waits for the answer. The server is
the real session of codspeed, or the least that a Python process can do: epoll, read, write an Ack.
Turn by turn, so that both meet the same moods of the machine. Targets: the client's median at most
1.3x of the echo's, and at most 60 us of the runner's CPU per frame.

    python benchmarks/acknowledge.py [--blocks 10] [--frames 2000]
"""

from __future__ import annotations

import argparse
import os
import resource
import select
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from codspeed.environment import read_system
from codspeed.hooks.codec import Ack, IntegrationModeResponse, encode
from codspeed.hooks.fifo import FifoPaths
from codspeed.hooks.session import FifoSession
from codspeed.model import IntegrationMode, Launch

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENT = """
import os, sys, time
from codspeed.hooks.client import connect
from codspeed.model import MarkerKind
client = connect(ctl=sys.argv[1], ack=sys.argv[2])
pid, times = os.getpid(), []
client.start()
for _ in range(int(sys.argv[3])):
    before = time.perf_counter_ns()
    client.marker(pid, MarkerKind.ROUND_START, before)
    times.append(time.perf_counter_ns() - before)
client.stop()
open(sys.argv[4], "w").write(" ".join(map(str, times)))
"""


Server: TypeAlias = "Callable[[tuple[str, ...], FifoPaths], None]"


class Block(NamedTuple):
    """One process that sent all frames; microseconds."""

    median: float
    p99: float
    server_cpu: float


def main() -> None:
    """Measure and print a table."""
    options = _options()
    servers = {"echo": _echo, "codspeed": _session}
    blocks: dict[str, list[Block]] = {name: [] for name in servers}
    with tempfile.TemporaryDirectory() as folder:
        paths = FifoPaths(Path(folder, "ctl"), Path(folder, "ack"))
        for turn in range(options.blocks):
            for name in sorted(servers, reverse=bool(turn % 2)):
                blocks[name].append(_block(servers[name], paths, options.frames))
    print(f"{'':10}{'median us':>12}{'p99 us':>10}{'server CPU us/frame':>22}")
    for name, measured in blocks.items():
        median, p99, cpu = (statistics.median(column) for column in zip(*measured, strict=True))
        print(f"{name:10}{median:12.1f}{p99:10.1f}{cpu:22.1f}")
    ratios = [
        ours.median / echo.median
        for ours, echo in zip(blocks["codspeed"], blocks["echo"], strict=True)
    ]
    print(f"client's median beside the echo's: {statistics.median(ratios):.2f}x (paired)")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--frames", type=int, default=2000)
    return parser.parse_args()


def _block(server: Server, paths: FifoPaths, frames: int) -> Block:
    times_file = paths.ctl.with_name("times")
    client = [sys.executable, "-c", CLIENT]
    argv = (*client, str(paths.ctl), str(paths.ack), str(frames), str(times_file))
    before = _own_cpu()
    server(argv, paths)
    cpu = _own_cpu() - before
    times = [int(word) / 1000 for word in times_file.read_text().split()]
    p99 = statistics.quantiles(times, n=100)[98]
    return Block(statistics.median(times), p99, cpu * 1e6 / frames)


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _session(argv: tuple[str, ...], paths: FifoPaths) -> None:
    system = read_system()
    mode = IntegrationMode.WALLTIME
    session = FifoSession(system=system, environment=system.env, mode=mode, paths=paths)
    outcome = session.run(Launch(argv))
    if outcome.status != 0:
        sys.exit("the client failed")


def _echo(argv: tuple[str, ...], paths: FifoPaths) -> None:
    """Answer every read with one Ack; only the handshake needs a second kind of answer."""
    for path in (paths.ctl, paths.ack):
        os.mkfifo(path)
    ctl, ack = (os.open(path, os.O_RDWR | os.O_NONBLOCK) for path in (paths.ctl, paths.ack))
    acknowledged = encode(Ack())
    answers = [acknowledged, encode(IntegrationModeResponse(IntegrationMode.WALLTIME))]
    poller = select.epoll()
    poller.register(ctl, select.EPOLLIN)
    with subprocess.Popen(argv) as child:
        pidfd = os.pidfd_open(child.pid)
        poller.register(pidfd, select.EPOLLIN)
        while True:
            ready = {fd for fd, _events in poller.poll()}
            if ctl in ready:
                os.read(ctl, 65536)
                os.write(ack, answers.pop(0) if answers else acknowledged)
            elif pidfd in ready:
                break
    for fd in (ctl, ack, pidfd):
        os.close(fd)
    poller.close()
    for path in (paths.ctl, paths.ack):
        path.unlink()


if __name__ == "__main__":
    main()
