"""The whole harness as a process, with a runner on FIFOs of the test's own or with none."""

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

from codspeed.hooks.codec import (
    AddMarker,
    Command,
    CurrentBenchmark,
    Err,
    GetIntegrationMode,
    SetIntegration,
    SetVersion,
    StartProfiler,
    StopProfiler,
    encode,
)
from codspeed.model import IntegrationMode, MarkerKind
from codspeed.testing.fifo_peer import make_fifos, polite, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.process

# The FIFOs that the harness finds by itself are those of the machine: a test never touches them.
LAUNCHER = """
import functools, pathlib, sys
from codspeed.hooks import client
folder = pathlib.Path(sys.argv.pop(1))
client.connect = functools.partial(
    client.connect, ctl=folder / "ctl.fifo", ack=folder / "ack.fifo", timeout=5.0
)
from codspeed_exec_harness.cli import main
sys.exit(main())
"""
HANDSHAKE = (SetVersion, GetIntegrationMode, SetIntegration)
BRIEF = {"warmup_time": "0", "max_rounds": 3}


@attrs.frozen
class Harness:
    """A folder with the harness in it."""

    folder: Path

    def start(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        variables = {"CODSPEED_PROFILE_FOLDER": str(self.folder / "profile"), **(env or {})}
        inherited = {key: os.environ[key] for key in os.environ if key[:8] != "CODSPEED"}
        return subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, str(self.folder), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**inherited, **variables},
            cwd=self.folder,
            text=True,
            start_new_session=True,
        )

    def run(
        self, *arguments: str, stdin: Any = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        text = stdin if isinstance(stdin, str) else json.dumps(stdin)
        with self.start(*arguments, env=env) as process:
            out, errors = process.communicate(text, timeout=25)
        return subprocess.CompletedProcess(process.args, process.returncode, out, errors)

    def benchmarks(self) -> list[dict[str, Any]]:
        found = list((self.folder / "profile" / "results").glob("*"))
        assert len(found) <= 1
        return json.loads(found[0].read_bytes())["benchmarks"] if found else []


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


@pytest.fixture
def default_interrupt() -> Iterator[None]:
    """Children must not inherit an ignored SIGINT from whoever started pytest."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _target(*command: str, **keys: Any) -> dict[str, Any]:
    return {"command": command, "walltime_args": BRIEF, **keys}


def test_measures_a_command(harness: Harness) -> None:
    done = harness.run("--warmup-time", "0", "--max-rounds", "4", "--name", "n", "echo", "--name")

    assert (done.returncode, done.stdout, done.stderr) == (0, "--name\n" * 4, "Executing: n\n")
    (benchmark,) = harness.benchmarks()
    assert (benchmark["name"], benchmark["uri"]) == ("n", "exec_harness::n")
    assert benchmark["stats"]["rounds"] == 4
    assert len(benchmark["codspeed"]["rounds"]["wall_ns"]) == 4


def test_measures_several_targets_in_order(harness: Harness) -> None:
    done = harness.run("-", stdin=[_target("echo", "a b"), _target("echo", "c", name="second")])

    assert (done.returncode, done.stdout) == (0, "a b\n" * 3 + "c\n" * 3)
    assert [item["name"] for item in harness.benchmarks()] == ["echo a b", "second"]


def test_a_target_has_its_own_folder_variables_and_no_input(harness: Harness) -> None:
    (harness.folder / "inside").mkdir()
    launch = {
        "argv": ["sh", "-c", 'pwd; echo "$X"; cat'],
        "env": {"X": "1"},
        "cwd": "inside",
        "sudo": False,
    }
    once = {"warmup_time": "0", "max_rounds": 1}
    wrapped = {"command": ["tool"], "walltime_args": once, "launch": launch}
    done = harness.run("-", stdin=[wrapped, {"command": ["pwd"], "walltime_args": once}])

    assert done.stdout == f"{harness.folder / 'inside'}\n1\n{harness.folder}\n"
    assert [item["uri"] for item in harness.benchmarks()] == [
        "exec_harness::tool",
        "exec_harness::pwd",
    ]


def test_speaks_the_protocol(harness: Harness) -> None:
    with serving(*make_fifos(harness.folder), polite(IntegrationMode.WALLTIME)) as seen:
        done = harness.run("-", stdin=[_target("true", name="a"), _target("true", name="b")])

    assert done.returncode == 0
    window = (StartProfiler, *[AddMarker] * 6, StopProfiler, CurrentBenchmark)
    assert [type(command) for command in seen] == [*HANDSHAKE, *window, *window]
    assert seen[2] == SetIntegration("exec-harness", "1.3.0")
    _check_markers(seen, harness.benchmarks()[0])


def _check_markers(seen: list[Command], benchmark: dict[str, Any]) -> None:
    """Markers carry the readings of the clock that the results are made of, and one process id."""
    markers = [command for command in seen[:10] if isinstance(command, AddMarker)]
    kinds = [marker.kind for marker in markers]
    times = [marker.timestamp for marker in markers]
    name = seen[11]

    assert kinds == [MarkerKind.ROUND_START, MarkerKind.ROUND_END] * 3
    assert times == sorted(times)
    durations = [end - start for start, end in zip(times[::2], times[1::2], strict=True)]
    assert durations == benchmark["codspeed"]["rounds"]["wall_ns"]
    assert isinstance(name, CurrentBenchmark)
    assert name.uri == "exec_harness::a"
    assert {marker.pid for marker in markers} == {name.pid}


@pytest.mark.parametrize("mode", ["memory", "a-plugins-own"])
def test_runs_once_inside_a_window(harness: Harness, mode: str) -> None:
    with serving(*make_fifos(harness.folder), polite(IntegrationMode.ANALYSIS)) as seen:
        done = harness.run(
            "--rounds",
            "once",
            "-",
            stdin=[_target("sh", "-c", 'echo "<$NODE_OPTIONS>"')],
            env={"CODSPEED_RUNNER_MODE": mode, "NODE_OPTIONS": ""},
        )

    assert (done.returncode, done.stdout) == (0, "<>\n")
    window = (StartProfiler, StopProfiler, CurrentBenchmark)
    assert [type(command) for command in seen] == [*HANDSHAKE, *window]
    assert harness.benchmarks() == []


@pytest.mark.parametrize("mode", ["simulation", "instrumentation"])
def test_simulation_runs_once_and_speaks_to_nobody(harness: Harness, mode: str) -> None:
    with serving(*make_fifos(harness.folder), polite(IntegrationMode.SIMULATION)) as seen:
        done = harness.run("-m", mode, "sh", "-c", 'echo "<$NODE_OPTIONS>"')

    assert (done.returncode, done.stdout) == (0, "<--perf-basic-prof>\n")
    assert seen == []


def test_a_failing_target_ends_the_run_and_keeps_what_is_finished(harness: Harness) -> None:
    with serving(*make_fifos(harness.folder), polite(IntegrationMode.WALLTIME)) as seen:
        done = harness.run(
            "-",
            stdin=[_target("true"), _target("sh", "-c", "exit 3", name="bad"), _target("true")],
        )

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Executing: true",
        "Executing: bad",
        "Command exited with non-zero status: exit status: 3",
        "Target: bad",
    ]
    assert [item["name"] for item in harness.benchmarks()] == ["true"]
    assert [type(command) for command in seen[-2:]] == [StartProfiler, StopProfiler]


def test_a_missing_program_is_named(harness: Harness) -> None:
    done = harness.run("no-such-program-here", "x")

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Executing: no-such-program-here x",
        "Cannot start 'no-such-program-here': no such program on PATH",
        "Target: no-such-program-here x",
        "check the spelling, or give the program's path",
    ]


def test_a_missing_folder_is_named(harness: Harness) -> None:
    launch = {"argv": ["true"], "cwd": "nowhere"}
    done = harness.run("-", stdin=[_target("true", launch=launch)])

    assert done.returncode == 1
    assert "Cannot enter the folder 'nowhere': No such file or directory" in done.stderr


def test_results_outlive_a_runner_that_refuses(harness: Harness) -> None:
    def refuse_names(command: Command) -> bytes:
        if isinstance(command, CurrentBenchmark):
            return encode(Err())
        return polite(IntegrationMode.WALLTIME)(command)

    with serving(*make_fifos(harness.folder), refuse_names):
        done = harness.run("-", stdin=[_target("true")])

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert [item["name"] for item in harness.benchmarks()] == ["true"]


@pytest.mark.usefixtures("default_interrupt")
@pytest.mark.parametrize("group", [True, False], ids=["group", "harness alone"])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_round_and_keeps_what_is_finished(
    harness: Harness, signum: signal.Signals, *, group: bool
) -> None:
    slow = ["sh", "-c", "echo $$; exec sleep 60"]
    with serving(*make_fifos(harness.folder), polite(IntegrationMode.WALLTIME)) as seen:
        process = harness.start("-")
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([_target("true"), {"command": slow}, _target("true")]))
        process.stdin.close()
        child = int(process.stdout.readline())
        (os.killpg if group else os.kill)(process.pid, signum)
        assert process.wait(timeout=20) == 130

    with process:
        assert process.stderr is not None
        assert process.stderr.read().endswith(f"Interrupted by {signum.name}\n")
    assert [item["name"] for item in harness.benchmarks()] == ["true"]
    assert [type(command) for command in seen[-2:]] == [StartProfiler, StopProfiler]
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.mark.usefixtures("default_interrupt")
def test_a_command_that_ignores_polite_signals_is_killed(harness: Harness) -> None:
    stubborn = "import signal, time; signal.signal(2, signal.SIG_IGN); signal.signal(15, "
    stubborn += "signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    process = harness.start(sys.executable, "-c", stubborn)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        start = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)

        assert process.wait(timeout=20) == 130
        assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("arguments", "stdin", "problem"),
    [
        ((), "", "No command provided"),
        (("-",), "[]", "No commands provided in stdin input"),
        (("-",), "nonsense", "Failed to parse JSON from stdin: "),
        (("-m", "guess", "true"), "", "Unknown measurement mode 'guess'"),
        (("--min-rounds", "2", "--max-rounds", "1", "true"), "", "min_rounds (2) cannot be "),
        (("--warmup-time", "x", "true"), "", "Invalid warmup_time: Invalid duration format: 'x'"),
    ],
)
def test_a_wrong_command_line_is_two(
    harness: Harness, arguments: tuple[str, ...], stdin: str, problem: str
) -> None:
    done = harness.run(*arguments, stdin=stdin)

    assert done.returncode == 2
    assert done.stderr.startswith(problem)
    assert done.stdout == ""


def test_bounds_of_every_target_are_checked_before_the_first_runs(harness: Harness) -> None:
    wrong = {"command": ["true"], "walltime_args": {"min_rounds": 2, "max_rounds": 1}}
    done = harness.run("-", stdin=[_target("echo", "ran"), wrong])

    assert (done.returncode, done.stdout) == (2, "")


def test_results_go_to_a_hidden_folder_without_a_runner(harness: Harness) -> None:
    harness.run(
        "--max-rounds", "1", "--warmup-time", "0", "true", env={"CODSPEED_PROFILE_FOLDER": ""}
    )

    assert len(list((harness.folder / ".codspeed" / "results").glob("*.json"))) == 1


def test_the_log_is_quiet_when_asked(harness: Harness) -> None:
    done = harness.run("-m", "simulation", "true", env={"CODSPEED_LOG": "warn"})

    assert (done.returncode, done.stderr) == (0, "")


def test_says_the_version_that_it_speaks() -> None:
    argv = [sys.executable, "-m", "codspeed_exec_harness", "--version"]

    assert subprocess.check_output(argv, text=True) == "exec-harness 1.3.0\n"


def test_modules_of_the_users_folder_are_not_ours(harness: Harness) -> None:
    (harness.folder / "json.py").write_text("raise SystemExit('shadowed')", encoding="utf-8")
    argv = [sys.executable, "-P", "-m", "codspeed_exec_harness", "-m", "simulation", "true"]

    assert subprocess.run(argv, cwd=harness.folder, check=False).returncode == 0
