"""CPU time of rounds out of readings around them, with made-up clocks."""

from __future__ import annotations

import attrs
import pytest

from codspeed_walltime.rounds import Reading, RoundUsage, of_rounds

MS = 1_000_000
US = 1_000


def alternating(
    rounds: int, *, wall: int = MS, cpu: int = MS, call: int = 20 * US, call_cpu: int = 10 * US
) -> tuple[list[tuple[int, int]], list[Reading]]:
    """Return rounds and the readings of an integration that sends both markers after each round.

    Sending one takes `call`, of which `call_cpu` on a CPU.
    """
    now = used = 0
    found: list[tuple[int, int]] = []
    curve = [Reading(0, 0)]
    for _ in range(rounds):
        found.append((now, now + wall))
        now, used = now + wall, used + cpu
        for _marker in range(2):
            now, used = now + call, used + call_cpu
            curve.append(Reading(now, used))
    return found, [*curve, Reading(now, used)]


def test_each_round_is_read_without_what_sending_markers_takes() -> None:
    rounds, curve = alternating(9, cpu=700 * US)
    found = of_rounds(rounds, curve, curve[1:-1])

    assert found == RoundUsage(
        count=9, is_each=True, median_wall_ns=MS, share=0.7, low_ns=700 * US, q1_ns=700 * US,
        median_ns=700 * US, q3_ns=700 * US, high_ns=700 * US,
    )  # fmt: skip


def test_markers_at_the_end_give_one_average() -> None:
    rounds = [(0, MS), (MS, 3 * MS)]
    curve = [Reading(0, 50), Reading(3 * MS + 1, 50 + 2 * MS)]
    found = of_rounds(rounds, curve, [])

    assert found is not None
    assert (found.count, found.is_each, found.median_ns) == (2, False, MS)
    assert found.share == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("after_ns", "is_known"), [(50 * US, True), (51 * US, False)], ids=["5 %", "more"]
)
def test_what_is_known_to_five_percent_is_said(after_ns: int, *, is_known: bool) -> None:
    curve = [Reading(0, 0), Reading(MS + after_ns, MS)]

    assert (of_rounds([(0, MS)], curve, []) is not None) is is_known


def test_a_benchmark_that_sleeps_is_not_known_from_a_gap_that_is_small_beside_its_wall_time() -> (
    None
):
    curve = [Reading(0, 0), Reading(101 * MS, 2 * MS)]

    assert of_rounds([(0, 100 * MS)], curve, []) is None


def test_a_round_of_one_thread_takes_no_more_than_its_time() -> None:
    rounds, curve = alternating(5, cpu=MS + 8 * US)
    found = of_rounds(rounds, curve, curve[1:-1])

    assert found is not None
    assert found.median_ns == MS


def test_several_threads_may_take_more_in_any_round() -> None:
    rounds, curve = alternating(5, cpu=MS + 8 * US)
    busy = [Reading(moment, cpu + 2 * MS * (moment > rounds[2][1])) for moment, cpu in curve]
    found = of_rounds(rounds, busy, busy[1:-1])

    assert found is not None
    assert (found.median_ns, found.high_ns) == (MS + 8 * US, 3 * MS + 8 * US)


def test_rounds_around_which_the_integration_had_to_wait_are_left_out() -> None:
    rounds, curve = alternating(10)
    late = [
        Reading(moment + 4 * MS, cpu) if moment > rounds[7][1] else Reading(moment, cpu)
        for moment, cpu in curve
    ]
    moved = [(a + 4 * MS, b + 4 * MS) if a > rounds[7][1] else (a, b) for a, b in rounds]
    found = of_rounds(moved, late, late[1:-1])

    assert found is not None
    assert (found.count, found.median_ns) == (9, MS)


def test_if_most_rounds_are_in_doubt_nothing_is_said() -> None:
    rounds, curve = alternating(10)
    later = [Reading(moment + position * MS, cpu) for position, (moment, cpu) in enumerate(curve)]
    moved = [(a + 2 * place * MS, b + 2 * place * MS) for place, (a, b) in enumerate(rounds)]

    assert of_rounds(moved, later, []) is None


def test_the_limit_of_doubt_does_not_choose_the_longer_rounds() -> None:
    rounds, curve = [], [Reading(0, 0)]
    now = used = 0
    for number in range(20):
        wall = MS if number % 2 else MS * 6 // 10
        rounds.append((now, now + wall))
        now, used = now + wall + 35 * US, used + wall
        curve.append(Reading(now, used))
    found = of_rounds(rounds, curve, [])

    assert found is not None
    assert found.count == 20


@pytest.mark.parametrize(
    ("rounds", "curve"),
    [
        pytest.param([], [Reading(0, 0), Reading(9, 9)], id="no rounds"),
        pytest.param([(1, 5)], [], id="no readings"),
        pytest.param([(1, 15)], [Reading(0, 0), Reading(9, 9)], id="outside"),
        pytest.param([(5, 5)], [Reading(0, 0), Reading(9, 9)], id="of no length"),
    ],
)
def test_without_rounds_or_readings_nothing_is_said(
    rounds: list[tuple[int, int]], curve: list[Reading]
) -> None:
    assert of_rounds(rounds, curve, []) is None


def test_what_is_said_is_plain_numbers() -> None:
    rounds, curve = alternating(3)
    found = of_rounds(rounds, curve, curve[1:-1])

    assert found is not None
    assert {type(value) for value in attrs.astuple(found)} <= {int, float, bool}
