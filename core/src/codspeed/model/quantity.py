"""Numbers with units, as people read them. No I/O here.

Durations and memory are written as the reference writes them (spec of the reference's display:
durations with two decimals, memory with one and a base of 1024), so that tables can be compared.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DURATIONS: Final = ((1e9, "s"), (1e6, "ms"), (1e3, "\u00b5s"), (1.0, "ns"))  # U+00B5, not U+03BC
_MEMORY: Final = ("B", "KB", "MB", "GB", "TB", "PB")
_KIBI: Final = 1024
# Below this many percent one decimal would show a change as 0.0%.
_ONE_DECIMAL_PERCENT: Final = 0.05
_SMALLEST_PERCENT: Final = 0.0001


def format_value(value: float, unit: str) -> str:
    """Return `value` as text.

    Args:
        value: In `unit`.
        unit: "ns", "bytes", "count", "percent" (0-100); any other word is put behind the number.
    """
    if not math.isfinite(value):
        return "N/A"
    if value < 0:
        return f"-{format_value(-value, unit)}"
    formatter = _FORMATTERS.get(unit)
    return f"{_number(value)} {unit}" if formatter is None else formatter(value)


def format_difference(difference: float, unit: str) -> str:
    """Return `difference`, in `unit`, with its sign: `+1.50 ns`, `-3`."""
    sign = "+" if difference > 0 else ""
    return f"{sign}{format_value(difference, unit)}"


def format_change(ratio: float | None) -> str:
    """Return a relative change as signed percent: 0.012 is `+1.2%`.

    One decimal; a change too small for it keeps two significant digits, so that what differs never
    reads as zero. None or a number that is not finite is `-`.
    """
    if ratio is None or not math.isfinite(ratio):
        return "-"
    percent = abs(ratio) * 100
    if percent == 0:
        return "0.0%"
    sign = "+" if ratio > 0 else "-"
    if percent >= _ONE_DECIMAL_PERCENT:
        return f"{sign}{percent:,.1f}%"
    if percent < _SMALLEST_PERCENT:
        return f"{sign}<{_SMALLEST_PERCENT:.4f}%"
    return f"{sign}{percent:.2g}%"


def _duration(value_ns: float) -> str:
    for factor, unit in _DURATIONS:
        if value_ns >= factor:
            # Not promoted after rounding: 999.9999 is `1000.00` of the smaller unit.
            return f"{value_ns / factor:.2f} {unit}"
    return "< 1 ns"


def _memory(value_bytes: float) -> str:
    index = 0
    while value_bytes >= _KIBI and index < len(_MEMORY) - 1:
        value_bytes /= _KIBI
        index += 1
    return f"{_strip(f'{value_bytes:.1f}')} {_MEMORY[index]}"


def _number(value: float) -> str:
    if value == int(value):
        return f"{int(value):,}"
    return _strip(f"{value:,.2f}") if value >= 1 else f"{value:.3g}"


def _percent(value: float) -> str:
    return f"{value:.1f}%"


def _strip(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


_FORMATTERS: Final[Mapping[str, Callable[[float], str]]] = {
    "ns": _duration,
    "bytes": _memory,
    "percent": _percent,
    "count": _number,
    "": _number,
}
