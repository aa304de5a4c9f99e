"""The ten behaviours of the reference's own tests, with our sources: exactly these events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codspeed_memory.raw import Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

pytestmark = pytest.mark.process

FREE = ("FREE", 0)


def sized(kind: str, *sizes: int) -> list[tuple[str, int]]:
    return [(kind, size) for size in sizes]


@pytest.mark.parametrize("flags", [(), ("-O2",), ("-no-pie",)], ids=["pie", "O2", "no-pie"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("malloc_free", [*sized("MALLOC", 512), FREE]),
        ("double_malloc", [*sized("MALLOC", 1024, 2048), FREE, FREE]),
        ("calloc_test", [*sized("CALLOC", 1000), FREE]),
        ("realloc_test", [*sized("MALLOC", 100), *sized("REALLOC", 200), FREE]),
        ("aligned_alloc_test", [*sized("ALIGNED", 512), FREE]),
        ("posix_memalign_test", [*sized("ALIGNED", 768), FREE]),
        ("posix_memalign_einval", [*sized("MALLOC", 512), FREE]),
        ("many_allocs", [*sized("MALLOC", 800), *sized("MALLOC", 64) * 100, *[FREE] * 101]),
        ("alloc_size", [*sized("MALLOC", 1024, 2048, 512, 4096), *[FREE] * 4]),
        ("fork_test", [*sized("MALLOC", 256, 512), FREE, FREE]),
    ],
)
def test_exactly_these_events(
    record: Callable[..., Any],
    program: Callable[..., Any],
    name: str,
    expected: list[tuple[str, int]],
    flags: tuple[str, ...],
) -> None:
    recorded = record(program("behaviours", *flags), name)

    events = [
        (Kind(event.kind).name, event.size)
        for event in recorded.events
        if event.kind < Kind.REALLOC_BEGIN
    ]
    assert (recorded.status, recorded.dropped) == (0, 0)
    assert events == expected
