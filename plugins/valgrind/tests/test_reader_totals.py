"""Totals of parts: golden files of every kind, and files that end too early."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed_valgrind.reader.totals import (
    CallgrindError,
    PartKind,
    TruncatedError,
    scan,
)

HEADER = b"""# callgrind format
version: 1
creator: callgrind-3.19.0
pid: 4711
cmd:  python -m pytest bench
part: 1


desc: I1 cache: 32768 B, 64 B, 8-way associative
desc: Timerange: Basic block 0 - 1
desc: Trigger: Client Request: Metadata: pytest-codspeed 5.0.4

positions: line
event: sysTime : sysTime (elapsed ns)
events: Ir Dr Dw I1mr sysCount sysTime
summary: 0


totals: 0
"""
FIB = b"""
part: 2

desc: Timerange: Basic block 1 - 900
desc: Trigger: Client Request: bench/test_five.py::test_fib[a b: c]
events: Ir Dr Dw I1mr sysCount sysTime
summary: 0

ob=(1) /usr/bin/program
fl=(1) program.c
fn=(0) main
4 10 2 1
cfn=(2) fib
calls=1 -2
* 7 1
fn=(2)
6 7 1

totals: 17 3 1
"""
END = b"""
part: 3

desc: Timerange: Basic block 900 - 901
desc: Trigger: Program termination
events: Ir Dr Dw I1mr sysCount sysTime
summary: 0


totals: 0
"""
COMBINED = HEADER + FIB + END


def test_a_combined_file_has_a_part_per_dump() -> None:
    parts = scan(COMBINED, where="4711.out")

    assert [(part.kind, part.number, part.pid) for part in parts] == [
        (PartKind.METADATA, 1, 4711),
        (PartKind.BENCHMARK, 2, 4711),
        (PartKind.TERMINATION, 3, 4711),
    ]
    assert parts[0].trigger == "Metadata: pytest-codspeed 5.0.4"
    assert parts[1].trigger == "bench/test_five.py::test_fib[a b: c]"
    assert parts[1].descriptions == {"Timerange": "Basic block 1 - 900"}


def test_zeros_that_totals_leave_out_are_filled_in() -> None:
    _, fib, _ = scan(COMBINED, where="4711.out")

    assert fib.counters == (17, 3, 1, 0, 0, 0)
    assert fib.costs == {"Ir": 17, "Dr": 3, "Dw": 1, "I1mr": 0, "sysCount": 0, "sysTime": 0}


def test_places_of_a_part_are_those_of_its_text() -> None:
    _, fib, _ = scan(COMBINED, where="4711.out")

    assert COMBINED[fib.start : fib.end] == FIB
    assert COMBINED[fib.body :].startswith(b"ob=(1)")


def test_a_part_inherits_positions_and_keeps_its_own_thread() -> None:
    second = b"\nthread: 2\n" + FIB.replace(b"part: 2", b"part: 1")
    data = HEADER.replace(b"positions: line", b"positions: instr line") + second

    first, threaded = scan(data, where="f")

    assert first.positions == threaded.positions == ("instr", "line")
    assert (first.thread, threaded.thread) == (0, 2)


def test_a_file_per_part_is_read_alike() -> None:
    single = HEADER.replace(b"totals: 0\n", b"") + FIB.partition(b"summary: 0\n")[2]

    (part,) = scan(single.replace(b"Metadata: pytest-codspeed 5.0.4", b"a::b"), where="1.out.1")

    assert (part.trigger, part.costs["Ir"]) == ("a::b", 17)


def test_a_name_that_looks_like_totals_is_a_name() -> None:
    data = COMBINED.replace(b"fn=(0) main", b"fn=(0) x totals: 99")

    assert [part.costs["Ir"] for part in scan(data, where="f")] == [0, 17, 0]


def test_another_trigger_is_neither_benchmark_nor_end() -> None:
    data = COMBINED.replace(b"Trigger: Program termination", b"Trigger: Function main")

    assert scan(data, where="f")[2].kind is PartKind.OTHER


@pytest.mark.parametrize(
    "lost", [len(END), len(END) - 5, 1, 3, len(END) + len(b"totals: 17 3 1\n") - 8]
)
def test_a_file_that_ends_in_a_part_is_an_error_that_carries_the_whole_ones(lost: int) -> None:
    data = COMBINED[: len(COMBINED) - lost]
    whole = scan(COMBINED, where="f")

    if lost == len(END):  # cut between two parts: nothing says that another should follow
        assert scan(data, where="f") == whole[:2]
        return
    with pytest.raises(TruncatedError) as caught:
        scan(data, where="4711.out")

    assert caught.value.parts == whole[: 2 if lost < len(END) else 1]
    assert "4711.out ends in the middle of a part" in caught.value.problem


def test_an_empty_file_is_cut_off_before_its_first_part() -> None:
    with pytest.raises(TruncatedError, match="0 before it are whole"):
        scan(b"", where="f")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"#!/bin/sh\necho hi\n", "is no callgrind file"),
        (b"\ntotals: 5\n", "names no events"),
        (COMBINED.replace(b"totals: 17", b"totals: x7"), "does not fit its 6 events"),
        (COMBINED.replace(b"totals: 17 3 1", b"totals: 1 2 3 4 5 6 7"), "does not fit"),
        (COMBINED.replace(b"totals: 17 3 1", b"totals:"), "does not fit"),
        (COMBINED.replace(b"pid: 4711", b"pid: many"), "`pid:` is 'many', not a number"),
    ],
)
def test_what_can_not_be_understood_is_an_error(data: bytes, message: str) -> None:
    with pytest.raises(CallgrindError, match=message):
        scan(data, where="f")


@given(
    cut=st.integers(0, len(COMBINED)),
    at=st.integers(0, len(COMBINED) - 1),
    byte=st.binary(max_size=2),
)
def test_any_damage_is_an_error_of_ours_or_none(cut: int, at: int, byte: bytes) -> None:
    data = (COMBINED[:at] + byte + COMBINED[at + 1 :])[:cut]

    try:
        parts = scan(data, where="f")
    except TruncatedError as error:
        parts = error.parts
    except CallgrindError:
        parts = ()

    assert all(len(part.counters) == len(part.events) for part in parts)
