"""What the CodSpeed service must find in the archive of a walltime part, as pure functions. No I/O.

Written from spec/executors.md 3.10 to 3.12, independently of what writes these files.
"""

from __future__ import annotations

import json
import re
import struct
from typing import TYPE_CHECKING, Any, Final

import msgpack

from codspeed.testing.service_rules import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

METADATA: Final = "walltime.metadata"
TIMESTAMPS: Final = "ExecutionTimestamps.msgpack"
RECORDINGS: Final = ("perf.pipedata", "samply-profile.json.gz")

_KEY: Final = re.compile(r"\d+__.*", re.DOTALL)
_MAP_LINE: Final = re.compile(rb"[0-9a-f]{1,16} [0-9a-f]{1,16} .+")
_MARKERS: Final = frozenset({"SampleStart", "SampleEnd", "RoundStart", "RoundEnd"})
_V4: Final = 3
_ORDER: Final = (
    "version",
    "integration",
    "ignored_modules_by_pid",
    "debug_info",
    "mapped_process_debug_info_by_pid",
    "mapped_process_unwind_data_by_pid",
    "mapped_process_module_symbols",
    "path_key_to_path",
    "uri_by_ts",
    "ignored_modules",
    "markers",
)
_ALWAYS: Final = frozenset({"version", "integration", "uri_by_ts", "ignored_modules", "markers"})


def wanted(name: str) -> bool:
    """Return whether `check_profile` looks into a file of this name."""
    return name in {METADATA, TIMESTAMPS} or name.endswith((".symbols.map", ".unwind_data"))


def check_profile(names: frozenset[str], content: Mapping[str, bytes]) -> None:
    """Refuse a profile whose metadata and files do not fit each other.

    Without metadata there is nothing to check: a recording that nobody could describe is taken, and
    shows nothing.

    Args:
        names: Of all files.
        content: Of those that are `wanted`.

    Raises:
        RefusedError: Naming what is wrong.
    """
    if METADATA not in content:
        return
    document = _document(content[METADATA])
    _require(any(name in names for name in RECORDINGS), "metadata without a recording")
    _require(TIMESTAMPS in content, f"metadata without {TIMESTAMPS}")
    times = msgpack.unpackb(content[TIMESTAMPS])
    for key in ("uri_by_ts", "markers"):
        _require(times[key] == document[key], f"{TIMESTAMPS} has another {key}")
    _check_markers(document["markers"])
    paths = document.get("path_key_to_path", {})
    for key, path in paths.items():
        _require(_KEY.fullmatch(key) is not None, f"{key!r} is no key")
        _require(bool(path), f"{key!r} has no path")
    symbols = _by_pid(document, "mapped_process_module_symbols", "perf_map_key")
    unwind = _by_pid(document, "mapped_process_unwind_data_by_pid", "unwind_data_key")
    debug = _by_pid(document, "mapped_process_debug_info_by_pid", "debug_info_key")
    _require(debug == symbols, "debug information and symbols are of different modules")
    _check_files(content, ".symbols.map", symbols, paths, _check_map)
    _check_files(content, ".unwind_data", unwind, paths, _check_unwind)
    _check_places(document)
    _check_debug(document.get("debug_info", {}), {key for keys in symbols.values() for key in keys})


def _require(holds: bool, reason: str) -> None:  # noqa: FBT001 - a condition and its opposite
    if not holds:
        raise RefusedError(reason)


def _document(data: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(data)
    compact = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    _require(compact == data, "the metadata is no compact JSON")
    _require(list(document) == [key for key in _ORDER if key in document], "keys in another order")
    _require(set(document) >= _ALWAYS, "a key that is always there is missing")
    _require(all(document[key] for key in set(document) - _ALWAYS), "an empty key is left out")
    _require(document["version"] == 1, "another version")
    is_pair = [type(word) for word in document["integration"]] == [str, str]
    _require(is_pair, "an integration is a name and a version")
    _require(document["ignored_modules"] == [], "ignored_modules is empty since 4.16")
    return document


def _check_markers(markers: list[dict[str, int]]) -> None:
    for marker in markers:
        _require(len(marker) == 1 and set(marker) <= _MARKERS, f"{marker} is no marker")


def _by_pid(document: dict[str, Any], field: str, name: str) -> dict[str, list[str]]:
    """Return the keys of each process, which have to be sorted."""
    found = {}
    for pid, entries in document.get(field, {}).items():
        keys = [entry[name] for entry in entries]
        _require(pid.isdecimal() and keys == sorted(keys), f"{field} of {pid} is not sorted by key")
        found[pid] = keys
    return found


def _check_files(
    content: Mapping[str, bytes],
    ending: str,
    by_pid: dict[str, list[str]],
    paths: Mapping[str, str],
    check: Callable[[str, bytes, str], None],
) -> None:
    """Every file is named, every name has its file, and in each is what belongs there."""
    named = {key for keys in by_pid.values() for key in keys}
    there = {name.removesuffix(ending) for name in content if name.endswith(ending)}
    _require(named == there, f"{ending} that is missing or not named: {sorted(named ^ there)[:3]}")
    for key in named:
        _require(key in paths, f"{key} has no path")
        check(key, content[f"{key}{ending}"], paths[key])


def _check_map(key: str, data: bytes, _path: str) -> None:
    lines = data.split(b"\n")
    _require(len(lines) > 1 and lines.pop() == b"", f"{key}: no lines, or the last is cut off")
    # A name may hold a line feed, which the format can't escape; nobody writes such names.
    wrong = [line for line in lines if _MAP_LINE.fullmatch(line) is None]
    _require(not wrong, f"{key}: {wrong[:1]} is no line of a map")
    addresses = [int(line.split(b" ", 1)[0], 16) for line in lines]
    _require(addresses == sorted(addresses), f"{key} is not sorted by address")


def _check_unwind(key: str, data: bytes, path: str) -> None:
    tag, size = struct.unpack_from("<IQ", data)
    _require(tag == _V4, f"{key}: unwind data of version {tag + 1}")
    named = data[12 : 12 + size].decode()
    _require(named == path, f"{key} is of {named!r}, the metadata says {path!r}")


def _check_places(document: dict[str, Any]) -> None:
    for entries in document.get("mapped_process_unwind_data_by_pid", {}).values():
        for entry in entries:
            where = entry["avma_range"]
            _require(0 <= where["start"] < where["end"] < 1 << 64, f"{entry} is nowhere")
    for entries in document.get("ignored_modules_by_pid", {}).values():
        for path, start, end in entries:
            _require(bool(path) and 0 <= start < end < 1 << 64, f"{path} is nowhere")


def _check_debug(debug: dict[str, Any], known: set[str]) -> None:
    for key, module in debug.items():
        _require(key in known, f"lines of {key}, which has no symbols")
        lines = module["debug_infos"]
        addresses = [line["addr"] for line in lines]
        _require(bool(lines) and addresses == sorted(addresses), f"lines of {key} are not sorted")
        bounds = [addresses[0], max(line["addr"] + line["size"] for line in lines)]
        _require(module["addr_bounds"] == bounds, f"{key} has other bounds than its lines")
        _require(all(line["file"] for line in lines), f"{key}: a line without a file")
