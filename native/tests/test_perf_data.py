"""Recordings in each layout: made by hand, by perf (with `perf script` as the oracle), damaged."""

from __future__ import annotations

import contextlib
import re
import shutil
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from codspeed_native import perf_data
from codspeed_native.perf_data import FINISHED_ROUND, PerfDataTruncatedError
from codspeed_native.perf_records import Comm, PerfDataError, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

# TID and TIME, at the end of every record too.
ATTRIBUTE = struct.pack("<IIQQQQQ", 1, 128, 9, 0, 6, 0, 1 << 18).ljust(128, b"\0")
PIPE = struct.pack("<8sQ", b"PERFILE2", 16)
PROGRAM = "import time\nend = time.monotonic() + 0.3\nwhile time.monotonic() < end: sum(range(99))"


def _record(kind: int, body: bytes) -> bytes:
    return struct.pack("<IHH", kind, 0, 8 + len(body)) + body


def _comm(time: int) -> bytes:
    return _record(3, struct.pack("<II8sIIQ", 7, 7, b"name", 7, 7, time))


def _pipe(*records: bytes, attribute: bytes = ATTRIBUTE) -> bytes:
    return PIPE + _record(64, attribute + struct.pack("<Q", 5)) + b"".join(records)


def _file(*records: bytes) -> bytes:
    data = b"".join(records)
    ids_at, entry_at, data_at = 104, 112, 112 + 144
    head = struct.pack("<8sQQQQQQ", b"PERFILE2", 104, 144, entry_at, 144, data_at, len(data))
    entry = ATTRIBUTE + struct.pack("<QQ", ids_at, 8)
    return head.ljust(104, b"\0") + struct.pack("<Q", 5) + entry + data


def _compressed(*records: bytes, kind: int = 81, cut: int = 50) -> bytes:
    """One zstd stream, whose parts end in the middle of records."""
    stream = zstandard.ZstdCompressor().compressobj()
    plain = b"".join(records)
    parts = []
    for start in range(0, len(plain), cut):
        packed = stream.compress(plain[start : start + cut])
        packed += stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        if kind == 83:  # says its size, and is padded
            padded = packed.ljust(-(-len(packed) // 8) * 8, b"\0")
            parts.append(_record(kind, struct.pack("<Q", len(packed)) + padded))
        else:
            parts.append(_record(kind, packed))
    return b"".join(parts)


def _times(data: bytes) -> list[int]:
    return [record.time for record in perf_data.records(data)]


COMMS = [_comm(time) for time in (3, 1, 2)]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_pipe(*COMMS), id="pipe"),
        pytest.param(_file(*COMMS), id="file"),
        pytest.param(_pipe(_compressed(*COMMS)), id="pipe, zstd"),
        pytest.param(_pipe(_compressed(*COMMS, kind=83)), id="pipe, zstd of perf 6.16"),
        pytest.param(_file(_compressed(*COMMS, FINISHED_ROUND)), id="file, zstd"),
        pytest.param(_file(*COMMS, FINISHED_ROUND, FINISHED_ROUND), id="rounds"),
        pytest.param(_pipe(_record(80, bytes(24)), *COMMS), id="features of a pipe"),
        pytest.param(_pipe(_record(66, struct.pack("<I", 5)) + bytes(8), *COMMS), id="tracing"),
        pytest.param(_pipe(_record(71, struct.pack("<Q", 9)) + bytes(9), *COMMS), id="auxtrace"),
    ],
)
def test_records_of_every_layout_come_in_order_of_time(data: bytes) -> None:
    assert list(perf_data.records(data)) == [
        Comm(time, 7, 7, "name", is_exec=False) for time in (1, 2, 3)
    ]
    assert [(event.attribute.config, event.ids) for event in perf_data.events(data)] == [(9, (5,))]


@pytest.mark.parametrize("make", [_pipe, _file])
@pytest.mark.parametrize("missing", [1, 30, 50])
def test_of_a_recording_that_is_cut_off_all_whole_records_are_read(
    make: Callable[..., bytes], missing: int
) -> None:
    data = make(*COMMS)[:-missing]
    found: list[int] = []
    with pytest.raises(PerfDataTruncatedError) as caught:
        found.extend(record.time for record in perf_data.records(data))

    whole = 1 if missing == 50 else 2
    assert found == [1, 3][-whole:]
    assert caught.value.records == whole
    assert "cut off" in caught.value.problem


def test_what_perf_did_not_finish_is_read_to_its_end() -> None:
    data = bytearray(_file(*COMMS))
    data[48:56] = bytes(8)  # size of the records: written when perf ends

    assert _times(bytes(data)) == [1, 2, 3]


@pytest.mark.parametrize("data", [b"", b"PERFILE", b"ELF", b"PERFILE2", PIPE + b"\0" * 7])
def test_what_is_no_recording_is_refused(data: bytes) -> None:
    with pytest.raises(PerfDataError):
        list(perf_data.records(data))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PerfDataError):
        perf_data.read(tmp_path / "perf.data")


@given(st.data())
def test_garbage_raises_perf_data_error_only(data: st.DataObject) -> None:
    make = data.draw(st.sampled_from([_pipe, _file, lambda *every: _pipe(_compressed(*every))]))
    raw = bytearray(make(*COMMS, FINISHED_ROUND))
    for at in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=5)):
        raw[at] = data.draw(st.integers(0, 255))

    with contextlib.suppress(PerfDataError):
        list(perf_data.records(bytes(raw)))
    with contextlib.suppress(PerfDataError):
        perf_data.events(bytes(raw))


# --- Beside perf ----------------------------------------------------------------------------------


def _perf(*arguments: str, folder: Path) -> bytes:
    perf = shutil.which("perf")
    if perf is None:
        pytest.skip("perf is not installed")
    done = subprocess.run([perf, *arguments], cwd=folder, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"perf {arguments[0]} does not work here: {done.stderr.decode()[-300:]}")
    return done.stdout


def _script(path: Path, *, folder: Path) -> list[tuple[int, int, int, str]]:
    """(pid, tid, ns, address) of each sample, as perf sees them."""
    fields = ("script", "-f", "-i", str(path), "--ns", "-G", "-F", "pid,tid,time,ip")
    text = _perf(*fields, folder=folder).decode()
    rows = re.findall(r"^\s*(\d+)/(\d+)\s+(\d+)\.(\d{9}):\s+([0-9a-f]+)", text, re.MULTILINE)
    return [(int(a), int(b), int(c) * 10**9 + int(d), e) for a, b, c, d, e in rows]


def _ours(records: Iterable[object]) -> list[tuple[int, int, int, str]]:
    samples = [record for record in records if isinstance(record, Sample)]
    return [(each.pid, each.tid, each.time, f"{each.ip:x}") for each in samples]


@pytest.mark.tool
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--call-graph=dwarf,8192",), id="dwarf"),
        pytest.param(("--call-graph=dwarf,8192", "-z"), id="dwarf, zstd"),
        pytest.param(("-g",), id="frame pointers"),
        pytest.param(("--switch-events", "--buildid-mmap"), id="switches"),
    ],
)
@pytest.mark.parametrize("layout", ["file", "pipe"])
def test_samples_are_those_of_perf_script(
    tmp_path: Path, layout: str, options: tuple[str, ...]
) -> None:
    path = tmp_path / "perf.data"
    command = ("record", "-q", "-N", "-e", "cpu-clock", "-F", "499", "-k", "CLOCK_MONOTONIC")
    target = ("-o", str(path)) if layout == "file" else ("-o", "-")
    program = ("--", sys.executable, "-c", PROGRAM)
    out = _perf(*command, *options, *target, *program, folder=tmp_path)
    if layout == "pipe":
        path.write_bytes(out)

    records = list(perf_data.read(path))

    assert len(_ours(records)) > 20
    assert _ours(records) == _script(path, folder=tmp_path)
    assert [record.time for record in records] == sorted(record.time for record in records)
    named = {record.name for record in records if isinstance(record, Comm) and record.is_exec}
    assert named & {"python", "python3", "python3.11", "python3.12", "python3.13", "python3.14"}
