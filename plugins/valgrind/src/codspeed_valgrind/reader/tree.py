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
    from codspeed.model import CallTree, Frame
    from codspeed_native.perf_map import PerfMap
    from codspeed_valgrind.reader.body import Body

UNIT: Final = "Ir"
# A stub of the procedure linkage table is one jump, with an `endbr64` or a prefix before it.
_STUB_INSTRUCTIONS: Final = 3
# Below this depth, the longest chain is taken for what it seems: complete.
_DEEP: Final = 20


def call_tree(body: Body, names: PerfMap, *, base: str = "") -> CallTree:
    """Return the part's stacks as a person wants to see them; their sum is the part's Ir.

    Rooted at the benchmark where an integration marked it, without stubs of the linker, and without
    the functions of an interpreter where there are those that it ran.

    Args:
        names: Of the process.
        base: Files of scripts below this folder are shown relative to it.
    """
    tree = raw_tree(body, names, base=base)
    if not body.has_chains:
        return tree
    frames = {frame for stack in tree.stacks for frame in stack}
    if any(frame.kind in MANAGED for frame in frames):
        tree = fold.collapse(tree, _is_interpreter)
    return fold.rooted(tree, is_root, root=ROOT, outside=OUTSIDE)


def raw_tree(body: Body, names: PerfMap, *, base: str = "") -> CallTree:
    """Return the part's stacks with all functions but stubs.

    Without chains in the file every function is a stack of its own, under one frame that says so.
    A chain that was cut off at callgrind's limit begins with the benchmark and a frame for what is
    missing: what is outside of a benchmark is never that deep.
    """
    stubs = _stubs(body, names)
    frames = {key: frame_of(function, names, base=base) for key, function in body.functions.items()}
    roots = {key for key, frame in frames.items() if is_root(frame)}
    limit = max(map(len, body.costs), default=0) if roots else 0

    def above(chain: tuple[bytes, ...]) -> tuple[Frame, ...]:
        if not body.has_chains:
            return (NO_CALLERS,)
        is_cut = len(chain) == limit >= _DEEP and roots.isdisjoint(chain)
        return (ROOT, TRUNCATED) if is_cut else ()

    return fold.call_tree(
        UNIT,
        (
            ((*above(chain), *(frames[key] for key in _without(chain, stubs))), cost)
            for chain, cost in body.costs.items()
        ),
    )


def allocator_cost(body: Body) -> int:
    """Return the Ir that allocators cost by themselves.

    Their own cost and not that of what they call: edges through linker stubs would count twice.
    """
    own = {key for key, function in body.functions.items() if is_allocator(function.name)}
    return sum(cost for chain, cost in body.costs.items() if chain[-1] in own)


def _is_interpreter(frame: Frame) -> bool:
    return frame.kind == "interpreter"


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


def _without(chain: tuple[bytes, ...], stubs: set[bytes]) -> tuple[bytes, ...]:
    return tuple(key for key in chain if key not in stubs) or chain[-1:]
