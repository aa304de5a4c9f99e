"""Real children: what they get and what is measured of them."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codspeed.errors import BenchmarkFailedError
from codspeed.model import Launch
from codspeed_exec_harness.interrupt import Interrupt
from codspeed_exec_harness.process import Process, child_environment, max_rss_floor, status_text

if TYPE_CHECKING:
    from codspeed_exec_harness.loop import Round

IN_SHELL = ("sh", "-c")


def _run(*argv: str, env: dict[str, str] | None = None) -> Round:
    launch = Launch(argv, env or {})
    environment = child_environment(launch, os.environ, profile_node=False)
    return Process(launch, environment, Interrupt()).run()


@pytest.mark.process
def test_arguments_arrive_verbatim(tmp_path: Path) -> None:
    script = 'import sys; open(sys.argv[1], "w").write(repr(sys.argv[2:]))'
    words = ["a b", "", "$HOME", "'", '"', "*", "ü", "-x", "\n"]
    _run(sys.executable, "-c", script, str(tmp_path / "out"), *words)

    assert (tmp_path / "out").read_text(encoding="utf-8") == repr(words)


@pytest.mark.process
def test_wall_time_holds_the_whole_command() -> None:
    before = time.perf_counter_ns()
    found = _run(*IN_SHELL, "sleep 0.05")
    after = time.perf_counter_ns()

    assert before <= found.start_ns
    assert found.end_ns <= after
    assert found.wall_ns >= 50_000_000
    assert found.cpu_ns < found.wall_ns


@pytest.mark.process
def test_cpu_time_holds_waited_for_children() -> None:
    burn = f"{sys.executable} -c 'sum(range(3_000_000))'"
    found = _run(*IN_SHELL, f"{burn}; true")

    assert found.cpu_ns > 10_000_000
    assert found.voluntary_switches > 0


@pytest.mark.process
@pytest.mark.skipif(
    not Path("/proc/self/schedstat").exists(), reason="this kernel does not count queue time"
)
def test_queue_time_is_known() -> None:
    queue_ns = _run("true").queue_ns

    assert queue_ns is not None
    assert queue_ns >= 0


@pytest.mark.process
def test_the_largest_resident_set_is_the_commands() -> None:
    size = max_rss_floor() + 100_000_000  # what pytest holds hides smaller commands
    found = _run(sys.executable, "-c", f"x = b'x' * {size}")

    assert found.max_rss_bytes > size


@pytest.mark.process
@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exit 3", "exit status: 3"),
        ("kill -9 $$", "signal: 9 (SIGKILL)"),
        ("kill -15 $$", "signal: 15 (SIGTERM)"),
    ],
)
def test_a_failing_command_is_told_in_the_words_of_the_reference(script: str, status: str) -> None:
    with pytest.raises(BenchmarkFailedError) as caught:
        _run(*IN_SHELL, script)

    assert caught.value.problem == f"Command exited with non-zero status: {status}"


def test_a_core_dump_is_told() -> None:
    assert status_text(signal.SIGSEGV | 0x80) == "signal: 11 (SIGSEGV) (core dumped)"


@pytest.mark.process
def test_ignored_signals_of_python_are_not_inherited() -> None:
    """A pipe whose reader is gone must end the writer."""
    with pytest.raises(BenchmarkFailedError) as caught:
        _run(*IN_SHELL, "kill -PIPE $$")

    assert caught.value.problem.endswith("signal: 13 (SIGPIPE)")


@pytest.mark.process
def test_variables_of_the_launch_are_on_top_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.setenv("CHANGED", "1")

    _run(*IN_SHELL, 'test "$KEPT$CHANGED$NEW" = 123', env={"CHANGED": "2", "NEW": "3"})


@pytest.mark.process
def test_the_program_sees_the_name_it_was_called_by() -> None:
    _run("sh", "-c", 'test "$(tr "\\0" " " < /proc/$$/cmdline | cut -c1-5)" = "sh -c"')


@pytest.mark.process
def test_the_program_is_looked_up_on_the_path_of_its_own_environment(tmp_path: Path) -> None:
    _program(tmp_path / "mine", "#!/bin/sh\nexit 0\n")
    _run("mine", env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})


def test_a_missing_program_is_named() -> None:
    with pytest.raises(BenchmarkFailedError) as caught:
        _run("no-such-program-here")

    assert caught.value.problem == "Cannot start 'no-such-program-here': no such program on PATH"


@pytest.mark.process
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("echo hello\n", "neither an executable of this machine nor a script with a #! line"),
        (
            "#!/no/such/interpreter\n",
            "no such program, or the interpreter in its #! line does not exist",
        ),
    ],
)
def test_a_file_that_can_not_be_run_says_why(tmp_path: Path, content: str, reason: str) -> None:
    script = _program(tmp_path / "script", content)
    with pytest.raises(BenchmarkFailedError) as caught:
        _run(script)

    assert caught.value.problem == f"Cannot start '{script}': {reason}"


@pytest.mark.process
def test_a_file_without_the_right_to_run_says_so(tmp_path: Path) -> None:
    script = _program(tmp_path / "script", "#!/bin/sh\n")
    Path(script).chmod(0o644)
    with pytest.raises(BenchmarkFailedError) as caught:
        _run(script)

    assert caught.value.problem == f"Cannot start '{script}': Permission denied"


@pytest.mark.process
def test_a_variable_that_can_not_be_says_so() -> None:
    with pytest.raises(BenchmarkFailedError) as caught:
        _run("true", env={"A=B": "1"})

    assert caught.value.problem.startswith("Cannot start 'true': ")


@pytest.mark.process
def test_works_where_waiting_reaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS before Python 3.13."""
    monkeypatch.delattr(os, "waitid")
    found = _run(*IN_SHELL, "sleep 0.02")

    assert found.wall_ns >= 20_000_000
    assert found.queue_ns is None


@pytest.mark.process
def test_sudo_is_put_in_front_unless_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sudo = 'echo "$@" > "$OUT"\n'
    _program(tmp_path / "sudo", f"#!/bin/sh\n{sudo}")
    search_path = f"{tmp_path}:{os.environ['PATH']}"
    launch = Launch(("true", "x"), {"PATH": search_path, "OUT": str(tmp_path / "out")}, sudo=True)
    environment = child_environment(launch, os.environ, profile_node=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    Process(launch, environment, Interrupt()).run()
    arguments = (tmp_path / "out").read_text(encoding="utf-8").split()

    assert arguments[:2] == ["--non-interactive", "--preserve-env"]
    assert Path(arguments[2]).name == "true"
    assert arguments[3:] == ["x"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "--perf-basic-prof"),
        ("", "--perf-basic-prof"),
        ("--max-old-space-size=9", "--max-old-space-size=9 --perf-basic-prof"),
        ("--perf-basic-prof --x", "--perf-basic-prof --x"),
        ("--perf-basic-prof-only", "--perf-basic-prof-only --perf-basic-prof"),
    ],
)
def test_node_is_asked_for_a_perf_map_once(before: str | None, after: str) -> None:
    inherited = {} if before is None else {"NODE_OPTIONS": before}
    environment = child_environment(Launch(("node",)), inherited, profile_node=True)

    assert environment == {"NODE_OPTIONS": after}


def test_node_is_left_alone_otherwise() -> None:
    assert child_environment(Launch(("node",)), {"A": "1"}, profile_node=False) == {"A": "1"}


def _program(path: Path, content: str) -> str:
    path.write_text(content, encoding="utf-8")
    path.chmod(0o755)
    return str(path)
