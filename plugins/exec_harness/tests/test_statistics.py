"""The vectors of spec/executors.md 3.13, and what holds for any rounds."""

from __future__ import annotations

import math
import statistics

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed_exec_harness.statistics import Statistics, median, summarize

DURATIONS = st.lists(st.integers(0, 10**12), min_size=1, max_size=60)


def _once_each(*times: int) -> Statistics:
    return summarize(times, [1] * len(times))


def test_ten_iterations_per_round() -> None:
    found = summarize([6000, 3000, 1000, 2000, 4000], [10] * 5)

    assert found == Statistics(
        min_ns=100,
        max_ns=600,
        mean_ns=320,
        stdev_ns=math.sqrt(37000),
        q1_ns=150,
        median_ns=300,
        q3_ns=500,
        rounds=5,
        total_time=16000 / 1e9,
        iqr_outlier_rounds=0,
        stdev_outlier_rounds=0,
        iter_per_round=10,
        warmup_iters=0,
    )


def test_a_slow_round_is_an_outlier_of_the_quartiles() -> None:
    found = _once_each(100, 110, 120, 130, 140, 500)

    assert (found.q1_ns, found.q3_ns, found.iqr_outlier_rounds) == (107.5, 230.0, 1)


def test_quartiles_of_eight() -> None:
    found = _once_each(*range(10, 90, 10))

    assert (found.q1_ns, found.median_ns, found.q3_ns) == (22.5, 45.0, 67.5)


def test_a_slow_round_is_an_outlier_of_the_deviation() -> None:
    found = _once_each(*[1] * 16, 50)

    assert found.mean_ns == 3.8823529411764706
    assert found.stdev_ns == pytest.approx(11.884245626780316, rel=1e-15)
    assert found.stdev_outlier_rounds == 1


def test_two_rounds_interpolate_between_both() -> None:
    found = _once_each(100, 200)

    assert found.stdev_ns == 70.71067811865476
    assert (found.q1_ns, found.median_ns, found.q3_ns) == (125.0, 150.0, 175.0)


def test_one_round_is_everything() -> None:
    found = _once_each(7)

    assert (found.min_ns, found.q1_ns, found.median_ns, found.q3_ns, found.max_ns) == (7,) * 5
    assert (found.stdev_ns, found.rounds, found.total_time) == (0.0, 1, 7e-9)


def test_no_round_is_all_zero() -> None:
    found = summarize([], [])

    assert set(attrs.astuple(found)) == {0}


def test_time_per_iteration_is_an_integer_division() -> None:
    found = summarize([19], [10])

    assert (found.mean_ns, found.total_time) == (1.0, 19e-9)


@given(times=DURATIONS)
def test_quartiles_are_those_of_the_standard_library_from_three_on(times: list[int]) -> None:
    times = [*times, 1, 2]
    found = _once_each(*times)

    quartiles = statistics.quantiles(times, n=4)
    assert [found.q1_ns, found.median_ns, found.q3_ns] == pytest.approx(quartiles, rel=1e-9)


@given(times=DURATIONS)
def test_order_of_rounds_does_not_matter(times: list[int]) -> None:
    assert _once_each(*times) == _once_each(*reversed(times))


@given(times=DURATIONS)
def test_quartiles_lie_between_the_ends(times: list[int]) -> None:
    found = _once_each(*times)

    slack = 1e-9 * found.max_ns
    assert found.min_ns <= found.q1_ns + slack
    assert found.q1_ns <= found.median_ns + slack
    assert found.median_ns <= found.q3_ns + slack
    assert found.q3_ns <= found.max_ns + slack


@given(values=st.lists(st.integers(0, 2**50), min_size=1))
def test_median_is_that_of_the_standard_library(values: list[int]) -> None:
    assert median(values) == statistics.median(values)
