"""What uprobes cost: per event in each form and off, beside the shim; what they keep up with.

All run the same program, turn by turn, so that all meet the same moods of the machine; the program
times itself, and its CPU time is told too, which other load disturbs less. ns per event = (time -
native time) / events. Probes go into a copy of the C library, so that nobody else meets them. With
--forks, that many short processes are followed, and each must have been recorded. Needs root.

    python benchmarks/memory_ebpf.py [--pairs 300000] [--rounds 5] [--threads 1] [--forks 12000]
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
from typing import TYPE_CHECKING, Final, NamedTuple

from codspeed.launch.child import spawn
from codspeed.model import Launch
from codspeed.testing.parts import make_part
from codspeed_memory.ebpf.backend import EbpfBackend
from codspeed_memory.ebpf.handlers import Form
from codspeed_memory.ebpf.probes import Limits
from codspeed_memory.shim import ShimBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from codspeed_memory.backend import Backend

_SOURCE: Final = Path(__file__).parents[1] / "plugins/memory/tests/programs/pairs.c"
_FORKS: Final = """
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
  for (long i = argc > 1 ? atol(argv[1]) : 0; i > 0; i--) {
    pid_t child = fork();
    if (!child) {
      void *block = malloc(77);
      __asm__ volatile("" : "+r"(block) : : "memory");
      free(block);
      _exit(0);
    }
    waitpid(child, NULL, 0);
  }
  return 0;
}
"""


class Taken(NamedTuple):
    """What one run took, in seconds."""

    wall: float
    cpu: float
    start: float
    end: float


class _Session:
    environment: Mapping[str, str] = os.environ


def main() -> int:
    """Measure and print; return 0, or 1 if something was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--forks", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        libc = _copy_of_libc(folder)
        if options.forks:
            return _follow(folder, libc, options.forks)
        program = folder / "pairs"
        subprocess.run(["cc", "-O1", "-pthread", str(_SOURCE), "-o", str(program)], check=True)
        command = [str(program), str(options.pairs), str(options.threads)]
        print(f"{' '.join(command[1:])}: pairs, threads; {options.rounds} rounds in turn")
        print(f"load average {os.getloadavg()[0]:.1f}")
        _show(_measure(_tools(command, folder, libc), options.rounds), 2 * options.pairs)
    return 0


def _copy_of_libc(folder: Path) -> Path:
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    found = next(line.split()[-1] for line in maps.splitlines() if "/libc.so.6" in line)
    (folder / "lib").mkdir()
    shutil.copy(found, folder / "lib" / "libc.so.6")
    return folder / "lib"


def _tools(
    command: Sequence[str], folder: Path, libc: Path
) -> dict[str, Callable[[], tuple[Taken, int]]]:
    def run(backend: Callable[[], Backend | None], *, is_on: bool = True) -> tuple[Taken, int]:
        return _run(backend(), command, folder, libc, is_on=is_on)

    tools = {
        "native": lambda: run(lambda: None),
        "shim": lambda: run(ShimBackend),
        "session, off": lambda: run(EbpfBackend, is_on=False),
    }
    for form in Form:
        tools[form.value] = lambda form=form: run(lambda: EbpfBackend(Limits(form=form.value)))
    return tools


def _run(
    backend: Backend | None, command: Sequence[str], folder: Path, libc: Path, *, is_on: bool
) -> tuple[Taken, int]:
    """Run a command once; return what it took, and how many events were lost."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(libc)}
    launch = Launch(tuple(command))
    if backend is None:
        wall, cpu = _timed(launch, environment, None, is_on=False)
        return Taken(wall, cpu, 0, 0), 0
    part = make_part(folder / "profile", launch.argv, launch=launch)
    before = time.perf_counter()
    with backend.armed(part, _Session()) as armed:  # type: ignore[arg-type]  # a stand-in
        start = time.perf_counter() - before
        wall, cpu = _timed(armed, environment, backend, is_on=is_on)
        before = time.perf_counter()
        dropped = backend.finish().dropped
        end = time.perf_counter() - before
    return Taken(wall, cpu, start, end), dropped


def _timed(
    launch: Launch, environment: Mapping[str, str], backend: Backend | None, *, is_on: bool
) -> tuple[float, float]:
    with spawn(launch, environment) as child:
        if backend is not None:
            backend.spawned(child.pid)
            if is_on:
                backend.enable(1)
        child.release(launch.argv[0])
        status, usage = child.reap()
        said = os.read(child.stdout, 4096).decode()
    if status:
        sys.exit(f"{launch.argv} ended with {status}: {said}")
    return float(said.split()[2]), (usage.user_ns + usage.system_ns) / 1e9


def _measure(
    tools: Mapping[str, Callable[[], tuple[Taken, int]]], rounds: int
) -> dict[str, list[Taken]]:
    times: dict[str, list[Taken]] = {name: [] for name in tools}
    for index in range(rounds):
        for name in list(tools) if index % 2 else reversed(tools):
            taken, dropped = tools[name]()
            times[name].append(taken)
            if dropped:
                print(f"{name}: {dropped} events dropped", file=sys.stderr)
    return times


def _show(times: Mapping[str, Sequence[Taken]], events: int) -> None:
    heads = ("min s", "median", "ns min", "ns med", "cpu ns min", "cpu ns med", "start s", "end s")
    print(f"{'':14}" + "".join(f"{head:>12}" for head in heads))
    native = times["native"]
    for name, values in times.items():
        cells = [min(each.wall for each in values), statistics.median(e.wall for e in values)]
        for field in ("wall", "cpu"):
            for middle in (min, statistics.median):
                own = middle(getattr(each, field) for each in values)
                cells.append((own - middle(getattr(e, field) for e in native)) / events * 1e9)
        cells += [statistics.median(getattr(each, f) for each in values) for f in ("start", "end")]
        print(f"{name:14}" + "".join(f"{cell:12.3f}" for cell in cells))


def _follow(folder: Path, libc: Path, forks: int) -> int:
    source, program = folder / "forks.c", folder / "forks"
    source.write_text(_FORKS, encoding="utf-8")
    subprocess.run(["cc", "-O1", str(source), "-o", str(program)], check=True)
    launch = Launch((str(program), str(forks)))
    part = make_part(folder / "profile", launch.argv, launch=launch)
    backend = EbpfBackend()
    with backend.armed(part, _Session()) as armed:  # type: ignore[arg-type]  # a stand-in
        with spawn(armed, {**os.environ, "LD_LIBRARY_PATH": str(libc)}) as child:
            backend.spawned(child.pid)
            start = backend.enable(1)
            child.release(launch.argv[0])
            child.reap()
        recording = backend.finish()
        with tempfile.TemporaryFile() as artifact:
            usage = recording.analysed({1: start}, artifact)[1]
    print(f"{forks} forks: {usage.allocations} allocations, {usage.frees} frees of ", end="")
    print(f"{usage.process_count} processes; {recording.dropped} lost")
    return usage.allocations != forks or recording.dropped != 0


if __name__ == "__main__":
    sys.exit(main())
