"""Thresholds and words."""

from __future__ import annotations

import pytest

from codspeed_sysload.machine import Counters
from codspeed_sysload.others import Busy, Span
from codspeed_sysload.verdict import Load, load, warnings

QUIET = Load(busy=50.0, steal=0.0, pressure_cpu=0.0, pressure_memory=0.0, pressure_io=40.0)
NOBODY = Span(0, 1, (), 0.0, is_alone=False)
ALONE = Span(0, 1, (), 0.0, is_alone=True)
BUSY = Span(
    0, 1, (Busy("cargo", 0.95), Busy("cc1", 0.4), Busy("sleepy", 0.01)), 1.36, is_alone=False
)


def test_counters_become_shares_of_the_window() -> None:
    before = Counters(0, 100, 100, 0, 0, 0, 0, None, 3, 1_000_000)
    after = Counters(2 * 10**9, 220, 100, 30, 500_000, 20_000, 1_000_000, None, 5, 2_400_000)
    found = load(before, after)

    assert found == Load(
        busy=80.0, steal=20.0, pressure_cpu=25.0, pressure_memory=1.0,
        pressure_io=50.0, queue=None, throttles=2, frequency_mhz=2400.0,
    )  # fmt: skip


def test_what_is_not_counted_is_not_known() -> None:
    assert load(Counters(0), Counters(10**9)) == Load()


def test_waiting_on_run_queues_stands_for_pressure() -> None:
    found = load(Counters(0, queue_ns=5), Counters(10**9, queue_ns=5 + 10**8))

    assert found.queue == 10.0


def test_a_counter_that_went_back_did_not_grow() -> None:
    found = load(Counters(0, throttles=9), Counters(10**9, throttles=2))

    assert found.throttles == 0


def test_a_few_ticks_of_steal_are_chance() -> None:
    found = load(Counters(0, 0, 0, 0), Counters(10**9, 20, 60, 4))

    assert found.steal == 0


def test_a_quiet_window_gives_no_warning() -> None:
    assert list(warnings(QUIET, BUSY, 5.0)) == []
    assert list(warnings(Load(), None, None)) == []


@pytest.mark.parametrize(
    ("others", "cause"),
    [
        (BUSY, ": `cargo` used 95 % of a CPU, `cc1` 40 % meanwhile"),
        (NOBODY, ": more of its own threads run than it has CPUs"),
        (ALONE, "; what else used the CPUs can't be seen from here"),
        (None, "; what else used the CPUs can't be seen from here"),
    ],
    ids=["busy", "nobody", "container", "not looked"],
)
def test_waiting_is_said_with_its_cause(others: Span | None, cause: str) -> None:
    assert list(warnings(QUIET, others, 18.4)) == [f"wall time is 18 % waiting for a CPU{cause}"]


def test_a_benchmark_that_had_all_its_cpus_waited_for_itself() -> None:
    own = "wall time is 40 % waiting for a CPU: more of its own threads run than it has CPUs"

    assert list(warnings(QUIET, BUSY, 40.0, is_own=True)) == [own]
    assert list(warnings(Load(pressure_cpu=60.0), BUSY, None, is_own=True)) == []


@pytest.mark.parametrize(
    "found", [Load(pressure_cpu=60.0), Load(queue=60.0)], ids=["pressure", "run queues"]
)
def test_where_the_benchmark_s_waiting_is_not_known_all_programs_stand_for_it(found: Load) -> None:
    said = list(warnings(found, BUSY, None))

    cause = "`cargo` used 95 % of a CPU, `cc1` 40 % meanwhile"
    assert said == [f"programs waited for a CPU, 60 % of the time: {cause}"]
    assert list(warnings(found, NOBODY, None)) == []  # it may have been the benchmark's threads
    assert list(warnings(found, BUSY, 0.0)) == []  # it waited for nothing


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            Load(steal=7.2),
            "the host of this virtual machine took 7 % of the CPU time for something else (steal)",
        ),
        (Load(pressure_memory=3.4), "memory was short, 3 % of the time"),
        (Load(throttles=2), "CPUs were throttled 2 times, because of heat or power"),
    ],
    ids=["steal", "memory", "throttled"],
)
def test_other_disturbances_are_said(found: Load, said: str) -> None:
    assert list(warnings(found, NOBODY, 0.0)) == [said]


@pytest.mark.parametrize(
    "found", [Load(steal=5.0), Load(pressure_memory=1.0), Load(throttles=0), Load(pressure_io=99.0)]
)
def test_at_the_threshold_nothing_is_said(found: Load) -> None:
    assert list(warnings(found, BUSY, 5.0)) == []
