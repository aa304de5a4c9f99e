"""The verb `flame`: whose profile, and how it is shown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from click.testing import CliRunner

from codspeed import bundle as bundles
from codspeed.errors import IncomparableError, UsageError
from codspeed.model import Bundle, CallTree, Frame
from codspeed_report import descriptor, flame, flame_render
from codspeed_report.flame import NoProfileError

if TYPE_CHECKING:
    from codspeed.model import RunPart

Make = Callable[..., Bundle]

MAIN = Frame("main", kind="python", location="/src/suite/bench/a.py")
READ = Frame("read[x]", kind="python", location="/src/suite/bench/a.py")
EVAL = Frame("eval", module="/lib/libpython3.so", kind="interpreter")
COPY = Frame("memcpy", module="/lib/libc.so.6")
TREE = CallTree("Ir", {(MAIN,): 100, (MAIN, READ): 700, (MAIN, READ, COPY): 195, (MAIN, COPY): 5})


@attrs.frozen
class FakeProfiles:
    """An executor that has profiles of some benchmarks, and one that has none."""

    options: Mapping[str, Any]
    trees: Mapping[str, CallTree]

    def profile(self, part: RunPart, uri: str) -> CallTree | None:
        assert part.folder.is_dir()
        return self.trees.get(uri)


@pytest.fixture
def profiled(app: Any, make: Make) -> Any:
    """An app whose newest run has two benchmarks; `a.py::fast` has a profile."""
    make(1, profile_bytes=1)
    make(2, profile_bytes=1)
    app.executors["walltime"] = lambda options: FakeProfiles(options, {"a.py::fast": TREE})
    return app


def _invoke(app: Any, *arguments: str) -> str:
    command = descriptor.flame.load()(app)
    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return "".join(app.written)


def test_the_table_shows_functions_by_their_own_cost(profiled: Any) -> None:
    shown = _invoke(profiled, "fast")

    assert [line.split() for line in shown.splitlines()] == [
        ["Self", "Self", "%", "Total", "Total", "%", "Function", "Where"],
        ["700", "Ir", "70.0%", "895", "Ir", "89.5%", "read[x]", "…/bench/a.py"],
        ["200", "Ir", "20.0%", "200", "Ir", "20.0%", "memcpy", "libc.so.6"],
        ["100", "Ir", "10.0%", "1,000", "Ir", "100.0%", "main", "…/bench/a.py"],
    ]
    (headline,) = profiled.printed
    assert headline.startswith("a.py::fast: 1,000 Ir in walltime of run 20261102T")


def test_a_short_table_says_how_much_is_left(profiled: Any) -> None:
    shown = _invoke(profiled, "fast", "--limit", "1")

    assert shown.splitlines()[-1].split() == ["300", "Ir", "30.0%", "2", "more"]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ((), "main 2\nmain;memcpy 1\n"),
        (("--interpreter",), "eval;main;eval;memcpy 1\nmain;eval 2\n"),
    ],
)
def test_what_an_interpreter_does_counts_for_the_function_that_it_runs(
    options: tuple[str, ...], shown: str, profiled: Any
) -> None:
    tree = CallTree("Ir", {(EVAL, MAIN, EVAL, COPY): 1, (MAIN, EVAL): 2})
    profiled.executors["walltime"] = lambda options: FakeProfiles(options, {"a.py::fast": tree})

    assert _invoke(profiled, "fast", "--folded", *options) == shown


def test_an_interpreter_is_shown_where_nothing_that_it_runs_has_a_name(profiled: Any) -> None:
    tree = CallTree("Ir", {(EVAL, COPY): 1, (EVAL,): 2})
    profiled.executors["walltime"] = lambda options: FakeProfiles(options, {"a.py::fast": tree})

    assert _invoke(profiled, "fast", "--folded") == "eval 2\neval;memcpy 1\n"


def test_the_tree_shows_callers_above_callees(profiled: Any) -> None:
    shown = _invoke(profiled, "fast", "--tree")

    assert shown.splitlines() == [
        "1,000 Ir",
        "└── 100.0% main  self 10.0%  …/bench/a.py",
        "    └── 89.5% read[x]  self 70.0%  …/bench/a.py",
        "        └── 19.5% memcpy  libc.so.6",
    ]


def test_the_tree_shows_small_shares_on_request(profiled: Any) -> None:
    shown = _invoke(profiled, "fast", "--tree", "--min-percent", "0")

    assert "    └── 0.5% memcpy  libc.so.6" in shown.splitlines()


def test_folded_stacks_are_for_other_viewers(profiled: Any) -> None:
    shown = _invoke(profiled, "fast", "--folded")

    assert shown == "main 100\nmain;memcpy 5\nmain;read[x] 700\nmain;read[x];memcpy 195\n"
    assert profiled.printed == []


def test_a_part_that_was_measured_in_slices_is_searched_slice_by_slice(
    profiled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class InSecondSlice(FakeProfiles):
        def profile(self, part: RunPart, uri: str) -> CallTree | None:
            return self.trees.get(uri) if part.folder.name == "slice-001" else None

    restore = bundles.restore_part
    monkeypatch.setattr(bundles, "restore_part", lambda *of: attrs.evolve(restore(*of), slices=2))
    profiled.executors["walltime"] = lambda options: InSecondSlice(options, {"a.py::fast": TREE})

    assert _invoke(profiled, "fast", "--folded").splitlines()[0] == "main 100"


def test_json_holds_everything(profiled: Any) -> None:
    document = json.loads(_invoke(profiled, "fast", "--json"))

    assert document["schema"] == "codspeed.flame/1"
    assert (document["uri"], document["unit"], document["total"]) == ("a.py::fast", "Ir", 1000)
    names = [function["function"] for function in document["functions"]]
    stacks = {
        tuple(names[index] for index in stack["functions"]): stack["self"]
        for stack in document["stacks"]
    }
    assert stacks == {
        tuple(frame.function for frame in stack): cost for stack, cost in TREE.stacks.items()
    }
    assert document["functions"][0] == {
        "function": "read[x]",
        "module": "",
        "kind": "python",
        "location": "/src/suite/bench/a.py",
        "self": 700,
        "total": 895,
    }


class SeveralProfiles(FakeProfiles):
    def profiles(self, part: RunPart, uri: str) -> Mapping[str, CallTree]:
        return {"usual": TREE, "leaked": CallTree("B", {(READ,): 7}), "none": CallTree("B", {})}


def test_one_of_several_profiles_may_be_named(profiled: Any) -> None:
    profiled.executors["walltime"] = lambda options: SeveralProfiles(options, {})

    document = json.loads(_invoke(profiled, "fast", "--of", "leaked", "--json"))

    assert (document["of"], document["total"]) == ("leaked", 7)


@pytest.mark.parametrize(
    ("of", "said"),
    [("peak", "its profiles are usual, leaked, none"), ("none", "nothing in its profile 'none'")],
)
def test_a_profile_that_is_not_there_is_said_so(profiled: Any, of: str, said: str) -> None:
    profiled.executors["walltime"] = lambda options: SeveralProfiles(options, {})

    with pytest.raises(NoProfileError, match=said):
        _invoke(profiled, "fast", "--of", of)


def test_most_executors_have_no_other_profiles(profiled: Any) -> None:
    with pytest.raises(NoProfileError, match="no profiles of that kind"):
        _invoke(profiled, "fast", "--of", "leaked")


def test_two_forms_at_once_are_refused(profiled: Any) -> None:
    with pytest.raises(UsageError, match="two forms of one output"):
        _invoke(profiled, "fast", "--json", "--folded")


def test_the_executor_gets_the_options_it_measured_with(app: Any, make: Make) -> None:
    seen: list[Mapping[str, Any]] = []
    make(1, profile_bytes=1)

    def load(options: Mapping[str, Any]) -> FakeProfiles:
        seen.append(options)
        return FakeProfiles(options, {"a.py::fast": TREE})

    app.executors["walltime"] = load
    _invoke(app, "fast")

    assert seen == [{}]


def test_a_run_may_be_named(profiled: Any) -> None:
    _invoke(profiled, "fast", "20261101")

    assert "run 20261101T120000" in profiled.shown
    assert "(named)" in profiled.shown


@pytest.mark.parametrize("text", ["a.py::fast", "fast", "::fa"])
def test_a_uri_a_name_or_a_unique_part_will_do(make: Make, text: str) -> None:
    found = flame.find(make(1), text)

    assert [each.uri for each in found] == ["a.py::fast"]


def test_a_name_that_is_part_of_another_is_still_unique(make: Make) -> None:
    bundle = make(1, {"a.py::f": 1.0, "a.py::f_two": 2.0})

    assert [each.uri for each in flame.find(bundle, "f")] == ["a.py::f"]


def test_an_ambiguous_word_lists_what_it_may_mean(make: Make) -> None:
    with pytest.raises(
        UsageError, match=r"part of 2 benchmarks: a\.py::fast, a\.py::slow"
    ) as caught:
        flame.find(make(1), "a.py")

    assert caught.value.exit_code == 2


def test_an_unknown_word_lists_what_is_near(make: Make) -> None:
    with pytest.raises(UsageError, match="has 'fasst' in its URI") as caught:
        flame.find(make(1), "fasst")

    assert "a.py::fast" in (caught.value.hint or "")


def test_a_mode_without_benchmarks_is_said_so(make: Make) -> None:
    with pytest.raises(UsageError, match="in mode memory"):
        flame.find(make(1), "fast", "memory")


def test_a_benchmark_without_a_profile_says_why(profiled: Any) -> None:
    with pytest.raises(NoProfileError, match="walltime recorded no call stacks for it"):
        _invoke(profiled, "slow")


def test_removed_profiles_are_named_as_such(profiled: Any, make: Make) -> None:
    bundle = make(3, profile_bytes=1)
    shutil.rmtree(bundles.part_folder(bundle, bundle.manifest.parts[0]))

    with pytest.raises(NoProfileError, match="removed by `codspeed store gc`"):
        _invoke(profiled, "fast")


def test_an_empty_store_is_said_so(app: Any) -> None:
    with pytest.raises(IncomparableError, match="no run with results is stored"):
        _invoke(app, "fast")


def test_deep_stacks_are_no_problem() -> None:
    stack = tuple(Frame(f"f{index}") for index in range(3000))

    top = flame.nested(CallTree("Ir", {stack: 1}))

    assert top.total_cost == 1
    assert "100.0% f20" in flame_render.plain(
        flame_render.indented(CallTree("Ir", {stack[:40]: 1}), least_percent=1)
    )
