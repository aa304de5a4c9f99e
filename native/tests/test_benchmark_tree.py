"""Which part of a program's stacks is the benchmark's."""

from __future__ import annotations

from codspeed.model import Frame
from codspeed_native.benchmark_tree import benchmark_tree
from codspeed_native.unwind import End


def test_stacks_are_cut_at_the_root_frame_and_what_is_not_whole_is_kept_apart() -> None:
    main, root, leaf = Frame("main"), Frame("f.__codspeed_root_frame__.<locals>"), Frame("leaf")
    tree = benchmark_tree("samples", [
        ((main, root, leaf), End.ROOT, 3),
        ((root, leaf), End.CUT, 2),
        ((main,), End.ROOT, 1),
        ((leaf,), End.CUT, 4),
    ])  # fmt: skip
    names = {tuple(each.function for each in stack): n for stack, n in tree.stacks.items()}

    assert names == {
        ("__codspeed_root_frame__", "leaf"): 5,
        ("[harness]",): 1,
        ("[truncated]", "leaf"): 4,
    }


def test_without_a_root_frame_stacks_stay_as_they_are() -> None:
    main, leaf = Frame("main"), Frame("leaf")
    tree = benchmark_tree("bytes", [((main, leaf), End.ROOT, 3), ((main, leaf), End.ROOT, 4)])

    assert (tree.unit, tree.stacks) == ("bytes", {(main, leaf): 7})
