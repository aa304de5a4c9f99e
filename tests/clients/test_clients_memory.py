"""What memory mode tells of native code that a client's benchmark calls: leaks, and arrays."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.process, pytest.mark.tool]

CLIENT: Final = "pytest-codspeed==5.0.4"
LEAKED: Final = 3_000_000
SLACK: Final = 10_000


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


def test_leak_in_a_c_extension_is_told_of_the_benchmark_that_leaks(
    workshop: Any, with_extension: Callable[[Path], Path], measure: Any
) -> None:
    python = workshop.python("3.12", CLIENT)
    command = (str(python), "-m", "pytest", "--codspeed", "test_leak.py")

    run = measure(with_extension(python), "memory", *command)

    assert run.status == 0, run.log
    leaking, clean = figures(run, "test_leaks"), figures(run, "test_cleans_up")
    # The interpreter keeps a little of its own meanwhile.
    assert 0 <= leaking["leaked"] - LEAKED < SLACK
    assert clean["leaked"] < SLACK
    assert min(leaking["peak_memory"], clean["peak_memory"]) >= LEAKED


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
