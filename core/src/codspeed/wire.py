"""Records to bytes and back: the field names of our files and of the reference's artifacts.

Our own files hold every attrs field under its own name; enums by value, paths as text. Unknown
keys are ignored on reading, so that a newer codspeed may add some within one schema version.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgpack

from codspeed.errors import BundleError, CodspeedError
from codspeed.model import Manifest, MarkerKind, Outcome, PartResults, Timestamps

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")

_SHOWN: Final = 40  # characters of a wrong value in an error

# The reference renamed two markers in 4.16.0; readers accept both spellings (spec/executors.md 7).
_MARKER_NAMES: Final = {
    MarkerKind.SAMPLE_START: "SampleStart",
    MarkerKind.SAMPLE_END: "SampleEnd",
    MarkerKind.ROUND_START: "RoundStart",
    MarkerKind.ROUND_END: "RoundEnd",
}
_MARKER_KINDS: Final = {name: kind for kind, name in _MARKER_NAMES.items()} | {
    "BenchmarkStart": MarkerKind.ROUND_START,
    "BenchmarkEnd": MarkerKind.ROUND_END,
}


# What reading a document that is something else may raise.
_NO_DOCUMENT: Final = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    ArithmeticError,
    msgpack.UnpackException,
)


@functools.cache
def _converter() -> Converter:
    # Imported late, as below: nothing is converted before the benchmark runs.
    from cattrs.preconf.json import make_converter  # noqa: PLC0415 - late: start-up stays quick

    converter = make_converter()
    converter.register_unstructure_hook(Path, str)
    converter.register_structure_hook(Path, lambda text, _type: Path(_text(text)))
    # cattrs converts by default: a missing name would become "None", and 5.7 rounds would be 5.
    converter.register_structure_hook(str, lambda value, _type: _text(value))
    converter.register_structure_hook(bool, lambda value, _type: _flag(value))
    converter.register_structure_hook(
        int,  # and enums that are numbers
        lambda value, kind: _whole(value) if kind is int else kind(value),
    )
    converter.register_structure_hook(float, lambda value, _type: _number(value))
    return converter


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise _misplaced(value, "text")


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _misplaced(value, "true or false")


def _whole(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)  # JSON has one kind of number, and some writers print 3 as 3.0
    raise _misplaced(value, "a whole number")


def _number(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise _misplaced(value, "a number")


def _misplaced(value: Any, wanted: str) -> TypeError:
    return TypeError(f"{_excerpt(value)} where {wanted} belongs")


def _excerpt(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def to_plain(record: Any) -> Any:
    """Return `record` as JSON-ready values."""
    return _converter().unstructure(record)


def from_plain(
    plain: Any, kind: type[T], *, where: str, error: type[CodspeedError] = BundleError
) -> T:
    """Return `plain` as a `kind`.

    Args:
        where: Names the source in the error.

    Raises:
        CodspeedError: `error`, if anything is missing or of the wrong type; names every such place.
    """
    from cattrs import transform_error  # noqa: PLC0415 - late: start-up stays quick
    from cattrs.errors import BaseValidationError  # noqa: PLC0415 - late: start-up stays quick

    try:
        return _converter().structure(plain, kind)
    except (BaseValidationError, ValueError, TypeError, KeyError, ArithmeticError) as failure:
        places = (
            "; ".join(transform_error(failure, format_exception=_reason))
            if isinstance(failure, BaseValidationError)
            else str(failure)
        )
        problem = f"{where} does not hold what it should: {places}"
        raise error(
            problem, hint="it was written by another version or damaged; measure again"
        ) from failure


def _reason(failure: BaseException, _kind: type | None) -> str:
    """Say one fault; `transform_error` adds the place."""
    if isinstance(failure, KeyError):
        return "required field missing"
    return str(failure)


def dump_json(record: Any) -> bytes:
    """Return `record` as indented UTF-8 JSON that ends with a newline.

    Raises:
        ValueError: If a number is not finite; JSON has no such numbers.
        TypeError: If a value is of no kind that JSON has.
    """
    plain = to_plain(record)
    try:
        text = json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False)
        return f"{text}\n".encode()
    except UnicodeEncodeError:  # bytes of an argument that are no UTF-8; escaped, they survive
        return (json.dumps(plain, indent=2, allow_nan=False) + "\n").encode()


def load_json(data: bytes, *, where: str, error: type[CodspeedError] = BundleError) -> Any:
    """Return the JSON document in `data`.

    Raises:
        CodspeedError: `error`, if it is no UTF-8 JSON.
    """
    try:
        return json.loads(data)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as failure:
        problem = f"{where} is not JSON: {failure}"
        raise error(problem) from failure


def load_manifest(data: bytes, *, where: str) -> Manifest:
    """Return the manifest in `data`; raises BundleError."""
    return from_plain(load_json(data, where=where), Manifest, where=where)


def load_results(data: bytes, *, where: str) -> tuple[PartResults, ...]:
    """Return the results in `data`; raises BundleError."""
    document = load_json(data, where=where)
    if not isinstance(document, Mapping) or "parts" not in document:
        problem = f"{where} has no key 'parts'"
        raise BundleError(problem)
    return from_plain(document["parts"], tuple[PartResults, ...], where=where)


def dump_outcome(outcome: Outcome) -> bytes:
    """Return `outcome` as MessagePack: thousands of rounds stay small."""
    return msgpack.packb(to_plain(outcome), unicode_errors="surrogatepass")


def load_outcome(data: bytes, *, where: str) -> Outcome:
    """Return the outcome in `data`; raises BundleError."""
    try:
        plain = msgpack.unpackb(data, unicode_errors="surrogatepass")
    except (ValueError, msgpack.UnpackException) as failure:
        problem = f"{where} is not MessagePack: {failure}"
        raise BundleError(problem) from failure
    return from_plain(plain, Outcome, where=where)


def dump_timestamps(timestamps: Timestamps) -> bytes:
    """Return the reference's ExecutionTimestamps document, byte for byte (spec/executors.md 7)."""
    document = {
        "uri_by_ts": [[ts, uri] for ts, uri in timestamps.uri_by_ts],
        "markers": [{_MARKER_NAMES[kind]: ts} for kind, ts in timestamps.markers],
    }
    return msgpack.packb(document)


def load_timestamps(data: bytes, *, where: str) -> Timestamps:
    """Return the timestamps in an ExecutionTimestamps document of any reference version.

    Raises:
        BundleError: If it is no such document.
    """
    try:
        document = msgpack.unpackb(data)
        return Timestamps(
            uri_by_ts=tuple((int(ts), str(uri)) for ts, uri in document["uri_by_ts"]),
            markers=tuple(
                (_MARKER_KINDS[name], int(ts))
                for marker in document["markers"]
                for name, ts in marker.items()
            ),
        )
    except _NO_DOCUMENT as failure:
        problem = f"{where} is not an ExecutionTimestamps document: {failure!r}"
        raise BundleError(problem) from failure
