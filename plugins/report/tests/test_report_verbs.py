from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from codspeed.errors import IncomparableError
from codspeed.model import Bundle, Kind
from codspeed_report import descriptor
from codspeed_report.render import ONE_INVOCATION, age

if TYPE_CHECKING:
    from pathlib import Path

Make = Callable[..., Bundle]
RunId = Callable[[int], str]
_SECOND = 1_000_000_000


def _invoke(app: Any, verb: str, arguments: Sequence[str] = ()) -> None:
    command = getattr(descriptor, verb).load()(app)
    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_compare_shows_runs_changes_and_no_verdict(make: Make, app: Any, run_id: RunId) -> None:
    make(1, {"a.py::f[x]": 1000.0}, commit="1" * 40)
    make(2, {"a.py::f[x]": 1012.0}, branch="topic")

    _invoke(app, "compare")

    first = app.printed[0]
    assert first.startswith(f"Comparing {run_id(2)} (no commit, branch topic, ")
    assert f"{run_id(1)} (commit 1111111111, branch main, " in first
    assert "f[x]" in app.shown
    assert "1.01 \u00b5s" in app.shown
    assert "+1.2%" in app.shown
    assert "3.0% / 3.0%" in app.shown
    assert ONE_INVOCATION in app.shown


def test_compare_of_exact_metrics_says_what_changed(make: Make, app: Any) -> None:
    make(1, {"a": 1000, "b": 7}, kind=Kind.EXACT)
    make(2, {"a": 1001, "b": 7}, kind=Kind.EXACT)

    _invoke(app, "compare")

    assert "changed by +1" in app.shown
    assert "unchanged" in app.shown
    assert ONE_INVOCATION not in app.shown


def test_compare_writes_json_for_programs(make: Make, app: Any, run_id: RunId) -> None:
    make(1, {"a": 1000.0})
    make(2, {"a": 1100.0})

    _invoke(app, "compare", ["--json"])

    document = json.loads("".join(app.written))
    assert document["schema"] == "codspeed.compare/1"
    assert document["head"]["run_id"] == run_id(2)
    (row,) = document["rows"]
    assert (row["uri"], row["metric"], row["status"]) == ("a", "time", "no-verdict")
    assert row["change"] == pytest.approx(0.1)
    assert row["base"]["spread"] == pytest.approx(0.03)


def test_compare_fails_when_nothing_is_comparable_but_shows_why(make: Make, app: Any) -> None:
    make(1, {"a": 1.0})
    make(2, {"a": 1.0}, machine={"cpu_model": "Xeon"})

    with pytest.raises(IncomparableError, match="cpu_model: EPYC \u2192 Xeon"):
        _invoke(app, "compare")

    assert "incomparable; cpu_model: EPYC \u2192 Xeon" in app.shown


def test_the_store_option_names_another_folder(make: Make, app: Any, tmp_path: Path) -> None:
    app.options["store"] = tmp_path / "other"

    _invoke(app, "store", ["path"])

    assert app.written == [f"{tmp_path / 'other'}\n"]
    assert not (tmp_path / "other").exists()


def test_list_shows_the_newest_first(make: Make, app: Any, run_id: RunId) -> None:
    for day in (1, 2, 3):
        make(day, variant={"python": "3.12"})

    _invoke(app, "store", ["list", "--limit", "2"])

    assert app.shown.index(run_id(3)) < app.shown.index(run_id(2))
    assert run_id(1) not in app.shown
    assert "python=3.12" in app.shown


def test_list_as_json(make: Make, app: Any, run_id: RunId) -> None:
    make(1, profile_bytes=5)

    _invoke(app, "store", ["list", "--json"])

    document = json.loads("".join(app.written))
    assert document["schema"] == "codspeed.store.list/1"
    (run,) = document["runs"]
    assert (run["run_id"], run["modes"], run["profile_bytes"]) == (run_id(1), ["walltime"], 5)


def test_list_of_an_empty_store_says_so(app: Any) -> None:
    _invoke(app, "store", ["list"])

    assert app.shown.startswith("no run is stored in")


def test_list_names_bundles_that_can_not_be_read(make: Make, app: Any) -> None:
    make(1)
    (make(2).path / "results.json").write_text("{")

    _invoke(app, "store", ["list"])

    assert "a bundle is left out of the store" in app.shown


def test_show_prints_numbers_and_machine(make: Make, app: Any, run_id: RunId) -> None:
    make(1, {"a.py::f": 1000.0})

    _invoke(app, "store", ["show", run_id(1)])

    assert "cpu_model: EPYC" in app.shown
    assert "1.00 \u00b5s" in app.shown
    assert f"bundle: {app.folder / 'bundles' / run_id(1)}" in app.shown.replace("\n", "")


def test_show_as_json(make: Make, app: Any, run_id: RunId) -> None:
    make(1, {"a.py::f": 1000.0})

    _invoke(app, "store", ["show", "main", "--json"])

    document = json.loads("".join(app.written))
    assert document["schema"] == "codspeed.store.show/1"
    assert document["results"][0]["value"] == 1000.0
    assert document["parts"][0]["comparability"]["refuses"] == ["cpu_model"]


def test_gc_removes_only_what_is_over_the_budget(make: Make, app: Any, run_id: RunId) -> None:
    old, new = make(1, profile_bytes=2048), make(2, profile_bytes=2048)

    _invoke(app, "store", ["gc", "--keep-bytes", "3KB", "--dry-run"])
    assert (old.path / "profiles").is_dir()
    _invoke(app, "store", ["gc", "--keep-bytes", "3KB"])
    _invoke(app, "store", ["show", run_id(1)])

    assert not (old.path / "profiles").exists()
    assert (new.path / "profiles").is_dir()
    assert "would remove the profiles of" in app.shown
    assert "removed 2 KB in all; 2 KB stay" in app.shown
    assert "profiles: removed by `codspeed store gc`" in app.shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "just now"), (59, "just now"), (60, "1 minute ago"), (7200, "2 hours ago")],
)
def test_ages_are_words(seconds: int, text: str) -> None:
    assert age(seconds * _SECOND) == text


def test_show_of_a_bundle_elsewhere_names_its_place(make: Make, app: Any, tmp_path: Path) -> None:
    bundle = make(1, folder=tmp_path / "artifact")

    _invoke(app, "store", ["show", str(bundle.path)])

    assert f"bundle: {bundle.path}" in app.shown.replace("\n", "")
