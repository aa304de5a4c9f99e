"""Whole runs through the command line, under the Valgrind that is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.tool,
    pytest.mark.usefixtures("no_uprobes"),
    pytest.mark.timeout(180),  # simulation is up to 100 times slower, and the machine may be busy
    pytest.mark.skipif(shutil.which("valgrind") is None, reason="no valgrind: apt-get install it"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: apt-get install gcc"),
]

# `work N` makes about 6 N instructions; `_exit` skips destructors.
SOURCE = """
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void work(long count) { for (volatile long i = 0; i < count; i++) { } }

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    work(argc > 2 ? atol(argv[2]) : 10000);
    if (strcmp(what, "fail") == 0) return 3;
    if (strcmp(what, "abort") == 0) abort();
    if (strcmp(what, "fork") == 0 || strcmp(what, "_exit") == 0 || strcmp(what, "exec") == 0) {
        if (fork() == 0) {
            if (strcmp(what, "exec") == 0) execl(argv[0], argv[0], "", "20000", NULL);
            work(20000);
            if (strcmp(what, "_exit") == 0) _exit(0);
            exit(0);
        }
        wait(NULL);
    }
    if (strcmp(what, "vfork") == 0) {
        if (vfork() == 0) {
            execl("/no/such/program", "x", NULL);
            _exit(127);
        }
        wait(NULL);
    }
    return 0;
}
"""
SUITE = """
import pytest

@pytest.mark.benchmark
def test_sum():
    sum(range(100))

@pytest.mark.parametrize("size", [10, 1000])
def test_sort(benchmark, size):
    benchmark(lambda: sorted(range(size), key=lambda number: -number))
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("program")
    (folder / "work.c").write_text(SOURCE)
    for name, flags in (("work", ()), ("work-static", ("-static",))):
        command = ("cc", "-O1", *flags, "-o", name, "work.c")
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "work"


@pytest.fixture
def codspeed(tmp_path: Path) -> Callable[..., tuple[int, dict[str, Any], str]]:
    """Return a function that runs codspeed: status, URI -> result, what it told."""

    def run(*words: str, cwd: Path = tmp_path) -> tuple[int, dict[str, Any], str]:
        bundles = tmp_path / "bundles"
        verb, *rest = words
        at = rest.index("--")
        argv = (
            *(sys.executable, "-m", "codspeed.cli", verb, "-m", "simulation"),
            *("--no-store", "--skip-upload", "--bundle-dir", str(bundles)),
            *("--profile-folder", str(tmp_path / "profile"), *rest[:at], "--", *rest[at + 1 :]),
        )
        environment = {**os.environ, "CODSPEED_LOG": "info", "NO_COLOR": "1"}
        environment.pop("CI", None)
        done = subprocess.run(
            argv, cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )
        results = {
            benchmark["uri"]: benchmark
            for path in bundles.glob("*/results.json")
            for part in json.loads(path.read_text())["parts"]
            for benchmark in part["benchmarks"]
        }
        return done.returncode, results, done.stdout + done.stderr

    return run


def metric(result: dict[str, Any], name: str) -> float:
    return float(next(item["value"] for item in result["metrics"] if item["name"] == name))


def instructions(results: dict[str, Any], uri: str) -> float:
    return metric(results[uri], "ir")


# --- Exec targets ---


def test_a_c_program_is_measured_from_start_to_end(
    codspeed: Callable[..., Any], program: Path
) -> None:
    status, results, _ = codspeed("exec", "--", str(program), "", "20000")
    (uri,) = results

    assert status == 0
    assert uri == f"exec_harness::{program}  20000"
    assert 100_000 < instructions(results, uri) < 200_000


@pytest.mark.parametrize("what", ["fork", "_exit", "exec"])
def test_children_count_for_their_parent_s_benchmark_and_count_once(
    codspeed: Callable[..., Any], program: Path, what: str
) -> None:
    """Both together work 80,000 + 20,000 times; what the parent did before the fork is no extra."""
    status, results, told = codspeed("exec", "--name", "x", "--", str(program), what, "80000")

    assert status == 0, told
    assert 560_000 < instructions(results, "exec_harness::x") < 760_000


def test_a_child_whose_exec_failed_counts_nothing(
    codspeed: Callable[..., Any], program: Path
) -> None:
    status, results, told = codspeed("exec", "--name", "x", "--", str(program), "vfork", "80000")

    assert status == 0, told
    assert 450_000 < instructions(results, "exec_harness::x") < 600_000


def test_a_static_program_is_measured_as_a_whole_with_a_note(
    codspeed: Callable[..., Any], program: Path
) -> None:
    static = f"{program}-static"
    status, results, told = codspeed("exec", "--name", "x", "--", static, "", "20000")

    assert status == 0, told
    assert instructions(results, "exec_harness::x") > 100_000
    assert any("static" in note for note in results["exec_harness::x"]["notes"])
    assert "a static program" in told


def test_a_script_is_measured_with_what_it_starts(
    codspeed: Callable[..., Any], program: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\n{program} '' 20000\n")
    script.chmod(0o755)
    status, results, told = codspeed("exec", "--name", "x", "--", "./script")

    assert status == 0, told
    assert instructions(results, "exec_harness::x") > 150_000
    assert results["exec_harness::x"]["notes"] == ["the sum of 2 processes"]


def test_a_failing_target_fails_the_run_and_the_others_count(
    codspeed: Callable[..., Any], program: Path, tmp_path: Path
) -> None:
    (tmp_path / "codspeed.yml").write_text(
        f"benchmarks:\n- exec: {program}\n  name: good\n- exec: {program} fail\n  name: bad\n"
    )
    status, results, told = codspeed("run", "--")

    assert status == 4, told
    assert "exit status: 3" in told
    assert "exec_harness::good" in results


def test_a_python_without_symbols_works(codspeed: Callable[..., Any]) -> None:
    """Debian's is stripped and has libpython in itself, as those that uv installs."""
    python = Path("/usr/bin/python3")
    if not python.exists():
        pytest.skip("no /usr/bin/python3")
    status, results, told = codspeed("exec", "--name", "x", "--", str(python), "-S", "-c", "pass")

    assert status == 0, told
    assert instructions(results, "exec_harness::x") > 1_000_000


def test_several_runs_are_equal_and_said_to_be(codspeed: Callable[..., Any], program: Path) -> None:
    status, results, told = codspeed("exec", "--repeat", "2", "--name", "x", "--", str(program))

    assert status == 0
    assert "not deterministic" not in told
    assert results["exec_harness::x"]["notes"] == []


# --- Commands with an integration ---


@pytest.fixture(scope="module", params=["5.0.4", "4.2.0"])
def pytest_codspeed(request: pytest.FixtureRequest) -> Path:
    """Return the Python of an environment with that release; kept in the user's cache."""
    version: str = request.param
    name = f"pytest-codspeed-{version}-py{sys.version_info[0]}{sys.version_info[1]}"
    folder = platformdirs.user_cache_path("codspeed-tests") / name
    python = folder / "bin/python"
    if not (folder / "ready").exists():
        subprocess.run((sys.executable, "-m", "venv", "--clear", str(folder)), check=True)
        install = (python, "-m", "pip", "install", "--quiet", f"pytest-codspeed=={version}")
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"pytest-codspeed {version} can't be installed: {done.stderr[-200:]}")
        (folder / "ready").touch()
    return python


def test_a_suite_of_an_unmodified_integration_is_measured(
    codspeed: Callable[..., Any], pytest_codspeed: Path, tmp_path: Path
) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    command = (str(pytest_codspeed), "-m", "pytest", "--codspeed", "-q", "test_suite.py")
    status, results, told = codspeed("run", "--", *command)

    assert status == 0, told
    counts = {uri.rpartition("::")[2]: instructions(results, uri) for uri in results}
    assert sorted(counts) == ["test_sort[1000]", "test_sort[10]", "test_sum"]
    assert counts["test_sort[1000]"] > 10 * counts["test_sort[10]"] > 0


def test_what_was_measured_before_a_kill_is_kept(
    codspeed: Callable[..., Any], pytest_codspeed: Path, tmp_path: Path
) -> None:
    killer = (
        "@pytest.mark.benchmark\ndef test_kill():\n    import os\n    os.kill(os.getpid(), 9)\n"
    )
    (tmp_path / "test_suite.py").write_text(SUITE + killer)
    command = (str(pytest_codspeed), "-m", "pytest", "--codspeed", "-q", "test_suite.py")
    status, results, told = codspeed("run", "--", *command)

    assert status == 4, told
    assert "SIGKILL" in told
    assert len(results) == 3
