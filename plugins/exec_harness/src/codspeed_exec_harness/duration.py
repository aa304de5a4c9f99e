"""Durations as people write them: a number of seconds, or a sum of numbers with units.

The rules are those of the reference (spec/executors.md 6.4), whose second form is the humantime
syntax: `1h 30m`, `500ms`, `1.5s`. No I/O here.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

_SECOND: Final = 1_000_000_000

# Lengths as in humantime: a month is 30.44 days, a year 365.25 days.
_UNIT_NS: Final = {
    name: length
    for names, length in (
        ("ns nsec nanos nanosecond nanoseconds", 1),
        ("us µs usec micros microsecond microseconds", 1_000),
        ("ms msec millis millisecond milliseconds", 1_000_000),
        ("s sec secs second seconds", _SECOND),
        ("m min mins minute minutes", 60 * _SECOND),
        ("h hr hrs hour hours", 3_600 * _SECOND),
        ("d day days", 86_400 * _SECOND),
        ("w wk wks week weeks", 604_800 * _SECOND),
        ("M month months", 2_630_016 * _SECOND),
        ("y yr yrs year years", 31_557_600 * _SECOND),
    )
    for name in names.split()
}

# The largest value of the reference, which counts in unsigned 64-bit nanoseconds.
_LARGEST: Final = 2**64 - 1

# What Rust's f64 parser takes; Python's float() would also take "1_0" and digits of other scripts.
_FLOAT: Final = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf|infinity|nan)", re.IGNORECASE
)
_ITEM: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµ]+)\s*")


def parse_duration(text: str) -> int:
    """Return a duration in whole nanoseconds, from 0 to 2**64-1.

    Raises:
        ValueError: If `text` is neither a number nor a duration; the sentence is the reference's.
    """
    trimmed = text.strip()
    if _FLOAT.fullmatch(trimmed):
        return _from_seconds(float(trimmed))
    total = _from_units(trimmed)
    if total is None:
        msg = (
            f"Invalid duration format: '{text}'. "
            "Expected format like '1s', '500ms', '2m', '1h' or a number in seconds"
        )
        raise ValueError(msg)
    return total


def _from_seconds(seconds: float) -> int:
    nanoseconds = seconds * 1e9
    if not nanoseconds > 0:  # negative or NaN
        return 0
    return _LARGEST if nanoseconds >= _LARGEST else int(nanoseconds)


def _from_units(text: str) -> int | None:
    total = Fraction(0)
    position = 0
    while position < len(text) or not text:
        item = _ITEM.match(text, position)
        if item is None or item[2] not in _UNIT_NS:
            return None
        total += Fraction(item[1]) * _UNIT_NS[item[2]]
        position = item.end()
    return min(int(total), _LARGEST)
