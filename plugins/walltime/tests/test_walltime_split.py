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

# A share of 70 % in n samples scatters by sqrt(0.21 / n): 1.2 points in 1,400 samples, so 5 points
# are four times that. Programs end by their own CPU time: a slow machine takes no fewer samples.
# Turns are long beside the time between samples, short ones may keep step with it. Both functions
# burn in one loop: two equal ones may differ in speed by half, by where they lie in memory.
CPU_S = 1.75
SAMPLES = 1_400
WITHIN = 5

C_PROGRAM = f"""
#include <time.h>
volatile unsigned long sink;
__attribute__((noinline)) void burn(long n) {{ for (long i = 0; i < n; i++) sink += i; }}
__attribute__((noinline)) void seventy(void) {{ burn(7000000); sink++; }}
__attribute__((noinline)) void thirty(void) {{ burn(3000000); sink++; }}
int main(void) {{
    do {{ seventy(); thirty(); }} while (clock() < {CPU_S} * CLOCKS_PER_SEC);
    return 0;
}}
"""
RUST_PROGRAM = f"""
use std::hint::black_box;
extern "C" {{ fn clock() -> i64; }}
#[inline(never)] fn burn(n: u64) {{ for i in 0..n {{ black_box(i); }} }}
#[inline(never)] #[no_mangle] pub extern "C" fn seventy() {{ burn(21_000_000); black_box(0); }}
#[inline(never)] #[no_mangle] pub extern "C" fn thirty() {{ burn(9_000_000); black_box(1); }}
fn main() {{
    while unsafe {{ clock() }} < ({CPU_S} * 1e6) as i64 {{ seventy(); thirty(); }}
}}
"""
PYTHON_PROGRAM = f"""
import time
def burn(n):
    total = 0
    for number in range(n):
        total += number
def seventy(): burn(210000)
def thirty(): burn(90000)
while time.process_time() < {CPU_S}:
    seventy()
    thirty()
"""
# What is interpreted has no name in V8's map, what is inlined no frame.
NODE_WORDS = ("node", "--always-sparkplug", "--no-turbo-inlining", "split.js")
NODE_PROGRAM = f"""
function burn(n) {{ let x = 1; for (let i = 0; i < n; i++) x = (x * 31 + i) | 0; return x; }}
function seventy() {{ return burn(14000000); }}
function thirty() {{ return burn(6000000); }}
let kept = 0;
while (process.cpuUsage().user < {CPU_S} * 1e6) {{ kept += seventy(); kept += thirty(); }}
console.log(kept);
"""


@pytest.fixture(autouse=True)
def _sampled() -> None:
    try:
        perf_event.choose()
    except perf_event.SamplingRefusedError as refused:
        pytest.skip(f"{refused}")


def measured(tmp_path: Path, *words: str, env: dict[str, str] | None = None) -> Bundle:
    """Run `codspeed exec` on the paths that clients have compiled in; return the bundle."""
    argv = [sys.executable, "-m", "codspeed.cli", "exec", "--mode", "walltime", "--no-store"]
    argv += ["--bundle-dir", str(tmp_path / "bundles")]
    argv += ["--warmup-time", "0", "--max-rounds", "1", *words]
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
    both = totals["seventy"] + totals["thirty"]
    assert both >= SAMPLES
    return 100 * totals[function] / both


def built(folder: Path, compiler: str, name: str, source: str) -> Path:
    """Compile a program; skip if there is no compiler."""
    found = shutil.which(compiler)
    if found is None:
        pytest.skip(f"no {compiler} on PATH")
    (folder / name).write_text(source)
    command = [found, *(["-O2"] if compiler == "cc" else ["-O"]), "-o", "split", name]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "split"


@pytest.fixture
def split(tmp_path: Path) -> Path:
    return built(tmp_path, "cc", "split.c", C_PROGRAM)


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


def test_functions_of_rust(tmp_path: Path) -> None:
    run = measured(tmp_path, "--", str(built(tmp_path, "rustc", "split.rs", RUST_PROGRAM)))

    assert share(only_tree(run), "seventy") == pytest.approx(70, abs=WITHIN)


def test_functions_of_node(tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("no node on PATH")
    (tmp_path / "split.js").write_text(NODE_PROGRAM)
    run = measured(tmp_path, "--", *NODE_WORDS)

    assert share(only_tree(run), "seventy") == pytest.approx(70, abs=WITHIN)
