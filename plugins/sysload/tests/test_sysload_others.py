"""Who else used the CPUs: differences of made-up tables, and a real program that spins."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from codspeed.launch.processes import TICK_NS, Entry
from codspeed_sysload.others import Busy, Others, Span, during, used_by_name

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's files")


def entry(name: str, own: int, *, parent: int = 1, reaped: int = 0, start: int = 5) -> Entry:
    return Entry(parent, name, own, reaped, start)


def test_programs_of_one_name_are_added_and_ours_left_out() -> None:
    before = {10: entry("cc1", 5), 11: entry("cc1", 0), 12: entry("python", 7)}
    after = {10: entry("cc1", 25), 11: entry("cc1", 30), 12: entry("python", 99)}

    assert used_by_name(before, after, {12}, most=99) == {"cc1": 50}


def test_a_program_that_began_counts_whole_also_if_its_id_was_somebody_else_s() -> None:
    before = {10: entry("old", 500)}
    after = {10: entry("new", 3, start=6), 11: entry("fresh", 4, reaped=2)}

    assert used_by_name(before, after, set(), most=99) == {"new": 3, "fresh": 6}


def test_a_program_that_ended_is_its_parent_s_without_what_it_had_used_before() -> None:
    before = {10: entry("make", 1), 11: entry("cc1", 40, parent=10)}
    after = {10: entry("make", 1, reaped=55)}

    assert used_by_name(before, after, set(), most=99) == {"make": 15}


def test_a_program_that_ended_with_its_parent_is_its_grandparent_s() -> None:
    before = {
        9: entry("bash", 0),
        10: entry("make", 1, parent=9, reaped=20),
        11: entry("cc1", 40, parent=10),
    }
    after = {9: entry("bash", 0, reaped=61 + 7)}

    assert used_by_name(before, after, set(), most=99) == {"bash": 7}


def test_what_lost_its_parent_is_nobody_s() -> None:
    before = {1: entry("init", 5, parent=0), 10: entry("lost", 900)}
    after = {1: entry("init", 6, parent=0, reaped=950)}

    assert used_by_name(before, after, set(), most=99) == {"init": 1}


def test_if_more_was_used_than_there_is_only_the_living_count() -> None:
    before = {10: entry("shell", 5), 11: entry("hog", 0)}
    after = {10: entry("shell", 6, reaped=4_000), 11: entry("hog", 50)}

    assert used_by_name(before, after, set(), most=99) == {"shell": 1, "hog": 50}


def test_threads_of_the_kernel_are_named_as_such() -> None:
    after = {77: entry("kswapd0", 4, parent=2)}

    assert used_by_name({}, after, set(), most=99) == {"kswapd0 (kernel)": 4}


def span(start: int, end: int, *busy: Busy) -> Span:
    return Span(start, end, busy, sum(each.share for each in busy), is_alone=False)


def test_spans_around_a_window_count_by_their_length() -> None:
    spans = [
        span(0, 10, Busy("before", 1.0)),
        span(10, 40, Busy("hog", 1.0), Busy("fly", 0.1)),
        span(40, 50, Busy("hog", 0.2)),
        span(50, 60, Busy("after", 1.0)),
    ]
    found = during(spans, 10, 50)

    assert found is not None
    assert (found.start_ns, found.end_ns) == (10, 50)
    assert [each.name for each in found.busiest] == ["hog", "fly"]
    assert [each.share for each in found.busiest] == pytest.approx([0.8, 0.075])
    assert found.share == pytest.approx(0.875)


def test_without_spans_nobody_is_known() -> None:
    assert during([span(0, 10)], 10, 20) is None


def write_process(proc: Path, pid: int, parent: int, name: str, ticks: int) -> None:
    (proc / str(pid)).mkdir(parents=True, exist_ok=True)
    numbers = f"S {parent} 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 5 0 0"
    (proc / str(pid) / "stat").write_text(f"{pid} ({name}) {numbers}\n")


def test_a_look_tells_the_share_of_a_cpu(tmp_path: Path) -> None:
    write_process(tmp_path, 10, 1, "ours", 0)
    write_process(tmp_path, 11, 10, "benchmark", 0)
    write_process(tmp_path, 12, 1, "hog", 0)
    others = Others(proc=tmp_path, own=10)
    for pid, parent, name in ((10, 1, "ours"), (11, 10, "benchmark"), (12, 1, "hog")):
        write_process(tmp_path, pid, parent, name, 300)
    others.look(least_ns=0)
    (found,) = others.spans
    (busy,) = found.busiest

    assert busy.name == "hog"
    assert busy.share * (found.end_ns - found.start_ns) == pytest.approx(300 * TICK_NS)
    assert not found.is_alone


def test_where_only_ours_can_be_seen_we_are_alone(tmp_path: Path) -> None:
    write_process(tmp_path, 1, 0, "init", 0)
    write_process(tmp_path, 10, 1, "ours", 0)
    others = Others(proc=tmp_path, own=10)
    others.look(least_ns=0)

    assert [each.is_alone for each in others.spans] == [True]


def test_looks_are_not_taken_too_often(tmp_path: Path) -> None:
    others = Others(proc=tmp_path, own=10)
    others.look()
    others.look(least_ns=10**15)

    assert others.spans == []
