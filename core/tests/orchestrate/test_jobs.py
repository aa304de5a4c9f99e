"""Whole runs in slices and in a still environment, with an executor that counts lines of a file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from codspeed import bundle, orchestrate
from codspeed.environment import read_system
from codspeed.launch.still import BLOCK_BYTES, block_bytes
from codspeed.model import (
    BenchmarkResult,
    Compat,
    Entrypoint,
    ExecTarget,
    Launch,
    Metric,
    Outcome,
    RunContext,
    RunPart,
    RunReport,
    RunRequest,
    Rusage,
)
from codspeed.orchestrate.parallel import merged
from codspeed.protocols import (
    ExecutorDefaults,
    ExecutorDescriptor,
    HarnessDescriptor,
    Session,
    Target,
)
from codspeed.registry import Plugin, PluginState
from codspeed.testing import FakeReporter

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.process

SUITE = """
import os, pytest

@pytest.mark.parametrize("number", range(5))
def test_it(number):
    with open(os.environ["CODSPEED_PROFILE_FOLDER"] + "/uris", "a") as file:
        print(f"it-{number}", file=file)
"""
PYTEST = (sys.executable, "-m", "pytest", "-q", "-s")
SHOW = (
    "import json, os, pathlib;"
    "folder = os.environ['CODSPEED_PROFILE_FOLDER'];"
    "pathlib.Path(folder, 'env').write_text(json.dumps({**os.environ}))"
)


class Steady(ExecutorDefaults):
    """Each line of the file `uris` in the profile folder is a benchmark."""

    deterministic = True
    still_environment = True

    def measure(self, part: RunPart, session: Session) -> Outcome:
        return session.run(part.launch)

    def results(self, part: RunPart) -> Sequence[BenchmarkResult]:
        path = part.folder / "uris"
        uris = path.read_text().split() if path.exists() else []
        return [BenchmarkResult(uri, uri, (Metric("n", 1.0, "count"),)) for uri in uris]


class Harness:
    """Runs all targets one after the other with a shell."""

    def target(self, launch: Launch, name: str | None, _bounds: object) -> Target:
        return Target(name or "", f"harness::{name}", launch)

    def command(self, targets: Sequence[Target], _rounds: object) -> Launch:
        return Launch(("sh", "-c", "\n".join(target.launch.argv[0] for target in targets)))


class Registry:
    """Knows the executor and the harness of these tests."""

    def get(self, group: str, name: str) -> Plugin:
        descriptor = (
            ExecutorDescriptor(name="steady", label="steady", mode="steady", load=lambda: Steady)
            if group == "codspeed.executors"
            else HarnessDescriptor(name=name, label=name, load=lambda: Harness)
        )
        return Plugin(name, group, "dist", "1", 1, PluginState.OK, descriptor=descriptor)

    def plugins(self, _group: str) -> list[Plugin]:
        return []

    def options(self) -> dict[str, Any]:
        return {}


def measure(folder: Path, env: dict[str, str] | None = None, **request: Any) -> RunReport:
    (folder / "temp").mkdir(exist_ok=True)
    variables = dict(os.environ) if env is None else env
    reporter = request.pop("reporter", None) or FakeReporter()
    usual: dict[str, Any] = {
        "executors": ("steady",),
        "bundle_dir": folder / "bundles",
        "uploaders": (),
    }
    return orchestrate.run(
        RunRequest(**(usual | request)),
        registry=Registry(),  # type: ignore[arg-type]  # a fake with what is used
        system=attrs.evolve(read_system(variables), temp=folder / "temp", env=variables),
        context=RunContext("local", "owner/name", "name-123", folder),
        reporter=reporter,
    )


def restored(report: RunReport) -> RunPart:
    assert report.bundle is not None
    kept = bundle.read(report.bundle.path)
    return bundle.restore_part(kept, kept.manifest.parts[0])


def uris(report: RunReport) -> list[str]:
    assert report.bundle is not None
    return [each.uri for part in report.bundle.results for each in part.benchmarks]


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # hypothesis alone takes a second
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "test_it.py").write_text(SUITE)
    return tmp_path / "suite"


# --- slices ---------------------------------------------------------------------------------------


@pytest.mark.timeout(120)  # pytest starts four times
def test_a_pytest_suite_is_measured_in_slices(tmp_path: Path, suite: Path) -> None:
    report = measure(tmp_path, entrypoints=(Entrypoint(PYTEST, suite),), jobs=2)

    part = restored(report)
    assert report.exit_code == 0
    assert uris(report) == [f"it-{number}" for number in range(5)]
    assert sorted(path.name for path in suite.iterdir()) == ["test_it.py"]  # no cache, no bytecode
    assert part.model == "steady/jobs=2"
    assert part.launch.argv == PYTEST
    assert [(piece.folder / "uris").read_text().split() for piece in part.pieces] == [
        ["it-0", "it-2", "it-4"],
        ["it-1", "it-3"],
    ]


def test_targets_are_dealt_and_keep_their_meaning(tmp_path: Path) -> None:
    targets = [
        ExecTarget((f"echo {name} >>$CODSPEED_PROFILE_FOLDER/uris",), name) for name in "abc"
    ]

    report = measure(tmp_path, targets=tuple(targets), jobs=8)

    assert uris(report) == ["a", "b", "c"]
    assert restored(report).model == "steady"
    assert restored(report).slices == 3


def test_a_command_that_is_no_suite_runs_in_one_piece(tmp_path: Path) -> None:
    command = Entrypoint("echo a >>$CODSPEED_PROFILE_FOLDER/uris; true")

    report = measure(tmp_path, entrypoints=(command,), jobs=2)

    assert uris(report) == ["a"]
    assert restored(report).slices == 0
    assert restored(report).model == "steady"


def test_the_references_ways_are_not_split(tmp_path: Path, suite: Path) -> None:
    entrypoint = Entrypoint(PYTEST, suite)

    report = measure(tmp_path, entrypoints=(entrypoint,), jobs=2, compat=Compat.CODSPEED)

    assert restored(report).slices == 0


def test_a_failing_slice_does_not_lose_the_others(tmp_path: Path) -> None:
    bad = ExecTarget(("exit 3",), "bad")
    good = ExecTarget(("echo good >>$CODSPEED_PROFILE_FOLDER/uris",), "good")

    report = measure(tmp_path, targets=(bad, good), jobs=2)

    assert uris(report) == ["good"]
    assert [error.slug for error in report.errors] == ["benchmark-failed"]


def test_lines_of_slices_do_not_mix(tmp_path: Path) -> None:
    # Each line in many pieces: whoever shows them as they come mixes them.
    line = "for i in 1 2 3 4 5 6 7 8 9; do printf {0}; sleep 0.01; done; echo; printf end-{0}"
    targets = tuple(ExecTarget((line.format(name),), name) for name in "ab")
    reporter = FakeReporter()

    measure(tmp_path, targets=targets, jobs=2, allow_empty=True, reporter=reporter)

    lines = b"".join(reporter.told("output")).split()
    assert sorted(lines) == [b"aaaaaaaaa", b"bbbbbbbbb", b"end-a", b"end-b"]


def test_outcomes_add_up() -> None:
    one = Outcome(0, rusage=Rusage(wall_ns=5, user_ns=1, max_rss_bytes=7), notes=("n",))
    two = Outcome(3, interrupted=True, rusage=Rusage(wall_ns=9, user_ns=2, max_rss_bytes=4))

    both = merged([one, two], wall_ns=10)

    assert both == Outcome(
        3,
        interrupted=True,
        rusage=Rusage(wall_ns=10, user_ns=3, max_rss_bytes=7),
        notes=("n",),
    )
    assert merged([], wall_ns=1) is None


# --- the end of slices ----------------------------------------------------------------------------

RUNNER = """
import sys
from contextlib import nullcontext
from pathlib import Path
from codspeed.environment import read_system
from codspeed.hooks.session import FifoSession
from codspeed.model import Launch, Reporter, RunPart
from codspeed.orchestrate.parallel import Supervisor, measure
from codspeed.protocols import ExecutorDefaults

class Plain(ExecutorDefaults):
    def measure(self, part, session):
        return session.run(part.launch)

class Shown(Reporter):
    def output(self, data, *, stream):
        print(data.decode(), end="", flush=True)

def session(part, reporter):
    system = read_system()
    return FifoSession(system=system, environment=system.env, mode=None, reporter=reporter)

script = "trap 'echo stopped; exit 0' INT; echo $$; while :; do sleep 0.05; done"
parts = [RunPart(0, "p", "p", "p", Launch(("bash", "-c", script)), Path()) for _ in range(2)]
merged = measure(Supervisor(Plain(), session, nullcontext), parts, Shown())
print(merged.outcome and merged.outcome.interrupted, len(merged.failures))
"""


@pytest.fixture
def runner() -> Any:
    command = [sys.executable, "-c", RUNNER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = [int(process.stdout.readline()) for _ in range(2)]
        yield process, pids
        process.kill()
        for pid in pids:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids: list[int]) -> bool:
    """Wait until all have ended, but not for ever."""
    deadline = time.monotonic() + 15
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(is_alive, pids))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_reaches_all_slices(runner: Any, number: int) -> None:
    process, pids = runner

    process.send_signal(number)

    assert process.stdout.read().split("\n") == ["stopped", "stopped", "True 0", ""]
    assert gone(pids)


def test_slices_do_not_outlive_their_runner(runner: Any) -> None:
    process, pids = runner

    process.kill()

    assert gone(pids)


def test_a_slice_that_was_killed_is_told_of(runner: Any) -> None:
    process, pids = runner
    supervisor = int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1])

    os.kill(supervisor, signal.SIGKILL)
    os.kill(pids[0], signal.SIGKILL)
    process.send_signal(signal.SIGINT)

    assert process.stdout.read().split("\n") == ["stopped", "True 1", ""]


# --- a still environment --------------------------------------------------------------------------


def job(number: int) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "GITHUB_ACTIONS": "true",
        "GITHUB_RUN_ID": "1" * (number + 1),
        "GITHUB_TOKEN": "topsecret" * (number + 1),
        "SHLVL": "7",
    }


def seen(folder: Path, env: dict[str, str], **request: Any) -> tuple[dict[str, str], RunReport]:
    """Return what a command saw of an environment, and the report."""
    entrypoint = Entrypoint((sys.executable, "-c", SHOW))
    report = measure(folder, env, entrypoints=(entrypoint,), allow_empty=True, **request)
    return json.loads((restored(report).folder / "env").read_text()), report


def test_a_command_sees_the_same_in_each_job(tmp_path: Path) -> None:
    (one, first), (two, second) = (seen(tmp_path, job(number)) for number in (0, 9))

    assert {name for name in one if one[name] != two[name]} == {"CODSPEED_PROFILE_FOLDER", "PATH"}
    assert {name: len(value) for name, value in one.items()} == {
        name: len(value) for name, value in two.items()
    }
    assert one["SHLVL"] == "1"
    assert one["TZ"] == "UTC"
    assert one["PYTHONHASHSEED"] == "0"
    assert "GITHUB_TOKEN" not in one
    assert block_bytes(one) == BLOCK_BYTES
    assert fingerprint(first) == fingerprint(second)


def test_comparisons_are_told_of_it(tmp_path: Path) -> None:
    _env, report = seen(tmp_path, job(0))
    assert report.bundle is not None

    (part,) = report.bundle.manifest.parts
    assert part.comparability.warns == ("kernel", "image", "environment_hash")
    assert part.environment_hash == fingerprint(report)


def test_a_variable_of_ones_own_shows_in_the_fingerprint(tmp_path: Path) -> None:
    hashes = {
        fingerprint(seen(tmp_path, {**job(0), "MINE": "x" * length})[1]) for length in (1, 1, 2)
    }

    assert len(hashes) == 2


def test_strict_leaves_out_ones_own_variables(tmp_path: Path) -> None:
    hashes = {
        fingerprint(seen(tmp_path, {**job(0), "MINE": "x" * length}, environment="strict")[1])
        for length in (1, 2)
    }

    assert len(hashes) == 1


def test_what_is_kept_reaches_the_command(tmp_path: Path) -> None:
    env, _report = seen(tmp_path, job(1), keep_env=("GITHUB_TOKEN",))

    assert env["GITHUB_TOKEN"] == "topsecret" * 2


def test_changes_are_in_the_log_without_values(tmp_path: Path) -> None:
    _env, report = seen(tmp_path, job(3))
    assert report.bundle is not None

    log = (report.bundle.path / "log.txt").read_text()
    assert "still environment: GITHUB_TOKEN dropped" in log
    assert "topsecret" not in log


def test_the_references_environment_is_left_alone(tmp_path: Path) -> None:
    env, report = seen(tmp_path, job(2), compat=Compat.CODSPEED)

    assert {name: env[name] for name in job(2) if env[name] != job(2)[name]}.keys() == {"PATH"}
    assert "CODSPEED_STILL_FILLER" not in env
    assert "TZ" not in env
    assert fingerprint(report) is None


def fingerprint(report: RunReport) -> str | None:
    assert report.bundle is not None
    value: str | None = report.bundle.manifest.fingerprint.get("environment_hash")
    return value
