from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from codspeed.errors import IncomparableError, UsageError
from codspeed.model import Bundle
from codspeed_report import resolve
from codspeed_report.store import use

if TYPE_CHECKING:
    from pathlib import Path

Make = Callable[..., Bundle]
RunId = Callable[[int], str]


def _pair(root: Path, base: str | None = None, head: str | None = None) -> tuple[str, str]:
    taken = use(root, lambda store: resolve.pair(store, base, head))
    return (taken[0].selection.run.run_id, taken[1].selection.run.run_id)


def test_the_base_is_the_newest_earlier_run_that_shares_a_benchmark(
    make: Make, root: Path, run_id: RunId
) -> None:
    make(1, {"a": 1.0, "b": 1.0})
    make(2, {"other": 1.0})
    make(3, {"a": 1.0}, executor="memory")
    make(4, {"a": 1.0}, variant={"python": "3.13"})
    make(5, {"a": 1.0})

    taken = use(root, lambda store: resolve.pair(store, None, None))

    assert [side.selection.run.run_id for side in taken] == [run_id(1), run_id(5)]
    assert taken[0].why == "the newest earlier run that shares benchmarks, 1 of 1"


def test_another_model_is_still_the_same_benchmark(make: Make, root: Path, run_id: RunId) -> None:
    make(1, {"a": 1.0}, model="w/1")
    make(2, {"a": 1.0}, model="w/2")

    assert _pair(root) == (run_id(1), run_id(2))


def test_runs_without_results_are_passed_over(make: Make, root: Path, run_id: RunId) -> None:
    make(1, {"a": 1.0})
    make(2, {"a": 1.0})
    make(3, {})

    assert _pair(root) == (run_id(1), run_id(2))


def test_runs_are_named_by_id_commit_branch_or_path(
    make: Make, root: Path, run_id: RunId, tmp_path: Path
) -> None:
    make(1, commit="1" * 40)
    make(2, commit="2" * 40, branch="topic")
    make(3, commit="1" * 40)
    outside = make(4, folder=tmp_path / "artifact")

    assert _pair(root, run_id(1), run_id(2)) == (run_id(1), run_id(2))
    assert _pair(root, "20261101", "20261102") == (run_id(1), run_id(2))
    assert _pair(root, "topic", "1111111") == (run_id(2), run_id(3))
    assert _pair(root, "topic", str(outside.path)) == (run_id(2), run_id(4))


def test_a_base_that_names_the_head_too_means_an_older_run(
    make: Make, root: Path, run_id: RunId
) -> None:
    make(1, branch="main")
    make(2, branch="main")

    assert _pair(root, "main") == (run_id(1), run_id(2))


def test_an_ambiguous_beginning_names_the_candidates(make: Make, root: Path, run_id: RunId) -> None:
    make(1)
    make(2)
    make(3)

    with pytest.raises(UsageError) as caught:
        _pair(root, "202611")

    assert run_id(1) in caught.value.problem
    assert run_id(2) in caught.value.problem


def test_an_ambiguous_commit_names_the_candidates(make: Make, root: Path) -> None:
    make(1, commit="ab" + "1" * 38)
    make(2, commit="ab" + "2" * 38)
    make(3)

    with pytest.raises(UsageError, match="is the beginning of 2 names: commit ab2222"):
        _pair(root, "ab")


def test_an_unknown_name_is_answered_with_what_there_is(
    make: Make, root: Path, run_id: RunId
) -> None:
    make(1, branch="topic")

    with pytest.raises(IncomparableError) as caught:
        _pair(root, "mian")

    assert caught.value.exit_code == 6
    assert "'mian'" in caught.value.problem
    assert caught.value.hint == f"newest runs: {run_id(1)}; their branches: topic"


def test_an_empty_store_has_nothing_to_compare(root: Path) -> None:
    with pytest.raises(IncomparableError, match="no run with results"):
        _pair(root)


def test_a_first_run_has_no_base(make: Make, root: Path) -> None:
    make(1)

    with pytest.raises(IncomparableError, match="no earlier run"):
        _pair(root)


def test_a_run_is_not_compared_with_itself(make: Make, root: Path, run_id: RunId) -> None:
    bundle = make(1)

    with pytest.raises(IncomparableError, match="no other run"):
        _pair(root, run_id(1), run_id(1))
    with pytest.raises(UsageError, match="same run"):
        _pair(root, str(bundle.path), run_id(1))
