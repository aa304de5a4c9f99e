"""What sampling costs: the benchmark's time with and without it, and a switch of a window.

One process does blocks of the same work, each with sampling on or off, in pairs whose order is
drawn. So both meet the same moods of the machine, and many short pairs show a difference of a
percent where few long ones show the noise. Compared is the CPU time of each block, as the process
reads it, and its wall time: kernels may count interrupts, in which samples are taken, to nobody.
Shown is the median of the ratios of the pairs with its 95 % interval (bootstrap); only an interval
that lies on one side of the target proves something. Targets: at most 5 % of the benchmark's CPU,
at most 0.2 ms for a start or a stop at the median.

    python benchmarks/sampler.py [--pairs 300] [--milliseconds 60] [--depth 60] [--switches 500]
"""

from __future__ import annotations

import argparse
import math
import os
import random
import resource
import select
import statistics
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from codspeed_native import perf_event
from codspeed_native.perf_pipe import PipeWriter
from codspeed_native.perf_sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Sequence

# As deep as a test under pytest, and through C, so that the stack fills what is copied of it. Does
# a block of work for each byte of standard input; its CPU and wall time go to standard output.
_PROGRAM: Final = """
import os, struct, sys, time
def deep(n):
    return next(map(deep, (n - 1,))) if n else blocks()
def blocks():
    work = range(int(sys.argv[1]))
    while os.read(0, 1):
        cpu, wall = time.process_time_ns(), time.perf_counter_ns()
        sum(i * i for i in work)
        now, later = time.process_time_ns(), time.perf_counter_ns()
        os.write(1, struct.pack("=qq", now - cpu, later - wall))
deep(int(sys.argv[2]))
"""
_TIMES: Final = struct.Struct("=qq")
_TARGET: Final = 1.05
_RESAMPLES: Final = 2_000


class Block(NamedTuple):
    """Nanoseconds that one took."""

    cpu: int
    wall: int


class Interval(NamedTuple):
    """A median, and between what it lies."""

    low: float
    middle: float
    high: float


class Program:
    """The measured process; leaving its context ends it."""

    def __init__(self, work: int, depth: int) -> None:
        go, self._go = os.pipe()
        self._done, done = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.dup2(go, 0)
            os.dup2(done, 1)
            words = [sys.executable, "-S", "-c", _PROGRAM, str(work), str(depth)]
            os.execv(sys.executable, words)  # noqa: S606 - the measured program takes our place
        os.close(go)
        os.close(done)
        self._poll = select.epoll()
        self._poll.register(self._done, select.EPOLLIN)

    def watch(self, sampler: Sampler) -> None:
        """Drain its rings while a block runs."""
        self._poll.register(sampler.poll_fd, select.EPOLLIN)

    def block(self, sampler: Sampler | None = None) -> Block:
        """Do one block."""
        os.write(self._go, b"g")
        while self._done not in {fd for fd, _events in self._poll.poll()}:
            if sampler is not None:
                sampler.drain()
        return Block(*_TIMES.unpack(os.read(self._done, _TIMES.size)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        os.close(self._go)
        os.waitpid(self.pid, 0)
        os.close(self._done)
        self._poll.close()


def main() -> int:
    """Measure and print; return 1 if the kernel refuses to sample, else 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--milliseconds", type=int, default=60)
    parser.add_argument("--depth", type=int, default=60)
    parser.add_argument("--switches", type=int, default=500)
    options = parser.parse_args()
    try:
        sampling = perf_event.choose()
    except perf_event.SamplingRefusedError as refused:
        sys.stderr.write(f"{refused}\n")
        return 1
    print(f"{sampling.name}, {sampling.frequency_hz} Hz, {sampling.stack_bytes} bytes of stack,"
          f" load {os.getloadavg()[0]:.1f}")  # fmt: skip
    work = _calibrated(options.milliseconds)
    for name, subject in (("sampled", sampling), ("control: never sampled", None)):
        _compare(name, subject, Program(work, options.depth), options.pairs)
    _show_switches(sampling, options.switches)
    return 0


def _calibrated(milliseconds: int) -> int:
    probe = 200_000
    with Program(probe, 0) as program:
        took = statistics.median(program.block().cpu for _ in range(5))
    return max(1, round(probe * milliseconds * 1e6 / took))


def _compare(name: str, sampling: perf_event.Sampling | None, program: Program, pairs: int) -> None:
    """Measure pairs of blocks; without `sampling` the two of a pair are alike, as a control."""
    order = random.Random(1)  # noqa: S311 - a shuffle
    found: list[tuple[Block, Block]] = []
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "data").open("wb", 0) as file:
        subject = sampling or perf_event.choose()
        writer = PipeWriter(file, subject.attribute())
        with Sampler(subject, writer.write) as sampler, program:
            sampler.attach(program.pid)
            program.watch(sampler)
            program.block(sampler)
            used = time.process_time_ns()
            for _ in range(pairs):
                blocks = {}
                for is_on in order.sample((True, False), 2):
                    if is_on and sampling is not None:
                        sampler.enable()
                    blocks[is_on] = program.block(sampler)
                    if is_on and sampling is not None:
                        sampler.disable()
                found.append((blocks[True], blocks[False]))
            sampler.drain()
            used = time.process_time_ns() - used
            writer.add_lost(sampler.lost())
    print(f"{name}: {pairs} pairs")
    for what in Block._fields:
        _show_ratio(what, [getattr(on, what) / getattr(off, what) for on, off in found])
    if sampling is not None:
        own = used / sum(on.cpu for on, _ in found)
        stack = writer.stack_bytes / max(1, writer.samples)
        print(f"  the sampler's own CPU, of the sampled blocks': {100 * own:.1f} %")
        print(f"  {writer.samples} samples with {stack:.0f} bytes of stack, {writer.lost} lost")


def _show_ratio(what: str, ratios: Sequence[float]) -> None:
    low, middle, high = _median(ratios)
    verdict = "kept" if high <= _TARGET else "missed" if low > _TARGET else "not decided"
    print(f"  {what} time with / without: {middle:.4f} [{low:.4f}, {high:.4f}]"
          f" (<= {_TARGET}: {verdict})")  # fmt: skip


def _median(ratios: Sequence[float]) -> Interval:
    """Return the median with its 95 % interval, by the bootstrap over pairs."""
    draw = random.Random(2)  # noqa: S311 - resampling
    logs = [math.log(ratio) for ratio in ratios]
    medians = sorted(statistics.median(draw.choices(logs, k=len(logs))) for _ in range(_RESAMPLES))
    edge = round(0.025 * _RESAMPLES)
    found = medians[edge], statistics.median(logs), medians[-edge - 1]
    return Interval(*map(math.exp, found))


def _show_switches(sampling: perf_event.Sampling, count: int) -> None:
    """Switch a busy process on and off."""
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
        while True:
            pass
    try:
        with Sampler(sampling, lambda _records: None) as sampler:
            sampler.attach(pid)
            costs = [_switched(sampler) for _ in range(count)]
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    for name, values in zip(("start", "stop"), zip(*costs, strict=True), strict=True):
        tail = statistics.quantiles(values, n=100)[-1]
        print(f"{name}: median {statistics.median(values):.0f} us (<= 200), 99 % below"
              f" {tail:.0f} us")  # fmt: skip


def _switched(sampler: Sampler) -> tuple[float, float]:
    start = time.perf_counter_ns()
    sampler.enable()
    on = time.perf_counter_ns()
    time.sleep(0.002)
    middle = time.perf_counter_ns()
    sampler.disable()
    off = time.perf_counter_ns()
    sampler.drain()
    return (on - start) / 1000, (off - middle) / 1000


if __name__ == "__main__":
    sys.exit(main())
