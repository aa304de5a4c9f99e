"""What is in a profile folder beside the counters: logs, perf maps, records; and whole files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from codspeed.errors import ResultsError
from codspeed_valgrind import log, outputs, perfmap, record

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = "version: 1\npart: 1\nevents: Ir\nfn=a\n1 5\n\ntotals: 5\n"
MARKED = "part: 1\ndesc: Trigger: Client Request: Metadata: exec-harness 1.3.0\ntotals: 0\n"


# --- log ---


def test_known_noise_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "valgrind.7.log").write_text(
        "--7-- warning: L3 cache found, using its data for the LL simulation.\n"
        "--7-- warning: specified LL cache: line_size 64  assoc 16  total_size 8,388,608\n"
        "--7-- warning: simulated LL cache: line_size 64  assoc 1  total_size 268,435,456\n"
        "==7== Using source line as position.\n"
        "==7== \n"
        "==7== Process terminating with default action of signal 11 (SIGSEGV)\n"
    )

    assert log.remarks(tmp_path) == [
        "Process terminating with default action of signal 11 (SIGSEGV)"
    ]


def test_the_same_line_of_many_processes_is_shown_once(tmp_path: Path) -> None:
    for pid in (7, 8):
        (tmp_path / f"valgrind.{pid}.log").write_text(f"=={pid}== valgrind: no room\n")

    assert log.remarks(tmp_path) == ["valgrind: no room"]


def test_a_flood_is_cut(tmp_path: Path) -> None:
    text = "".join(f"==7== line {number}\n" for number in range(50))
    (tmp_path / "valgrind.7.log").write_text(text)

    assert log.remarks(tmp_path)[-1] == "... and 30 more lines in valgrind.*.log"


# --- perf maps ---


def test_maps_of_measured_processes_are_copied(tmp_path: Path) -> None:
    folder, maps = tmp_path / "profile", tmp_path / "maps"
    folder.mkdir()
    maps.mkdir()
    for name in ("12.out", "target-0000.13.out", "valgrind.14.log", "results"):
        (folder / name).touch()
    for pid in (12, 13, 14):
        (maps / f"perf-{pid}.map").write_text(f"{pid}\n")

    perfmap.harvest(folder, since_ns=0, maps=maps)

    assert sorted(path.name for path in folder.glob("*.map")) == ["perf-12.map", "perf-13.map"]
    assert (folder / "perf-13.map").read_text() == "13\n"


def test_a_map_of_an_earlier_process_of_that_id_is_left(tmp_path: Path) -> None:
    (tmp_path / "12.out").touch()
    maps = tmp_path / "maps"
    maps.mkdir()
    old = maps / "perf-12.map"
    old.touch()
    os.utime(old, ns=(1, 1))

    perfmap.harvest(tmp_path, since_ns=2, maps=maps)

    assert not (tmp_path / "perf-12.map").exists()


def test_a_link_in_the_folder_of_everybody_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "12.out").touch()
    maps = tmp_path / "maps"
    maps.mkdir()
    (tmp_path / "secret").write_text("secret")
    (maps / "perf-12.map").symlink_to(tmp_path / "secret")

    perfmap.harvest(tmp_path, since_ns=0, maps=maps)

    assert not (tmp_path / "perf-12.map").exists()


# --- outputs ---


def test_whole_files_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "7.out").write_text(WHOLE)

    outputs.require_whole(tmp_path)


@pytest.mark.parametrize("cut", [1, 3, 9, len("totals: 5\n") + 1, len(WHOLE)])
def test_a_file_that_was_cut_off_is_named(tmp_path: Path, cut: int) -> None:
    (tmp_path / "7.out").write_text(WHOLE)
    (tmp_path / "8.out").write_text(WHOLE[:-cut] if cut > 1 else f"{WHOLE}part: 2\n")

    with pytest.raises(ResultsError) as caught:
        outputs.require_whole(tmp_path)

    assert "8.out" in caught.value.problem
    assert "7.out" not in caught.value.problem


def test_files_of_processes_that_marked_nothing_are_removed(tmp_path: Path) -> None:
    (tmp_path / "target-0000.7.out").write_text(MARKED + WHOLE)
    (tmp_path / "target-0000.8.out").write_text(WHOLE)

    assert list(outputs.drop_unmarked(tmp_path, {"target-0000": "x"})) == []
    assert [path.name for path in tmp_path.iterdir()] == ["target-0000.7.out"]


def test_a_target_that_marked_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "target-0000.7.out").write_text(WHOLE)
    (note,) = outputs.drop_unmarked(tmp_path, {"target-0000": "exec_harness::x"})

    assert note.startswith("exec_harness::x: nothing was measured")
    assert (tmp_path / "target-0000.7.out").exists()


# --- record ---


def test_a_record_survives_the_file(tmp_path: Path) -> None:
    written = record.Record(
        valgrind="3.19.0",
        allocator="pymalloc",
        runtime_objects=("/lib/libpython.so", "/odd/\udcff"),
        whole=("exec_harness::a b",),
        unsteady={"u": "why"},
    )
    record.write(tmp_path, written)

    assert record.read(tmp_path) == written


def test_a_folder_without_a_record_has_an_empty_one(tmp_path: Path) -> None:
    assert record.read(tmp_path) == record.Record()


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 2}', '{"schema": 1, "whole": 3}'])
def test_a_record_that_is_none_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / record.NAME).write_text(text)

    with pytest.raises(ResultsError):
        record.read(tmp_path)
