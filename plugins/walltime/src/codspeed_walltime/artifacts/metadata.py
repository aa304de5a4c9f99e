"""The file `walltime.metadata`: what was mapped where, and when which benchmark ran.

No I/O here. Compact JSON whose keys stand in the reference's order; empty ones are left out, but
for those that it always writes. Source: spec/executors.md 3.12, as of 5.0.2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed.model import Integration, MarkerKind, Timestamps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FILE_NAME: Final = "walltime.metadata"
VERSION: Final = 1

_EMPTY: Final = b"{}"

_MARKERS: Final = {
    MarkerKind.SAMPLE_START: "SampleStart",
    MarkerKind.SAMPLE_END: "SampleEnd",
    MarkerKind.ROUND_START: "RoundStart",
    MarkerKind.ROUND_END: "RoundEnd",
}


@attrs.frozen
class MappedUnwind:
    """Unwind data as one process sees it; see `unwind_data.ProcessUnwindData`."""

    key: str
    timestamp: int | None
    avma_range: tuple[int, int]
    base_avma: int

    def plain(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        start, end = self.avma_range
        return {
            "unwind_data_key": self.key,
            "timestamp": self.timestamp,
            "avma_range": {"start": start, "end": end},
            "base_avma": self.base_avma,
        }


@attrs.frozen
class Metadata:
    """All that the file says. Maps are by process, or by the key of a module.

    Attributes:
        ignored: (path, first address, end) of modules whose functions are not shown.
        debug: What says where a module's symbols begin in their sources: JSON already.
        loaded: (key, load bias) of every module with symbols.
    """

    integration: Integration
    timestamps: Timestamps
    ignored: Mapping[int, list[tuple[str, int, int]]] = attrs.Factory(dict)
    debug: Mapping[str, bytes] = attrs.Factory(dict)
    loaded: Mapping[int, list[tuple[str, int]]] = attrs.Factory(dict)
    unwind: Mapping[int, list[MappedUnwind]] = attrs.Factory(dict)
    paths: Mapping[str, str] = attrs.Factory(dict)


def encode(metadata: Metadata) -> bytes:
    """Return the file's content."""
    loaded = {pid: sorted(each) for pid, each in metadata.loaded.items()}
    unwind = {pid: sorted(each, key=_unwind_order) for pid, each in metadata.unwind.items()}
    optional = {
        "ignored_modules_by_pid": _json(_by_pid(metadata.ignored, list)),
        "debug_info": _object(metadata.debug),
        "mapped_process_debug_info_by_pid": _json(_by_pid(loaded, _named("debug_info_key"))),
        "mapped_process_unwind_data_by_pid": _json(_by_pid(unwind, MappedUnwind.plain)),
        "mapped_process_module_symbols": _json(_by_pid(loaded, _named("perf_map_key"))),
        "path_key_to_path": _json(dict(metadata.paths)),
    }
    return _object(
        {
            "version": _json(VERSION),
            "integration": _json([metadata.integration.name, metadata.integration.version]),
            **{key: value for key, value in optional.items() if value != _EMPTY},
            "uri_by_ts": _json([list(each) for each in metadata.timestamps.uri_by_ts]),
            "ignored_modules": _json([]),
            "markers": _json([{_MARKERS[kind]: at} for kind, at in metadata.timestamps.markers]),
        }
    )


def _object(fields: Mapping[str, bytes]) -> bytes:
    """Return an object whose values are JSON already: debug information is large."""
    return b"{" + b",".join(_json(key) + b":" + value for key, value in fields.items()) + b"}"


def _json(value: Any) -> bytes:
    # Paths may be no text; JSON has to be.
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "replace")


def _by_pid(each: Mapping[int, Iterable[Any]], plain: Callable[[Any], Any]) -> dict[str, list[Any]]:
    return {str(pid): [plain(item) for item in each[pid]] for pid in sorted(each)}


def _named(key_name: str) -> Callable[[tuple[str, int]], dict[str, Any]]:
    def plain(item: tuple[str, int]) -> dict[str, Any]:
        key, bias = item
        return {key_name: key, "load_bias": bias}

    return plain


def _unwind_order(item: MappedUnwind) -> tuple[str, int]:
    return item.key, item.timestamp or 0
