"""Whole runs: the profile finds the functions that burn, as much as they burn (70 to 30)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codspeed import bundle
from codspeed.testing import fifo_lock
from codspeed_native import fold, perf_event
from codspeed_walltime import profiles
from codspeed_walltime.executor import WalltimeExecutor

if TYPE_CHECKING:
    from codspeed.model import Bundle, CallTree

pytestmark = [pytest.mark.tool, pytest.mark.process]

# Turns are long beside the time between samples: short ones may keep step with it.
C_PROGRAM = """
volatile unsigned long sink;
__attribute__((noinline)) void seventy(void) { for (long i = 0; i < 14000000; i++) sink += i; }
__attribute__((noinline)) void thirty(void) { for (long i = 0; i < 6000000; i++) sink += i; }
int main(void) { for (int i = 0; i < 12; i++) { seventy(); thirty(); } return 0; }
"""
PYTHON_PROGRAM = """
def burn(n):
    total = 0
    for number in range(n):
        total += number
def seventy(): burn(140000)
def thirty(): burn(60000)
for _ in range(60):
    seventy()
    thirty()
"""

# Points. A few hundred samples of a 70/30 split scatter by two points (one sigma) by themselves.
WITHIN = 10


@pytest.fixture(autouse=True)
def _sampled() -> None:
    try:
        perf_event.choose()
    except perf_event.SamplingRefusedError as refused:
        pytest.skip(f"{refused}")


def measured(tmp_path: Path, *words: str, env: dict[str, str] | None = None) -> Bundle:
    """Run `codspeed exec` on the paths that clients have compiled in; return the bundle."""
    argv = [sys.executable, "-m", "codspeed.cli", "exec", "--mode", "walltime", "--no-store"]
    argv += ["--bundle-dir", str(tmp_path / "bundles"), "--max-rounds", "2", *words]
    environment = {**os.environ, "CODSPEED_SKIP_UPLOAD": "true", **(env or {})}
    environment.pop("CI", None)
    with fifo_lock():
        subprocess.run(argv, env=environment, cwd=tmp_path, check=True, capture_output=True)
    (found,) = bundle.find(tmp_path / "bundles")
    return bundle.read(found)


def only_tree(measured_: Bundle) -> CallTree:
    part = bundle.restore_part(measured_, measured_.manifest.parts[0])
    tree = WalltimeExecutor().profile(part, measured_.results[0].benchmarks[0].uri)
    assert tree is not None
    return tree


def share(tree: CallTree, function: str) -> float:
    """Return how much of what both functions cost is this one's, in percent."""
    totals = {row.frame.function: row.total_cost for row in fold.table(tree)}
    return 100 * totals[function] / (totals["seventy"] + totals["thirty"])


@pytest.fixture
def split(tmp_path: Path) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler on PATH")
    (tmp_path / "split.c").write_text(C_PROGRAM)
    program = tmp_path / "split"
    subprocess.run([compiler, "-O2", "-o", program, tmp_path / "split.c"], check=True)
    return program


@pytest.mark.parametrize("how", ["builtin", "perf"])
def test_a_program_in_c(tmp_path: Path, split: Path, how: str) -> None:
    if how == "perf" and shutil.which("perf") is None:
        pytest.skip("perf is not on PATH")
    run = measured(tmp_path, "--walltime-profiler", how, "--", str(split))
    tree = only_tree(run)
    (part,) = run.manifest.parts

    assert share(tree, "seventy") == pytest.approx(70, abs=WITHIN)
    assert f"profiler={how}-" in part.model


def test_a_second_run_for_the_profile_leaves_no_results(tmp_path: Path, split: Path) -> None:
    run = measured(tmp_path, "--profile-pass", "separate", "--", str(split))
    (part,) = run.manifest.parts
    folder = run.path / part.folder

    assert share(only_tree(run), "seventy") == pytest.approx(70, abs=WITHIN)
    assert "profiler=none/trampoline=off" in part.model
    assert len(list((folder / "results").glob("*.json"))) == 1
    assert json.loads(next((folder / "results").glob("*.json")).read_bytes())["benchmarks"]


def test_without_perf_and_without_room_at_the_end_it_is_made_when_somebody_looks(
    tmp_path: Path, split: Path
) -> None:
    run = measured(tmp_path, "--", str(split), env={"PATH": str(Path(sys.executable).parent)})
    (part,) = run.manifest.parts
    (run.path / part.folder / profiles.FOLDED).unlink(missing_ok=True)

    assert share(only_tree(run), "seventy") == pytest.approx(70, abs=WITHIN)


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_functions_of_python(tmp_path: Path, version: str) -> None:
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [*versions.glob(f"{version}.*/bin/python"), shutil.which(f"python{version}")]
    if not any(found):
        pytest.skip(f"no Python {version}: neither among pyenv's versions nor on PATH")
    program = tmp_path / "split.py"
    program.write_text(PYTHON_PROGRAM)
    python = next(str(each) for each in found if each)
    # 3.12 does not know the runner's variable; pytest-codspeed switches it on there by itself.
    run = measured(tmp_path, "--", python, str(program), env={"PYTHONPERFSUPPORT": "1"})

    assert share(only_tree(run), "seventy") == pytest.approx(70, abs=WITHIN)
