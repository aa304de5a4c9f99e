"""Times and sizes in the service's own notation (spec/cli-upload.md 5.5, 10). No I/O here."""

from __future__ import annotations

import math
from typing import Final

_MEMORY_UNITS: Final = ("B", "KB", "MB", "GB", "TB", "PB")
# Lower bound in seconds -> factor and unit; U+00B5, as the service prints it.
_TIME_UNITS: Final = ((1.0, 1.0, "s"), (1e-3, 1e3, "ms"), (1e-6, 1e6, "\u00b5s"), (1e-9, 1e9, "ns"))


def duration(seconds: float) -> str:
    """Return a time: "1.57 s", "567.00 \u00b5s", "< 1 ns"."""
    for least, factor, unit in _TIME_UNITS:
        if seconds >= least:
            return f"{seconds * factor:.2f} {unit}"
    return "< 1 ns"


def memory(size_bytes: float) -> str:
    """Return a size: "1.5 KB", "1 MB", "0 B"."""
    if size_bytes < 1:
        return "0 B"
    exponent = min(int(math.log(size_bytes) / math.log(1024)), len(_MEMORY_UNITS) - 1)
    value = f"{size_bytes / 1024**exponent:.1f}".rstrip("0").rstrip(".")
    return f"{value} {_MEMORY_UNITS[exponent]}"


def plain(value: float) -> str:
    """Return a number without exponent, as the JSON events carry it: "0.000002", "1024"."""
    from decimal import Decimal  # noqa: PLC0415 - only for events

    text = format(Decimal(repr(float(value))), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def share(part: float | None, whole: float | None) -> float | None:
    """Return a fraction; None if it is not known."""
    if part is None or not whole:
        return None
    return part / whole
