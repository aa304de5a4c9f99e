"""The results file."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from codspeed import __version__
from codspeed.errors import ToolError
from codspeed.model import Launch
from codspeed_exec_harness.descriptor import Bounds
from codspeed_exec_harness.loop import Round
from codspeed_exec_harness.request import make_target
from codspeed_exec_harness.results import ResultsFile
from codspeed_exec_harness.statistics import summarize

ROUNDS = [
    Round(100, 400, 250, 10, 1, 0, 5000),
    Round(500, 700, 150, 20, 1, 2, 7000),
    Round(800, 900, 50, 60, 1, 4, 6000),
]
TARGET = make_target(Launch(("a", "b")), None, Bounds())


@pytest.fixture
def results(tmp_path: Path) -> ResultsFile:
    return ResultsFile(tmp_path, 42)


def _read(results: ResultsFile) -> Any:
    return json.loads(results.path.read_text(encoding="utf-8"))


def test_keys_of_the_reference(results: ResultsFile, tmp_path: Path) -> None:
    results.add(TARGET, ROUNDS)
    document = _read(results)
    (benchmark,) = document["benchmarks"]

    assert results.path == tmp_path / "results" / "42.json"
    assert document["creator"] == {"name": "exec-harness", "version": "1.3.0", "pid": 42}
    assert document["instrument"] == {"type": "walltime"}
    assert (benchmark["name"], benchmark["uri"]) == ("a b", "exec_harness::a b")
    assert benchmark["config"] == {
        "warmup_time_ns": None,
        "min_round_time_ns": None,
        "max_time_ns": None,
        "max_rounds": None,
    }
    assert benchmark["stats"] == attrs.asdict(summarize([300, 200, 100], [1, 1, 1]))


def test_our_own_keys(results: ResultsFile) -> None:
    results.add(TARGET, ROUNDS, max_rss_floor=6500)
    document = _read(results)

    assert document["codspeed"] == {"version": __version__}
    assert document["benchmarks"][0]["codspeed"] == {
        "medians": {
            "wall_ns": 200,
            "cpu_ns": 150,
            "queue_ns": 20,
            "voluntary_switches": 1,
            "involuntary_switches": 2,
        },
        "max_rss_bytes": 7000,
        "max_rss_floor_bytes": 6500,
        "rounds": {
            "wall_ns": [300, 200, 100],
            "cpu_ns": [250, 150, 50],
            "queue_ns": [10, 20, 60],
            "voluntary_switches": [1, 1, 1],
            "involuntary_switches": [0, 2, 4],
        },
    }


def test_queue_time_that_the_kernel_does_not_count_is_absent(results: ResultsFile) -> None:
    results.add(TARGET, [ROUNDS[0], ROUNDS[1]._replace(queue_ns=None)])
    extra = _read(results)["benchmarks"][0]["codspeed"]

    assert "queue_ns" not in extra["rounds"]
    assert "queue_ns" not in extra["medians"]


def test_every_target_is_in_the_file_at_once(results: ResultsFile) -> None:
    names = []
    for name in ("one", "zwei ü", "<wall_ns>"):
        results.add(make_target(Launch(("a",)), name, Bounds()), ROUNDS)
        names.append([benchmark["name"] for benchmark in _read(results)["benchmarks"]])

    assert names == [["one"], ["one", "zwei ü"], ["one", "zwei ü", "<wall_ns>"]]
    assert [path.name for path in results.path.parent.iterdir()] == ["42.json"]


def test_it_is_pretty_and_rounds_are_one_line(results: ResultsFile) -> None:
    results.add(TARGET, ROUNDS)
    lines = results.path.read_text(encoding="utf-8").splitlines()

    assert lines[:3] == ["{", '  "creator": {', '    "name": "exec-harness",']
    assert '          "wall_ns": [300, 200, 100],' in lines
    assert '      "name": "a b",' in lines


def test_a_folder_that_can_not_be_made_is_told_before_measuring(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    with pytest.raises(ToolError) as caught:
        ResultsFile(blocked, 1)

    assert str(blocked) in caught.value.problem


def test_a_full_disk_is_told_and_leaves_the_old_content(
    results: ResultsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    results.add(TARGET, ROUNDS)
    before = results.path.read_bytes()

    def is_full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", is_full)
    with pytest.raises(ToolError) as caught:
        results.add(TARGET, ROUNDS)

    assert caught.value.problem.endswith("42.json: No space left on device")
    assert results.path.read_bytes() == before
    assert [path.name for path in results.path.parent.iterdir()] == ["42.json"]
