"""What memory mode tells of native code: leaks, arrays, allocators that are part of a program."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from codspeed.testing.fifo import fifo_lock
from codspeed.testing.parts import make_part
from codspeed_memory.ebpf import rights
from codspeed_memory.executor import MemoryExecutor
from codspeed_native import fold

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.process, pytest.mark.tool]

PROJECTS: Final = Path(__file__).parent / "projects"
CLIENT: Final = "pytest-codspeed==5.0.4"
LEAKED: Final = 3_000_000
SLACK: Final = 10_000
LEAKY_SUITE: Final = """
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p

def leaks():
    for _ in range(100):
        libc.malloc(10_000)

def keeps_nothing():
    return len([bytes(10_000) for _ in range(100)])

def test_both(benchmark):
    @benchmark
    def _():
        leaks()
        keeps_nothing()
"""


@pytest.fixture
def with_extension(project: Callable[[str], Path]) -> Callable[[Path], Path]:
    """Return a function that makes the project, its extension compiled for an interpreter."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: apt-get install gcc")

    def make(python: Path) -> Path:
        folder = project("leak")
        told = "import sysconfig; print(sysconfig.get_paths()['include'])"
        include = subprocess.run([python, "-c", told], capture_output=True, text=True, check=True)
        command = [compiler, "-O1", "-shared", "-fPIC", "-I", include.stdout.strip(), "leaky.c"]
        subprocess.run([*command, "-o", "leaky.so"], cwd=folder, check=True)
        return folder

    return make


def figures(run: Any, name: str) -> dict[str, float]:
    (uri,) = (uri for uri in run.results if uri.endswith(f"::{name}"))
    return {metric["name"]: metric["value"] for metric in run.results[uri]["metrics"]}


@pytest.mark.parametrize("backend", ["shim", "ebpf"])
def test_leak_in_a_c_extension_is_told_of_the_benchmark_that_leaks(
    workshop: Any, with_extension: Callable[[Path], Path], measure: Any, backend: str
) -> None:
    refused = rights.lacking() if backend == "ebpf" else None
    if refused is not None:
        pytest.skip(refused.problem)
    python = workshop.python("3.12", CLIENT)
    command = (str(python), "-m", "pytest", "--codspeed", "test_leak.py")
    options = ("--memory-backend", backend)

    run = measure(with_extension(python), "memory", *command, options=options)

    assert run.status == 0, run.log
    leaking, clean = figures(run, "test_leaks"), figures(run, "test_cleans_up")
    # The interpreter keeps a little of its own meanwhile.
    assert 0 <= leaking["leaked"] - LEAKED < SLACK
    assert clean["leaked"] < SLACK
    assert min(leaking["peak_memory"], clean["peak_memory"]) >= LEAKED


def test_call_sites_tell_which_function_leaks(
    workshop: Any, project: Callable[[str], Path], measure: Any
) -> None:
    """Only what is below the benchmark is shown, by the names of Python's functions."""
    python = workshop.python("3.12", CLIENT)
    folder = project("leak")
    (folder / "test_sites.py").write_text(LEAKY_SUITE)
    command = (str(python), "-m", "pytest", "--codspeed", "test_sites.py")

    run = measure(folder, "memory", *command, options=("--memory-stacks",))

    assert run.status == 0, run.log
    (uri,) = run.results
    tree = MemoryExecutor().profiles(make_part(run.profile), uri)["leaked"]
    total = {row.frame.function: row.total_cost for row in fold.table(tree)}
    assert {stack[0].function for stack in tree.stacks} == {"__codspeed_root_frame__"}
    assert total["leaks"] >= 0.99 * fold.cost(tree)
    assert "keeps_nothing" not in total


@pytest.mark.whole_matrix
def test_arrays_of_numpy_count(workshop: Any, project: Any, measure: Any) -> None:
    python = workshop.python("3.12", CLIENT, "numpy")
    folder = project("leak")
    (folder / "test_arrays.py").write_text(
        "import numpy\ndef test_ones(benchmark):\n    benchmark(numpy.ones, 1_000_000)\n"
    )

    run = measure(folder, "memory", str(python), "-m", "pytest", "--codspeed", "test_arrays.py")

    assert run.status == 0, run.log
    ones = figures(run, "test_ones")
    assert 8_000_000 <= ones["peak_memory"] < 8_800_000


@pytest.mark.whole_matrix
@pytest.mark.timeout(1200)  # jemalloc is compiled
@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not on PATH")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can set uprobes")
def test_allocators_inside_of_a_rust_program_give_the_figures_of_the_systems(
    workshop: Any, tmp_path: Path
) -> None:
    """The shim sees the system's; `--memory-backend auto` takes uprobes for the others."""
    names = ("system", "mimalloc", "jemalloc")
    built = workshop.made("allocators", sources("allocators"), allocators_into)
    found = {name: executed(built / name, tmp_path / "bundles" / name) for name in names}

    keys = ("peak_memory", "total_allocated", "allocations", "frees", "leaked", "unknown_frees")
    figures = {name: [found[name][key] for key in keys] for name in names}
    assert figures["mimalloc"] == figures["jemalloc"] == figures["system"]
    assert found["system"]["peak_memory"] >= 777_777


def sources(name: str) -> list[str]:
    return [path.read_text() for path in sorted((PROJECTS / name).rglob("*.*")) if path.is_file()]


def allocators_into(folder: Path) -> None:
    project = folder / "project"
    shutil.copytree(PROJECTS / "allocators", project)
    for name in ("system", "mimalloc", "jemalloc"):
        features = ["--features", name] if name != "system" else []
        command = ["cargo", "build", "--quiet", "--release", *features]
        subprocess.run(command, cwd=project, check=True)
        shutil.copy(project / "target" / "release" / "allocators", folder / name)


def executed(program: Path, bundles: Path) -> dict[str, float]:
    """Return the figures of a program under `codspeed exec`."""
    how = ["exec", "-m", "memory", "--no-store", "--bundle-dir", str(bundles), "--name", "it"]
    with fifo_lock(timeout=300):
        command = [sys.executable, "-m", "codspeed.cli", *how, "--", str(program)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = bundles.glob("*/results.json")
    (part,) = json.loads(path.read_text())["parts"]
    return {metric["name"]: metric["value"] for metric in part["benchmarks"][0]["metrics"]}
