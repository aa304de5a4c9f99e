"""Counters of a machine that is made of files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codspeed_sysload.machine import Counters, Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's files")

ALL = ("how busy the CPUs are, steal", "cpu pressure", "memory pressure", "io pressure")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    """Open the machine below the test's folder, whose CPUs are those of this one."""
    machines: list[Machine] = []

    def open_(**how: Any) -> Machine:
        machines.append(Machine(proc=tmp_path / "proc", sys=tmp_path / "sys", **how))
        return machines[-1]

    yield open_
    for machine in machines:
        machine.close()


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, str], None]:
    def write(path: str, text: str) -> None:
        target = tmp_path / path.replace("CPU", f"cpu{min(os.sched_getaffinity(0))}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    return write


def counted(machine: Machine) -> dict[str, int]:
    fields = machine.read()._asdict()
    return {name: value for name, value in fields.items() if value is not None and name != "at_ns"}


def test_a_machine_without_files_says_what_is_missing(opened: Callable[..., Machine]) -> None:
    machine = opened()

    assert machine.missing == tuple(f"this kernel does not tell: {what}" for what in ALL)
    assert machine.read()._replace(at_ns=0) == Counters(0)


def test_times_of_cpus_are_busy_idle_or_stolen(
    opened: Callable[..., Machine], put: Callable[[str, str], None]
) -> None:
    # user nice system idle iowait irq softirq steal guest guest_nice: proc_stat(5)
    put("proc/stat", "cpu  1 2 4 8 16 32 64 128 1 2\ncpu0 9 9 9 9\n")

    assert counted(opened()) == {"busy": 103, "idle": 24, "steal": 128}


def test_pressure_is_the_time_in_which_at_least_one_waited(
    opened: Callable[..., Machine], put: Callable[[str, str], None]
) -> None:
    for number, name in enumerate(("cpu", "memory", "io"), 1):
        some = f"some avg10=0.00 avg60=0.00 avg300=0.00 total={number}\n"
        put(f"proc/pressure/{name}", some + "full avg10=0.00 avg60=0.00 avg300=0.00 total=99\n")

    assert counted(opened()) == {"pressure_cpu": 1, "pressure_memory": 2, "pressure_io": 3}


def test_without_pressure_the_run_queues_tell(
    opened: Callable[..., Machine], put: Callable[[str, str], None]
) -> None:
    lines = ["version 15", "timestamp 1", "cpu0 0 0 0 0 0 0 100 30 5", "domain0 3 1 2 3"]
    put("proc/schedstat", "\n".join([*lines, "cpu1 0 0 0 0 0 0 100 12 5\n"]))

    assert counted(opened()) == {"queue_ns": 42}


def test_throttling_and_frequency_are_read_where_they_are(
    opened: Callable[..., Machine], put: Callable[[str, str], None]
) -> None:
    put("sys/devices/system/cpu/CPU/thermal_throttle/core_throttle_count", "3\n")
    put("sys/devices/system/cpu/CPU/thermal_throttle/package_throttle_count", "4\n")
    put("sys/devices/system/cpu/CPU/cpufreq/scaling_cur_freq", "2400000\n")

    assert counted(opened()) == {"throttles": 7, "frequency_khz": 2_400_000}


@pytest.mark.parametrize("text", ["", "cpu", "cpu  1 2 3\n", "some total=x\n", "\0\0"])
def test_a_file_that_is_not_understood_is_missing(
    opened: Callable[..., Machine], put: Callable[[str, str], None], text: str
) -> None:
    for path in ("stat", "pressure/cpu", "schedstat"):
        put(f"proc/{path}", text)
    machine = opened()

    assert len(machine.missing) == len(ALL)
    assert {"busy", "pressure_cpu"} & set(counted(machine)) == set()


def test_what_is_slow_here_is_not_read(
    opened: Callable[..., Machine], put: Callable[[str, str], None]
) -> None:
    put("proc/stat", "cpu  1 2 4 8 16 32 64 128 1 2\n")
    machine = opened(slow_ns=-1)

    assert counted(machine) == {}
    assert machine.missing[0].endswith("so it is not: how busy the CPUs are, steal")


def test_a_file_that_goes_away_gives_nothing_and_no_error(
    opened: Callable[..., Machine], put: Callable[[str, str], None]
) -> None:
    put("proc/stat", "cpu  1 2 4 8 16 32 64 128 1 2\n")
    machine = opened()
    put("proc/stat", "")  # the same file, empty

    assert counted(machine) == {}


def test_all_files_are_closed(put: Callable[[str, str], None], tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    put("proc/stat", "cpu  1 2 4 8 16 32 64 128 1 2\n")
    put("proc/pressure/io", "nonsense")
    machine = Machine(proc=tmp_path / "proc", sys=tmp_path / "sys")
    machine.close()
    machine.close()

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_this_machine_is_read() -> None:
    machine = Machine()
    first, second = machine.read(), machine.read()
    machine.close()

    assert first.at_ns <= second.at_ns
    assert (first.busy or 0) <= (second.busy or 0)
