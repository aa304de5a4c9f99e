from __future__ import annotations

import math
from collections.abc import Callable

import attrs
import pytest

from codspeed.model import Bundle, Kind
from codspeed_report.compare import Comparison, Status, compare, differences
from codspeed_report.selection import of_bundle

Make = Callable[..., Bundle]


def _compared(base: Bundle, head: Bundle) -> Comparison:
    return compare(of_bundle(base), of_bundle(head))


def test_sampled_metrics_get_change_and_spread_but_no_verdict(make: Make) -> None:
    comparison = _compared(make(1, {"a": 1000.0}), make(2, {"a": 1100.0}))

    (row,) = comparison.rows
    assert row.status is Status.NO_VERDICT
    assert row.change == pytest.approx(0.1)
    assert row.base is not None
    assert row.base.spread == pytest.approx(0.03)
    assert comparison.is_comparable


def test_exact_metrics_are_changed_or_not(make: Make) -> None:
    base = make(1, {"a": 100, "b": 100}, kind=Kind.EXACT)
    head = make(2, {"a": 100, "b": 101}, kind=Kind.EXACT)

    rows = _compared(base, head).rows

    assert [row.status for row in rows] == [Status.UNCHANGED, Status.CHANGED]
    assert [row.change for row in rows] == [0.0, pytest.approx(0.01)]


def test_other_model_is_incomparable_and_named(make: Make) -> None:
    comparison = _compared(make(1, {"a": 1.0}, model="w/1"), make(2, {"a": 1.0}, model="w/2"))

    (row,) = comparison.rows
    assert row.status is Status.INCOMPARABLE
    assert row.note == "measurement model: w/1 \u2192 w/2"
    assert row.change is None
    assert not comparison.is_comparable


def test_refused_fingerprint_fields_are_named(make: Make) -> None:
    other = make(2, {"a": 1.0}, machine={"cpu_model": "Xeon"})

    (row,) = _compared(make(1, {"a": 1.0}), other).rows

    assert row.status is Status.INCOMPARABLE
    assert row.note == "cpu_model: EPYC \u2192 Xeon"


def test_fields_that_only_warn_leave_the_rows_comparable(make: Make) -> None:
    other = make(2, {"a": 1.0}, machine={"kernel": "6.12"})

    comparison = _compared(make(1, {"a": 1.0}), other)

    assert comparison.is_comparable
    assert comparison.warnings == (
        "walltime results may differ because of the machine: kernel: 6.1 \u2192 6.12",
    )


def test_another_environment_is_named_as_the_likely_cause(make: Make) -> None:
    before = make(1, {"a": 1.0}, machine={"environment_hash": "abc"})
    after = make(2, {"a": 2.0}, machine={"environment_hash": "def"})

    (warning,) = _compared(before, after).warnings

    assert warning.startswith("walltime: the commands saw environment variables of other names")
    assert "--environment strict" in warning
    assert _compared(before, before).warnings == ()


def test_what_one_side_does_not_know_differs() -> None:
    assert differences({"cpu": "x"}, {}, ("cpu", "cores")) == ("cpu: x \u2192 unknown",)


def test_new_and_missing_benchmarks_are_rows(make: Make) -> None:
    comparison = _compared(make(1, {"old": 1.0}), make(2, {"fresh": 1.0}))

    assert [row.status for row in comparison.rows] == [Status.NEW, Status.MISSING]
    assert not comparison.is_comparable


def test_another_executor_is_another_benchmark(make: Make) -> None:
    base = make(1, {"a": 1.0})
    head = make(2, {"a": 1.0}, executor="memory")

    assert {row.status for row in _compared(base, head).rows} == {Status.NEW, Status.MISSING}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_incomparable(make: Make, value: float) -> None:
    base, head = of_bundle(make(1, {"a": 1.0})), of_bundle(make(2, {"a": 1.0}))
    odd = attrs.evolve(base, measurements=(attrs.evolve(base.measurements[0], value=value),))

    (row,) = compare(odd, head).rows

    assert row.status is Status.INCOMPARABLE
    assert row.note == "a value is not a number"


def test_a_base_of_zero_has_no_ratio(make: Make) -> None:
    (row,) = _compared(make(1, {"a": 0}, kind=Kind.EXACT), make(2, {"a": 3}, kind=Kind.EXACT)).rows

    assert row.status is Status.CHANGED
    assert row.change is None


def test_informative_metrics_are_left_out(make: Make) -> None:
    base, head = make(1, {"a": 1.0}, kind=Kind.INFO), make(2, {"a": 1.0}, kind=Kind.INFO)

    assert _compared(base, head).rows == ()


def test_runs_of_different_variants_are_compared_with_a_warning(make: Make) -> None:
    base = make(1, {"a": 1.0}, variant={"python": "3.12"})
    head = make(2, {"a": 1.0}, variant={"python": "3.13"})

    comparison = _compared(base, head)

    assert comparison.is_comparable
    assert comparison.warnings == ("the runs are of different variants: python: 3.12 \u2192 3.13",)
