"""Durations: seconds or humantime."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed_exec_harness.duration import parse_duration

SECOND = 1_000_000_000
DAY = 86_400 * SECOND


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("1", SECOND),
        ("0.5", SECOND // 2),
        (".5", SECOND // 2),
        ("1e-3", 1_000_000),
        ("  2  ", 2 * SECOND),
        ("-3", 0),
        ("NaN", 0),
        ("inf", 2**64 - 1),
        ("1e300", 2**64 - 1),
        ("1.9999999999", 1_999_999_999),
        ("7ns", 7),
        ("3us", 3_000),
        ("500ms", SECOND // 2),
        ("1.5s", 3 * SECOND // 2),
        ("2m", 120 * SECOND),
        ("1h", 3_600 * SECOND),
        ("1h 30m", 5_400 * SECOND),
        ("1h30m", 5_400 * SECOND),
        ("1 hour 2 minutes 3 seconds", 3_723 * SECOND),
        ("1day", DAY),
        ("2weeks", 14 * DAY),
        ("1month", 2_630_016 * SECOND),
        ("1year", 31_557_600 * SECOND),
        ("1000000years", 2**64 - 1),
    ],
)
def test_reads(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text", ["", " ", "x", "3x", "s", "1 2", "1s 2", "1_0", "-3s", "1S", "1..5s", "٣", "1e3s"]
)
def test_refuses_with_the_sentence_of_the_reference(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration(text)

    assert str(caught.value) == (
        f"Invalid duration format: '{text}'. "
        "Expected format like '1s', '500ms', '2m', '1h' or a number in seconds"
    )


@given(text=st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        nanoseconds = parse_duration(text)
    except ValueError:
        return
    assert 0 <= nanoseconds < 2**64


@given(hours=st.integers(0, 99), millis=st.integers(0, 99_999))
def test_a_sum_is_the_sum_of_its_items(hours: int, millis: int) -> None:
    expected = parse_duration(f"{hours}h") + parse_duration(f"{millis}ms")

    assert parse_duration(f"{hours}h {millis}ms") == expected
