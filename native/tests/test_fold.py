"""Folded stacks: sums are kept, text comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed.model import CallTree, Frame
from codspeed_native import fold

STACKS = st.dictionaries(
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6).map(tuple),
    st.integers(1, 1000),
    max_size=12,
)


def test_self_and_total_count_recursion_once() -> None:
    tree = fold.tree_of({("main", "f", "f"): 5, ("main", "f"): 2, ("main",): 1}, unit="Ir")

    rows = {row.frame.function: (row.self_cost, row.total_cost) for row in fold.table(tree)}

    assert rows == {"f": (7, 7), "main": (1, 8)}


def test_text_is_what_other_viewers_read() -> None:
    tree = fold.tree_of({("a", "b"): 3, ("a",): 1.5, ("x;y", "p\nq"): 1}, unit="Ir")

    assert fold.to_text(tree) == "a 1.5\na;b 3\nx:y;p q 1\n"


@given(STACKS)
def test_text_comes_back(stacks: dict[tuple[str, ...], float]) -> None:
    tree = fold.tree_of(stacks, unit="Ir")

    assert fold.from_text(fold.to_text(tree), unit="Ir") == tree


def test_names_with_spaces_come_back() -> None:
    tree = fold.tree_of({("(below main)", "operator new(unsigned long)"): 7}, unit="Ir")

    assert fold.from_text(fold.to_text(tree), unit="Ir") == tree


def test_text_without_a_cost_is_refused() -> None:
    with pytest.raises(ValueError, match="no cost at the end of the folded stack 'a;b c'"):
        fold.from_text("a;b c", unit="Ir")


@given(STACKS, STACKS)
def test_merging_adds(
    first: dict[tuple[str, ...], float], second: dict[tuple[str, ...], float]
) -> None:
    trees = [fold.tree_of(stacks, unit="Ir") for stacks in (first, second)]

    merged = fold.merge(trees)

    assert merged is not None
    for stack in {*trees[0].stacks, *trees[1].stacks}:
        parts = [tree.stacks.get(stack, 0) for tree in trees]
        assert merged.stacks[stack] == sum(parts)


def test_merging_needs_one_unit() -> None:
    with pytest.raises(ValueError, match="different units"):
        fold.merge([CallTree("Ir", {}), CallTree("ns", {})])

    assert fold.merge([]) is None


def test_a_root_cuts_off_what_is_above_and_gathers_what_is_beside() -> None:
    tree = fold.tree_of(
        {("x", "root", "f"): 5, ("y", "root2", "root", "f"): 2, ("x",): 1, ("z", "w"): 1}, unit="Ir"
    )
    root, outside = Frame("R"), Frame("O")

    cut = fold.rooted(
        tree, lambda frame: frame.function.startswith("root"), root=root, outside=outside
    )

    assert cut.stacks == {
        (root, Frame("f")): 5,
        (root, Frame("root"), Frame("f")): 2,
        (outside,): 2,
    }


def test_without_any_root_the_tree_stays() -> None:
    tree = fold.tree_of({("a", "b"): 1}, unit="Ir")

    assert fold.rooted(tree, lambda _: False, root=Frame("R"), outside=Frame("O")) == tree


def test_collapsed_frames_cost_their_nearest_visible_caller() -> None:
    tree = fold.tree_of(
        {("h1", "a", "h2", "b"): 1, ("a", "h2"): 2, ("h1", "h2"): 4, ("a",): 8}, unit="Ir"
    )

    shown = fold.collapse(tree, lambda frame: frame.function.startswith("h"))

    names = {tuple(frame.function for frame in stack): cost for stack, cost in shown.stacks.items()}
    assert names == {("a", "b"): 1, ("a",): 10, ("h1",): 4}


@given(STACKS, st.sets(st.sampled_from("abcdef")))
def test_nothing_is_lost_by_collapsing_and_cutting(
    stacks: dict[tuple[str, ...], float], chosen: set[str]
) -> None:
    tree = fold.tree_of(stacks, unit="Ir")

    collapsed = fold.collapse(tree, lambda frame: frame.function in chosen)
    cut = fold.rooted(
        tree, lambda frame: frame.function in chosen, root=Frame("R"), outside=Frame("O")
    )

    assert fold.cost(collapsed) == fold.cost(cut) == fold.cost(tree)
