"""From bounds as written to numbers of rounds (spec/executors.md 6.4, 6.5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed.errors import UsageError
from codspeed_exec_harness.bounds import (
    Limit,
    Plan,
    resolve,
    rounds_after_warmup,
    rounds_without_warmup,
)
from codspeed_exec_harness.descriptor import Bounds

SECOND = 1_000_000_000
NONE = Limit()


@pytest.mark.parametrize(
    ("bounds", "plan"),
    [
        (Bounds(), Plan(SECOND, NONE, Limit(None, 3 * SECOND))),
        (Bounds(warmup_time="0"), Plan(0, NONE, Limit(None, 3 * SECOND))),
        (Bounds(max_time="5s"), Plan(SECOND, NONE, Limit(None, 5 * SECOND))),
        (Bounds(max_rounds=9), Plan(SECOND, NONE, Limit(9))),
        (Bounds(min_rounds=9), Plan(SECOND, Limit(9), NONE)),
        (Bounds(min_time="2s"), Plan(SECOND, Limit(None, 2 * SECOND), NONE)),
        (Bounds(max_time="0", min_rounds=2), Plan(SECOND, Limit(2), NONE)),
        (Bounds(max_time="0", min_time="9s"), Plan(SECOND, Limit(None, 9 * SECOND), NONE)),
        (
            Bounds(min_rounds=2, max_rounds=2, min_time="1s", max_time="1s"),
            Plan(SECOND, Limit(2, SECOND), Limit(2, SECOND)),
        ),
    ],
)
def test_defaults_are_filled_in(bounds: Bounds, plan: Plan) -> None:
    assert resolve(bounds) == plan


@pytest.mark.parametrize(
    ("bounds", "problem"),
    [
        (
            Bounds(min_time="4s", max_time="3s"),
            "min_time (4.00s) cannot be greater than max_time (3.00s)",
        ),
        (
            Bounds(min_rounds=5, max_rounds=4),
            "min_rounds (5) cannot be greater than max_rounds (4)",
        ),
        (
            Bounds(warmup_time="soon"),
            (
                "Invalid warmup_time: Invalid duration format: 'soon'. Expected format like '1s', "
                "'500ms', '2m', '1h' or a number in seconds"
            ),
        ),
        (Bounds(max_rounds=-1), "Invalid max_rounds: -1 is negative"),
        (Bounds(max_time="0"), "Unable to determine number of rounds to perform"),
        (
            Bounds(warmup_time="0", max_time="0"),
            (
                "When warmup is disabled, at least one constraint "
                "(min_rounds, max_rounds, min_time, or max_time) must be specified"
            ),
        ),
    ],
)
def test_bounds_that_can_not_be_are_refused(bounds: Bounds, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(bounds)

    assert caught.value.problem == problem


@pytest.mark.parametrize(
    ("least", "most", "rounds"),
    [
        (NONE, Limit(7), 7),
        (Limit(7), NONE, 7),
        (NONE, Limit(None, 1000), 11),
        (Limit(None, 1000), NONE, 12),
        (NONE, Limit(7, 1000), 7),
        (NONE, Limit(70, 1000), 11),
        (Limit(7, 1000), NONE, 12),
        (Limit(70, 1000), NONE, 70),
        (Limit(4), Limit(9), 6),
        (Limit(None, 500), Limit(None, 1000), 9),
        (Limit(50), Limit(None, 1000), 11),  # the minimum does not fit
    ],
)
def test_rounds_after_a_warm_up_of_100_ns_a_round(least: Limit, most: Limit, rounds: int) -> None:
    assert rounds_after_warmup(Plan(1, least, most), 100) == rounds


@pytest.mark.parametrize(
    ("least", "most", "rounds"),
    [
        (NONE, Limit(7), 7),
        (Limit(3), Limit(7), 7),
        (Limit(3), Limit(None, 9), 3),
        (Limit(3, 9), Limit(7, 9), 7),
        (Limit(3, 9), Limit(None, 9), 3),
        (Limit(3, 9), NONE, 3),
        (Limit(3), Limit(7, 9), 3),
        (Limit(None, 5), Limit(None, 9), None),
        (NONE, Limit(None, 9), None),
    ],
)
def test_rounds_without_warm_up(least: Limit, most: Limit, rounds: int | None) -> None:
    assert rounds_without_warmup(Plan(0, least, most)) == rounds


def test_a_minimum_above_the_maximum_is_told(caplog: pytest.LogCaptureFixture) -> None:
    rounds_after_warmup(Plan(1, Limit(50), Limit(None, 1000)), 100)

    assert caplog.messages == ["The minimum asks for 50 rounds, the maximum allows 11; running 11"]


LIMITS = st.builds(Limit, st.none() | st.integers(0, 10**6), st.none() | st.integers(0, 10**12))


@given(least=LIMITS, most=LIMITS, average=st.integers(0, 10**10))
def test_planned_rounds_never_pass_the_maximum(least: Limit, most: Limit, average: int) -> None:
    plan = Plan(1, least, most)
    if least.is_absent and most.is_absent:
        with pytest.raises(UsageError):
            rounds_after_warmup(plan, average)
        return
    rounds = rounds_after_warmup(plan, average)

    assert most.rounds is None or rounds <= most.rounds
    if most.time_ns is not None:
        assert rounds <= most.time_ns // max(average, 1) + 1
