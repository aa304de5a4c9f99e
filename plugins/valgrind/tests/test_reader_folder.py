"""Which files and parts count for which benchmark, and what results are made of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from codspeed.errors import ResultsError
from codspeed.model import Kind, Launch, RunPart
from codspeed_native import fold
from codspeed_valgrind import results
from codspeed_valgrind.reader import folder as folders
from codspeed_valgrind.reader.model import MODELS, hits
from codspeed_valgrind.reader.totals import CallgrindError, TruncatedError

if TYPE_CHECKING:
    from pathlib import Path

    from codspeed.model import BenchmarkResult

EVENTS = "Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw sysCount sysTime sysCpuTime"
COSTS = (1000, 200, 100, 10, 5, 3, 4, 2, 1, 6, 700, 300)


def _part(number: int, trigger: str, costs: tuple[int, ...], *, thread: int = 0) -> str:
    """Return a part in which `main` and `malloc` share the instructions, 3 to 1."""
    head = f"part: {number}\n" + (f"thread: {thread}\n" if thread else "")
    ir = costs[0] if costs else 0
    body = (
        f"ob=(1) /bin/p\nfl=(1) p.c\nfn=(0) main\n1 {ir - ir // 4}\n"
        f"fn=(2) malloc\nfn=(4) (2)'(0)\n1 {ir // 4}\n"
        if ir
        else ""
    )
    totals = " ".join(map(str, costs)) or "0"
    head += f"\ndesc: Trigger: {trigger}\nevents: {EVENTS}\nsummary: 0\n"
    return f"{head}\n{body}\ntotals: {totals}\n\n"


def _file(pid: int, *parts: str) -> str:
    return f"# callgrind format\nversion: 1\npid: {pid}\ncmd: x\npositions: line\n" + "".join(parts)


def _benchmark(number: int, uri: str, costs: tuple[int, ...] = COSTS, *, thread: int = 0) -> str:
    return _part(number, f"Client Request: {uri}", costs, thread=thread)


END = _part(9, "Program termination", ())


@pytest.fixture
def part(tmp_path: Path) -> RunPart:
    return RunPart(0, "valgrind", "simulation", "x", Launch(("x",)), tmp_path)


def _values(result: BenchmarkResult) -> dict[str, float]:
    return {metric.name: metric.value for metric in result.metrics}


def test_metrics_follow_from_the_counters(part: RunPart) -> None:
    (part.folder / "7.out").write_text(_file(7, _benchmark(1, "a.py::f"), END))

    (result,) = results.read_results(part)

    # 1300 accesses; 18 miss L1, 7 of them also the last level.
    assert _values(result) == {
        "estimated_cycles": 1282 + 5 * 11 + 35 * 7,
        "time": (1282 + 5 * 11 + 35 * 7) / 3,
        "ir": 1000,
        "l1_hits": 1282,
        "ll_hits": 11,
        "ram_hits": 7,
        "ir_no_alloc": 750,
        "alloc_share": 25.0,
        "sys_count": 6,
        "sys_time": 700,
        "sys_cpu_time": 300,
    }
    assert (result.uri, result.name, result.notes) == ("a.py::f", "f", ())
    assert result.headline is not None
    assert result.headline.name == "estimated_cycles"
    labels = [metric.label for metric in result.metrics if metric.label]
    assert labels == ["Time", "Instr.", "L1", "LL", "RAM", "Alloc."]
    inexact = {metric.name for metric in result.metrics if metric.kind is not Kind.EXACT}
    assert inexact == {"sys_time", "sys_cpu_time"}


@pytest.mark.parametrize(
    ("model", "cycles"),
    [("l1-5-35", 1582), ("kcachegrind", 1000 + 10 * 18 + 100 * 7), ("ir", 1000)],
)
def test_the_cycle_model_makes_the_headline(part: RunPart, model: str, cycles: int) -> None:
    (part.folder / "7.out").write_text(_file(7, _benchmark(1, "f")))

    (result,) = results.read_results(part, cycle_model=model)

    assert _values(result)["estimated_cycles"] == cycles
    assert MODELS[model].id == f"{model}@v1"


def test_without_simulated_caches_there_are_no_hits() -> None:
    assert hits({"Ir": 10}) is None
    assert MODELS["l1-5-35"].cycles({"Ir": 10}) == 10


def test_metadata_and_the_end_of_the_program_are_no_benchmarks(part: RunPart) -> None:
    parts = (
        _part(1, "Client Request: Metadata: pytest-codspeed 5.0.4", ()),
        _benchmark(2, "a"),
        _benchmark(3, "b"),
        _part(4, "Program termination", COSTS),
    )
    (part.folder / "7.out").write_text(_file(7, *parts))

    assert [result.uri for result in results.read_results(part)] == ["a", "b"]


def test_numbered_files_come_in_order_and_before_the_last_one(part: RunPart) -> None:
    for number in (2, 10, 1):
        text = _file(7, _benchmark(number, f"b{number}"))
        (part.folder / f"7.out.{number}").write_text(text)
    (part.folder / "7.out").write_text(_file(7, END))
    (part.folder / "valgrind.7.log").write_text("")

    assert [result.uri for result in results.read_results(part)] == ["b1", "b2", "b10"]


def test_processes_and_threads_are_added_up_with_a_note(part: RunPart) -> None:
    for pid in (7, 8):
        for thread in (1, 2):
            text = _file(pid, _benchmark(1, "a", thread=thread))
            (part.folder / f"{pid}.out.1-0{thread}").write_text(text)

    (result,) = results.read_results(part)
    tree = results.call_tree(part, "a")

    assert _values(result)["ir"] == 4000
    assert result.notes == ("the sum of 2 processes",)
    assert tree is not None
    assert fold.to_text(tree) == "main 3000\nmain;malloc 1000\n"


def test_a_benchmark_that_was_measured_again_counts_once(part: RunPart) -> None:
    retried = (_benchmark(1, "a", (5,)), _benchmark(2, "a", (8,)))
    (part.folder / "7.out").write_text(_file(7, *retried))

    (result,) = results.read_results(part)
    tree = results.call_tree(part, "a")

    assert _values(result)["ir"] == 8
    assert result.notes == ("measured 2 times in this run; the last one in each process counts",)
    assert tree is not None
    assert fold.cost(tree) == 8


@pytest.mark.parametrize("key", ["7", "target-0"])
def test_whole_processes_count_where_a_table_says_so(part: RunPart, key: str) -> None:
    (part.folder / folders.TARGETS).write_text(json.dumps({key: "exec::static"}))
    for name, pid in (("target-0-7", 7), ("8", 8)):
        end = _part(1, "Program termination", COSTS)
        (part.folder / f"{name}.out").write_text(_file(pid, end))

    (result,) = results.read_results(part)

    assert (result.uri, _values(result)["ir"]) == ("exec::static", 1000)


@pytest.mark.parametrize("text", ["[1]", '{"7": 1}', "{"])
def test_a_table_that_is_none_is_an_error(part: RunPart, text: str) -> None:
    (part.folder / folders.TARGETS).write_text(text)

    with pytest.raises(ResultsError, match=folders.TARGETS):
        results.read_results(part)


def test_what_is_whole_of_a_file_that_is_cut_off_counts_with_a_note(part: RunPart) -> None:
    text = _file(7, _benchmark(1, "a"), _benchmark(2, "b"))
    (part.folder / "7.out").write_text(text[:-40])

    (result,) = results.read_results(part)

    assert (result.uri, _values(result)["ir"]) == ("a", 1000)
    assert result.notes == ("a profile of this run is cut off: results may be missing",)
    (fault,) = results.faults(part)
    assert isinstance(fault, TruncatedError)
    assert [each.trigger for each in fault.parts] == ["a"]


def test_a_file_that_is_cut_off_before_anything_is_an_error(part: RunPart) -> None:
    (part.folder / "7.out").write_text(_file(7, _benchmark(1, "a"))[:-40])

    with pytest.raises(TruncatedError, match=r"7\.out ends in the middle of a part"):
        results.read_results(part)


def test_a_file_that_is_something_else_is_an_error(part: RunPart) -> None:
    (part.folder / "7.out").write_text("hello")

    with pytest.raises(CallgrindError, match="no callgrind file"):
        results.read_results(part)


def test_an_unknown_benchmark_has_no_tree_and_an_empty_folder_no_results(part: RunPart) -> None:
    assert results.call_tree(part, "x") is None
    assert results.read_results(part) == ()


def test_python_names_come_from_the_map_of_the_process(part: RunPart) -> None:
    body = "ob=(1) ???\nfl=(1) ???\nfn=(0) 0x0000000000001000\n0 5\n"
    head = f"part: 1\ndesc: Trigger: Client Request: a\nevents: {EVENTS}\n"
    (part.folder / "7.out").write_text(_file(7, f"{head}\n{body}\ntotals: 5\n"))
    (part.folder / "perf-7.map").write_text("1000 10 py::f:/x.py\n")

    tree = results.call_tree(part, "a")

    assert tree is not None
    assert fold.to_text(tree) == "f 5\n"


def test_allocators_are_left_out_of_large_profiles(
    part: RunPart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "ALLOCATOR_LIMIT_BYTES", 10)
    (part.folder / "7.out").write_text(_file(7, _benchmark(1, "a")))

    (result,) = results.read_results(part)

    assert not {"ir_no_alloc", "alloc_share"} & _values(result).keys()


@pytest.mark.parametrize(
    ("uri", "name"),
    [("a/b.py::C::test[x]", "C::test[x]"), ("program", "program"), ("a::", "a")],
)
def test_the_name_is_what_is_behind_the_file(uri: str, name: str) -> None:
    assert results.name_of(uri) == name
