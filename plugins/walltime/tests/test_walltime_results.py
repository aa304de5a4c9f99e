"""Results files as the integrations really write them, and as they never should."""

from __future__ import annotations

import copy
import functools
import io
import json
import operator
import os
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codspeed.cli.table import render
from codspeed.errors import ResultsError
from codspeed.model import Direction, Kind, PartResults
from codspeed_walltime.results import read_results
from codspeed_walltime.rounds import RoundUsage
from codspeed_walltime.usage import Usage, WindowUsage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# pytest-codspeed 5.0.4 on Python 3.12.1 (the `python` maps shortened).
PYTEST: dict[str, Any] = {
    "creator": {"name": "pytest-codspeed", "version": "5.0.4", "pid": 30246},
    "python": {
        "sysconfig": {"ABIFLAGS": ""},
        "dependencies": {"pytest": "9.2.0", "pytest-codspeed": "5.0.4"},
    },
    "instrument": {
        "type": "walltime",
        "clock_info": {
            "implementation": "clock_gettime(CLOCK_MONOTONIC)",
            "monotonic": True,
            "adjustable": False,
            "resolution": 1e-09,
        },
    },
    "benchmarks": [
        {
            "name": "TestGroup::test_param[10]",
            "uri": "test_b.py::TestGroup::test_param[10]",
            "config": {
                "warmup_time_ns": 50000000,
                "min_round_time_ns": 1000000,
                "max_time_ns": 3000000000,
                "max_rounds": 3,
            },
            "stats": {
                "min_ns": 10428.5,
                "max_ns": 10757.98275862069,
                "mean_ns": 10538.620689655172,
                "stdev_ns": 189.9736330975827,
                "q1_ns": 10428.5,
                "median_ns": 10429.379310344828,
                "q3_ns": 10757.98275862069,
                "rounds": 3,
                "total_time": 0.002685799,
                "iqr_outlier_rounds": 0,
                "stdev_outlier_rounds": 0,
                "iter_per_round": 58,
                "warmup_iters": 2860,
            },
        }
    ],
}

# tinybench-plugin 5.7.1
NODE: dict[str, Any] = {
    "creator": {"name": "codspeed-node", "version": "5.7.1", "pid": 15897},
    "instrument": {"type": "walltime"},
    "metadata": {"async_warning": "Profiling is inaccurate"},
    "benchmarks": [
        {
            "name": "fib10",
            "uri": "bench.mjs::suite::fib10",
            "config": {
                "max_rounds": 5,
                "max_time_ns": 20000000,
                "min_round_time_ns": None,
                "warmup_time_ns": 5000000,
            },
            "stats": {
                "min_ns": 509.999999962929,
                "max_ns": 4204532.999999969,
                "mean_ns": 1056.9735228834993,
                "stdev_ns": 35943.11485112211,
                "q1_ns": 511.0000000740911,
                "median_ns": 520.9999999351567,
                "q3_ns": 531.0000000235959,
                "total_time": 0.020000053000001572,
                "iter_per_round": 1,
                "rounds": 18922,
                "iqr_outlier_rounds": 2985,
                "stdev_outlier_rounds": 3,
                "warmup_iters": 2,
            },
        }
    ],
}


def changed(document: dict[str, Any], **stats: Any) -> dict[str, Any]:
    """Return a copy with other statistics."""
    copied = copy.deepcopy(document)
    copied["benchmarks"][0]["stats"].update(stats)
    return copied


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write documents as `<number>.json`; return their folder."""

    def write_files(*documents: Any) -> Path:
        for number, document in enumerate(documents):
            text = document if isinstance(document, str) else json.dumps(document, indent=2)
            (tmp_path / f"{number}.json").write_text(text)
            os.utime(tmp_path / f"{number}.json", ns=(number, number))
        return tmp_path

    return write_files


def test_a_file_of_pytest_is_read(write: Callable[..., Path]) -> None:
    (result,) = read_results(write(PYTEST))
    metrics = {metric.name: metric for metric in result.metrics}

    assert (result.uri, result.name) == (
        "test_b.py::TestGroup::test_param[10]",
        "TestGroup::test_param[10]",
    )
    assert {name: (metric.value, metric.unit) for name, metric in metrics.items()} == {
        "wall_time": (10429.379310344828, "ns"),
        "wall_time_min": (10428.5, "ns"),
        "wall_time_iqr": (100 * (10757.98275862069 - 10428.5) / 10429.379310344828, "percent"),
        "rounds": (3, "count"),
    }
    assert result.headline is metrics["wall_time"]
    assert metrics["wall_time"].kind is Kind.SAMPLED
    assert metrics["wall_time"].direction is Direction.LOWER
    assert metrics["wall_time"].statistics == {
        "min": 10428.5,
        "max": 10757.98275862069,
        "mean": 10538.620689655172,
        "stdev": 189.9736330975827,
        "q1": 10428.5,
        "q3": 10757.98275862069,
        "rounds": 3,
        "iter_per_round": 58,
        "warmup_iters": 2860,
        "total_time_s": 0.002685799,
        "iqr_outlier_rounds": 0,
        "stdev_outlier_rounds": 0,
    }


def test_a_file_of_tinybench_is_read(write: Callable[..., Path]) -> None:
    (result,) = read_results(write(NODE))

    assert result.headline is not None
    assert (result.uri, result.headline.value) == ("bench.mjs::suite::fib10", 520.9999999351567)


def test_the_jvm_writes_an_empty_config_and_names_that_occur_twice(
    write: Callable[..., Path],
) -> None:
    document = copy.deepcopy(PYTEST)
    first = document["benchmarks"][0]
    first["config"] = {}
    document["benchmarks"].append({**first, "uri": "other[20]"})
    results = read_results(write(document))

    assert [(result.name, result.uri) for result in results] == [
        ("TestGroup::test_param[10]", "test_b.py::TestGroup::test_param[10]"),
        ("TestGroup::test_param[10]", "other[20]"),
    ]


def test_an_early_pytest_wrote_times_of_the_config_as_fractions(
    write: Callable[..., Path],
) -> None:
    document = copy.deepcopy(PYTEST)
    document["benchmarks"][0]["config"]["min_round_time_ns"] = 1000000.0

    assert len(read_results(write(document))) == 1


def test_whole_numbers_may_have_a_point(write: Callable[..., Path]) -> None:
    (result,) = read_results(write(changed(PYTEST, rounds=3.0)))

    assert result.metrics[-1].value == 3


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({**PYTEST, "benchmarks": []}, id="the controller of pytest-xdist"),
        pytest.param(
            {"creator": PYTEST["creator"], "instrument": {"type": "analysis"}}, id="another mode"
        ),
    ],
)
def test_a_file_without_benchmarks_is_no_error(
    write: Callable[..., Path], document: dict[str, Any]
) -> None:
    assert read_results(write(document)) == ()
    assert len(read_results(write(document, PYTEST))) == 1


def test_a_folder_that_is_absent_or_empty_has_no_results(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*")
    (tmp_path / "notes.txt").write_text("{")

    assert read_results(tmp_path) == ()
    assert read_results(tmp_path / "absent") == ()


def test_several_files_are_read_in_the_order_in_which_they_were_written(
    write: Callable[..., Path],
) -> None:
    folder = write(PYTEST, NODE)
    os.utime(folder / "0.json", ns=(5, 5))

    assert [result.name for result in read_results(folder)] == [
        "fib10",
        "TestGroup::test_param[10]",
    ]


def test_of_a_benchmark_that_was_measured_twice_the_newest_counts(
    write: Callable[..., Path],
) -> None:
    """Names are process ids: 9.json may be older than 10.json, or newer."""
    folder = write(PYTEST, changed(PYTEST, median_ns=7.0), changed(PYTEST, median_ns=8.0))
    os.utime(folder / "1.json", ns=(9, 9))
    (result,) = read_results(folder)

    assert result.metrics[0].value == 7.0
    assert result.notes == ("measured 3 times in this run; the last one counts",)


def test_rounds_of_our_harness_become_samples_and_metrics_beside(
    write: Callable[..., Path],
) -> None:
    document = copy.deepcopy(PYTEST)
    document["benchmarks"][0]["codspeed"] = {
        "rounds": {
            "wall_ns": [3, 1, 2],
            "cpu_ns": [10, 30, 20, 40],
            "queue_ns": [5],
            "voluntary_switches": [1, 2],
            "involuntary_switches": [],
        }
    }
    (result,) = read_results(write(document))
    metrics = {metric.name: metric.value for metric in result.metrics}
    samples = result.metrics[0].samples

    assert samples == (3.0, 1.0, 2.0)
    assert metrics["cpu_time"] == 25
    assert metrics["queue_time"] == 5
    assert metrics["voluntary_switches"] == 1.5
    assert "involuntary_switches" not in metrics


def test_a_median_of_zero_has_no_relative_spread(write: Callable[..., Path]) -> None:
    (result,) = read_results(write(changed(PYTEST, median_ns=0, q1_ns=0, q3_ns=1)))

    assert result.metrics[2].value == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", ["median_ns", "stdev_ns", "total_time"])
def test_a_number_that_is_not_finite_is_an_error_that_names_the_benchmark(
    write: Callable[..., Path], place: str, value: float
) -> None:
    with pytest.raises(ResultsError) as caught:
        read_results(write(changed(PYTEST, **{place: value})))

    assert caught.value.problem == (
        "walltime results of test_b.py::TestGroup::test_param[10] hold a number that is not finite"
    )


def test_a_round_that_is_not_finite_is_an_error_too(write: Callable[..., Path]) -> None:
    document = copy.deepcopy(PYTEST)
    document["benchmarks"][0]["codspeed"] = {"rounds": {"wall_ns": [1.0, float("nan")]}}
    with pytest.raises(ResultsError, match="not finite"):
        read_results(write(document))


def without(document: dict[str, Any], *path: Any) -> dict[str, Any]:
    """Return a copy that lacks what `path` leads to."""
    copied = copy.deepcopy(document)
    inner = functools.reduce(operator.getitem, path[:-1], copied)
    del inner[path[-1]]
    return copied


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        pytest.param("", "is not JSON: Expecting value", id="empty"),
        pytest.param(json.dumps(PYTEST)[:300], "is not JSON", id="half"),
        pytest.param("[]", "does not hold what it should", id="a list"),
        pytest.param(
            without(PYTEST, "creator"), "required field missing @ $.creator", id="no creator"
        ),
        pytest.param(
            without(PYTEST, "instrument", "type"),
            "required field missing @ $.instrument.type",
            id="no type",
        ),
        pytest.param(
            without(PYTEST, "benchmarks", 0, "stats", "q1_ns"),
            "required field missing @ $.benchmarks[0].stats.q1_ns",
            id="no quartile",
        ),
        pytest.param(
            changed(PYTEST, median_ns=None),
            "None where a number belongs @ $.benchmarks[0].stats.median_ns",
            id="null for a number",
        ),
        pytest.param(
            changed(PYTEST, rounds=2.5),
            "2.5 where a whole number belongs @ $.benchmarks[0].stats.rounds",
            id="half a round",
        ),
    ],
)
def test_a_file_that_is_damaged_says_which_and_where(
    write: Callable[..., Path], document: Any, fault: str
) -> None:
    folder = write(document)
    with pytest.raises(ResultsError) as caught:
        read_results(folder)

    assert caught.value.problem.startswith(
        f'Failed to parse walltime results from: "{folder / "0.json"}". It '
    )
    assert fault in caught.value.problem


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "1.json").mkdir()
    with pytest.raises(ResultsError, match="can't be read: Is a directory"):
        read_results(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=60))
def test_any_bytes_are_results_or_a_results_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "1.json").write_bytes(data)
    with pytest.raises(ResultsError):
        read_results(tmp_path)


# --- What the runner saw beside -------------------------------------------------------------------

URI = PYTEST["benchmarks"][0]["uri"]
# 58 iterations of 10,429 ns.
ROUNDS = RoundUsage(
    count=3, is_each=True, median_wall_ns=604_904, share=0.9, low_ns=580, q1_ns=1160,
    median_ns=1740, q3_ns=2320, high_ns=2900,
)  # fmt: skip


def with_usage(write: Callable[..., Path], used: WindowUsage, **stats: Any) -> dict[str, float]:
    """Return what is added to the metrics of a benchmark."""
    usage = Usage(windows={URI: used, "another": used})
    (result,) = read_results(write(changed(PYTEST, **stats)), usage)
    usual = {"wall_time", "wall_time_min", "wall_time_iqr", "rounds"}
    return {each.name: each.value for each in result.metrics if each.name not in usual}


def test_cpu_time_of_an_iteration_is_the_median_over_rounds_that_were_read(
    write: Callable[..., Path],
) -> None:
    metrics = with_usage(write, WindowUsage(1_000, 900, 50, 7, ROUNDS))

    assert metrics == {"cpu_time": 30, "cpu_share": 90, "queue_share": 5, "context_switches": 7}


def test_quartiles_of_cpu_time_are_kept(write: Callable[..., Path]) -> None:
    usage = Usage(windows={URI: WindowUsage(1_000, 900, 50, 7, ROUNDS)})
    (result,) = read_results(write(PYTEST), usage)
    (metric,) = (each for each in result.metrics if each.name == "cpu_time")

    assert metric.statistics == {"min": 10, "max": 50, "q1": 20, "q3": 40, "rounds": 3}


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(attrs.evolve(ROUNDS, is_each=False), id="read together"),
        pytest.param(attrs.evolve(ROUNDS, median_wall_ns=700_000), id="other rounds"),
    ],
)
def test_rounds_that_are_not_those_of_the_statistics_give_the_average(
    write: Callable[..., Path], rounds: RoundUsage
) -> None:
    metrics = with_usage(write, WindowUsage(1_000, 900, 50, 7, rounds), mean_ns=1000.0)

    assert metrics["cpu_time"] == 900


def test_what_is_not_known_is_left_out(write: Callable[..., Path]) -> None:
    metrics = with_usage(write, WindowUsage(1_000, None, 50, 7))

    assert metrics == {"context_switches": 7}


def test_threads_that_wait_more_than_the_window_are_set_beside_their_own_time(
    write: Callable[..., Path],
) -> None:
    metrics = with_usage(write, WindowUsage(1_000, 2_000, 6_000, 7))

    assert (metrics["cpu_share"], metrics["queue_share"]) == (200, 75)


def test_rounds_of_our_harness_count_more_than_the_window(write: Callable[..., Path]) -> None:
    document = copy.deepcopy(PYTEST)
    document["benchmarks"][0]["codspeed"] = {
        "rounds": {"wall_ns": [100.0, 300.0], "cpu_ns": [50.0, 50.0], "queue_ns": [0.0, 100.0]}
    }
    usage = Usage(windows={URI: WindowUsage(1, 1, 1, 1, ROUNDS)})
    (result,) = read_results(write(document), usage)
    metrics = {each.name: each.value for each in result.metrics}

    assert (metrics["cpu_time"], metrics["cpu_share"], metrics["queue_share"]) == (50, 25, 25)


def test_what_holds_for_all_results_is_a_note_of_each(write: Callable[..., Path]) -> None:
    (result,) = read_results(write(PYTEST), Usage(notes=("real time: yes",)))

    assert result.notes == ("real time: yes",)


def test_the_table_shows_robust_statistics_only(write: Callable[..., Path]) -> None:
    usage = Usage(windows={URI: WindowUsage(1_000, 900, 50, 7, ROUNDS)})
    (result,) = read_results(write(PYTEST), usage)
    shown = [each.label for each in result.metrics if each.label]

    assert shown == ["Median", "Best", "IQR", "CPU time", "Rounds"]
    assert {"mean", "stdev"} <= set(result.metrics[0].statistics)


class Terminal(io.StringIO):
    """A screen that shows lines and boxes."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits_a_screen_with_every_number(
    write: Callable[..., Path], columns: int
) -> None:
    document = copy.deepcopy(PYTEST)
    document["benchmarks"][0]["name"] = (
        "tests/benchmarks/test_of_a_long_name.py::test_it[" + "x" * 60
    )
    usage = Usage(windows={URI: WindowUsage(1_000, 900, 50, 7, ROUNDS)})
    results = PartResults(0, "walltime", "walltime", "model", read_results(write(document), usage))
    env = {"COLUMNS": str(columns), "NO_COLOR": "1"}
    lines = render([results], {}, Terminal(), env)
    heading, row = (line for line in lines if "│" in line and ("Median" in line or "µs" in line))
    cells = [[cell.strip() for cell in line.split("│")[2:-1]] for line in (heading, row)]

    assert cells == [
        ["Median", "Best", "IQR", "CPU time", "Rounds"],
        ["10.43 µs", "10.43 µs", "3.2%", "30.00 ns", "3"],
    ]
    assert max(map(len, lines)) <= columns
