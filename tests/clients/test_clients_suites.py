"""Whole suites of other projects, from their published source distributions, unchanged."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any, Final

import pytest

pytestmark = [pytest.mark.process, pytest.mark.whole_matrix, pytest.mark.timeout(1200)]

# Shorter than the four seconds a benchmark that users give them; the suites themselves are as
# they were published.
SHORT: Final = ("--codspeed-max-time=0.1", "--codspeed-warmup-time=0.01")
# Each of its two calls sleeps for 100 s: it measures what is not cached.
SLEEPING: Final = "not test_first_access"


@pytest.fixture
def suite(workshop: Any, tmp_path: Path) -> Any:
    """Return a function that unpacks a source distribution, and makes what its suite needs."""

    def unpack(requirement: str, *needs: str) -> tuple[str, Path]:
        python = workshop.python("3.11", requirement, "pytest-codspeed==5.0.4", *needs)

        def download(folder: Path) -> None:
            options = ("--quiet", "--no-deps", "--no-binary", ":all:", "--dest", folder)
            workshop.call(python, "-m", "pip", "download", *options, requirement)

        folder = workshop.made(f"sdist-{requirement}", requirement, download)
        (archive,) = folder.glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(tmp_path, filter="data")
        (source,) = (path for path in tmp_path.iterdir() if (path / "PKG-INFO").exists())
        workshop.call("git", "init", "--quiet", source)
        return str(python), source

    return unpack


def test_attrs(suite: Any, measure: Any, cells: Any) -> None:
    python, folder = suite("attrs==26.1.0")
    command = (python, "-m", "pytest", "--codspeed", *SHORT, "-k", SLEEPING)

    run = measure(folder, "walltime", *command, "bench/test_benchmarks.py")

    assert run.status == 0, run.log
    assert len(run.results) == 14
    assert "bench/test_benchmarks.py::test_create_simple_class" in run.results
    cells.note("suite of attrs 26.1.0: 14 of 15 benchmarks, one that sleeps left out", "walltime")


def test_multidict(suite: Any, measure: Any, cells: Any) -> None:
    """Its own options ask for coverage, which would be what is measured."""
    python, folder = suite("multidict==7.2.1", "pytest-cov", "objgraph", "psutil")
    # Not `python -m pytest`: the sources in the current folder would hide the compiled package.
    pytest_script = str(Path(python).with_name("pytest"))
    command = (pytest_script, "--codspeed", *SHORT, "-o", "addopts=", "tests")

    run = measure(folder, "walltime", *command)

    assert run.status == 0, run.log
    assert len(run.results) > 200
    assert all(run.headline(uri) > 0 for uri in run.results)
    cells.note(f"suite of multidict 7.2.1: all {len(run.results)} benchmarks", "walltime")
