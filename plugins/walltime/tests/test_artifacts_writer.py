"""The files of a profile folder, from records made by hand about real files."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from codspeed.model import Integration, MarkerKind, Timestamps
from codspeed_native import elf
from codspeed_native.perf_records import Comm, Fork, Mmap
from codspeed_walltime.artifacts import metadata, unwind_data
from codspeed_walltime.artifacts.described import debug_entry, symbols_map
from codspeed_walltime.artifacts.metadata import MappedUnwind, Metadata, encode
from codspeed_walltime.artifacts.writer import write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from codspeed_native.perf_records import Record

PYTEST = Integration("pytest-codspeed", "5.0.4")
TIMES = Timestamps(
    uri_by_ts=((300, "a::b"),),
    markers=((MarkerKind.SAMPLE_START, 1), (MarkerKind.ROUND_START, 200)),
)


def test_metadata_is_compact_in_a_fixed_order_and_leaves_out_what_is_empty() -> None:
    assert encode(Metadata(PYTEST, TIMES)) == (
        b'{"version":1,"integration":["pytest-codspeed","5.0.4"],"uri_by_ts":[[300,"a::b"]],'
        b'"ignored_modules":[],"markers":[{"SampleStart":1},{"RoundStart":200}]}'
    )


def test_metadata_of_everything() -> None:
    lines = [
        {"addr": 16, "size": 4, "name": "f", "file": "/a.c", "line": 3},
        {"addr": 32, "size": 8, "name": "g", "file": "/a.c", "line": None},
    ]
    full = Metadata(
        PYTEST,
        Timestamps(),
        ignored={7: [("/py", 1, 2)]},
        debug={"0__a": debug_entry("/a", lines)},
        loaded={10: [("1__b", 5), ("0__a", 2**64 - 1)], 9: [("0__a", 0)]},
        unwind={9: [MappedUnwind("0__a", None, (1, 2), 3), MappedUnwind("0__a", 8, (4, 5), 0)]},
        paths={"0__a": "/\u00e4"},
    )

    assert encode(full).decode() == (
        '{"version":1,"integration":["pytest-codspeed","5.0.4"],'
        '"ignored_modules_by_pid":{"7":[["/py",1,2]]},'
        '"debug_info":{"0__a":{"object_path":"/a","addr_bounds":[16,40],"load_bias":0,'
        '"debug_infos":[{"addr":16,"size":4,"name":"f","file":"/a.c","line":3},'
        '{"addr":32,"size":8,"name":"g","file":"/a.c","line":null}]}},'
        '"mapped_process_debug_info_by_pid":{"9":[{"debug_info_key":"0__a","load_bias":0}],'
        '"10":[{"debug_info_key":"0__a","load_bias":18446744073709551615},'
        '{"debug_info_key":"1__b","load_bias":5}]},'
        '"mapped_process_unwind_data_by_pid":{"9":[{"unwind_data_key":"0__a","timestamp":null,'
        '"avma_range":{"start":1,"end":2},"base_avma":3},{"unwind_data_key":"0__a","timestamp":8,'
        '"avma_range":{"start":4,"end":5},"base_avma":0}]},'
        '"mapped_process_module_symbols":{"9":[{"perf_map_key":"0__a","load_bias":0}],'
        '"10":[{"perf_map_key":"0__a","load_bias":18446744073709551615},'
        '{"perf_map_key":"1__b","load_bias":5}]},'
        '"path_key_to_path":{"0__a":"/\u00e4"},'
        '"uri_by_ts":[],"ignored_modules":[],"markers":[]}'
    )


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Called like an interpreter, so that it is ignored as one."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    (tmp_path / "source.c").write_text(
        "int f(int x) { return x; }\nint main(void) { return f(0); }"
    )
    command = ["gcc", "-g", "source.c", "-o", "python-like"]
    subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path / "python-like"


def _mapped(program: Path, pid: int, bias: int = 0x5000_0000_0000) -> Mmap:
    text = next(each for each in elf.read(program).segments if each.kind == 1 and each.flags & 1)
    start, size = bias + text.address, -(-text.file_size // 4096) * 4096
    path = str(program)
    return Mmap(1, pid, pid, start, size, text.offset, "", is_executable=True, path=path)


def _written(
    folder: Path, records: Sequence[Record], *, integration: Integration = PYTEST
) -> dict[str, Any]:
    out = folder / "profile"
    out.mkdir()
    for dump in folder.glob("jit-*.dump"):
        shutil.copy(dump, out)
    write(out, records, integration=integration, timestamps=TIMES, pids=[7])
    read: dict[str, Any] = json.loads((out / metadata.FILE_NAME).read_bytes())
    return read


@pytest.mark.tool
def test_a_loaded_program_has_symbols_unwind_data_lines_and_a_place(
    program: Path, tmp_path: Path
) -> None:
    bias = 0x5000_0000_0000
    document = _written(tmp_path, [_mapped(program, 7)])

    file = elf.read(program)
    at = {each.name: each for each in file.functions()}
    key = "0__python-like"
    names = (tmp_path / "profile" / f"{key}.symbols.map").read_text().splitlines()
    assert f"{at['f'].address:x} {at['f'].size:x} f" in names
    unwind = unwind_data.decode((tmp_path / "profile" / f"{key}.unwind_data").read_bytes())
    assert unwind.eh_frame == file.contents(".eh_frame")
    assert unwind.eh_frame_hdr == file.contents(".eh_frame_hdr")
    assert document["path_key_to_path"] == {key: str(program)}
    assert document["mapped_process_module_symbols"] == {
        "7": [{"perf_map_key": key, "load_bias": bias}]
    }
    (mapped,) = document["mapped_process_unwind_data_by_pid"]["7"]
    assert mapped["base_avma"] == bias
    lines = {each["name"]: each["line"] for each in document["debug_info"][key]["debug_infos"]}
    assert (lines["f"], lines["main"]) == (1, 2)
    ((path, first, last),) = document["ignored_modules_by_pid"]["7"]
    assert path == str(program)
    assert bias <= first < bias + at["f"].address < last


@pytest.mark.tool
def test_children_are_followed_strangers_are_not_and_exec_forgets(
    program: Path, tmp_path: Path
) -> None:
    records: list[Record] = [
        _mapped(program, 7),
        _mapped(program, 99),
        Fork(2, 8, 8, 7, 7),
        Fork(2, 7, 70, 7, 7),
        Comm(3, 7, 7, "other", is_exec=True),
    ]

    document = _written(tmp_path, records)

    assert list(document["mapped_process_module_symbols"]) == ["8"]


@pytest.mark.tool
def test_of_the_harness_every_process_counts(program: Path, tmp_path: Path) -> None:
    harness = Integration("exec-harness", "1.3.0")
    document = _written(tmp_path, [_mapped(program, 99)], integration=harness)

    assert list(document["mapped_process_module_symbols"]) == ["99"]


@pytest.mark.parametrize("path", ["//anon", "[vdso]", "/nowhere/lib.so"])
def test_memory_and_missing_files_leave_nothing(tmp_path: Path, path: str) -> None:
    mapped = Mmap(1, 7, 7, 0x1000, 0x1000, 0, "", is_executable=True, path=path)

    assert "path_key_to_path" not in _written(tmp_path, [mapped])


def _jitdump() -> bytes:
    dump = struct.pack("<IIIIIIQQ", 0x4A695444, 1, 40, 62, 0, 7, 1, 0)
    unwinding = struct.pack("<QQQ", 6, 2, 0) + b"ffffhh"
    dump += struct.pack("<IIQ", 4, 16 + len(unwinding), 5) + unwinding
    load = struct.pack("<IIQQQQ", 7, 7, 0x1000, 0x1000, 4, 1) + b"py::f:/a/b.py\0code"
    return dump + struct.pack("<IIQ", 0, 16 + len(load), 6) + load


def test_generated_functions_have_names_and_unwind_data(tmp_path: Path) -> None:
    (tmp_path / "jit-7.dump").write_bytes(_jitdump())

    document = _written(tmp_path, [])

    profile = tmp_path / "profile"
    assert (profile / "perf-7.map").read_text() == "1000 4 py::f:/a/b.py\n"
    assert not (profile / "jit-7.dump").exists()
    data = unwind_data.decode((profile / "0__b.py.unwind_data").read_bytes())
    assert data == unwind_data.UnwindData("jit_py::f:/a/b.py", 0, b"hh", (0, 0), b"ffff", (0, 0))
    assert document["mapped_process_unwind_data_by_pid"]["7"] == [
        {
            "unwind_data_key": "0__b.py",
            "timestamp": 6,
            "avma_range": {"start": 0x1000, "end": 0x1004},
            "base_avma": 0,
        }
    ]


@pytest.mark.tool
def test_generated_code_of_the_harness_itself_belongs_to_no_benchmark(
    program: Path, tmp_path: Path
) -> None:
    for pid in (7, 8):  # 7 introduced itself
        (tmp_path / f"jit-{pid}.dump").write_bytes(_jitdump())
    records = [_mapped(program, 7), _mapped(program, 8)]
    document = _written(tmp_path, records, integration=Integration("exec-harness", "1.3.0"))
    unwind = document["mapped_process_unwind_data_by_pid"]
    generated = {pid: [each["timestamp"] for each in unwind[pid]] for pid in unwind}

    assert generated == {"7": [None], "8": [None, 6]}
    assert not list((tmp_path / "profile").glob("jit-*.dump"))


def test_symbols_are_lines_of_lower_case_hex() -> None:
    symbols = [(0xABC, 0x1F, b"one"), (2**64 - 1, 1, b"last name")]

    assert symbols_map(symbols) == b"abc 1f one\nffffffffffffffff 1 last name\n"
