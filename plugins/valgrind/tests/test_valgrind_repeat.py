from __future__ import annotations

from typing import TYPE_CHECKING

from codspeed.model import BenchmarkResult, Kind, Metric
from codspeed_valgrind.repeat import clear, counters_of, unsteady

if TYPE_CHECKING:
    from pathlib import Path

STEADY = {"ir": 1000.0, "ram_hits": 5.0, "sys_count": 0.0}


def test_runs_that_are_equal_say_nothing() -> None:
    assert unsteady([{"a": STEADY}, {"a": STEADY}], "the allocator") == {}


def test_a_counter_that_differs_is_named_with_its_range() -> None:
    runs = [{"a": STEADY, "b": STEADY}, {"a": STEADY, "b": {**STEADY, "ir": 1010.0}}]

    assert unsteady(runs, "the allocator") == {
        "b": "not deterministic over 2 runs: ir 1,000 to 1,010; likely cause: the allocator"
    }


def test_system_calls_are_a_likelier_cause_than_any() -> None:
    text = unsteady([{"a": STEADY}, {"a": {**STEADY, "sys_count": 2.0}}], "the allocator")["a"]

    assert text.endswith("system calls (clock, files, network, threads)")


def test_only_cache_misses_that_differ_are_a_matter_of_addresses() -> None:
    text = unsteady([{"a": STEADY}, {"a": {**STEADY, "ram_hits": 6.0}}], "the allocator")["a"]

    assert text.endswith("the same instructions at other addresses, so other cache misses")


def test_a_benchmark_that_is_not_always_there_is_told() -> None:
    assert unsteady([{"a": STEADY}, {}, {"a": STEADY}], "") == {"a": "measured in 2 of 3 runs"}


def test_only_exact_metrics_are_compared() -> None:
    metrics = (
        Metric("ir", 1, "count", kind=Kind.EXACT),
        Metric("sys_time", 2, "ns", kind=Kind.INFO),
    )

    assert counters_of([BenchmarkResult("a", "a", metrics)]) == {"a": {"ir": 1}}


def test_the_next_run_finds_the_folder_as_the_first_did(tmp_path: Path) -> None:
    for name in ("simulation.json", "7.out"):
        (tmp_path / name).touch()
    (tmp_path / "results").mkdir()
    (tmp_path / "results/7.json").touch()

    clear(tmp_path, keep=frozenset({"simulation.json"}))

    assert [path.name for path in tmp_path.iterdir()] == ["simulation.json"]
