"""The workflows of docs/workflows are whole files that the CI they are for can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

FOLDER: Final = Path(__file__).parents[1] / "docs" / "workflows"
GITHUB: Final = sorted(FOLDER.glob("github-*.yml"))
ACTION: Final = FOLDER.parents[1] / "action.yml"
MODES: Final = {"simulation", "walltime", "memory"}


def document(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(path.read_text("utf-8"), yaml.BaseLoader)
    return loaded


@pytest.mark.parametrize("path", GITHUB, ids=lambda path: path.stem)
def test_a_workflow_of_github_measures_with_the_action(path: Path) -> None:
    job = document(path)["jobs"]["benchmarks"]
    (step,) = [step for step in job["steps"] if "codspeed@" in step.get("uses", "")]
    modes = job.get("strategy", {}).get("matrix", {}).get("mode", [step["with"]["mode"]])

    assert step["uses"] == "OWNER/codspeed@main"
    assert set(step["with"]) <= set(document(ACTION)["inputs"])
    assert set(modes) <= MODES
    assert "fetch-depth" in job["steps"][0]["with"]


def test_there_is_one_for_every_language_and_each_other_ci() -> None:
    assert [path.stem for path in GITHUB] == [
        f"github-{language}" for language in ("cpp", "go", "node", "python", "rust")
    ]
    assert document(FOLDER / "gitlab.yml")["benchmarks"]["script"]
    assert document(FOLDER / "buildkite.yml")["steps"][0]["command"]


def test_the_overview_names_every_file() -> None:
    overview = (FOLDER / "README.md").read_text("utf-8")

    assert [path.name for path in FOLDER.glob("*.yml") if f"({path.name})" not in overview] == []
