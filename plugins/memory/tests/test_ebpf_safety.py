"""What is lost is counted, and whoever is killed leaves no probe and no stopped process behind."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codspeed.errors import Refused, ToolError
from codspeed.launch.child import spawn
from codspeed.model import Launch
from codspeed.testing.parts import make_part
from codspeed_memory.ebpf import images, layout, rights
from codspeed_memory.ebpf.backend import EbpfBackend
from codspeed_memory.ebpf.functions import Role, allocator_of
from codspeed_memory.ebpf.probes import Limits, Probes
from codspeed_memory.ebpf.syscalls import ProbesRefusedError
from codspeed_memory.ebpf.watcher import Request, Watcher
from codspeed_native import elf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from codspeed.launch.child import Child

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

SIZE = 4242
WAIT_S = 30.0


@pytest.fixture(autouse=True)
def _allowed() -> None:
    refused = rights.lacking()
    if refused is not None:
        pytest.skip(refused.problem)


class _Session:
    environment: Mapping[str, str] = {}


def awaited(what: Callable[[], object]) -> bool:
    """Return whether it is so within half a minute."""
    deadline = time.monotonic() + WAIT_S
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def state(pid: int) -> str:
    """Return the letter of /proc/PID/stat; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def is_probed(library: Path) -> bool:
    """Whether malloc has a breakpoint in whoever maps this file to execute it."""
    allocator = allocator_of(elf.read(library))
    assert allocator is not None
    offset = next(probe.offset for probe in allocator.probes if probe.role is Role.MALLOC)
    with library.open("rb") as file:
        file.seek(offset)
        original = file.read(1)
        size = library.stat().st_size
        rights_ = mmap.PROT_READ | mmap.PROT_EXEC
        with mmap.mmap(file.fileno(), size, flags=mmap.MAP_PRIVATE, prot=rights_) as mapped:
            return mapped[offset : offset + 1] != original


def pairs_of(backend: EbpfBackend, start_ns: int) -> tuple[int, int]:
    """Return how many events were recorded, and how many lost."""
    recording = backend.finish()
    with tempfile.TemporaryFile() as artifact:
        usage = recording.analysed({1: start_ns}, artifact)[1]
    return usage.allocations + usage.frees, recording.dropped


@contextlib.contextmanager
def held(
    folder: Path, libc: Path, argv: tuple[str, ...], **limits: Any
) -> Iterator[tuple[EbpfBackend, Child, int]]:
    """Yield an armed backend, a child that waits for its standard input, and the window's start."""
    backend = EbpfBackend(Limits(**limits))
    reading, writing = os.pipe()
    part = make_part(folder / "profile", argv, launch=Launch(argv))
    stdin = os.dup(0)
    os.dup2(reading, 0)
    try:
        with backend.armed(part, _Session()) as launch:  # type: ignore[arg-type]  # a stand-in
            environment = {"LD_LIBRARY_PATH": str(libc.parent), "PATH": os.environ["PATH"]}
            with spawn(launch, environment) as child:
                backend.spawned(child.pid)
                start = backend.enable(1)
                child.release(argv[0])
                child.go = writing  # type: ignore[attr-defined]  # for the test
                yield backend, child, start
    finally:
        os.dup2(stdin, 0)
        for fd in (stdin, reading, writing):
            os.close(fd)


def is_waiting(child: Child) -> bool:
    """Whether the program has come to its read of standard input."""
    try:
        return Path(f"/proc/{child.pid}/syscall").read_text().startswith("0 0x0 ")
    except OSError:
        return False


# --- Losses ---


def test_events_without_room_are_counted_exactly(
    program: Callable[..., Path], private_libc: Path, tmp_path: Path
) -> None:
    """While the worker sleeps, a small ring takes what it can and the rest is counted."""
    pairs = 5000
    argv = (str(program("stepwise")), str(pairs))
    with held(tmp_path, private_libc, argv, ring_bytes=1 << 16) as (backend, child, start):
        assert awaited(lambda: is_waiting(child))
        worker = backend._probes._worker.pid  # type: ignore[union-attr]
        os.kill(worker, signal.SIGSTOP)
        os.write(child.go, b"x")  # type: ignore[attr-defined]
        status, _ = child.reap()
        os.kill(worker, signal.SIGCONT)

        recorded, dropped = pairs_of(backend, start)

    assert status == 0
    assert dropped > 0
    assert recorded + dropped in (2 * pairs, 2 * pairs + 1)  # perhaps the note of its end


def test_processes_that_can_not_be_followed_are_counted(
    probe: Callable[..., Any], program: Callable[..., Path]
) -> None:
    recorded = probe(program("edges"), "many_forks", threads=1)

    assert recorded.status == 0
    assert recorded.dropped == 200


# --- Ends ---


def test_no_probe_is_left_when_the_run_is_over(
    program: Callable[..., Path], private_libc: Path, tmp_path: Path
) -> None:
    with held(tmp_path, private_libc, (str(program("stepwise")), "1")) as (backend, child, _start):
        assert awaited(lambda: is_waiting(child))
        before = is_probed(private_libc)
        backend.finish()
        after = is_probed(private_libc)

    assert (before, after) == (True, False)


def test_a_killed_worker_takes_its_probes_along_and_fails_the_run(
    program: Callable[..., Path], private_libc: Path, tmp_path: Path
) -> None:
    argv = (str(program("stepwise")), "10")
    with held(tmp_path, private_libc, argv) as (backend, child, _start):
        assert awaited(lambda: is_waiting(child))
        worker = backend._probes._worker  # type: ignore[union-attr]
        worker.kill()
        worker.wait()
        with pytest.raises(Refused, match="has ended"):
            backend.enable(2)
        os.write(child.go, b"x")  # type: ignore[attr-defined]
        status, _ = child.reap()
        with pytest.raises(ToolError, match="has ended"):
            backend.finish()

        assert status == 0
        assert not is_probed(private_libc)


_RUNNER = """
import os, subprocess, sys, tempfile
from codspeed_memory.ebpf.probes import Probes
with tempfile.TemporaryFile() as file, Probes(file, is_alone=True) as probes:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(writing)
        os.read(reading, 1)
        os.execv(sys.argv[1], [sys.argv[1], "leaf"])
    probes.follow(child, is_silent=False)
    print(probes._worker.pid, child, flush=True)
    sys.stdin.readline()
    os.write(writing, b"x")
    sys.stdin.readline()
"""


@pytest.mark.parametrize("who", ["runner", "worker"])
def test_a_process_that_is_held_goes_on_when_the_run_is_ended(
    program: Callable[..., Path], private_libc: Path, who: str
) -> None:
    """The runner by SIGKILL, the worker by SIGTERM: what SIGKILL does to both at once stays."""
    argv = [sys.executable, "-c", _RUNNER, str(program("edges"))]
    env = {**os.environ, "LD_LIBRARY_PATH": str(private_libc.parent)}
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True
    ) as runner:
        assert runner.stdin is not None
        assert runner.stdout is not None
        worker, child = map(int, runner.stdout.readline().split())
        os.kill(worker, signal.SIGSTOP)
        runner.stdin.write("\n")
        runner.stdin.flush()
        assert awaited(lambda: state(child) == "T"), "its program is unknown"
        if who == "worker":
            os.kill(worker, signal.SIGTERM)
        else:
            runner.kill()
            runner.wait()
        os.kill(worker, signal.SIGCONT)
        runner.stdin.close()

    assert awaited(lambda: state(child) in ("", "Z"))
    assert awaited(lambda: state(worker) in ("", "Z"))
    assert not is_probed(private_libc)


def test_a_process_goes_on_whatever_goes_wrong_while_it_is_looked_at() -> None:
    class Broken(Watcher):
        def _look(self, *_: object, **_unused: object) -> None:
            raise RuntimeError

    with subprocess.Popen(["sleep", "60"]) as sleeper:
        try:
            sleeper.send_signal(signal.SIGSTOP)
            assert awaited(lambda: state(sleeper.pid) == "T")
            watcher: Any = object.__new__(Broken)
            gone = Request(1 << 22, 1, layout.EXEC, 0, (0, 0, 0))
            batches = [[gone, Request(sleeper.pid, sleeper.pid, layout.MAPPED, 0, (0, 0, 0))]]
            with pytest.raises(RuntimeError):
                watcher.serve(batches.pop)
            assert awaited(lambda: state(sleeper.pid) == "S")
        finally:
            sleeper.kill()


@pytest.mark.parametrize(
    ("keep_stops", "second", "expected"),
    [(True, True, "T"), (True, False, "S"), (False, True, "S")],
    ids=["somebody else's stop", "no other stop", "another thread's stop"],
)
def test_a_stop_by_somebody_else_is_kept(*, keep_stops: bool, second: bool, expected: str) -> None:
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        try:
            sleeper.send_signal(signal.SIGSTOP)
            assert images.await_stop(sleeper.pid, sleeper.pid)
            if second:
                sleeper.send_signal(signal.SIGSTOP)
            images.resume(sleeper.pid, keep_stops=keep_stops)

            assert awaited(lambda: state(sleeper.pid) == expected)
            time.sleep(0.02)
            assert state(sleeper.pid) == expected
        finally:
            sleeper.kill()


def test_a_thread_that_somebody_continued_is_stopped_again() -> None:
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        try:
            assert images.await_stop(sleeper.pid, sleeper.pid)
            assert state(sleeper.pid) == "T"
        finally:
            sleeper.kill()
    assert not images.await_stop(sleeper.pid, sleeper.pid)


def test_a_full_disk_fails_the_run(
    program: Callable[..., Path], private_libc: Path, tmp_path: Path
) -> None:
    launch = Launch((str(program("edges")), "leaf"))
    environment = {"LD_LIBRARY_PATH": str(private_libc.parent)}
    with (
        Path("/dev/full").open("wb") as file,
        Probes(file, is_alone=True) as probes,
        spawn(launch, environment) as child,
    ):
        probes.follow(child.pid, is_silent=False)
        probes.enable(1)
        child.release(launch.argv[0])
        status, _ = child.reap()
        with pytest.raises(ToolError, match="No space left"):
            probes.finish()

    assert status == 0


def test_a_worker_that_can_not_start_says_why(tmp_path: Path) -> None:
    with (
        (tmp_path / "events").open("wb") as file,
        pytest.raises(ProbesRefusedError, match="can't be set up: Invalid argument"),
        Probes(file, is_alone=True, limits=Limits(ring_bytes=12345)),
    ):
        pytest.fail("a ring of an odd size was made")
