"""What the client tests share: real clients, each in an environment of its own, and what came out.

A quick subset runs always; CODSPEED_CLIENTS=all (as scripts/soak sets it) runs the whole matrix.
Environments are kept in the user's cache folder, keyed by what is in them; with CI set they are
made anew. What worked is noted per cell of the table in docs/clients.md; see test_clients_table.py.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import platformdirs
import pytest

from codspeed.testing.fifo import fifo_lock as fifo_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

HERE: Final = Path(__file__).parent
PROJECTS: Final = HERE / "projects"
CODSPEED: Final = str(Path(sys.executable).with_name("codspeed"))
WHOLE: Final = os.environ.get("CODSPEED_CLIENTS") == "all"
PIP_OPTIONS: Final = ("--quiet", "--disable-pip-version-check", "--no-input")

collect_ignore = ["projects"]


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark of what only the whole matrix runs."""
    config.addinivalue_line("markers", "whole_matrix: too long for every run; see make soak")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what only the whole matrix runs; every test here may install things first."""
    for item in items:
        if item.path.parent != HERE:
            continue
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600))  # a package manager installs, compilers run
        if item.get_closest_marker("whole_matrix") is not None and not WHOLE:
            item.add_marker(pytest.mark.skip(reason="the whole matrix: make soak"))


@attrs.frozen
class Run:
    """What came out of one `codspeed run`.

    Attributes:
        status: The exit code of codspeed.
        log: All that codspeed and the command wrote.
        parts: Of the manifest.
        results: Of results.json, by URI, in order.
        profile: The profile folder inside the bundle.
    """

    status: int
    log: str
    parts: list[dict[str, Any]]
    results: dict[str, dict[str, Any]]
    profile: Path

    def headline(self, uri: str) -> float:
        """Return the number that stands for a benchmark."""
        metrics = self.results[uri]["metrics"]
        return float(next(metric["value"] for metric in metrics if metric["headline"]))


class Workshop:
    """Makes environments with clients in them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def call(*command: str | Path, cwd: Path | None = None, **variables: str) -> str:
        """Run a command that must succeed; return what it printed."""
        return call(*command, cwd=cwd, **variables)

    def made(self, name: str, recipe: object, build: Callable[[Path], None]) -> Path:
        """Return the folder that `build` filled, now or earlier; renewed when `recipe` changes."""
        key = hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]
        folder = self._folder / f"{name}-{key}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "complete").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                build(folder)
                (folder / "complete").touch()
        return folder

    def python(self, version: str, *requirements: str) -> Path:
        """Return an interpreter of `version` ("3.11") that has `requirements`, or skip."""
        base = interpreter(version)

        def build(folder: Path) -> None:
            call(base, "-m", "venv", folder / "env")
            call(folder / "env/bin/python", "-m", "pip", "install", *PIP_OPTIONS, *requirements)

        recipe = (str(base), requirements)
        return self.made(f"python{version}", recipe, build) / "env/bin/python"


def interpreter(version: str) -> Path:
    """Return a Python of `version` that this machine has, pyenv's included."""
    roots = (os.environ.get("PYENV_ROOT", ""), Path.home() / ".pyenv")
    folders = [path for root in roots if root for path in Path(root).glob(f"versions/{version}.*")]
    found = shutil.which(f"python{version}")
    candidates = [path / "bin" / f"python{version}" for path in folders]
    for candidate in [*candidates, *([Path(found)] if found else [])]:
        command = (candidate, "-c", "import ensurepip, venv")  # Debian packs these apart
        if candidate.exists() and subprocess.run(command, check=False).returncode == 0:
            return candidate
    pytest.skip(f"no Python {version} with venv: neither among pyenv's versions nor on PATH")


def call(*command: str | Path, cwd: Path | None = None, **variables: str) -> str:
    """Run a command that must succeed; return what it printed."""
    done = subprocess.run(
        [*command],
        cwd=cwd,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Return the maker of environments: in CI they are made anew."""
    if os.environ.get("CI"):
        return Workshop(tmp_path_factory.mktemp("clients"))
    return Workshop(platformdirs.user_cache_path("codspeed-client-tests"))


@pytest.fixture(scope="session")
def node_modules(workshop: Workshop) -> Path:
    """Return the folder of what npm installed for the project in Node, or skip."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not on PATH")
    package = PROJECTS / "node" / "package.json"

    def install(folder: Path) -> None:
        shutil.copy(package, folder)
        options = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")
        call("npm", "install", "--silent", *options, cwd=folder)

    return workshop.made("node", package.read_text("utf-8"), install) / "node_modules"


@pytest.fixture(scope="session")
def modes() -> frozenset[str]:
    """Return the modes of the installed executors that this machine supports."""
    listed = json.loads(call(CODSPEED, "plugins", "list", "--json"))["plugins"]
    return frozenset(
        plugin["name"]
        for plugin in listed
        if plugin["group"] == "codspeed.executors" and plugin["state"] == "ok"
    )


# What executes a mode; the names are those of the plugins.
EXECUTORS: Final = {"walltime": "walltime", "simulation": "valgrind", "memory": "memory"}


@pytest.fixture
def project(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that copies a project into a repository of its own."""

    def copy(name: str) -> Path:
        folder = tmp_path / name
        shutil.copytree(PROJECTS / name, folder)
        call("git", "init", "--quiet", folder)
        return folder

    return copy


@pytest.fixture
def measure(tmp_path: Path, modes: frozenset[str]) -> Callable[..., Run]:
    """Return a function that measures a command in a folder and reads what it left."""

    def run(
        folder: Path, mode: str, *words: str, options: tuple[str, ...] = (), **variables: str
    ) -> Run:
        if EXECUTORS[mode] not in modes:
            pytest.skip(f"not yet: mode {mode} has no executor here")
        bundles = tmp_path / "bundles"
        how = ("run", "--mode", mode, "--no-store", "--bundle-dir", str(bundles), *options)
        with contextlib.ExitStack() as stack:
            if mode != "simulation":  # which has no FIFO
                stack.enter_context(fifo_paths(timeout=300))
            status, log = _codspeed(folder, (*how, "--", *words), variables, tmp_path)
        return _read(status, log, bundles)

    return run


def _codspeed(
    folder: Path, words: tuple[str, ...], variables: Mapping[str, str], home: Path
) -> tuple[int, str]:
    homes = {f"XDG_{kind}_HOME": str(home / kind) for kind in ("DATA", "CONFIG")}
    env = os.environ | homes | {"COLUMNS": "200"} | dict(variables)
    env.pop("CI", None)
    done = subprocess.run(
        (CODSPEED, *words),
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout


def _read(status: int, log: str, bundles: Path) -> Run:
    newest = sorted(bundles.glob("*/manifest.json"))
    assert newest, log
    bundle = newest[-1].parent
    parts = json.loads(newest[-1].read_text("utf-8"))["parts"]
    document = json.loads((bundle / "results.json").read_text("utf-8"))
    measured = [entry for part in document["parts"] for entry in part["benchmarks"]]
    results = {entry["uri"]: entry for entry in measured}
    return Run(status, log, parts, results, bundle / parts[0]["folder"])


class Cells:
    """Notes which cells of the table worked in this run."""

    def __init__(self) -> None:
        self.noted: dict[str, dict[str, str]] = {}

    def note(self, client: str, mode: str, outcome: str = "works") -> None:
        """Note what a client did in a mode; only after it was checked."""
        self.noted.setdefault(client, {})[mode] = outcome


@pytest.fixture(scope="session")
def cells() -> Iterator[Cells]:
    """Return the notes; the whole matrix leaves them in the file that CODSPEED_CELLS names."""
    cells = Cells()
    yield cells
    target = os.environ.get("CODSPEED_CELLS")
    if target:
        path = Path(target)
        known = json.loads(path.read_text("utf-8")) if path.exists() else {}
        for client, noted in cells.noted.items():
            known.setdefault(client, {}).update(noted)
        ordered = json.dumps(known, indent=2, sort_keys=True, ensure_ascii=False)
        path.write_text(f"{ordered}\n", "utf-8")


@pytest.fixture(scope="session")
def version_of() -> Callable[..., str]:
    """Return a function that finds a version number in what a program says of itself."""

    def find(*command: str | Path) -> str:
        found = re.search(r"\d+\.\d+(\.\d+)*", call(*command))
        assert found is not None, command
        return found[0]

    return find
