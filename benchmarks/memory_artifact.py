"""How fast recorded allocation events become an artifact and figures, and in how much memory.

Records the `pairs` program once, then reads the recording again and again: encoding alone, encoding
with compression, analysis alone, and all of it as at the end of a run.

    python benchmarks/memory_artifact.py [--pairs 5000000] [--rounds 5] [--threads 1]
"""

from __future__ import annotations

import argparse
import ctypes
import io
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codspeed.model import Launch
from codspeed.testing.parts import make_part
from codspeed_memory import compiled, recording
from codspeed_memory.artifact import FrameWriter
from codspeed_memory.shim import ShimBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codspeed_memory.recording import Recording

_SOURCE: Final = Path(__file__).parents[1] / "plugins/memory/tests/programs/pairs.c"


class _Session:
    environment: Mapping[str, str] = os.environ


class _NoFrames(FrameWriter):
    """Encoded events go nowhere."""

    def add(self, encoded: bytes | memoryview, events: int) -> None:
        """Forget them."""


def main() -> int:
    """Record, measure, print a table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder, "pairs"))
        subprocess.run(["cc", "-O1", "-pthread", str(_SOURCE), "-o", program], check=True)
        backend = ShimBackend()
        launch = Launch((program, str(options.pairs), str(options.threads)), env=dict(os.environ))
        part = make_part(Path(folder, "profile"), launch.argv, launch=launch)
        with backend.armed(part, _Session()) as armed:  # type: ignore[arg-type]  # a stand-in: the shim asks it for nothing
            start = backend.enable(1)
            subprocess.run(armed.argv, env=armed.env, check=True, stdout=subprocess.DEVNULL)
            _compare(backend.finish(), start, options.rounds)
    return 0


def _compare(recorded: Recording, start: int, rounds: int) -> None:
    with tempfile.TemporaryFile() as file:
        events = recorded.analysed({1: start}, file)[1].events
        size = file.tell()
    steps: dict[str, Callable[[], object]] = {
        "merge": lambda: _each_batch(recorded, lambda _events, _count: None),
        "merge, encode": lambda: _encoded(recorded, _NoFrames(io.BytesIO())),
        "merge, encode, compress": lambda: _encoded(recorded, FrameWriter(io.BytesIO())),
        "merge, analyse": lambda: _analysed(recorded, start),
        "all of it": lambda: recorded.analysed({1: start}, io.BytesIO()),
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    cpu_times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            begin, cpu = time.perf_counter(), time.process_time()
            step()
            times[name].append(time.perf_counter() - begin)
            cpu_times[name].append(time.process_time() - cpu)
    print(f"{events} events, artifact {size / events:.1f} bytes per event")
    print(f"{'':26}{'min s':>9}{'median':>9}{'M ev/s':>9}{'CPU min':>9}{'median':>9}")
    for name, values in times.items():
        low, cpus = min(values), cpu_times[name]
        print(
            f"{name:26}{low:9.3f}{statistics.median(values):9.3f}{events / low / 1e6:9.1f}"
            f"{min(cpus):9.3f}{statistics.median(cpus):9.3f}"
        )
    alone = statistics.median(cpu_times["merge, encode"]) - statistics.median(cpu_times["merge"])
    print(f"encoding alone: {events / alone / 1e6:.1f} M events/s of CPU time")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak resident memory {peak:.0f} MB, the mapped recording included")


def _each_batch(
    recorded: Recording, use: Callable[[ctypes.Array[compiled.Event], int], object]
) -> None:
    with recording._mapped(recorded.file) as data:  # noqa: SLF001 - what is measured is inside
        for events, count in recording._batches(data, recorded.clock):  # noqa: SLF001 - as above
            use(events, count)


def _encoded(recorded: Recording, frames: FrameWriter) -> None:
    with frames:
        _each_batch(recorded, recording._Encoder(frames).add)  # noqa: SLF001 - as above


def _analysed(recorded: Recording, start: int) -> None:
    library = compiled.helper()
    live = library.live_new(start)
    _each_batch(recorded, lambda events, count: library.live_feed(live, events, count))
    library.live_finish(live, ctypes.byref(compiled.Usage()))
    library.live_free(live)


if __name__ == "__main__":
    sys.exit(main())
