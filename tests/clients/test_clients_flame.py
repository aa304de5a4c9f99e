"""Suites of unmodified clients: each benchmark's profile finds the functions that burn (70 to 30).

In every suite `split` burns in `seventy` and `thirty`, `elsewhere` in a loop of its own, so samples
that come from the wrong window are seen. See test_walltime_split.py of walltime for the numbers: a
suite does as many rounds as take a given CPU time, both functions burn in one loop.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from codspeed import bundle
from codspeed_native import fold, perf_event
from codspeed_walltime.executor import WalltimeExecutor

if TYPE_CHECKING:
    from codspeed.model import CallTree

pytestmark = [pytest.mark.process, pytest.mark.tool]

CODSPEED: Final = Path(sys.executable).with_name("codspeed")
ROOT: Final = "__codspeed_root_frame__"
CPU_S: Final = 1.75
SAMPLES: Final = 1_400
WITHIN: Final = 5  # percentage points
UNDER_ROOT: Final = 97  # percent of samples; the rest could not be followed to their root

# What is done between rounds is no part of them, the rounds of a plain benchmark follow a warm-up.
PYTHON_SUITE: Final = f"""
import math
import time

def burn(n):
    total = 0
    for number in range(n):
        total += number

def seventy(): burn(210000)
def thirty(): burn(90000)

def split():
    seventy()
    thirty()

def between():
    sum(number for number in range(20000))

def elsewhere():
    for number in range(50000):
        str(number)

def cpu_s(function):
    start = time.process_time()
    function()
    return time.process_time() - start

def test_split(benchmark):
    rounds = math.ceil({CPU_S} / min(cpu_s(split) for _ in range(5)))
    benchmark.pedantic(split, setup=between, rounds=rounds)

def test_elsewhere(benchmark):
    benchmark(elsewhere)
"""
PYTHON_OPTIONS: Final = ("--codspeed", "--codspeed-warmup-time=0.1", "--codspeed-max-time=0.3")

# V8 inlines no call whose target changes from one to the next, so both functions have a frame.
NODE_SUITE: Final = f"""
import {{ withCodSpeed }} from "@codspeed/tinybench-plugin";
import {{ Bench }} from "tinybench";

function burn(n) {{ let x = 1; for (let i = 0; i < n; i++) x = (x * 31 + i) | 0; return x; }}
function seventy() {{ return burn(7000000); }}
function thirty() {{ return burn(3000000); }}
const parts = [seventy, thirty];
let kept = 0;
function split() {{ for (const part of parts) kept += part(); }}
function elsewhere() {{ for (let i = 0; i < 5000000; i++) kept = (kept ^ i) * 3 | 0; }}

function cpu(func) {{
  const start = process.cpuUsage();
  func();
  const {{ user, system }} = process.cpuUsage(start);
  return user + system;
}}
const cheapest = Math.min(...Array.from({{ length: 10 }}, () => cpu(split)));
const iterations = Math.ceil({CPU_S} * 1e6 / cheapest);
const options = {{ name: "suite", time: 0, iterations, warmupTime: 0, warmupIterations: 2 }};
const bench = withCodSpeed(new Bench(options));
bench.add("split", split).add("elsewhere", elsewhere);
await bench.run();
console.log(kept);
"""


CARGO_CODSPEED: Final = "astral-dev-toolchain-cargo-codspeed==5.0.3"
CRATE: Final = "client_flame"
CARGO_TOML: Final = """
[package]
name = "client-flame"
version = "0.1.0"
edition = "2021"
publish = false

[dev-dependencies]
criterion = { package = "codspeed-criterion-compat", version = "=6.0.0", default-features = false }

[[bench]]
name = "flame"
harness = false

[workspace]
"""
# What follows each call keeps it from becoming a jump, and functions from being merged.
RUST_LIBRARY: Final = """
use std::hint::black_box;

#[inline(never)]
fn burn(n: u64) { for i in 0..n { black_box(i); } }
#[inline(never)]
fn seventy() { burn(7_000_000); black_box(0); }
#[inline(never)]
fn thirty() { burn(3_000_000); black_box(1); }
#[inline(never)]
pub fn split() { seventy(); thirty(); black_box(2); }
#[inline(never)]
pub fn elsewhere() { for i in 0..1_000_000u32 { black_box(i ^ 3); } }
"""
# The time is given, not the rounds: criterion plans them by its warm-up.
RUST_SUITE: Final = """
use std::time::Duration;

use client_flame::{elsewhere, split};
use criterion::{criterion_group, criterion_main, Criterion};

fn functions(criterion: &mut Criterion) {
    criterion.bench_function("split", |bencher| bencher.iter(split));
    criterion.bench_function("elsewhere", |bencher| bencher.iter(elsewhere));
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(3));
    targets = functions
}
criterion_main!(benches);
"""


@pytest.fixture(autouse=True)
def _sampled() -> None:
    try:
        perf_event.choose()
    except perf_event.SamplingRefusedError as refused:
        pytest.skip(f"{refused}")


def tree_of(bundles: Path, uri: str) -> CallTree:
    """Return the profile of a benchmark, from the only bundle in a folder."""
    (found,) = bundle.find(bundles)
    run = bundle.read(found)
    tree = WalltimeExecutor().profile(bundle.restore_part(run, run.manifest.parts[0]), uri)
    assert tree is not None, f"no profile of {uri}"
    return tree


def totals(tree: CallTree) -> dict[str, float]:
    """Return what each function cost with all that it called, by its name without its crate."""
    rows = fold.table(tree)
    return {row.frame.function.removeprefix(f"{CRATE}::"): row.total_cost for row in rows}


def share(tree: CallTree) -> float:
    """Return how much of what both functions cost is that of `seventy`, in percent."""
    costs = totals(tree)
    both = costs["seventy"] + costs["thirty"]
    assert both >= SAMPLES
    return 100 * costs["seventy"] / both


def under_root(tree: CallTree) -> float:
    """Return how much of all cost has the integration's root frame outermost, in percent."""
    rooted = sum(cost for stack, cost in tree.stacks.items() if stack[0].function == ROOT)
    return 100 * rooted / fold.cost(tree)


def check(bundles: Path, split_uri: str, elsewhere_uri: str) -> None:
    """Check what is to be found in the profiles of a suite."""
    split, elsewhere = tree_of(bundles, split_uri), tree_of(bundles, elsewhere_uri)

    assert share(split) == pytest.approx(70, abs=WITHIN)
    assert totals(split).keys().isdisjoint({"elsewhere", "between"})
    assert totals(elsewhere)["elsewhere"] >= UNDER_ROOT / 100 * fold.cost(elsewhere)
    assert totals(elsewhere).keys().isdisjoint({"split", "burn", "seventy", "thirty", "between"})
    assert min(under_root(split), under_root(elsewhere)) >= UNDER_ROOT


def shown(bundles: Path, uri: str) -> list[str]:
    """Return the functions in the table of `codspeed flame`, in order."""
    (found,) = bundle.find(bundles)
    words = (CODSPEED, "flame", uri, str(found))
    table = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return [line.split()[6] for line in table.splitlines()[1:]]


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Return the folder of a repository that a suite is written to."""
    folder = tmp_path / "suite"
    folder.mkdir()
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    return folder


@pytest.mark.parametrize("python", ["3.12", "3.13"])
def test_pytest_codspeed(
    python: str, suite: Path, workshop: Any, measure: Any, tmp_path: Path
) -> None:
    interpreter = workshop.python(python, "pytest-codspeed==5.0.4")
    (suite / "test_burn.py").write_text(PYTHON_SUITE)

    run = measure(suite, "walltime", str(interpreter), "-m", "pytest", *PYTHON_OPTIONS)

    assert run.status == 0, run.log
    assert list(run.results) == ["test_burn.py::test_split", "test_burn.py::test_elsewhere"]
    check(tmp_path / "bundles", *run.results)
    assert shown(tmp_path / "bundles", "test_split")[0] == "burn"  # not what runs it in C


def test_tinybench(node_modules: Path, suite: Path, measure: Any, tmp_path: Path) -> None:
    (suite / "node_modules").symlink_to(node_modules)
    (suite / "burn.mjs").write_text(NODE_SUITE)

    run = measure(suite, "walltime", "node", "burn.mjs")

    assert run.status == 0, run.log
    assert list(run.results) == ["burn.mjs::suite::split", "burn.mjs::suite::elsewhere"]
    check(tmp_path / "bundles", *run.results)
    assert shown(tmp_path / "bundles", "suite::split")[0] == "burn"


@pytest.mark.whole_matrix
@pytest.mark.timeout(1200)  # criterion is compiled
@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not on PATH")
def test_criterion(workshop: Any, measure: Any, tmp_path: Path) -> None:
    program = workshop.python("3.11", CARGO_CODSPEED).with_name("cargo-codspeed")
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"

    def build(folder: Path) -> None:
        (folder / "src").mkdir()
        (folder / "src/lib.rs").write_text(RUST_LIBRARY)
        (folder / "benches").mkdir()
        (folder / "benches/flame.rs").write_text(RUST_SUITE)
        (folder / "Cargo.toml").write_text(CARGO_TOML)
        workshop.call("git", "init", "--quiet", folder)
        workshop.call(program, "build", "-m", "walltime", cwd=folder)

    recipe = (CARGO_CODSPEED, RUST_LIBRARY, RUST_SUITE, CARGO_TOML)
    built = workshop.made("rust-flame", recipe, build)
    run = measure(built, "walltime", "cargo", "codspeed", "run", PATH=path)

    assert run.status == 0, run.log
    uris = [f"benches/flame.rs::benches::functions::{name}" for name in ("split", "elsewhere")]
    assert sorted(run.results) == sorted(uris)
    check(tmp_path / "bundles", *uris)
    assert shown(tmp_path / "bundles", uris[0])[0] == f"{CRATE}::burn"
