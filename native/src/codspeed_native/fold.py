"""Folded stacks: how much was spent in each path of functions, and what one does with that.

A `CallTree` maps stacks (root first) to the cost that their last frame had by itself. Every
function here keeps the sum of these costs, but for those that say they take something out. No I/O
here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from codspeed.model import CallTree, Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Stack = tuple[Frame, ...]

# What the text form can't have inside of a name: its separators.
_SEPARATORS: Final = re.compile(r"[;\r\n]")


class Row(NamedTuple):
    """One function in a table: the cost of itself, and with everything it called."""

    frame: Frame
    self_cost: float
    total_cost: float


def call_tree(unit: str, costs: Iterable[tuple[Stack, float]]) -> CallTree:
    """Add up costs per stack; those of nothing are left out."""
    stacks: dict[Stack, float] = {}
    for stack, cost in costs:
        if cost and stack:
            stacks[stack] = stacks.get(stack, 0) + cost
    return CallTree(unit, stacks)


def cost(tree: CallTree) -> float:
    """Return the sum of all costs."""
    return sum(tree.stacks.values())


def merge(trees: Iterable[CallTree]) -> CallTree | None:
    """Return the sum of trees of one unit; None for none.

    Raises:
        ValueError: If their units differ.
    """
    every = list(trees)
    if not every:
        return None
    unit = every[0].unit
    if any(tree.unit != unit for tree in every):
        msg = f"trees of different units: {sorted({tree.unit for tree in every})}"
        raise ValueError(msg)
    return call_tree(unit, (item for tree in every for item in tree.stacks.items()))


def table(tree: CallTree) -> list[Row]:
    """Return the functions, the most expensive by themselves first.

    A function counts once per stack, however often it is in there: recursion does not count twice.
    """
    own: dict[Frame, float] = {}
    total: dict[Frame, float] = {}
    for stack, cost_ in tree.stacks.items():
        own[stack[-1]] = own.get(stack[-1], 0) + cost_
        for frame in set(stack):
            total[frame] = total.get(frame, 0) + cost_
    rows = [Row(frame, own.get(frame, 0), total[frame]) for frame in total]
    return sorted(rows, key=lambda row: (-row.self_cost, -row.total_cost, row.frame.function))


def rooted(
    tree: CallTree, is_root: Callable[[Frame], bool], *, root: Frame, outside: Frame
) -> CallTree:
    """Cut off what is above the outermost root frame.

    Args:
        root: Stands for every root frame, so that trees of different programs begin alike.
        outside: Stands for all that has no root frame above it. Without any root frame in the whole
            tree, the tree stays as it is.
    """

    def cut(stack: Stack) -> Stack:
        for index, frame in enumerate(stack):
            if is_root(frame):
                return (root, *stack[index + 1 :])
        return (outside,)

    if not any(is_root(frame) for stack in tree.stacks for frame in stack):
        return tree
    return call_tree(tree.unit, ((cut(stack), cost_) for stack, cost_ in tree.stacks.items()))


def collapse(tree: CallTree, is_hidden: Callable[[Frame], bool]) -> CallTree:
    """Leave frames out; what they cost goes to the nearest visible frame above.

    A stack of hidden frames only keeps its outermost one.
    """
    known: dict[Frame, bool] = {}

    def visible(stack: Stack) -> Stack:
        shown = []
        for frame in stack:
            is_gone = known.get(frame)
            if is_gone is None:
                is_gone = known[frame] = is_hidden(frame)
            if not is_gone:
                shown.append(frame)
        return tuple(shown) or stack[:1]

    return call_tree(tree.unit, ((visible(stack), cost_) for stack, cost_ in tree.stacks.items()))


def to_text(tree: CallTree) -> str:
    """Return `root;callee;leaf COST` lines, as other viewers read them, sorted.

    Names only: modules and places are lost. `;` and line ends inside of names become `:` and
    spaces. Stacks that look alike then are added up.
    """
    lines: dict[str, float] = {}
    for stack, cost_ in tree.stacks.items():
        names = ";".join(_plain(frame.function) for frame in stack)
        lines[names] = lines.get(names, 0) + cost_
    return "".join(f"{names} {_number(lines[names])}\n" for names in sorted(lines))


def from_text(text: str, *, unit: str) -> CallTree:
    """Return the tree of `to_text`'s form.

    Raises:
        ValueError: If a line does not end in a number; says which.
    """
    return call_tree(unit, (_parsed(line) for line in text.split("\n") if line.strip()))


def tree_of(stacks: Mapping[tuple[str, ...], float], *, unit: str) -> CallTree:
    """Return a tree of frames that have only names."""
    return call_tree(unit, ((tuple(map(Frame, names)), cost_) for names, cost_ in stacks.items()))


def _plain(name: str) -> str:
    return _SEPARATORS.sub(lambda found: ":" if found[0] == ";" else " ", name) or "???"


def _number(cost_: float) -> str:
    return str(int(cost_)) if cost_ == int(cost_) else repr(cost_)


def _parsed(line: str) -> tuple[Stack, float]:
    names, _, number = line.rpartition(" ")
    try:
        value = float(number)
    except ValueError:
        msg = f"no cost at the end of the folded stack {line!r}"
        raise ValueError(msg) from None
    return tuple(map(Frame, names.split(";"))), value
