"""What the kernel counts of processes, read from a made-up /proc and from real processes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codspeed.launch.processes import (
    TICK_NS,
    Entry,
    Processes,
    Reading,
    Used,
    below,
    cpu_ns,
    descendants,
    started_ns,
    table,
    used,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /proc")

# A parent that burns some CPU time itself and in a child that ends, and then does what it is told.
BURNER = """
import subprocess, sys
burn = "import time\\nwhile time.process_time() < 0.3: pass"
for line in sys.stdin:
    if line == "burn\\n":
        exec(burn)
    if line == "burn in a child\\n":
        subprocess.run([sys.executable, "-c", burn], check=True)
    if line == "stay\\n":
        subprocess.Popen(["sleep", "60"])
    print(flush=True)
"""


class Burner:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def do(self, what: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        self._process.stdout.readline()


@pytest.fixture
def burner() -> Iterator[Burner]:
    with subprocess.Popen(
        [sys.executable, "-c", BURNER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        yield Burner(process)
        with contextlib.suppress(ProcessLookupError):  # it was killed by the test
            os.killpg(process.pid, 9)


def gone() -> int:
    with subprocess.Popen(["true"]) as process:
        return process.pid


def write_stat(proc: Path, pid: int, name: str, *, parent: int, ticks: str, start: int) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    # Fields 4 to 22 of proc_pid_stat(5); 14 to 17 are the CPU times.
    text = f"{pid} ({name}) S {parent} 1 1 0 -1 4194560 9 9 9 9 {ticks} 20 0 1 0 {start} 99 99\n"
    (folder / "stat").write_text(text)


# --- No process -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "with space", "a) S 7 (b", "("])
def test_a_name_may_hold_anything(tmp_path: Path, name: str) -> None:
    write_stat(tmp_path, 42, name, parent=7, ticks="1 20 300 4000", start=1234)
    (tmp_path / "not-a-process").mkdir()

    assert table(proc=tmp_path) == {42: Entry(7, name, 21, 4300, 1234)}


def test_a_process_that_ends_while_it_is_read_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "43").mkdir()
    (tmp_path / "44").mkdir()
    (tmp_path / "44/stat").write_text("")

    assert table(proc=tmp_path) == {}


def test_without_proc_there_are_no_processes(tmp_path: Path) -> None:
    assert table(proc=tmp_path / "absent") == {}
    assert descendants(1, proc=tmp_path / "absent") == [1]


def test_what_is_below_a_process_is_found_in_any_order() -> None:
    parents = {2: 1, 3: 9, 4: 2, 9: 4, 10: 1}
    entries = {pid: Entry(parent, "x", 0, 0, 0) for pid, parent in parents.items()}

    assert below(2, entries) == {2, 3, 4, 9}


def test_what_was_used_is_the_growth_of_the_sums() -> None:
    before = Reading({1: 100, 2: 50}, {1: 0, 2: 0}, {"1": (5, 1), "2": (70, 9)})
    after = Reading({1: 140, 2: 60}, {1: 0, 2: 0}, {"1": (8, 2), "2": (70, 9), "3": (4, 4)})

    assert used(before, after) == Used(cpu_ns=50, blur_ns=0, queue_ns=7, switches=5)


def test_a_child_that_ended_counts_without_what_it_had_used_before() -> None:
    before = Reading({1: 100, 2: 30 * TICK_NS}, {1: 0, 2: 0}, {})
    after = Reading({1: 100}, {1: 40 * TICK_NS}, {})

    assert used(before, after) == Used(10 * TICK_NS, 2 * TICK_NS, 0, 0)


def test_a_thread_that_ended_takes_nothing_away() -> None:
    before = Reading({1: 100}, {1: 0}, {"1": (5, 1), "2": (1_000, 90)})
    after = Reading({1: 140}, {1: 0}, {"1": (6, 2)})

    assert used(before, after) == Used(40, 0, 1, 1)


# --- Real processes -------------------------------------------------------------------------------


def test_cpu_time_is_that_of_the_process_clock() -> None:
    before = time.process_time_ns()
    found = cpu_ns(os.getpid())
    after = time.process_time_ns()

    assert found is not None
    assert before <= found <= after


@pytest.mark.process
def test_a_process_that_is_gone_has_no_numbers() -> None:
    pid = gone()

    assert (cpu_ns(pid), started_ns(pid)) == (None, None)


@pytest.mark.process
def test_a_process_began_between_the_moments_around_its_start() -> None:
    before = time.monotonic_ns()
    with subprocess.Popen(["sleep", "60"]) as process:
        began = started_ns(process.pid)
        after = time.monotonic_ns()
        process.kill()

    assert began is not None
    assert before - TICK_NS <= began <= after


@pytest.mark.process
def test_cpu_time_of_a_process_and_of_its_children_that_ended(burner: Burner) -> None:
    processes = Processes()
    processes.follow([burner.pid])
    start = processes.read()
    burner.do("burn")
    middle = processes.read()
    burner.do("burn in a child")
    end = processes.read()
    processes.close()
    alone, child = used(start, middle), used(middle, end)

    assert alone.cpu_ns >= 100_000_000  # it burns until 0.3 s, and its start was part of that
    assert alone.blur_ns == 0
    assert child.cpu_ns >= 300_000_000 - child.blur_ns
    assert child.blur_ns == 2 * TICK_NS
    assert child.switches > 0  # it waits for the child


@pytest.mark.process
def test_descendants_are_found_and_their_files_closed(burner: Burner) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    burner.do("stay")
    found = descendants(burner.pid)
    processes = Processes()
    processes.follow([*found, gone()])
    read = processes.read()
    processes.close()

    assert len(found) == 2
    assert found[0] == burner.pid
    assert processes.pids == frozenset()
    assert set(read.cpu) == set(found)
    assert {str(pid) for pid in found} == set(read.threads)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.process
def test_a_process_that_ended_is_not_read(burner: Burner) -> None:
    processes = Processes()
    processes.follow([burner.pid, os.getpid()])
    os.killpg(burner.pid, 9)
    os.waitid(os.P_PID, burner.pid, os.WEXITED)
    read = processes.read()
    processes.close()

    assert set(read.cpu) == {os.getpid()}
