"""The service's eye on profiles: what fits is taken, each fault is named."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import msgpack
import pytest

from codspeed.testing.profile_rules import check_profile
from codspeed.testing.service_rules import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

LINE = {"addr": 16, "size": 4, "name": "f", "file": "/a.c", "line": 3}


def _document() -> dict[str, Any]:
    where = {"start": 4096, "end": 8192}
    unwind = {"unwind_data_key": "0__a", "timestamp": None, "avma_range": where, "base_avma": 4096}
    return {
        "version": 1,
        "integration": ["x", "1.0.0"],
        "ignored_modules_by_pid": {"7": [["/a", 1, 2]]},
        "debug_info": {
            "0__a": {
                "object_path": "/a",
                "addr_bounds": [16, 20],
                "load_bias": 0,
                "debug_infos": [LINE],
            }
        },
        "mapped_process_debug_info_by_pid": {"7": [{"debug_info_key": "0__a", "load_bias": 0}]},
        "mapped_process_unwind_data_by_pid": {"7": [unwind]},
        "mapped_process_module_symbols": {"7": [{"perf_map_key": "0__a", "load_bias": 0}]},
        "path_key_to_path": {"0__a": "/a"},
        "uri_by_ts": [[5, "u"]],
        "ignored_modules": [],
        "markers": [{"SampleStart": 1}],
    }


def _unwind_data(path: bytes, tag: int = 3) -> bytes:
    return struct.pack("<IQ", tag, len(path)) + path


def _files(document: dict[str, Any]) -> dict[str, bytes]:
    times = {key: document[key] for key in ("uri_by_ts", "markers")}
    return {
        "walltime.metadata": json.dumps(document, separators=(",", ":")).encode(),
        "ExecutionTimestamps.msgpack": msgpack.packb(times),
        "0__a.symbols.map": b"10 4 f\n20 8 g h\n",
        "0__a.unwind_data": _unwind_data(b"/a"),
    }


def _check(content: dict[str, bytes], *others: str) -> None:
    check_profile(frozenset({*content, *others}), content)


def test_what_fits_is_taken() -> None:
    _check(_files(_document()), "perf.pipedata")


def test_without_metadata_there_is_nothing_to_check() -> None:
    _check({}, "perf.pipedata")


def _set(document: dict[str, Any], *path: Any, to: Any) -> None:
    *above, last = path
    for key in above:
        document = document[key]
    document[last] = to


UNWIND = ("mapped_process_unwind_data_by_pid", "7", 0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: _set(d, "version", to=2), "another version"),
        (lambda d: _set(d, "integration", to=["x"]), "a name and a version"),
        (lambda d: _set(d, "ignored_modules", to=[["/a", 1, 2]]), "ignored_modules is empty"),
        (lambda d: d.pop("markers"), "always there"),
        (lambda d: _set(d, "debug_info", to={}), "an empty key is left out"),
        (lambda d: _set(d, "version", to=d.pop("version")), "another order"),
        (lambda d: _set(d, "markers", to=[{"BenchmarkStart": 1}]), "is no marker"),
        (lambda d: _set(d, "path_key_to_path", to={"a": "/a"}), "is no key"),
        (lambda d: _set(d, "path_key_to_path", to={"1__a": "/a"}), "0__a has no path"),
        (lambda d: _set(d, "path_key_to_path", "0__a", to="/b"), "the metadata says '/b'"),
        (lambda d: d.pop("mapped_process_debug_info_by_pid"), "different modules"),
        (lambda d: d.pop(UNWIND[0]), "unwind_data that is missing or not named"),
        (lambda d: _set(d, *UNWIND, "avma_range", to={"start": 9, "end": 9}), "is nowhere"),
        (lambda d: _set(d, "ignored_modules_by_pid", "7", 0, to=["/a", 2, 1]), "is nowhere"),
        (lambda d: _set(d, "debug_info", "0__a", "addr_bounds", to=[0, 99]), "other bounds"),
        (lambda d: _set(d, "debug_info", to={"1__b": d["debug_info"]["0__a"]}), "no symbols"),
    ],
)
def test_a_document_that_does_not_fit_is_refused(
    change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    document = _document()
    times = _files(document)["ExecutionTimestamps.msgpack"]
    change(document)
    content = {**_files({**_document(), **document}), "ExecutionTimestamps.msgpack": times}
    content["walltime.metadata"] = json.dumps(document, separators=(",", ":")).encode()
    if "markers" in document:
        kept = {key: document[key] for key in ("uri_by_ts", "markers")}
        content["ExecutionTimestamps.msgpack"] = msgpack.packb(kept)
    with pytest.raises(RefusedError, match=reason):
        _check(content, "perf.pipedata")


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("0__a.symbols.map", None, "symbols.map that is missing or not named"),
        ("1__b.symbols.map", b"1 1 x\n", "symbols.map that is missing or not named"),
        ("0__a.symbols.map", b"20 8 g\n10 4 f\n", "not sorted"),
        ("0__a.symbols.map", b"0x10 4 f\n", "no line of a map"),
        ("0__a.symbols.map", b"10 4 f", "cut off"),
        ("0__a.unwind_data", _unwind_data(b"/a", 1), "unwind data of version 2"),
        ("0__a.unwind_data", _unwind_data(b"/b"), "is of '/b'"),
        ("ExecutionTimestamps.msgpack", None, "metadata without ExecutionTimestamps"),
        (
            "ExecutionTimestamps.msgpack",
            msgpack.packb({"uri_by_ts": [], "markers": []}),
            "another uri_by_ts",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused(name: str, data: bytes | None, reason: str) -> None:
    content = _files(_document())
    if data is None:
        del content[name]
    else:
        content[name] = data
    with pytest.raises(RefusedError, match=reason):
        _check(content, "perf.pipedata")


def test_metadata_without_a_recording_is_refused() -> None:
    with pytest.raises(RefusedError, match="without a recording"):
        _check(_files(_document()))


def test_spaces_in_the_document_are_refused() -> None:
    content = _files(_document())
    content["walltime.metadata"] = json.dumps(_document()).encode()
    with pytest.raises(RefusedError, match="no compact JSON"):
        _check(content, "perf.pipedata")
