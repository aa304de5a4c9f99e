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
_ROOT: Final = Frame(_ROOT_MARK, kind="harness")
_TRUNCATED: Final = Frame("[truncated]", kind="harness")
_HARNESS: Final = Frame("[harness]", kind="harness")


def benchmark_tree(unit: str, stacks: Iterable[tuple[Stack, End, float]]) -> CallTree:
    """Add up stacks with their costs, cut at the root frame; what is not whole stands apart.

    Without any root frame, whole stacks stay as they are.
    """
    every = [(stack, _root_place(stack), end, cost) for stack, end, cost in stacks]
    is_cut = any(place is not None for _, place, _, _ in every)

    def shown(stack: Stack, place: int | None, end: End) -> Stack:
        if place is not None:
            return (_ROOT, *stack[place + 1 :])
        if end is not End.ROOT:
            return (_TRUNCATED, *stack)
        return (_HARNESS,) if is_cut else stack

    costs = ((shown(stack, place, end), cost) for stack, place, end, cost in every)
    return fold.call_tree(unit, costs)


def _root_place(stack: Stack) -> int | None:
    for index, frame in enumerate(stack):
        if _ROOT_MARK in frame.function:
            return index
    return None
