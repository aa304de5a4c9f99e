"""JSON text as serde_json prints it: run-part ids are compared byte for byte.

Python's `json` differs in floats (`1e+16` for `1e16`, `1e-05` for `0.00001`), and keeps integers
beyond 64 bits, which become floats there. No I/O here.
Source: spec/cli-upload.md 3.2.3; ryu's "pretty" format, which serde_json uses.
"""

from __future__ import annotations

import json
from typing import Any, Final

_SMALLEST: Final = -(2**63)
_LARGEST: Final = 2**64 - 1
_FIXED_EXPONENT: Final = -5  # the one exponent that ryu prints in full where Python does not


def parse(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: If it is none; NaN and infinities are none.
    """
    try:
        value = json.loads(text, parse_int=_integer, parse_constant=_refuse)
        dump(value).encode()  # half a surrogate pair is no text: UnicodeEncodeError, a ValueError
    except RecursionError as error:
        msg = "nested too deeply"
        raise ValueError(msg) from error
    return value


def dump(value: Any) -> str:
    """Return a JSON value as compact text, keys in their order, escaping only what must be."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quoted(key)}:{dump(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(dump(each) for each in value) + "]"
    if isinstance(value, float):
        return _number(value)
    return _quoted(value)


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    mantissa, _, exponent = repr(value).partition("e")
    if not exponent:
        return mantissa
    if int(exponent) != _FIXED_EXPONENT:
        return f"{mantissa}e{int(exponent)}"
    sign = "-" if mantissa.startswith("-") else ""
    return f"{sign}0.0000{mantissa.removeprefix('-').replace('.', '')}"


def _integer(text: str) -> int | float:
    if text == "-0":
        return -0.0
    # Converting a very long text to an integer takes long, and Python refuses it.
    if len(text) > 20:
        return _finite(text)
    number = int(text)
    return number if _SMALLEST <= number <= _LARGEST else _finite(text)


def _finite(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        _refuse(text)
    return number


def _refuse(text: str) -> Any:
    msg = f"number out of range: {text[:20]}"
    raise ValueError(msg)
