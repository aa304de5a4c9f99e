"""A plugin of a stranger: examples/rusage, built, installed and used without a line of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "rusage"

pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(120),  # pip makes an isolated environment to build the wheel
]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which the example's wheel was installed."""
    folder = tmp_path_factory.mktemp("example")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    wheels = folder / "wheels"
    run(*pip, "wheel", "-q", "--no-deps", "-w", str(wheels), str(EXAMPLE))
    (wheel,) = wheels.iterdir()
    run(*pip, "install", "-q", "--no-deps", "--target", str(folder / "site"), str(wheel))
    return folder / "site"


class Machine:
    """A working directory of a user who installed the example."""

    def __init__(self, folder: Path, site: Path) -> None:
        self.folder = folder
        homes = {f"XDG_{kind}_HOME": str(folder / kind) for kind in ("DATA", "CONFIG", "CACHE")}
        self.env = os.environ | homes | {"PYTHONPATH": str(site), "COLUMNS": "200"}
        self.env.pop("CI", None)

    def codspeed(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = (str(Path(sys.executable).with_name("codspeed")), *words)
        return run(*command, cwd=self.folder, env=self.env)

    def json(self, *words: str) -> Any:
        return json.loads(self.codspeed(*words, "--json").stdout)


@pytest.fixture
def machine(tmp_path: Path, installed: Path) -> Machine:
    return Machine(tmp_path, installed)


def run(*command: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **how)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_it_is_listed_beside_ours(machine: Machine) -> None:
    plugins = machine.json("plugins", "list")["plugins"]

    found = [plugin for plugin in plugins if plugin["name"] == "rusage"]
    assert [(p["group"], p["distribution"], p["state"]) for p in found] == [
        ("codspeed.executors", "codspeed-example-rusage", "ok")
    ]


def test_its_option_is_on_the_command_line(machine: Machine) -> None:
    assert "--rusage-user-only" in machine.codspeed("exec", "--help").stdout


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("--executor", "rusage", "exec", "--", "true"), id="by name"),
        pytest.param(("exec", "--mode", "rusage", "--", "true"), id="by mode"),
    ],
)
def test_its_results_are_in_the_table(machine: Machine, words: tuple[str, ...]) -> None:
    shown = machine.codspeed(*words).stderr

    assert "CPU time" in shown
    assert "Max RSS" in shown


def test_its_results_are_in_the_store(machine: Machine) -> None:
    machine.codspeed("exec", "--mode", "rusage", "--name", "nothing", "--", "true")

    (kept,) = machine.json("store", "list")["runs"]
    results = machine.json("store", "show", kept["run_id"])["results"]

    assert kept["modes"] == ["rusage"]
    assert {(r["uri"], r["metric"], r["unit"], r["model"]) for r in results} == {
        ("exec_harness::nothing", "cpu_time", "ns", "rusage/cpu/v1"),
        ("exec_harness::nothing", "max_rss", "bytes", "rusage/cpu/v1"),
    }


def test_an_entrypoint_is_measured_as_a_whole(machine: Machine) -> None:
    machine.codspeed("run", "--mode", "rusage", "--", "true")

    (kept,) = machine.json("store", "list")["runs"]
    results = machine.json("store", "show", kept["run_id"])["results"]

    assert {result["uri"] for result in results} == {"rusage::true"}


def test_two_runs_are_compared(machine: Machine) -> None:
    for _ in range(2):
        machine.codspeed("exec", "--mode", "rusage", "--", "true")

    rows = machine.json("compare")["rows"]

    assert {row["metric"] for row in rows if row["base"] and row["head"]} >= {"cpu_time"}


def test_its_own_tests_pass_against_the_wheel(installed: Path, tmp_path: Path) -> None:
    """Without its conftest, which would put the source in front."""
    tests = EXAMPLE / "tests" / "test_rusage_contract.py"
    (tmp_path / tests.name).write_text(tests.read_text("utf-8"), "utf-8")
    env = os.environ | {"PYTHONPATH": str(installed)}
    options = ("-q", "-p", "no:cacheprovider", "-o", "markers=process: starts processes")

    done = run(sys.executable, "-m", "pytest", *options, str(tmp_path), env=env, cwd=tmp_path)

    assert " passed" in done.stdout
