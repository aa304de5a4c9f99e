"""CPython's objects: through malloc, or as arenas, or not at all."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from codspeed_memory.raw import Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.process

ARENA = 256 * 1024
OBJECTS = "kept = [object() for _ in range(100_000)]"


def test_with_malloc_every_object_counts(record: Callable[..., Any]) -> None:
    nothing = record(sys.executable, "-c", "", env={"PYTHONMALLOC": "malloc"})
    recorded = record(sys.executable, "-c", OBJECTS, env={"PYTHONMALLOC": "malloc"})

    assert recorded.usage.allocations - nothing.usage.allocations >= 100_000


def test_with_pymalloc_its_arenas_count(record: Callable[..., Any]) -> None:
    without = record(sys.executable, "-c", OBJECTS)
    recorded = record(sys.executable, "-c", OBJECTS, mappings=True)

    assert recorded.usage.peak - without.usage.peak > 100_000 * 16
    assert recorded.usage.allocations < 100_000


def test_a_mapping_may_go_in_pieces(
    record: Callable[..., Any], program: Callable[..., Path]
) -> None:
    env = {"PYTHONMALLOC": "malloc"}
    recorded = record(program("interpreter"), env=env, mappings=True)

    kinds = [event.kind for event in recorded.events if event.kind in {Kind.MMAP, Kind.MUNMAP}]
    usage = recorded.usage
    assert kinds == [Kind.MMAP, Kind.MUNMAP, Kind.MUNMAP]
    assert (usage.peak, usage.leaked, usage.unknown_frees) == (ARENA, 0, 0)


def test_a_free_threaded_build_keeps_its_allocator_and_its_arenas_count(
    record: Callable[..., Any], program: Callable[..., Path]
) -> None:
    interpreter = program("interpreter", "-DFREE_THREADED", "-rdynamic")
    recorded = record(interpreter, env={"PYTHONMALLOC": "malloc"})

    assert recorded.status == 0, "it saw the variable"
    assert recorded.usage.peak == ARENA


def test_a_malloc_target_shows_no_mappings(
    record: Callable[..., Any], program: Callable[..., Path]
) -> None:
    recorded = record(program("interpreter"), env={"PYTHONMALLOC": "malloc"})

    assert recorded.usage.allocations == 0
