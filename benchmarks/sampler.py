"""What sampling costs: the benchmark's CPU time with and without it, and a switch of a window.

Both run the same program, turn by turn, so that both meet the same moods of the machine. Compared
is CPU time, as the kernel accounts it to the benchmark and to the process of the sampler. Targets:
at most 5 % of the benchmark's CPU, at most 0.2 ms for a start or a stop at the median.

    python benchmarks/sampler.py [--pairs 9] [--seconds 1.0] [--switches 500]
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import select
import statistics
import sys
import time
from typing import Final, NamedTuple

from codspeed_native import perf_event
from codspeed_native.perf_pipe import PipeWriter
from codspeed_native.perf_sampler import Sampler

# As deep as a test under pytest; a fixed amount of work, made to fit the wanted time.
_PROGRAM: Final = """
import sys
def deep(n):
    return deep(n - 1) if n else sum(i * i for i in range(int(sys.argv[1])))
deep(60)
"""


class Turn(NamedTuple):
    """One run; `program` and `sampler` are CPU seconds."""

    program: float
    sampler: float
    samples: int
    lost: int


def main() -> int:
    """Measure and print; return 1 if the kernel refuses to sample, else 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--switches", type=int, default=500)
    options = parser.parse_args()
    try:
        sampling = perf_event.choose()
    except perf_event.SamplingRefusedError as refused:
        sys.stderr.write(f"{refused}\n")
        return 1
    work = _calibrated(options.seconds)
    print(f"{sampling.name}, {sampling.frequency_hz} Hz, {sampling.stack_bytes} bytes of stack")
    _show_costs([(_turn(work, None), _turn(work, sampling)) for _ in range(options.pairs)])
    _show_switches(sampling, options.switches)
    return 0


def _calibrated(seconds: float) -> int:
    probe = 1_000_000
    return max(probe, round(probe * seconds / _turn(probe, None).program))


def _turn(work: int, sampling: perf_event.Sampling | None) -> Turn:
    """Run the program once, held before its exec until the events are open."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(reader, 1)
        os.execv(sys.executable, [sys.executable, "-S", "-c", _PROGRAM, str(work)])  # noqa: S606 - the measured program takes our place
    os.close(reader)
    started = time.process_time()
    samples, lost = (0, 0) if sampling is None else _sampled(sampling, pid, writer)
    if sampling is None:
        os.write(writer, b"g")
    _pid, status, usage = os.wait4(pid, 0)
    os.close(writer)
    assert status == 0
    return Turn(usage.ru_utime + usage.ru_stime, time.process_time() - started, samples, lost)


def _sampled(sampling: perf_event.Sampling, pid: int, go: int) -> tuple[int, int]:
    file = io.BytesIO()
    stream = PipeWriter(file, sampling.attribute())
    with Sampler(sampling, stream.write) as sampler, select.epoll() as poll:
        exited = os.pidfd_open(pid)
        poll.register(sampler.poll_fd, select.EPOLLIN)
        poll.register(exited, select.EPOLLIN)
        sampler.attach(pid)
        sampler.enable()
        os.write(go, b"g")
        while exited not in {fd for fd, _events in poll.poll()}:
            sampler.drain()
        sampler.disable()
        sampler.drain()
        os.close(exited)
    return stream.samples, stream.lost


def _show_costs(pairs: list[tuple[Turn, Turn]]) -> None:
    ratio = statistics.median(with_.program / without.program for without, with_ in pairs)
    share = statistics.median(with_.sampler / with_.program for _without, with_ in pairs)
    samples = statistics.median(with_.samples for _without, with_ in pairs)
    lost = sum(with_.lost for _without, with_ in pairs)
    print(f"benchmark's CPU with / without: {ratio:.3f} (median of {len(pairs)} pairs)")
    print(f"sampler's own CPU: {100 * share:.1f} % of the benchmark's")
    print(f"{samples:.0f} samples a run, {lost} lost in all")


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
        print(f"{name}: median {statistics.median(values):.0f} us, 99 % below {tail:.0f} us")


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
