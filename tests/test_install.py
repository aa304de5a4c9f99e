"""What users get: wheels, installed with pip, pipx and uv where nothing is known of this checkout.

Cost: 15 to 40 s on two cores, most of it pip's. Third-party packages come from the index or cache
of this machine, ours only from the wheels: a constraint with a path asks no index for the name.
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
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a wheel of every distribution."""
    folder = tmp_path_factory.mktemp("wheels")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, *MEMBERS)
    return folder


@pytest.fixture(scope="module")
def constraints(wheels: Path) -> Path:
    """Return a file that says where our distributions are, and which versions of others we test."""
    file = wheels.parent / "constraints.txt"
    ours = [f"{wheel.name.split('-')[0]} @ {wheel.as_uri()}" for wheel in wheels.iterdir()]
    file.write_text((ROOT / "constraints.txt").read_text() + "\n".join(ours) + "\n")
    return file


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
    names = sorted(path.name for path in wheels.iterdir())
    contents = {path.name: zipfile.ZipFile(path).namelist() for path in wheels.iterdir()}

    assert len(names) == len(MEMBERS)
    assert [name for name in names if not name.endswith("-py3-none-any.whl")] == []
    assert [
        name
        for name, files in contents.items()
        if not name.startswith("codspeed-") and not any(f.endswith("/py.typed") for f in files)
    ] == []


def test_pip_installs_a_working_program(
    wheels: Path, constraints: Path, tmp_path: Path, own_data: dict[str, str]
) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv" / "bin"
    run(binaries / "pip", "install", "-q", "-c", constraints, meta_wheel(wheels))

    check_version(binaries / "codspeed", tmp_path)
    check_exec(binaries / "codspeed", tmp_path, own_data)


def test_pipx_installs_a_working_program(
    wheels: Path, constraints: Path, tmp_path: Path, own_data: dict[str, str]
) -> None:
    places = {"PIPX_HOME": str(tmp_path / "pipx"), "PIPX_BIN_DIR": str(tmp_path / "bin")}
    options = ("--pip-args", f"-c {constraints}")
    run(TOOLS / "pipx", "install", *options, meta_wheel(wheels), env=places)

    assert {path.name for path in (tmp_path / "bin").iterdir()} == {"codspeed", "exec-harness"}
    check_version(tmp_path / "bin" / "codspeed", tmp_path)
    check_exec(tmp_path / "bin" / "codspeed", tmp_path, own_data)


def test_uv_tool_installs_a_working_program(
    wheels: Path, constraints: Path, tmp_path: Path, own_data: dict[str, str]
) -> None:
    places = {"UV_TOOL_DIR": str(tmp_path / "uv"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    options: tuple[str | Path, ...] = ("-q", "--constraints", constraints)
    python = Path(sys.executable).resolve()
    run(
        TOOLS / "uv",
        "tool",
        "install",
        *options,
        "--python",
        python,
        meta_wheel(wheels),
        env=places,
    )

    assert {path.name for path in (tmp_path / "bin").iterdir()} == {"codspeed", "exec-harness"}
    check_version(tmp_path / "bin" / "codspeed", tmp_path)
    check_exec(tmp_path / "bin" / "codspeed", tmp_path, own_data)


def meta_wheel(wheels: Path) -> Path:
    """Return the wheel of the distribution that users ask for by name.

    Its file, not its name: the name on the index may belong to somebody else.
    """
    (found,) = wheels.glob("codspeed-[0-9]*.whl")
    return found
