"""What users get: wheels, installed with pip, pipx and uv where nothing is known of this checkout.

Cost: 15 to 40 s on two cores, most of it pip's. The third-party wheels come from the index or cache
of this machine; after that no index is asked, as README.md recommends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import codspeed

ROOT = Path(__file__).parents[1]
MEMBERS = [path.parent for path in ROOT.glob("*/pyproject.toml")] + [
    path.parent for path in ROOT.glob("plugins/*/pyproject.toml")
]
TOOLS = Path(sys.executable).parent

pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(300),  # pip builds, resolves and may download
]


def run(*command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """Return what the command printed; if it fails, the test fails with it."""
    done = subprocess.run(
        [*command],
        env=os.environ | (env or {}),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def binaries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of programs of an empty environment with the pip that Python brings."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=True)
    return environment / "bin"


@pytest.fixture(scope="module")
def wheels(binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheels of our distributions and of all they need."""
    folder = tmp_path_factory.mktemp("wheels")
    pinned = ("-c", ROOT / "constraints.txt")
    run(binaries / "pip", "wheel", "-q", *pinned, "-w", folder, *MEMBERS)
    return folder


@pytest.fixture
def own_data(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which codspeed writes nothing outside the test's folder."""
    folders = ("DATA", "CONFIG", "CACHE", "STATE")
    return {f"XDG_{name}_HOME": str(tmp_path / name.lower()) for name in folders}


def check_version(program: Path, cwd: Path) -> None:
    assert codspeed.__version__ in run(program, "--version", cwd=cwd)


def check_exec(program: Path, cwd: Path, env: dict[str, str]) -> None:
    run(program, "exec", "-m", "walltime", "--max-rounds", "3", "--", "true", env=env, cwd=cwd)

    assert [path for path in cwd.rglob("manifest.json") if path.is_file()] != []


def test_wheels_are_pure_and_carry_their_type_marker(wheels: Path) -> None:
    ours = {path.name: zipfile.ZipFile(path).namelist() for path in wheels.glob("codspeed*.whl")}
    code = {name: files for name, files in ours.items() if not name.startswith("codspeed-")}

    assert len(ours) == len(MEMBERS)
    assert [name for name in ours if not name.endswith("-py3-none-any.whl")] == []
    assert [name for name, files in code.items() if not marked_as_typed(files)] == []


def marked_as_typed(files: list[str]) -> bool:
    return any(file.endswith("/py.typed") for file in files)


def test_pip_installs_a_working_program(
    wheels: Path, binaries: Path, tmp_path: Path, own_data: dict[str, str]
) -> None:
    run(binaries / "pip", "install", "-q", "--no-index", "--find-links", wheels, "codspeed")

    check_version(binaries / "codspeed", tmp_path)
    check_exec(binaries / "codspeed", tmp_path, own_data)


def test_pipx_installs_a_working_program(
    wheels: Path, tmp_path: Path, own_data: dict[str, str]
) -> None:
    places = {"PIPX_HOME": str(tmp_path / "pipx"), "PIPX_BIN_DIR": str(tmp_path / "bin")}
    options = ("--pip-args", f"--no-index --find-links {wheels}")
    run(TOOLS / "pipx", "install", "codspeed", *options, env=places)

    assert {path.name for path in (tmp_path / "bin").iterdir()} == {"codspeed", "exec-harness"}
    check_version(tmp_path / "bin" / "codspeed", tmp_path)
    check_exec(tmp_path / "bin" / "codspeed", tmp_path, own_data)


def test_uv_tool_installs_a_working_program(
    wheels: Path, tmp_path: Path, own_data: dict[str, str]
) -> None:
    places = {"UV_TOOL_DIR": str(tmp_path / "uv"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    options = ("-q", "--no-index", "--find-links", wheels)
    python = ("--python", Path(sys.executable).resolve())
    run(TOOLS / "uv", "tool", "install", "codspeed", *options, *python, env=places)

    assert {path.name for path in (tmp_path / "bin").iterdir()} == {"codspeed", "exec-harness"}
    check_version(tmp_path / "bin" / "codspeed", tmp_path)
    check_exec(tmp_path / "bin" / "codspeed", tmp_path, own_data)
