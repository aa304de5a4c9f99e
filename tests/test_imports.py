"""What is imported where: nothing of ours in a measured process, nothing of POSIX at import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

# Leaves behind what a pytest process had imported when it ended.
SUITE = """
import json, pathlib, sys

def test_something():
    assert 1 + 1 == 2

def test_last():
    pathlib.Path("modules.json").write_text(json.dumps(sorted(sys.modules)))
"""

# Makes an interpreter that has loaded its libraries look like one on Windows, then imports ours.
# Libraries first: they decide by the platform themselves, and theirs is not what is tested.
ON_WINDOWS = """
import contextlib, importlib, os, pkgutil, select, signal, sys, time

POSIX_MODULES = {"fcntl", "grp", "pwd", "resource", "syslog", "termios", "tty", "pty"}
POSIX_NAMES = {
    os: (
        "confstr fork forkpty geteuid getgid getpgrp getuid killpg mkfifo pidfd_open posix_spawn"
        " posix_spawnp sched_getaffinity setpgid setsid sysconf tcgetpgrp tcsetpgrp uname wait3"
        " wait4 waitid P_PID WEXITED WNOWAIT WNOHANG O_CLOEXEC O_NOFOLLOW O_NONBLOCK"
    ),
    select: "POLLIN POLLOUT POLLHUP POLLERR epoll poll",
    signal: "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGSTOP SIGTTOU SIGUSR1 SIGXFSZ",
    time: "CLOCK_MONOTONIC clock_gettime clock_gettime_ns",
}

class NotOnWindows:
    def find_spec(self, name, path=None, target=None):
        if name in POSIX_MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

for name in LIBRARIES.split():
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
for name in POSIX_MODULES:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, NotOnWindows())
for module, names in POSIX_NAMES.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
sys.platform = "win32"

problems = []
for package in PACKAGES:
    found = importlib.import_module(package)
    for module in pkgutil.walk_packages(found.__path__, f"{package}.", onerror=lambda name: None):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except (ImportError, AttributeError) as error:
                problems.append(f"{module.name}: {error}")
sys.exit("\\n".join(problems) or 0)
"""

# What ours import, and what these import late.
LIBRARIES = (
    "argparse asyncio attr attrs bisect cattrs cattrs.preconf.json click concurrent.futures csv"
    " multiprocessing.connection"
    " ctypes ctypes.util datetime email.message functools getpass gzip hashlib html http.server"
    " importlib.metadata inspect json logging logging.handlers lzma math msgpack multiprocessing"
    " pathlib platform platformdirs pty pytest queue random requests rich.console rich.live"
    " rich.progress rich.table secrets selectors shlex shutil socket sqlite3 statistics stevedore"
    " struct subprocess tarfile tempfile textwrap threading tomllib typing unicodedata"
    " urllib.request uuid webbrowser xml.etree.ElementTree yaml zipfile zlib zstandard"
)

# Each costs more than all of ours together.
HEAVY = ("attr", "cattrs", "click", "pytest", "requests", "rich", "stevedore", "subprocess", "yaml")


def run_python(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "test_suite.py").write_text(SUITE)
    return tmp_path


def ours_in(suite: Path) -> list[str]:
    """Return the modules of ours that the suite's process had imported."""
    names: list[str] = json.loads((suite / "modules.json").read_text())
    assert "pytest" in names
    return [name for name in names if name.partition(".")[0].startswith("codspeed")]


def test_pytest_imports_nothing_of_ours(suite: Path) -> None:
    """An installed plugin of pytest would be loaded into every measured suite."""
    subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=suite, check=True)

    assert ours_in(suite) == []


@pytest.mark.usefixtures("fifo_lock")
def test_a_measured_pytest_imports_nothing_of_ours(suite: Path) -> None:
    program = Path(sys.executable).with_name("codspeed")
    command = (program, "run", "--mode", "walltime", "--allow-empty", "--no-store")
    homes = {f"XDG_{kind}_HOME": str(suite / kind) for kind in ("DATA", "CONFIG", "CACHE")}
    done = subprocess.run(
        [*command, "--", sys.executable, "-m", "pytest", "-q"],
        cwd=suite,
        env=os.environ | homes,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert ours_in(suite) == []


@pytest.mark.parametrize(
    "package",
    [
        "codspeed",
        "codspeed_exec_harness",
        "codspeed_report",
    ],
)
def test_the_package_can_be_imported_on_windows(package: str) -> None:
    """There, too, compare, report, store and upload work."""
    run_python(f"LIBRARIES = {LIBRARIES!r}\nPACKAGES = {[package]!r}\n{ON_WINDOWS}")


@pytest.mark.parametrize(
    "module", ["codspeed", "codspeed.environment", "codspeed.hooks", "codspeed.testing"]
)
def test_a_package_imports_nothing_heavy(module: str) -> None:
    """Start-up time is a promise: what is expensive is imported on first use."""
    run_python(f"import {module}, sys\nassert not set({HEAVY!r}) & set(sys.modules)")
