"""The part of a program's stacks that belongs to the benchmark.

What lies above the integration's root frame belongs to whoever runs the benchmark. Stacks that
could not be followed to their root, and so may lack that frame, stay apart. No I/O here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codspeed.model import CallTree, Frame
from codspeed_native import fold
from codspeed_native.unwind import End

if TYPE_CHECKING:
    from collections.abc import Iterable

    from codspeed_native.fold import Stack

# A function of pytest-codspeed and others that calls the benchmark and does nothing else.
_ROOT_MARK: Final = "__codspeed_root_frame__"
_TRUNCATED: Final = Frame("[truncated]", kind="harness")
_HARNESS: Final = Frame("[harness]", kind="harness")


def benchmark_tree(unit: str, stacks: Iterable[tuple[Stack, End, float]]) -> CallTree:
    """Add up stacks with their costs, cut at the root frame; what is not whole stands apart."""
    whole: list[tuple[Stack, float]] = []
    cut: list[tuple[Stack, float]] = []
    for stack, end, cost in stacks:
        is_whole = end is End.ROOT or any(map(_is_root, stack))
        (whole if is_whole else cut).append((stack, cost))
    root = Frame(_ROOT_MARK, kind="harness")
    tree = fold.rooted(fold.call_tree(unit, whole), _is_root, root=root, outside=_HARNESS)
    under = fold.call_tree(unit, (((_TRUNCATED, *stack), cost) for stack, cost in cut))
    return fold.merge([tree, under]) or tree


def _is_root(frame: Frame) -> bool:
    return _ROOT_MARK in frame.function
