from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codspeed.model import Integration, Outcome
from codspeed.orchestrate.absence import explain
from codspeed.testing.parts import make_part

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("label", "remedy"),
    [
        pytest.param("/x/env/bin/pytest tests", "pytest-codspeed older than 3.0", id="pytest"),
        pytest.param("python -m pytest", "pytest-codspeed older than 3.0", id="pytest as module"),
        pytest.param(
            "cargo-codspeed run", "cargo codspeed build -m walltime must come before", id="cargo"
        ),
        pytest.param("go test ./...", "needs -bench, and codspeed-go-runner", id="go"),
        pytest.param("npx vitest bench", "@codspeed/vitest-plugin must be", id="vitest"),
        pytest.param("./ergo", "built for mode walltime", id="anything else"),
    ],
)
def test_without_an_integration_the_command_tells_what_to_check(
    tmp_path: Path, label: str, remedy: str
) -> None:
    part = make_part(tmp_path, mode="walltime", label=label)

    assert explain(part).startswith("no integration introduced itself; ")
    assert remedy in explain(part)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("codspeed-cpp", "-DCODSPEED_MODE=walltime"),
        ("codspeed-rust", "cargo codspeed build -m walltime"),
        ("pytest-codspeed", "did every benchmark fail"),
        ("somebody's own", "built for mode walltime"),
    ],
)
def test_an_integration_that_measured_nothing_is_named(
    tmp_path: Path, name: str, remedy: str
) -> None:
    outcome = Outcome(0, integration=Integration(name, "2.3.0"))
    part = make_part(tmp_path, mode="walltime", label="./bench", outcome=outcome)

    assert explain(part).startswith(f"{name} 2.3.0 introduced itself and left no benchmark; ")
    assert remedy in explain(part)


@pytest.mark.parametrize(
    ("mode", "kind"), [("walltime", "analysis"), ("walltime", "valgrind"), ("memory", "walltime")]
)
def test_results_of_another_mode_are_named(tmp_path: Path, mode: str, kind: str) -> None:
    results(tmp_path, f'{{"instrument": {{"type": "{kind}"}}}}')
    part = make_part(tmp_path, mode=mode, label="./bench")

    assert explain(part).startswith(f"results were left for another mode ({kind}); ")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"instrument": {"type": "analysis"}}'])
def test_what_is_no_file_of_another_mode_says_nothing(tmp_path: Path, text: str) -> None:
    results(tmp_path, text)
    part = make_part(tmp_path, mode="memory", label="./bench")

    assert explain(part).startswith("no integration introduced itself; ")


def results(folder: Path, text: str) -> None:
    (folder / "results").mkdir()
    (folder / "results" / "1.json").write_text(text)
