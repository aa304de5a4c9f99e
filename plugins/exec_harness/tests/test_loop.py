"""The round loop, with a clock and rounds that take what the test says."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed.errors import BenchmarkFailedError
from codspeed_exec_harness.bounds import Limit, Plan
from codspeed_exec_harness.loop import Round, measure

if TYPE_CHECKING:
    from collections.abc import Callable

NONE = Limit()


@attrs.define
class World:
    """A clock that only rounds move.

    Attributes:
        costs: Duration of each round; the last one repeats.
        overhead: What passes between rounds.
    """

    costs: list[int]
    overhead: int = 0
    now: int = 0
    rounds: int = 0

    def clock(self) -> int:
        return self.now

    def run_round(self) -> Round:
        cost = self.costs[min(self.rounds, len(self.costs) - 1)]
        self.rounds += 1
        start = self.now
        self.now += cost + self.overhead
        return Round(start, start + cost)

    def measure(self, plan: Plan) -> list[Round]:
        return measure(self.run_round, plan, self.clock)


@pytest.mark.parametrize(
    ("plan", "counted", "run"),
    [
        pytest.param(Plan(0, NONE, Limit(5)), 5, 5, id="max rounds"),
        pytest.param(Plan(0, Limit(5), NONE), 5, 5, id="min rounds"),
        pytest.param(Plan(0, NONE, Limit(None, 95)), 10, 10, id="max time"),
        pytest.param(Plan(0, Limit(None, 95), NONE), 10, 10, id="min time"),
        pytest.param(Plan(0, Limit(None, 35), Limit(None, 95)), 4, 4, id="both times: the least"),
        pytest.param(Plan(0, NONE, Limit(20, 95)), 10, 10, id="time before rounds"),
        pytest.param(Plan(0, NONE, Limit(3, 95)), 3, 3, id="rounds before time"),
        pytest.param(Plan(0, NONE, Limit(0)), 1, 1, id="at least one"),
        pytest.param(Plan(35, NONE, Limit(5)), 5, 9, id="warm-up of four"),
        pytest.param(Plan(1, NONE, Limit(5)), 5, 6, id="warm-up of one"),
        pytest.param(Plan(35, NONE, Limit(None, 95)), 10, 14, id="warm-up is not in max time"),
        pytest.param(Plan(35, Limit(None, 95), NONE), 11, 15, id="min time is a count by then"),
        pytest.param(Plan(35, Limit(4), Limit(9)), 6, 10, id="the middle of both"),
    ],
)
def test_ends_at_the_first_bound(plan: Plan, counted: int, run: int) -> None:
    world = World([10])
    rounds = world.measure(plan)

    assert (len(rounds), world.rounds) == (counted, run)


def test_a_warm_up_round_as_long_as_max_time_is_the_result() -> None:
    world = World([100])
    rounds = world.measure(Plan(50, NONE, Limit(None, 100)))

    assert rounds == [Round(0, 100)]


def test_a_warm_up_round_shorter_than_max_time_is_not() -> None:
    world = World([99])
    rounds = world.measure(Plan(50, NONE, Limit(None, 100)))

    assert rounds == [Round(99, 198), Round(198, 297)]


def test_two_warm_up_rounds_are_never_the_result() -> None:
    world = World([100])
    world.measure(Plan(150, NONE, Limit(None, 100)))

    assert world.rounds == 3


def test_time_between_rounds_counts_for_the_average() -> None:
    world = World([10], overhead=90)
    rounds = world.measure(Plan(250, NONE, Limit(None, 450)))

    assert len(rounds) == 5


def test_a_round_that_fails_ends_the_loop() -> None:
    def fail() -> Round:
        problem = "no"
        raise BenchmarkFailedError(problem)

    with pytest.raises(BenchmarkFailedError):
        measure(fail, Plan(0, NONE, Limit(5)), _standing_clock())


def _standing_clock() -> Callable[[], int]:
    return lambda: 0


LIMITS = st.builds(Limit, st.none() | st.integers(0, 30), st.none() | st.integers(0, 3000))


@given(
    warmup=st.integers(0, 500),
    least=LIMITS,
    most=LIMITS.filter(lambda limit: not limit.is_absent),
    costs=st.lists(st.integers(1, 200), min_size=1, max_size=20),
)
def test_rounds_follow_each_other_and_end(
    warmup: int, least: Limit, most: Limit, costs: list[int]
) -> None:
    rounds = World(costs).measure(Plan(warmup, least, most))

    assert rounds
    assert all(a.end_ns <= b.start_ns for a, b in itertools.pairwise(rounds))
    if most.time_ns is not None:
        assert sum(item.wall_ns for item in rounds[:-1]) < max(most.time_ns, 1)
