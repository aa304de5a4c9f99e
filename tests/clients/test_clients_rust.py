"""codspeed-criterion-compat and codspeed-divan-compat as published, built by cargo codspeed.

The build takes minutes, so these are for the whole matrix.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Final

import pytest

pytestmark = [
    pytest.mark.process,
    pytest.mark.tool,
    pytest.mark.whole_matrix,
    pytest.mark.timeout(1200),  # criterion and divan are compiled, for each mode
    pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not on PATH"),
]

PROJECT: Final = Path(__file__).parent / "projects" / "rust"
# A build of cargo-codspeed for PyPI, ready to run; the crate itself would have to be compiled.
CARGO_CODSPEED: Final = "astral-dev-toolchain-cargo-codspeed==5.0.3"
CRITERION: Final = [
    "benches/with_criterion.rs::benches::numbers::fib10",
    "benches/with_criterion.rs::benches::numbers::sizes::fib[größe 8]",
]
DIVAN: Final = ["benches/with_divan.rs::fib_of[10]", "benches/with_divan.rs::fib_of[5]"]


@pytest.fixture(scope="session")
def built(workshop: Any) -> Path:
    """Return a repository with the project, its benchmarks built for both modes."""
    program = workshop.python("3.11", CARGO_CODSPEED).with_name("cargo-codspeed")

    def build(folder: Path) -> None:
        project = folder / "rust"
        shutil.copytree(PROJECT, project)
        workshop.call("git", "init", "--quiet", project)
        for mode in ("walltime", "simulation"):
            workshop.call(program, "build", "-m", mode, cwd=project)

    sources = sorted(path.read_text("utf-8") for path in PROJECT.rglob("*.*") if path.is_file())
    folder: Path = workshop.made("rust", (CARGO_CODSPEED, sources), build)
    (folder / "bin").mkdir(exist_ok=True)
    link = folder / "bin" / "cargo-codspeed"
    link.unlink(missing_ok=True)
    link.symlink_to(program)
    return folder


def path(folder: Path) -> str:
    return f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize("mode", ["walltime", "simulation", "memory"])
def test_criterion_and_divan(mode: str, built: Path, measure: Any, cells: Any) -> None:
    """The pid of the results file is cargo-codspeed's, those on the FIFO are the benchmarks'."""
    run = measure(built / "rust", mode, "cargo", "codspeed", "run", PATH=path(built))

    assert run.status == 0, run.log
    assert sorted(run.results) == sorted(CRITERION + DIVAN)
    for crate in ("criterion", "divan"):
        cells.note(f"codspeed-{crate}-compat 6.0.0, cargo-codspeed 5.0.3, protocol 2", mode)


def test_what_was_built_for_another_mode_is_named_with_the_remedy(
    built: Path, measure: Any, tmp_path: Path
) -> None:
    project = tmp_path / "unbuilt"
    ignored = shutil.ignore_patterns("walltime")
    shutil.copytree(built / "rust", project, ignore=ignored, symlinks=True)

    run = measure(project, "walltime", "cargo", "codspeed", "run", PATH=path(built))

    assert run.status == 4
    assert "cargo codspeed build -m walltime" in run.log
