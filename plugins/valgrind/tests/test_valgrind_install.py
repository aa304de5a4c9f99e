from __future__ import annotations

import hashlib
import http.server
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codspeed.errors import ToolError
from codspeed.model import System, Tool
from codspeed_valgrind import install, package, venv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def debian(tmp_path: Path, **fields: Any) -> System:
    facts: dict[str, Any] = {
        "os": "linux",
        "distribution": "debian",
        "version": "12",
        "arch": "x86_64",
        "uid": 0,
        "temp": tmp_path,
        "env": {"PATH": str(tmp_path)},
    }
    return System(**(facts | fields))


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Return what would have been run as root."""
    run: list[tuple[str, ...]] = []
    monkeypatch.setattr(package, "_as_root", lambda *words: run.append(words))
    return run


# --- The fork's version (spec/executors.md 2.5) ---


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        ("3.26.0.codspeed6", ""),
        ("3.26.0.codspeed10", ""),
        ("3.99.0.codspeed", ""),
        ("3.26.0.codspeed2", "version too old, expecting 3.26.0.codspeed6 or higher"),
        ("3.26.0.codspeed", "version too old, expecting 3.26.0.codspeed6 or higher"),
        ("3.25.codspeed", "could not parse version"),
        ("3.19.0", "not a CodSpeed build"),
    ],
)
def test_the_fork_must_be_as_new_as_the_reference_asks(version: str, problem: str) -> None:
    assert install.fork_problem(version) == problem


# --- Tools ---


def test_a_missing_valgrind_comes_with_its_remedy(tmp_path: Path) -> None:
    tool = install.tools(debian(tmp_path), "stock")[0]

    assert (tool.name, tool.found, tool.required) == ("valgrind", None, True)
    assert "apt-get install valgrind libc6-dbg" in tool.remedy


def test_the_fork_is_a_wish_and_no_condition(tmp_path: Path) -> None:
    tool = install.tools(debian(tmp_path), "codspeed")[1]

    assert (tool.name, tool.is_usable, tool.required) == ("valgrind-codspeed", False, False)


def test_other_distributions_are_told_to_do_it_themselves(tmp_path: Path) -> None:
    missing = [Tool("valgrind", None)]

    with pytest.raises(ToolError) as caught:
        install.setup(missing, debian(tmp_path, distribution="fedora"), None)

    assert "install necessary packages manually" in caught.value.problem


@pytest.mark.usefixtures("no_venv")
def test_missing_packages_are_installed_in_one_call(
    tmp_path: Path, commands: list[tuple[str, ...]]
) -> None:
    install.setup([Tool("valgrind", None), Tool("libc6-dbg", None)], debian(tmp_path), None)

    assert commands == [
        ("apt-get", "update"),
        ("apt-get", "install", "-y", "--allow-downgrades", "valgrind", "libc6-dbg"),
    ]


@pytest.fixture
def no_venv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venv, "missing_links", list)


# --- The cache ---


def test_packages_in_the_cache_are_not_installed(
    tmp_path: Path, commands: list[tuple[str, ...]]
) -> None:
    cache = tmp_path / "a cache"
    cache.mkdir()
    (cache / "usr").mkdir()

    package.install(("valgrind",), cache=cache, is_there=lambda: True)

    assert commands == [("bash", "-c", f"cp -r '{cache}'/* /")]


@pytest.mark.tool
@pytest.mark.skipif(not Path("/usr/bin/dpkg").exists(), reason="no dpkg: not Debian")
@pytest.mark.usefixtures("commands")
def test_installed_packages_are_kept_in_the_cache(tmp_path: Path) -> None:
    cache = tmp_path / "a cache"

    package.install(("dpkg",), cache=cache, is_there=lambda: False)

    assert (cache / "usr/bin/dpkg").is_file()
    assert (cache / "tmp/codspeed-cache-metadata.txt").read_text() == "dpkg\n"


# --- Downloads ---


@pytest.mark.parametrize(
    ("distribution", "version", "arch", "name"),
    [
        ("ubuntu", "24.04", "x86_64", "ubuntu-24.04_amd64.deb"),
        ("debian", "12", "aarch64", "ubuntu-22.04_arm64.deb"),
    ],
)
def test_the_fork_has_a_package_for_some(
    tmp_path: Path, distribution: str, version: str, arch: str, name: str
) -> None:
    system = debian(tmp_path, distribution=distribution, version=version, arch=arch)
    found = package.fork_package(system)

    assert found is not None
    assert found[0] == (
        "https://github.com/CodSpeedHQ/valgrind-codspeed/releases/download/3.26.0-0codspeed6/"
        f"valgrind_3.26.0-0codspeed6_{name}"
    )
    assert len(found[1]) == 64


def test_the_fork_has_no_package_for_others(tmp_path: Path) -> None:
    assert package.fork_package(debian(tmp_path, version="13")) is None


@pytest.fixture
def serve() -> Iterator[Callable[[list[int]], str]]:
    """Return a function that starts a server: it gives `data` with these statuses in turn."""
    servers = []

    def start(statuses: list[int]) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(statuses.pop(0))
                self.end_headers()
                self.wfile.write(b"data")

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/file.deb"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


DIGEST = hashlib.sha256(b"data").hexdigest()


@pytest.mark.process
def test_what_may_pass_is_tried_again(tmp_path: Path, serve: Callable[[list[int]], str]) -> None:
    pauses: list[float] = []
    path = package.download(serve([503, 429, 408, 200]), DIGEST, tmp_path, pause=pauses.append)

    assert path.read_bytes() == b"data"
    assert pauses == [1, 2, 4]


@pytest.mark.process
def test_what_will_not_pass_fails_at_once(
    tmp_path: Path, serve: Callable[[list[int]], str]
) -> None:
    pauses: list[float] = []
    with pytest.raises(ToolError) as caught:
        package.download(serve([404]), DIGEST, tmp_path, pause=pauses.append)

    assert "404" in caught.value.problem
    assert pauses == []


@pytest.mark.process
def test_another_file_than_the_pinned_one_is_refused(
    tmp_path: Path, serve: Callable[[list[int]], str]
) -> None:
    with pytest.raises(ToolError) as caught:
        package.download(serve([200]), "0" * 64, tmp_path)

    assert caught.value.problem.startswith("Hash mismatch for http://")
    assert list(tmp_path.iterdir()) == []
