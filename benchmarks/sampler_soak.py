"""Whether sampling holds out: 50 busy threads and 500 short processes, for ten minutes.

As root and as an ordinary user (nobody), one after the other, each for the given time; then each
recording is unwound, as after a run. Targets: no sample lost as root, at most 0.1 % unprivileged,
and every loss reported: what the kernel counts, not only what its records tell. Shown too: what the
sampler's process needed (CPU, memory, descriptors), and what the analysis needs.

    python benchmarks/sampler_soak.py [--seconds 600] [--threads 50] [--processes 500]
        [--only root|unprivileged]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import pwd
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from codspeed.launch.child import spawn
from codspeed.model import Launch
from codspeed_native import fold, perf_data, perf_event
from codspeed_native.address_space import AddressSpaces
from codspeed_native.perf_pipe import PipeWriter
from codspeed_native.perf_records import Sample
from codspeed_native.perf_sampler import Sampler
from codspeed_native.symbolize import Symbolizer
from codspeed_native.unwind import End, Unwinder

if TYPE_CHECKING:
    from collections.abc import Callable

    from codspeed_native.perf_event import Sampling

_PR_SET_DUMPABLE: Final = 4

_PROGRAM: Final = """
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
extern char **environ;
static atomic_int stop;
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}
static int order(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
__attribute__((noinline)) static int sorted(unsigned *seed) {
    int values[64];
    for (int i = 0; i < 64; i++) values[i] = rand_r(seed);
    qsort(values, 64, sizeof *values, order);
    return values[0];
}
__attribute__((noinline)) static int work(int depth, unsigned *seed) {
    return depth ? work(depth - 1, seed) + 1 : sorted(seed);
}
static void *busy(void *seed) {
    unsigned mine = (unsigned)(size_t)seed;
    while (!stop) work(rand_r(&mine) % 40, &mine);
    return 0;
}
int main(int argc, char **argv) {
    if (argc < 4) {
        unsigned seed = 1;
        for (double end = now() + 0.005; now() < end;) work(10, &seed);
        return 0;
    }
    double seconds = atof(argv[1]), begin = now();
    int threads = atoi(argv[2]), processes = atoi(argv[3]);
    pthread_t *made = calloc(threads, sizeof *made);
    for (int i = 0; i < threads; i++) pthread_create(&made[i], 0, busy, (void *)(size_t)(i + 1));
    for (int i = 0; i < processes; i++) {
        char *words[] = {argv[0], 0};
        pid_t pid;
        double wait = begin + seconds * i / processes - now();
        if (wait > 0) usleep(wait * 1e6);
        if (posix_spawn(&pid, argv[0], 0, 0, words, environ)) return 1;
        waitpid(pid, 0, 0);
    }
    while (now() < begin + seconds) usleep(10000);
    stop = 1;
    for (int i = 0; i < threads; i++) pthread_join(made[i], 0);
    return 0;
}
"""


def main() -> int:
    """Run both parts; return 1 if there is no compiler or nothing can be sampled."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--threads", type=int, default=50)
    parser.add_argument("--processes", type=int, default=500)
    parser.add_argument("--only", choices=("root", "unprivileged"), help="one of the two parts")
    arguments = parser.parse_args()
    compiler = shutil.which("cc")
    if compiler is None:
        sys.stderr.write("there is no C compiler\n")
        return 1
    counts = (arguments.seconds, arguments.threads, arguments.processes)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: S103, PTH101 - the other user reads the program there
        source, program = Path(folder) / "soak.c", Path(folder) / "soak"
        source.write_text(_PROGRAM)
        subprocess.run([compiler, "-O1", "-pthread", source, "-o", program], check=True)
        words = [str(program), *map(str, counts)]
        if os.geteuid() != 0:
            return _part("unprivileged", words)
        failed = arguments.only != "unprivileged" and _part("root", words)
        if not failed and arguments.only != "root":
            failed = _in_child(lambda: _unprivileged(words))
        return int(failed)


def _in_child(work: Callable[[], Any]) -> Any:
    """Return what `work` returns in a process of its own; its memory and its rights are its own."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            with os.fdopen(writer, "w") as stream:
                json.dump(work(), stream)
                sys.stdout.flush()
        except BaseException:  # noqa: BLE001 - the child ends here, whatever happened
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        text = stream.read()
    os.waitpid(pid, 0)
    return json.loads(text or "null")


def _unprivileged(words: list[str]) -> int:
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
    # Who changed his rights may not be looked at, not even by himself, unless he says so.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    return _part("unprivileged", words)


def _part(name: str, words: list[str]) -> int:
    try:
        sampling = perf_event.choose()
    except perf_event.SamplingRefusedError as refused:
        sys.stderr.write(f"{name}: {refused}\n")
        return 1
    print(f"\n{name}: {sampling.name}, {sampling.frequency_hz} Hz, {sampling.stack_bytes} bytes"
          f" of stack, load {os.getloadavg()[0]:.1f} at the beginning")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "perf.pipedata"
        with path.open("wb", buffering=0) as file:
            _record(PipeWriter(file, sampling.attribute()), sampling, words)
        _show_analysis(_in_child(lambda: _analyse(path)), path.stat().st_size)
    sys.stdout.flush()
    return 0


def _record(writer: PipeWriter, sampling: Sampling, words: list[str]) -> None:
    """Sample the program as a run does: whenever a ring wants to be drained, and nothing else."""
    used, began = time.process_time(), time.monotonic()
    descriptors = drains = late = 0
    with (
        spawn(Launch(tuple(words)), dict(os.environ)) as child,
        Sampler(sampling, writer.write) as sampler,
        select.epoll() as poll,
    ):
        exited = os.pidfd_open(child.pid)
        poll.register(sampler.poll_fd, select.EPOLLIN)
        poll.register(exited, select.EPOLLIN)
        sampler.attach(child.pid)
        sampler.enable()
        child.release(words[0])
        while exited not in {fd for fd, _events in poll.poll()}:
            writer.is_hurried = sampler.is_late()
            drains, late = drains + 1, late + writer.is_hurried
            sampler.drain()
            writer.finish_round()
            descriptors = max(descriptors, len(os.listdir("/proc/self/fd")))  # noqa: PTH208 - names only
        sampler.disable()
        sampler.drain()
        told = writer.lost
        writer.add_lost(sampler.lost())
        writer.flush()
        os.close(exited)
        status, usage = child.reap()
    assert status == 0
    own, program = time.process_time() - used, (usage.user_ns + usage.system_ns) / 1e9
    total = writer.samples + writer.lost
    share = 100 * writer.lost / max(1, total)
    print(f"  {writer.samples} samples of {program:.0f} s CPU in {time.monotonic() - began:.0f} s,"
          f" {len(writer.pids)} processes")  # fmt: skip
    print(f"  lost: {writer.lost}, {share:.3f} % (root 0, else <= 0.1 %); records told of {told};"
          f" {late} of {drains} times late")  # fmt: skip
    print(f"  sampler: {own:.1f} s CPU, {100 * own / program:.1f} % of the program's;"
          f" {_memory_mb():.0f} MB at most, {descriptors} descriptors")  # fmt: skip


def _memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _analyse(path: Path) -> dict[str, Any]:
    """Do what comes after a run: read, unwind, name, fold."""
    used = time.process_time()
    spaces = AddressSpaces()
    unwinder = Unwinder(spaces)
    chains: Counter[Any] = Counter()
    for record in perf_data.read(path):
        if isinstance(record, Sample):
            chains[unwinder.chain(record)] += 1
        else:
            spaces.feed(record)
    unwound = time.process_time()
    symbolizer = Symbolizer()
    tree = fold.call_tree("samples", ((symbolizer.stack(c), n) for c, n in chains.items()))
    named = time.process_time()
    rooted = sum(n for chain, n in chains.items() if chain.end is End.ROOT)
    return {"chains_s": unwound - used, "names_s": named - unwound, "samples": chains.total(),
            "rooted": rooted, "different": len(chains), "stacks": len(tree.stacks),
            "memory_mb": _memory_mb()}  # fmt: skip


def _show_analysis(found: dict[str, Any], size: int) -> None:
    samples = max(1, found["samples"])
    seconds = found["chains_s"] + found["names_s"]
    print(f"  file: {size / 1e6:.0f} MB, {size / samples:.0f} bytes a sample")
    print(f"  analysis: {seconds:.1f} s CPU, {1000 * seconds / samples:.3f} s per 1,000 samples,"
          f" {found['memory_mb']:.0f} MB at most")  # fmt: skip
    print(f"  {found['different']} different chains, {found['stacks']} stacks,"
          f" {100 * found['rooted'] / samples:.2f} % whole")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
