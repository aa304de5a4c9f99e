"""The real instrument-hooks library, which all integrations from protocol 2 on are built over.

It comes in the source distribution of pytest-codspeed. The forks of Google Benchmark (C++) and of
JMH (JVM) are on no registry, so a program of ours drives the library in their manner.
"""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from codspeed.hooks.paths import CTL_FIFO
from codspeed.model import Launch
from codspeed.testing import FakeExecutor
from codspeed.testing.fifo import fifo_lock
from codspeed.testing.parts import make_part
from codspeed.testing.sessions import session

if TYPE_CHECKING:
    from collections.abc import Callable

    from codspeed.model import Outcome

pytestmark = [
    pytest.mark.process,
    pytest.mark.tool,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not on PATH"),
]

SDIST: Final = "pytest-codspeed==5.0.4"
SOURCE: Final = Path(__file__).parent / "projects" / "c" / "bench.c"
BENCHMARKS: Final = ["bench.c::fib[5]", "bench.c::fib[10]"]
CLIENT: Final = "instrument-hooks of pytest-codspeed 5.0.4, driven by a C program, protocol 2"


@pytest.fixture(scope="session")
def program(workshop: Any) -> Path:
    """Return a benchmark program that is linked with the real library."""

    def build(folder: Path) -> None:
        python = workshop.python("3.11", "pip")
        options = ("--quiet", "--no-deps", "--no-binary", ":all:", "--dest", folder)
        workshop.call(python, "-m", "pip", "download", *options, SDIST)
        (archive,) = folder.glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        (core,) = folder.rglob("instrument-hooks/dist/core.c")
        headers = ("-I", core.parents[1] / "includes")
        flags = ("-O1", "-g", "-w", *headers, "-o", folder / "bench")
        workshop.call("gcc", *flags, SOURCE, core, cwd=folder)

    folder: Path = workshop.made("c", (SDIST, SOURCE.read_text("utf-8")), build)
    return folder / "bench"


@pytest.fixture
def outcome_of(program: Path, tmp_path: Path) -> Callable[[str], Outcome]:
    """Return a function that runs the program under a real session on the fixed paths."""

    def run(kind: str) -> Outcome:
        part = make_part(tmp_path / "profile", mode="walltime")
        executor: Any = FakeExecutor()
        with fifo_lock(timeout=300):
            served = session(part, executor, runner_mode="walltime", fixed_paths=True)
            return served.run(Launch((str(program), kind)))

    return run


@pytest.mark.parametrize("mode", ["walltime", "simulation", "memory"])
def test_modes(mode: str, program: Path, measure: Any, cells: Any, tmp_path: Path) -> None:
    run = measure(tmp_path, mode, str(program), "ordinary")

    assert run.status == 0, run.log
    assert list(run.results) == BENCHMARKS
    assert all(run.headline(uri) > 0 for uri in BENCHMARKS)
    if mode != "walltime":  # which a busy machine may turn around
        assert run.headline(BENCHMARKS[1]) > run.headline(BENCHMARKS[0])
    cells.note(CLIENT, mode)


@pytest.mark.parametrize("kind", ["ordinary", "late", "forked"])
def test_windows_hold_their_own_rounds(kind: str, outcome_of: Callable[[str], Outcome]) -> None:
    """Also when markers come after Stop, or from a child that shook hands inside the window."""
    outcome = outcome_of(kind)

    assert outcome.status == 0
    assert [window.uri for window in outcome.windows] == BENCHMARKS
    assert [len(window.rounds) for window in outcome.windows] == [3, 3]
    assert [len(window.pids) for window in outcome.windows] == [1, 1]
    for window in outcome.windows:
        assert all(window.start <= start <= end <= window.end for start, end in window.rounds)


def test_the_results_file_decides_about_names(
    program: Path, measure: Any, tmp_path: Path, outcome_of: Callable[[str], Outcome]
) -> None:
    """The vitest plugin sends `::fib` before it knows its file; its results file is right."""
    sent = [window.uri for window in outcome_of("foreign").windows]
    run = measure(tmp_path, "walltime", str(program), "foreign")

    assert sent == ["::fib[5]", "::fib[10]"]
    assert list(run.results) == BENCHMARKS
    assert [path.name for path in (run.profile / "results").glob("*.json")] == ["1.json"]


def test_an_integration_that_measures_nothing_here_is_told_why(
    program: Path, measure: Any, tmp_path: Path
) -> None:
    run = measure(tmp_path, "walltime", str(program), "silent")

    assert run.status == 5
    assert "codspeed-cpp 2.3.0 introduced itself and left no benchmark" in run.log
    assert "-DCODSPEED_MODE=walltime" in run.log


def test_a_window_is_not_lost_when_the_environment_is_gone(program: Path, tmp_path: Path) -> None:
    """The library finds the FIFOs by their fixed paths alone."""
    part = make_part(tmp_path / "profile", mode="walltime")
    executor: Any = FakeExecutor()
    with fifo_lock(timeout=300):
        served = session(part, executor, fixed_paths=True)
        outcome = served.run(Launch(("env", "-i", str(program), "ordinary")))

    assert [window.uri for window in outcome.windows] == BENCHMARKS
    assert not Path(CTL_FIFO).exists()
