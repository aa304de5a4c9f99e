"""Go through our `go`: the module of codspeed-go is not on Go's proxy, so the client is ours.

`projects/go/runner_test.go` speaks protocol 2 as codspeed-go does, markers after Stop included.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.process,
    pytest.mark.tool,
    pytest.mark.whole_matrix,
    pytest.mark.skipif(shutil.which("go") is None, reason="go is not on PATH"),
]

BENCH: Final = ("go", "test", "-bench=.", "-benchtime=100x", "./...")
# Its checksum is unknown, so that nothing is fetched where codspeed-go-runner is not on PATH.
NOT_FETCHED: Final = {"CODSPEED_GO_RUNNER_VERSION": "0.0.0"}
CLIENT: Final = "a Go client of ours (codspeed-go is not on the module proxy), protocol 2"


@pytest.fixture
def go_project(project: Callable[[str], Path]) -> Path:
    if shutil.which("codspeed-go-runner"):
        pytest.skip("codspeed-go-runner is on PATH and would replace the testing package")
    return project("go")


def test_benchmarks_are_measured_in_walltime(go_project: Path, measure: Any, cells: Any) -> None:
    run = measure(go_project, "walltime", *BENCH, **NOT_FETCHED)

    assert run.status == 0, run.log
    assert list(run.results) == [
        "fib_test.go::BenchmarkFib",
        "fib_test.go::BenchmarkSizes::größe=15",
    ]
    assert "codspeed-go-runner is not on PATH" in run.log
    cells.note(CLIENT, "walltime")


@pytest.mark.parametrize("mode", ["simulation", "memory"])
def test_benchmarks_in_another_mode_say_why(
    mode: str, go_project: Path, measure: Any, cells: Any
) -> None:
    run = measure(go_project, mode, " ".join(BENCH))  # shell text, as most write it

    assert run.status == 4
    assert f"Go benchmarks can't be measured in mode {mode}" in run.log
    cells.note(CLIENT, mode, "no such mode; the error says so")


def test_go_itself_works_where_it_cannot_be_measured(go_project: Path, measure: Any) -> None:
    run = measure(go_project, "simulation", "go vet ./...", options=("--allow-empty",))

    assert run.status == 0, run.log
