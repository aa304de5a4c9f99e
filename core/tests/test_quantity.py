from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed.model.quantity import format_change, format_difference, format_value


@pytest.mark.parametrize(
    ("value_ns", "text"),
    [
        (0, "< 1 ns"),
        (0.9, "< 1 ns"),
        (1, "1.00 ns"),
        (1.5, "1.50 ns"),
        (567_000, "567.00 \u00b5s"),
        (999_999.9, "1000.00 \u00b5s"),
        (1_000_000, "1.00 ms"),
        (1_567_800_000, "1.57 s"),
        (-567_000, "-567.00 \u00b5s"),
    ],
)
def test_durations_have_two_decimals(value_ns: float, text: str) -> None:
    assert format_value(value_ns, "ns") == text


@pytest.mark.parametrize(
    ("value_bytes", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1536, "1.5 KB"),
        (1_048_576, "1 MB"),
        (1024**5, "1 PB"),
        (1024**6, "1024 PB"),
    ],
)
def test_memory_counts_in_1024_and_drops_trailing_zeros(value_bytes: float, text: str) -> None:
    assert format_value(value_bytes, "bytes") == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "count", "0"),
        (1_234_567, "count", "1,234,567"),
        (1_234.5, "count", "1,234.5"),
        (0.000123, "count", "0.000123"),
        (81, "percent", "81.0%"),
        (12.5, "frames", "12.5 frames"),
        (1_000_000, "frames", "1,000,000 frames"),
        (3, "", "3"),
        (math.nan, "ns", "N/A"),
        (math.inf, "bytes", "N/A"),
    ],
)
def test_other_units(value: float, unit: str, text: str) -> None:
    assert format_value(value, unit) == text


def test_difference_carries_its_sign() -> None:
    assert format_difference(3, "count") == "+3"
    assert format_difference(-1536, "bytes") == "-1.5 KB"
    assert format_difference(0, "count") == "0"


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0.012, "+1.2%"),
        (-0.5, "-50.0%"),
        (0.0, "0.0%"),
        (11.5, "+1,150.0%"),
        (0.0001, "+0.01%"),
        (-0.0000123, "-0.0012%"),
        (1e-9, "+<0.0001%"),
        (None, "-"),
        (math.inf, "-"),
    ],
)
def test_changes_are_signed_percent(ratio: float | None, text: str) -> None:
    assert format_change(ratio) == text


@given(st.floats(min_value=-1e12, max_value=1e12).filter(bool))
def test_a_change_never_reads_as_none(ratio: float) -> None:
    shown = format_change(ratio)

    assert shown[0] == ("+" if ratio > 0 else "-")
    assert any(digit in shown for digit in "123456789")
    assert "e" not in shown


@given(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(["ns", "bytes", "count", "percent", "rows"]),
)
def test_every_number_has_a_text(value: float, unit: str) -> None:
    assert format_value(value, unit)
