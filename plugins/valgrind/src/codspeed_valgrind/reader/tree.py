"""Call trees from the bodies of parts. No I/O here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codspeed_native import fold
from codspeed_valgrind.reader.allocator import is_allocator
from codspeed_valgrind.reader.body import is_address
from codspeed_valgrind.reader.frame import (
    MANAGED,
    NO_CALLERS,
    OUTSIDE,
    ROOT,
    TRUNCATED,
    frame_of,
    is_generated,
    is_root,
    name_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codspeed.model import CallTree, Frame
    from codspeed_native.perf_map import PerfMap
    from codspeed_valgrind.reader.body import Body

UNIT: Final = "Ir"
# A stub of the procedure linkage table is one jump, with an `endbr64` or a prefix before it.
_STUB_INSTRUCTIONS: Final = 3
# Below this depth, the longest chain is taken for what it seems: complete.
_DEEP: Final = 20
# Keys of frames that are in no file: no name has a line end.
_ROOT_KEY: Final = b"\nroot"
_OUTSIDE_KEY: Final = b"\noutside"
_TRUNCATED_KEY: Final = b"\ntruncated"
_MARKS: Final = {_ROOT_KEY: ROOT, _OUTSIDE_KEY: OUTSIDE, _TRUNCATED_KEY: TRUNCATED}


def call_tree(body: Body, names: PerfMap, *, base: str = "") -> CallTree:
    """Return the part's stacks as a person wants to see them; their sum is the part's Ir.

    Rooted at the benchmark where an integration marked it, without stubs of the linker, and without
    the functions of an interpreter where there are those that it ran. Without chains in the file
    every function is a stack of its own, under one frame that says so.

    Args:
        names: Of the process.
        base: Files of scripts below this folder are shown relative to it.
    """
    frames = {key: frame_of(function, names, base=base) for key, function in body.functions.items()}
    if not body.has_chains:
        stacks = (((NO_CALLERS, frames[chain[-1]]), cost) for chain, cost in body.costs.items())
        return fold.call_tree(UNIT, stacks)
    cut = _Cut(body, names, frames)
    costs: dict[tuple[bytes, ...], int] = {}
    for chain, cost in body.costs.items():
        place = cut(chain)
        costs[place] = costs.get(place, 0) + cost
    frames |= _MARKS
    return fold.call_tree(
        UNIT, ((tuple([frames[key] for key in place]), cost) for place, cost in costs.items())
    )


class _Cut:
    """From a chain to what is shown of it. By key: frames take ten times as long to compare.

    A chain that was cut off at callgrind's limit begins with the benchmark and a frame for what is
    missing: what is outside of a benchmark is never that deep.
    """

    def __init__(self, body: Body, names: PerfMap, frames: Mapping[bytes, Frame]) -> None:
        self._hidden = _stubs(body, names)
        if any(frame.kind in MANAGED for frame in frames.values()):
            self._hidden |= {key for key, frame in frames.items() if frame.kind == "interpreter"}
        self._roots = {key for key, frame in frames.items() if is_root(frame)}
        self._limit = max(_DEEP, *map(len, body.costs)) if body.costs else _DEEP

    def __call__(self, chain: tuple[bytes, ...]) -> tuple[bytes, ...]:
        if not self._roots:
            return tuple(self._visible(chain)) or chain[:1]
        if not self._roots.isdisjoint(chain):
            begin = next(index for index, key in enumerate(chain) if key in self._roots)
            return (_ROOT_KEY, *self._visible(chain[begin + 1 :]))
        if len(chain) == self._limit:
            return (_ROOT_KEY, _TRUNCATED_KEY, *self._visible(chain))
        return (_OUTSIDE_KEY,)

    def _visible(self, chain: tuple[bytes, ...]) -> list[bytes]:
        hidden = self._hidden
        return [key for key in chain if key not in hidden]


def allocator_cost(body: Body) -> int:
    """Return the Ir that allocators cost by themselves.

    Their own cost and not that of what they call: edges through linker stubs would count twice.
    """
    own = {key for key, function in body.functions.items() if is_allocator(function.name)}
    return sum(cost for chain, cost in body.costs.items() if chain[-1] in own)


def _stubs(body: Body, names: PerfMap) -> set[bytes]:
    """Return the nameless functions that only jump on to where the call belongs.

    Where generated code has names, what is in no object file and has none is such a stub: with it
    counts what it jumped to, if callgrind was told to skip that. Else it must be as cheap as one.
    """
    suspects = {
        key: function for key, function in body.functions.items() if is_address(function.name)
    }
    own = dict.fromkeys(suspects, 0)
    for chain, cost in body.costs.items():
        if chain[-1] in own:
            own[chain[-1]] += cost
    return {
        key
        for key, function in suspects.items()
        if not (is_generated(function) and name_of(function, names) is not None)
        and (
            (is_generated(function) and names.ranges)
            or own[key] <= _STUB_INSTRUCTIONS * body.calls.get(key, 0)
        )
    }
