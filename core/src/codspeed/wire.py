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
from cattrs import transform_error
from cattrs.errors import BaseValidationError
from cattrs.preconf.json import make_converter

from codspeed.errors import BundleError, CodspeedError
from codspeed.model import Manifest, MarkerKind, Outcome, PartResults, Timestamps

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")

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


@functools.cache
def _converter() -> Converter:
    converter = make_converter()
    converter.register_unstructure_hook(Path, str)
    converter.register_structure_hook(Path, lambda text, _type: Path(text))
    return converter


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
    try:
        return _converter().structure(plain, kind)
    except (BaseValidationError, ValueError, TypeError, KeyError) as failure:
        places = (
            "; ".join(transform_error(failure))
            if isinstance(failure, BaseValidationError)
            else str(failure)
        )
        problem = f"{where} does not hold what it should: {places}"
        raise error(
            problem, hint="it was written by another version or damaged; measure again"
        ) from failure


def dump_json(record: Any) -> bytes:
    """Return `record` as indented UTF-8 JSON that ends with a newline."""
    return (json.dumps(to_plain(record), indent=2, ensure_ascii=False) + "\n").encode()


def load_json(data: bytes, *, where: str, error: type[CodspeedError] = BundleError) -> Any:
    """Return the JSON document in `data`.

    Raises:
        CodspeedError: `error`, if it is no UTF-8 JSON.
    """
    try:
        return json.loads(data)
    except (UnicodeDecodeError, json.JSONDecodeError) as failure:
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
    return msgpack.packb(to_plain(outcome))


def load_outcome(data: bytes, *, where: str) -> Outcome:
    """Return the outcome in `data`; raises BundleError."""
    try:
        plain = msgpack.unpackb(data)
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
    except (ValueError, TypeError, KeyError, AttributeError, msgpack.UnpackException) as failure:
        problem = f"{where} is not an ExecutionTimestamps document: {failure!r}"
        raise BundleError(problem) from failure
