"""Splitting a suite: dealing, targets, pytest's command line and what it collects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed.model import (
    BenchmarkResult,
    CallTree,
    ExecTarget,
    Frame,
    Launch,
    Outcome,
    RunPart,
)
from codspeed.orchestrate.pytest_slices import (
    PytestCommand,
    PytestSlicer,
    node_ids,
    parse,
    words_of,
)
from codspeed.orchestrate.slices import TargetSlicer, deal, profile_of, results_of, timeline_of
from codspeed.protocols import ExecutorDefaults, Session

if TYPE_CHECKING:
    from collections.abc import Sequence

PATHS = {"tests", "tests/test_a.py", "a b.py", "x"}


def exists(path: str) -> bool:
    return path in PATHS


def part(*, slices: int = 0) -> RunPart:
    return RunPart(0, "fake", "fake", "fake", Launch(()), Path("folder"), slices=slices)


class Reader(ExecutorDefaults):
    """Finds benchmarks named after the folder it reads."""

    def __init__(self, found: dict[str, list[str]]) -> None:
        super().__init__()
        self.found = found

    def measure(self, part: RunPart, session: Session) -> Outcome:
        raise NotImplementedError

    def results(self, part: RunPart) -> Sequence[BenchmarkResult]:
        return [BenchmarkResult(uri, uri, ()) for uri in self.found[part.folder.name]]

    def profile(self, part: RunPart, uri: str) -> CallTree | None:
        if uri not in self.found[part.folder.name]:
            return None
        return CallTree("count", {(Frame(part.folder.name),): 1})


# --- slices and pieces ----------------------------------------------------------------------------


@given(st.lists(st.integers()), st.integers(1, 9))
def test_everything_is_dealt_once_and_evenly(items: list[int], count: int) -> None:
    hands = deal(items, count)

    assert sorted(item for hand in hands for item in hand) == sorted(items)
    assert {len(hand) for hand in hands} <= {len(items) // count, len(items) // count + 1} | {1}
    assert len(hands) == min(count, len(items))


def test_pieces_lie_in_folders_of_names_of_one_length() -> None:
    pieces = part(slices=12).pieces

    assert [piece.folder.name for piece in pieces[::11]] == ["slice-000", "slice-011"]
    assert all(piece.pieces == (piece,) for piece in pieces)
    assert part().pieces == (part(),)


def test_results_come_back_in_the_order_in_which_they_were_dealt() -> None:
    executor = Reader({"slice-000": ["a", "c", "e"], "slice-001": ["b", "d"]})

    assert [result.uri for result in results_of(executor, part(slices=2))] == list("abcde")


def test_a_benchmark_of_two_slices_is_told_of() -> None:
    executor = Reader({"slice-000": ["a"], "slice-001": ["a"]})

    (result,) = results_of(executor, part(slices=2))

    assert result.notes == ("measured in several slices; this is the first",)


def test_a_profile_comes_from_the_piece_that_has_it() -> None:
    executor = Reader({"slice-000": ["a"], "slice-001": ["b"]})

    tree = profile_of(executor, part(slices=2), "b")

    assert tree is not None
    assert tree.stacks == {(Frame("slice-001"),): 1}
    assert profile_of(executor, part(slices=2), "c") is None
    assert timeline_of(executor, part(slices=2), "a") is None


# --- targets --------------------------------------------------------------------------------------


def sliced_targets(*targets: ExecTarget, count: int = 2) -> list[list[ExecTarget]]:
    given: list[list[ExecTarget]] = []

    def command(number: int, hand: Sequence[ExecTarget]) -> Launch:
        assert number == len(given)
        given.append(list(hand))
        return Launch((str(number),))

    slices = TargetSlicer(targets, command).slices(Launch(("whole",)), count)
    assert len(slices.launches) == max(1, len(given))
    assert slices.model_suffix == ""
    return given


def test_targets_are_dealt_over_harnesses() -> None:
    a, b, c = (ExecTarget((name,)) for name in "abc")

    assert sliced_targets(a, b, c) == [[a, c], [b]]


def test_the_same_benchmark_stays_in_one_slice() -> None:
    a, b, again = ExecTarget(("a",)), ExecTarget(("b",)), ExecTarget(("a",))

    assert sliced_targets(a, b, again) == [[a, again], [b]]


def test_one_command_is_not_split() -> None:
    assert sliced_targets(ExecTarget(("a",)), ExecTarget(("a",))) == []


# --- pytest's command line ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "start", "options", "chosen"),
    [
        ("pytest", 1, "", ""),
        ("/venv/bin/pytest tests", 1, "", "tests"),
        ("python -m pytest tests -q", 3, "-q", "tests"),
        ("python3.13t -P -Wignore -m pytest", 5, "", ""),
        ("uv run pytest -x tests/test_a.py::test_x", 3, "-x", "tests/test_a.py::test_x"),
        ("poetry run python -m pytest", 5, "", ""),
        ("pytest -k x tests", 1, "-k x", "tests"),
        ("pytest -kx tests", 1, "-kx", "tests"),
        ("pytest -qxk x tests", 1, "-qxk x", "tests"),
        ("pytest -p no:cacheprovider -m x", 1, "-p no:cacheprovider -m x", ""),
        ("pytest --rootdir x --lf tests", 1, "--rootdir x --lf", "tests"),
        ("pytest --rootdir=x tests --codspeed x", 1, "--rootdir=x --codspeed", "tests x"),
        ("pytest --unknown -q", 1, "--unknown -q", ""),
        ("pytest --unknown value", 1, "--unknown value", ""),
        ("pytest --unknown=x tests", 1, "--unknown=x", "tests"),
    ],
)
def test_a_pytest_command_is_taken_apart(text: str, start: int, options: str, chosen: str) -> None:
    words = tuple(text.split())

    assert parse(words, exists) == PytestCommand(
        words[:start], tuple(options.split()), tuple(chosen.split())
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "python bench.py",
        "python -m unittest",
        "python -c pass -m pytest",
        "tox",
        "uv run",
        "pytest missing",
        "pytest -n 2",
        "pytest -n2 tests",
        "pytest --numprocesses=2",
        "pytest --pyargs x",
        "pytest @list",
        "pytest --unknown x",
        "pytest -- tests",
        "pytest --collect-only",
    ],
)
def test_what_is_not_understood_is_not_split(text: str) -> None:
    assert parse(text.split(), exists) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pytest tests -q", ("pytest", "tests", "-q")),
        ("pytest -k 'a or b'", ("pytest", "-k", "a or b")),
        ("cd x && pytest", None),
        ("pytest | tee log", None),
        ("pytest $FLAGS", None),
        ("pytest 'open", None),
        ("pytest tests/*", None),
    ],
)
def test_shell_text_is_read_where_a_shell_only_cuts_words(
    text: str, words: tuple[str, ...] | None
) -> None:
    assert words_of(("bash", "-c", text)) == words


def test_an_argv_is_never_shell_text() -> None:
    assert words_of(("pytest", "-k", "a | b")) == ("pytest", "-k", "a | b")


# --- what pytest collects -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "found"),
    [
        ("a.py::x\na.py::y[1]\n\n2 tests collected in 0.01s\n", ["a.py::x", "a.py::y[1]"]),
        ("a.py::x\n\n1/6 tests collected (5 deselected) in 0.01s\n", ["a.py::x"]),
        ("a.py::x\n==== 0 benchmarked ====\n\n1 test collected in 0.01s\n", ["a.py::x"]),
        ("a.py::x\nnoise of::a plugin\n\n1 test collected in 0.01s\n", []),
        ("a.py: 2\n\n2 tests collected in 0.01s\n", []),
        ("\nno tests collected in 0.01s\n", []),
        ("", []),
    ],
)
def test_node_ids_are_believed_if_they_are_as_many_as_told(output: str, found: list[str]) -> None:
    assert node_ids(output) == found


def listing(*ids: str) -> str:
    return "".join(f"{each}\n" for each in ids) + f"\n{len(ids)} tests collected in 0.01s\n"


class Pytest:
    """Collects what it has; with `addopts`, that as well."""

    def __init__(self, *ids: str, addopts: tuple[str, ...] = ()) -> None:
        self.ids = ids
        self.addopts = addopts

    def __call__(self, launch: Launch) -> str:
        assert launch.argv[:2] == ("pytest", "-q")
        assert "--collect-only" in launch.argv
        named = [word for word in launch.argv if "::" in word]
        return listing(*dict.fromkeys([*(named or self.ids), *self.addopts]))


def test_a_suite_is_split_by_node_ids() -> None:
    slicer = PytestSlicer(Pytest("a.py::x", "a.py::y", "a.py::z"), exists)
    launch = Launch(("bash", "-c", "pytest -q tests"), cwd=Path("here"))

    slices = slicer.slices(launch, 2)

    assert slices.launches == (
        Launch(("pytest", "-q", "a.py::x", "a.py::z"), cwd=Path("here")),
        Launch(("pytest", "-q", "a.py::y"), cwd=Path("here")),
    )
    assert slices.model_suffix == "/jobs=2"


@pytest.mark.parametrize(
    ("collected", "argv", "why"),
    [
        (Pytest(), ("make", "bench"), "it is no plain pytest command"),
        (Pytest(), ("pytest", "-q"), "its tests could not be listed"),
        (Pytest("a.py::x"), ("pytest", "-q"), "it has one test only"),
        (
            Pytest("a.py::x", "b.py::y", addopts=("b.py::y",)),
            ("pytest", "-q"),
            "naming tests one by one does not choose exactly those",
        ),
        (
            Pytest(*(f"a.py::{i}" + "x" * 5000 for i in range(500))),
            ("pytest", "-q"),
            "it has too many tests to name",
        ),
    ],
)
def test_what_can_not_be_split_runs_in_one_piece(
    collected: Pytest, argv: tuple[str, ...], why: str
) -> None:
    launch = Launch(argv)

    slices = PytestSlicer(collected, exists).slices(launch, 2)

    assert slices.launches == (launch,)
    assert slices.why_whole == why
