"""Processes and threads that begin and end in every way: each allocation is seen, none twice."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from codspeed_memory.raw import Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

pytestmark = pytest.mark.process

SIZE = 4242  # SIZE of programs/edges.c


@pytest.mark.parametrize("stack_interval", [0, SIZE])
@pytest.mark.parametrize(
    ("name", "status", "pairs"),
    [
        ("vfork", 0, 2),
        ("spawn", 0, 2),
        ("raw_clone", 0, 2),
        ("bare_fork", 0, 2),
        ("self_exec", 0, 31),
        ("abort", -signal.SIGABRT, 1),
        ("kill", -signal.SIGKILL, 1),
        ("_exit", 0, 1),
        ("short_threads", 0, 6000),
        ("many_threads", 0, 50_000),
        ("thread_exec", 0, 3),
        ("first_thread_leaves", 0, 2),
        ("errno", 0, 5000),
        ("many_forks", 0, 200 * 100 + 66),
    ],
)
def test_every_allocation_is_seen_once(
    record: Callable[..., Any],
    program: Callable[..., Any],
    name: str,
    status: int,
    pairs: int,
    stack_interval: int,
) -> None:
    recorded = record(program("edges"), name, stack_interval=stack_interval)

    assert (recorded.status, recorded.dropped) == (status, 0)
    assert recorded.blocks_of(SIZE) == {"allocations": pairs, "frees": pairs}


def test_constructors_and_destructors_count(
    record: Callable[..., Any], program: Callable[..., Any]
) -> None:
    recorded = record(program("edges"), "leaf", env={"EARLY": "1"})

    assert recorded.blocks_of(SIZE) == {"allocations": 3, "frees": 3}


@pytest.mark.parametrize("stack_interval", [0, SIZE])
def test_a_handler_that_allocates_in_the_middle_of_a_record_is_seen(
    record: Callable[..., Any], program: Callable[..., Any], stack_interval: int
) -> None:
    recorded = record(program("edges"), "signals", stack_interval=stack_interval)

    counts = recorded.blocks_of(SIZE)
    assert (recorded.status, recorded.dropped) == (0, 0)
    assert counts["allocations"] == counts["frees"] > 50_000


def test_realloc_in_all_its_forms(record: Callable[..., Any], program: Callable[..., Any]) -> None:
    recorded = record(program("edges"), "realloc")

    kinds = [Kind(event.kind).name for event in recorded.events if event.kind != Kind.ATTACH]
    assert recorded.status == 0
    assert kinds == [
        "REALLOC",  # of nothing
        *("REALLOC_BEGIN", "REALLOC_FAILED"),
        *("MALLOC", "REALLOC_BEGIN", "REALLOC", "FREE"),
        *("REALLOC_BEGIN", "REALLOC_FAILED"),  # to nothing: a free
        "DETACH",
    ]
    assert (recorded.usage.allocations, recorded.usage.frees, recorded.usage.leaked) == (3, 3, 0)
    assert recorded.usage.peak == 2 * SIZE


def test_what_is_never_freed_is_leaked(
    record: Callable[..., Any], program: Callable[..., Any]
) -> None:
    usage = record(program("edges"), "leak").usage

    assert (usage.leaked, usage.leaked_blocks, usage.live_at_end) == (SIZE, 1, 0)


@pytest.mark.parametrize("threads", [1, 4])
def test_sums_are_what_the_program_says(
    record: Callable[..., Any], program: Callable[..., Any], threads: int
) -> None:
    recorded = record(program("pairs"), "200000", str(threads))
    pairs, total, _seconds = map(float, recorded.output.split())
    arrays = threads * 1024 * 8
    others = recorded.usage.allocations - int(pairs) - threads  # the thread library's own

    assert recorded.dropped == 0
    assert others == (threads if threads > 1 else 0)
    assert 0 <= recorded.usage.total - total - arrays <= others * 1024
    assert recorded.usage.frees + recorded.usage.leaked_blocks == recorded.usage.allocations
    assert recorded.usage.unknown_frees == 0
