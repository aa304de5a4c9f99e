"""Runs of a user without rights: what the kernel gives, what root hands over, what is told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from codspeed import bundle
from codspeed.model import Bundle
from codspeed.testing import fifo_lock
from codspeed_native import fold, perf_event
from codspeed_walltime.executor import WalltimeExecutor

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.tool,
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="perf events are Linux's"),
]

NOBODY = 65534
WITHIN = 10  # points; some hundred samples scatter by two
PROGRAM = """
volatile unsigned long sink;
__attribute__((noinline)) void seventy(void) { for (long i = 0; i < 14000000; i++) sink += i; }
__attribute__((noinline)) void thirty(void) { for (long i = 0; i < 6000000; i++) sink += i; }
int main(void) { for (int i = 0; i < 8; i++) { seventy(); thirty(); } return 0; }
"""
# As sudo where no password is needed: leaves its option out, and runs the rest as root.
SUDO = """
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
  int at = 1;
  while (at < argc && !strncmp(argv[at], "--", 2)) if (!strcmp(argv[at++], "--version")) return 0;
  if (at == argc || setgid(0) || setuid(0)) return 1;
  execvp(argv[at], argv + at);
  return 127;
}
"""
# A kernel that refuses users: perf_event_paranoid 3 of Debian, 4 of Ubuntu.
REFUSING = """
import sys
from codspeed_native import perf_event, perf_helper

# Without the variables through which this Python finds us, root's Python has to be the other one.
perf_helper._HELPER = (PYTHON, *perf_helper._HELPER[1:])

def refuse():
    problem = "the kernel refuses to sample: Permission denied"
    hint = "sudo sysctl -w kernel.perf_event_paranoid=2 (it is 4)"
    raise perf_event.SamplingRefusedError(problem, hint=hint)

perf_event.choose = refuse
from codspeed.cli import main
sys.exit(main(sys.argv[1:]))
""".replace("PYTHON", repr(sys.executable))
USUAL = "import sys; from codspeed.cli import main; sys.exit(main(sys.argv[1:]))"


@attrs.frozen
class Run:
    """What a run left and said."""

    status: int
    said: str
    bundle: Bundle

    @property
    def model(self) -> str:
        """Measurement-model id of the only part."""
        return self.bundle.manifest.parts[0].model

    def share(self) -> float:
        """Return how many percent of what both functions cost is `seventy`'s."""
        part = bundle.restore_part(self.bundle, self.bundle.manifest.parts[0])
        tree = WalltimeExecutor().profile(part, self.bundle.results[0].benchmarks[0].uri)
        assert tree is not None, self.said
        totals = {row.frame.function: row.total_cost for row in fold.table(tree)}
        return 100 * totals["seventy"] / (totals["seventy"] + totals["thirty"])


class User:
    """Nobody, with a home of his own that he may enter."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home / "bin"  # there is neither perf nor sudo in it
        self.path.mkdir()
        for tool in ("bash", "sh"):
            (self.path / tool).symlink_to(str(shutil.which(tool)))
        self.python = next(filter(self._can_run, self._pythons()), "")

    @staticmethod
    def _pythons() -> Iterator[str]:
        """Yield interpreters of our version: ours may stand where only root may go."""
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        yield sys.executable
        yield from filter(None, [shutil.which(version), f"/usr/bin/{version}"])

    def _can_run(self, python: str) -> bool:
        # Through a shell: setpriv still has root's eyes when it looks for a program.
        needed = "import codspeed_walltime, msgpack, zstandard"
        return self.call("sh", "-c", 'exec "$@"', "sh", python, "-c", needed).returncode == 0

    def build(self, name: str, source: str) -> Path:
        """Compile a program to his home."""
        (self.home / f"{name}.c").write_text(source)
        command = ["cc", "-O2", "-o", name, f"{name}.c"]
        subprocess.run(command, cwd=self.home, check=True)
        return self.home / name

    def call(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a program as him."""
        rights = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        setpriv = str(shutil.which(rights[0]))
        homes = {f"XDG_{kind}_HOME": str(self.home / kind) for kind in ("DATA", "CACHE", "CONFIG")}
        env = {"PATH": str(self.path), "HOME": str(self.home), "TMPDIR": str(self.home), **homes}
        env |= {"PYTHONPATH": os.pathsep.join(sys.path[1:])}
        env |= {"CODSPEED_SKIP_UPLOAD": "true", "CODSPEED_ISOLATION": "false"}
        return subprocess.run(
            [setpriv, *rights[1:], *argv],
            env=env,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def measure(self, program: Path, *, as_it_is: str = USUAL) -> Run:
        """Run `codspeed exec` as him."""
        words = ["exec", "--mode", "walltime", "--no-store", "--bundle-dir", str(self.home / "b")]
        words += ["--warmup-time", "0", "--max-rounds", "2", "--", str(program)]
        with fifo_lock():
            done = self.call(self.python, "-c", as_it_is, *words)
        (found,) = bundle.find(self.home / "b")
        return Run(done.returncode, done.stdout, bundle.read(found))


@pytest.fixture
def user() -> Iterator[User]:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    for tool in ("cc", "setpriv"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not on PATH")
    # Not below pytest's own folder, which only its owner may enter.
    with tempfile.TemporaryDirectory(prefix="codspeed-user-") as folder:
        os.chown(folder, NOBODY, NOBODY)
        made = User(Path(folder))
        if not made.python:
            pytest.skip("there is no Python of this version that others can run with our packages")
        yield made


def _paranoid() -> int:
    return int(Path("/proc/sys/kernel/perf_event_paranoid").read_text())


@pytest.fixture
def split(user: User) -> Path:
    return user.build("split", PROGRAM)


def test_without_perf_and_without_root_benchmarks_have_profiles(user: User, split: Path) -> None:
    if _paranoid() > 2:
        pytest.skip("perf_event_paranoid is above 2: the kernel refuses users")
    try:
        perf_event.choose()
    except perf_event.SamplingRefusedError as refused:
        pytest.skip(f"{refused}")
    run = user.measure(split)

    assert run.status == 0, run.said
    assert ":u/" in run.model
    assert run.share() == pytest.approx(70, abs=WITHIN)


def test_where_the_kernel_refuses_root_hands_the_events_over(user: User, split: Path) -> None:
    if os.statvfs(user.home).f_flag & os.ST_NOSUID:
        pytest.skip("set-user-ID programs do not work in the temporary folder")
    try:
        perf_event.choose()
    except perf_event.SamplingRefusedError as refused:
        pytest.skip(f"{refused}")
    sudo = user.build("sudo", SUDO)
    sudo.chmod(0o4755)
    sudo.rename(user.path / "sudo")
    (user.path / "true").symlink_to(str(shutil.which("true")))
    run = user.measure(split, as_it_is=REFUSING)

    assert run.status == 0, run.said
    assert "profiler=builtin-cpu-clock:u/" in run.model
    assert run.share() == pytest.approx(70, abs=WITHIN)


def test_where_nobody_helps_it_is_measured_and_the_line_that_helps_is_said(
    user: User, split: Path
) -> None:
    run = user.measure(split, as_it_is=REFUSING)

    assert run.status == 0, run.said
    assert "profiler=none/" in run.model
    assert run.bundle.results[0].benchmarks[0].metrics
    said = " ".join(run.said.split())
    assert "no profile: the kernel refuses to sample: Permission denied" in said
    assert "sudo sysctl -w kernel.perf_event_paranoid=2 (it is 4)" in said


# --- A profiler that is switched off still answers ------------------------------------------------

CLIENT = """
import json, os, pathlib
from codspeed.hooks.client import connect

client = connect()
client.set_integration("x", "1.0.0")
client.start()
client.stop()
client.benchmark(os.getpid(), "x::y")
"""


def test_a_profiler_that_is_switched_off_still_serves_the_integration(tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text(CLIENT)
    argv = [sys.executable, "-m", "codspeed.cli", "run", "--mode", "walltime", "--no-store"]
    argv += ["--bundle-dir", str(tmp_path / "b"), "--allow-empty", "--json", "--"]
    env = {**os.environ, "CODSPEED_SKIP_UPLOAD": "true", "CODSPEED_PROFILER_ENABLED": "false"}
    env.pop("CI", None)
    with fifo_lock():
        done = subprocess.run(
            [*argv, sys.executable, "client.py"],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    (found,) = bundle.find(tmp_path / "b")
    read = bundle.read(found)
    (part,) = read.manifest.parts

    assert "profiler=none/" in part.model
    outcome = bundle.restore_part(read, part).outcome
    assert outcome is not None
    assert [window.uri for window in outcome.windows] == ["x::y"]
    assert not (found / part.folder / "perf.pipedata").exists()
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert "benchmark" in events
