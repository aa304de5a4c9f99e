"""pytest-codspeed, every protocol generation.

2.x knows no walltime, 3.x no FIFO, 4.0 speaks generation 0, 4.2 generation 1, later ones 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.process

NEWEST: Final = "5.0.4"
BENCHMARKS: Final = [
    "test_kinds.py::test_fib",
    "test_kinds.py::test_marked",
    "test_kinds.py::TestGroup::test_param[5]",
    "test_kinds.py::TestGroup::test_param[10]",
    r"test_kinds.py::test_names[\xe9]",
    "test_kinds.py::test_names[a b::c]",
]
# Each benchmark shall cost a moment, not the four seconds that users give it.
SHORT: Final = ("--codspeed-max-time=0.1", "--codspeed-warmup-time=0.02")
GENERATIONS: Final = {"2.2.1": "none", "3.2.0": "none", "4.0.0": "0", "4.2.0": "1"}

whole_matrix = pytest.mark.whole_matrix


def pairs(quick: set[tuple[str, str]]) -> list[Any]:
    """All clients of the matrix: every protocol generation, and the newest on every Python."""
    old = [(version, "3.11") for version in ("3.2.0", "4.0.0", "4.2.0", "4.5.0")]
    new = [(NEWEST, python) for python in ("3.11", "3.12", "3.13")]
    return [
        pytest.param(*pair, marks=() if pair in quick else whole_matrix, id="-".join(pair))
        for pair in old + new
    ]


def label(version: str, python: str) -> str:
    return f"pytest-codspeed {version}, Python {python}, protocol {GENERATIONS.get(version, '2')}"


@pytest.mark.parametrize(
    ("version", "python"), pairs({("4.0.0", "3.11"), (NEWEST, "3.11"), (NEWEST, "3.12")})
)
def test_walltime(
    version: str, python: str, workshop: Any, project: Any, measure: Any, cells: Any
) -> None:
    program = workshop.python(python, f"pytest-codspeed=={version}")
    command = (str(program), "-m", "pytest", "--codspeed", *SHORT, "test_kinds.py")

    run = measure(project("python"), "walltime", *command)

    assert run.status == 0, run.log
    assert list(run.results) == BENCHMARKS
    assert all(run.headline(uri) > 0 for uri in BENCHMARKS)
    spoke = run.parts[0]["integration"]
    if version != "3.2.0":  # which knows no FIFO
        assert spoke == {"name": "pytest-codspeed", "version": version}
    cells.note(label(version, python), "walltime")


@pytest.mark.tool
@pytest.mark.parametrize(
    ("version", "python"),
    [pytest.param("2.2.1", "3.11", marks=whole_matrix), *pairs({(NEWEST, "3.11")})],
)
def test_simulation(
    version: str, python: str, workshop: Any, project: Any, measure: Any, cells: Any
) -> None:
    program = workshop.python(python, f"pytest-codspeed=={version}", *old_build_tools(version))
    command = (str(program), "-m", "pytest", "--codspeed", "test_kinds.py")

    run = measure(project("python"), "simulation", *command)

    assert run.status == 0, run.log
    assert sorted(run.results) == sorted(BENCHMARKS)
    five, ten = (run.headline(f"test_kinds.py::TestGroup::test_param[{n}]") for n in (5, 10))
    assert 3 < ten / five < 40  # fib(10) makes 177 calls, fib(5) makes 15
    cells.note(label(version, python), "simulation")


@pytest.mark.tool
@pytest.mark.parametrize(
    ("version", "python"),
    [pair for pair in pairs({(NEWEST, "3.12")}) if pair.values[0] in {"4.5.0", NEWEST}],
)
def test_memory(
    version: str, python: str, workshop: Any, project: Any, measure: Any, cells: Any
) -> None:
    program = workshop.python(python, f"pytest-codspeed=={version}")
    command = (str(program), "-m", "pytest", "--codspeed", "test_kinds.py")

    run = measure(project("python"), "memory", *command)

    assert run.status == 0, run.log
    assert sorted(run.results) == sorted(BENCHMARKS)
    assert run.parts[0]["integration"] == {"name": "pytest-codspeed", "version": version}
    cells.note(label(version, python), "memory")


@whole_matrix
@pytest.mark.tool
@pytest.mark.parametrize("version", ["3.2.0", "4.0.0", "4.2.0"])
def test_memory_names_what_is_too_old_for_it(
    version: str, workshop: Any, project: Any, measure: Any, cells: Any
) -> None:
    program = workshop.python("3.11", f"pytest-codspeed=={version}")
    command = (str(program), "-m", "pytest", "--codspeed", "test_kinds.py")

    run = measure(project("python"), "memory", *command)

    assert run.status != 0
    assert run.results == {}
    assert "upgrade" in run.log.lower()
    cells.note(label(version, "3.11"), "memory", "no such mode; the error says so")


def old_build_tools(version: str) -> tuple[str, ...]:
    """2.x compiles its wrapper of Valgrind's requests when it is first used."""
    return ("setuptools",) if version == "2.2.1" else ()


@whole_matrix
def test_a_client_that_does_not_know_the_mode_is_named_with_the_remedy(
    workshop: Any, project: Any, measure: Any, cells: Any
) -> None:
    program = workshop.python("3.11", "pytest-codspeed==2.2.1", *old_build_tools("2.2.1"))
    command = (str(program), "-m", "pytest", "--codspeed", "test_kinds.py")

    run = measure(project("python"), "walltime", *command)

    assert run.status == 5
    assert "pytest-codspeed older than 3.0" in run.log
    cells.note(label("2.2.1", "3.11"), "walltime", "no such mode; the error says so")


@pytest.mark.parametrize(
    "version", [NEWEST, *(pytest.param(old, marks=whole_matrix) for old in ("4.0.0", "4.2.0"))]
)
def test_a_benchmark_that_raises_takes_no_other_with_it(
    version: str, workshop: Any, project: Any, measure: Any
) -> None:
    program = workshop.python("3.11", f"pytest-codspeed=={version}")
    command = (str(program), "-m", "pytest", "--codspeed", *SHORT)

    run = measure(project("python"), "walltime", *command)

    assert run.status == 4
    assert list(run.results) == [*BENCHMARKS, "test_raising.py::test_after_them"]


@pytest.mark.parametrize("mode", ["walltime", pytest.param("memory", marks=whole_matrix)])
def test_two_processes_that_measure_at_once_are_refused_with_the_remedy(
    mode: str, workshop: Any, project: Any, measure: Any, cells: Any
) -> None:
    program = workshop.python("3.11", f"pytest-codspeed=={NEWEST}", "pytest-xdist")
    many = "--codspeed-max-time=1", "--codspeed-warmup-time=0.02", "-n2"
    command = (str(program), "-m", "pytest", "--codspeed", *many, "test_kinds.py")

    run = measure(project("python"), mode, *command)

    assert run.status == 1
    assert "-n0" in run.log
    cells.note(f"pytest-codspeed {NEWEST} with pytest-xdist -n2", mode, "refused: run -n0")


@whole_matrix
@pytest.mark.tool
def test_xdist_works_in_simulation(
    workshop: Any, project: Any, measure: Callable[..., Any], cells: Any
) -> None:
    program = workshop.python("3.11", f"pytest-codspeed=={NEWEST}", "pytest-xdist")
    command = (str(program), "-m", "pytest", "--codspeed", "-n2", "test_kinds.py")

    run = measure(project("python"), "simulation", *command)

    assert run.status == 0, run.log
    assert sorted(run.results) == sorted(BENCHMARKS)
    cells.note(f"pytest-codspeed {NEWEST} with pytest-xdist -n2", "simulation")


def test_no_module_of_ours_is_loaded_into_what_is_measured(
    workshop: Any, project: Any, measure: Any
) -> None:
    """A plugin for pytest that came with codspeed would move the numbers of every suite."""
    program = workshop.python("3.11", f"pytest-codspeed=={NEWEST}")
    folder: Path = project("python")
    (folder / "conftest.py").write_text(
        "import sys\n\n\n"
        "def pytest_sessionfinish():\n"
        "    ours = [n for n in sys.modules if n.split('.')[0].startswith('codspeed')]\n"
        "    print('ours:', ours)\n"
    )
    command = (str(program), "-m", "pytest", "--codspeed", *SHORT, "-s", "-k", "test_fib")

    run = measure(folder, "walltime", *command)

    assert "ours: []" in run.log
