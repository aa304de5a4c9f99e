"""Children: held, released, signalled, reaped."""

from __future__ import annotations

import os
import select
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codspeed.errors import BenchmarkFailedError
from codspeed.launch.child import Child, spawn
from codspeed.model import Launch

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.process

ODD = {
    "QUOTES": "a'b\"c`d`",
    "LINES": "one\ntwo\r\n\tthree",
    "DOLLAR": "$HOME ${X} $(true) \\",
    "UNICODE": "é ☃ 🐍",
    "ESCAPES": "\x1b[31m\x01",
    "EMPTY": "",
    "BLANK": "  \t",
    "BYTES": "caf\udce9",
}
SHOW_ENVIRONMENT = """
import os, sys
sys.stdout.buffer.write(b"\\0".join(os.environb[name.encode()] for name in sys.argv[1:]))
"""


def read_all(fd: int) -> bytes:
    """Return everything until all writers are gone."""
    os.set_blocking(fd, True)
    data = b""
    while more := os.read(fd, 65536):
        data += more
    return data


def run(
    *argv: str, environment: Mapping[str, str] | None = None, **launch: object
) -> tuple[int, bytes, bytes]:
    """Run a command to its end; return status, standard output and standard error."""
    given = dict(os.environ) if environment is None else environment
    with spawn(Launch(argv, **launch), given) as child:  # type: ignore[arg-type]  # keywords of either kind
        child.release(argv[0])
        out, err = read_all(child.stdout), read_all(child.stderr)
        return child.reap()[0], out, err


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] not in {"Z", "X"}


def wait_for_end(pidfd: int) -> bool:
    """Wait until the process behind a pidfd ended."""
    return bool(select.select([pidfd], [], [], 10)[0])


@pytest.mark.parametrize("status", [0, 1, 3, 127, 255])
def test_the_exit_status_is_the_child_s(status: int) -> None:
    assert run("sh", "-c", f"exit {status}")[0] == status


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGINT])
def test_a_signal_is_a_negative_status(number: signal.Signals) -> None:
    assert run("sh", "-c", f"kill -{int(number)} $$")[0] == -number


def test_output_is_taken_apart() -> None:
    assert run("sh", "-c", "echo out; echo err >&2") == (0, b"out\n", b"err\n")


def test_arguments_are_passed_on_verbatim() -> None:
    words = ("a b", "", "$HOME", "*", "'", "é", "caf\udce9", "-n")
    program = "import os, sys; sys.stdout.buffer.write(b'|'.join(map(os.fsencode, sys.argv[1:])))"

    assert run(sys.executable, "-c", program, *words)[1] == b"|".join(map(os.fsencode, words))


def test_the_environment_is_exactly_the_one_given() -> None:
    program = "import os; print(sorted(set(os.environ) - {'LC_CTYPE'}))"
    done = run(sys.executable, "-c", program, environment={"A": "1"}, env={"B": "2"})

    assert done[1] == b"['A', 'B']\n"


def test_variables_of_the_launch_win() -> None:
    done = run("/bin/sh", "-c", "echo $A", environment={"A": "1"}, env={"A": "2"})

    assert done[1] == b"2\n"


def test_odd_values_survive() -> None:
    done = run(sys.executable, "-c", SHOW_ENVIRONMENT, *ODD, env=ODD)

    assert done[1].split(b"\0") == [os.fsencode(value) for value in ODD.values()]


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(
    value=st.text(
        st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=50
    )
)
def test_any_value_survives(value: str) -> None:
    assert run("/bin/sh", "-c", 'printf %s "$V"', environment={"V": value})[1] == value.encode()


def test_standard_input_is_what_was_given() -> None:
    data = b"line\n\0\xff" * 100_000
    done = run(sys.executable, "-c", "import sys; print(len(sys.stdin.buffer.read()))", stdin=data)

    assert done[1] == b"700000\n"


def test_the_working_directory_is_the_one_given(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()

    assert run("pwd", cwd=folder)[1].decode() == f"{folder}\n"


@pytest.mark.parametrize(
    ("launch", "reason"),
    [
        pytest.param(Launch(("no-such-program-here",)), "No such file or directory", id="missing"),
        pytest.param(Launch(("/",)), "Permission denied", id="a folder"),
        pytest.param(
            Launch(("true",), cwd=Path("/no/such/folder")), "No such file or directory", id="cwd"
        ),
        pytest.param(Launch(("true",), env={"A": "a\0b"}), "embedded null byte", id="zero byte"),
        pytest.param(Launch(("echo", "a" * 3_000_000)), "Argument list too long", id="too long"),
    ],
)
def test_what_cannot_be_executed_says_why(launch: Launch, reason: str) -> None:
    with (
        spawn(launch, dict(os.environ)) as child,
        pytest.raises(BenchmarkFailedError) as caught,
    ):
        child.release(launch.argv[0])

    assert caught.value.problem == (
        f"failed to execute the benchmark process. {launch.argv[0]}: {reason}"
    )
    assert not child.is_released


def test_a_file_that_is_no_program_says_why(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("no shebang")
    script.chmod(0o755)
    with spawn(Launch((str(script),)), {}) as child, pytest.raises(BenchmarkFailedError) as caught:
        child.release(str(script))

    assert caught.value.problem.endswith("Exec format error")


def test_the_child_is_held_until_it_is_released(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    with spawn(Launch(("touch", str(witness))), dict(os.environ)) as child:
        program = Path(f"/proc/{child.pid}/exe").readlink()
        ran_before = witness.exists()
        child.release("touch")
        child.reap()

    assert program == Path(sys.executable).resolve()
    assert not ran_before
    assert witness.exists()


def test_a_child_that_is_never_released_runs_nothing(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    with spawn(Launch(("touch", str(witness))), dict(os.environ)) as child:
        pass

    assert child.reap()[0] == -signal.SIGKILL
    assert not witness.exists()


def test_a_held_child_ends_with_its_runner(tmp_path: Path) -> None:
    program = (
        "import os, signal\n"
        "from codspeed.launch.child import spawn\n"
        "from codspeed.model import Launch\n"
        f"child = spawn(Launch(('touch', {str(tmp_path / 'ran')!r})), {{}})\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    pid = int(done.stdout)
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        ended = True
    else:
        ended = wait_for_end(pidfd)
        os.close(pidfd)

    assert ended
    assert not (tmp_path / "ran").exists()


def test_a_child_killed_while_it_was_held_has_its_status() -> None:
    with spawn(Launch(("true",)), dict(os.environ)) as child:
        os.kill(child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        child.release("true")

        assert child.reap()[0] == -signal.SIGKILL


def test_the_child_leads_a_group_of_its_own() -> None:
    with spawn(Launch(("sh", "-c", "echo $$; read x")), dict(os.environ)) as child:
        group = os.getpgid(child.pid)

    assert group == child.pid
    assert group != os.getpgrp()


def test_leaving_kills_the_whole_group() -> None:
    """Also a grandchild that ignores every polite signal."""
    script = "trap '' INT TERM HUP; sh -c \"trap '' INT TERM HUP; echo \\$\\$; read x\" & read x"
    with spawn(Launch(("sh", "-c", script)), dict(os.environ)) as child:
        child.release("sh")
        os.set_blocking(child.stdout, True)
        grandchild = int(os.read(child.stdout, 100))
        pidfd = os.pidfd_open(grandchild)

    assert wait_for_end(pidfd)
    assert not is_alive(grandchild)
    os.close(pidfd)


def test_signalling_a_group_that_is_gone_does_no_harm() -> None:
    with spawn(Launch(("true",)), dict(os.environ)) as child:
        child.release("true")
        child.reap()
        child.signal_group(signal.SIGKILL)

        assert child.has_exited()


def test_a_group_that_is_root_s_is_signalled_through_sudo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sudo belongs to root, so kill(2) is refused to whoever started it."""
    sudo = tmp_path / "sudo"
    sudo.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/said\n')
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def refuse(_group: int, _number: int) -> None:
        raise PermissionError

    with spawn(Launch(("true",)), dict(os.environ)) as child, monkeypatch.context() as patch:
        patch.setattr(os, "killpg", refuse)
        child.signal_group(signal.SIGTERM)
        patch.undo()

    assert (tmp_path / "said").read_text() == f"--non-interactive kill -s 15 -- -{child.pid}\n"


def test_signals_that_python_ignores_are_not_ignored_by_the_child() -> None:
    out = run("sh", "-c", "grep SigIgn /proc/self/status")[1]

    assert int(out.split()[1], 16) & (1 << (signal.SIGPIPE - 1)) == 0


def test_signals_that_our_starter_ignores_stay_ignored() -> None:
    """As nohup does, and a script that starts us in its background."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        out = run("sh", "-c", "grep SigIgn /proc/self/status")[1]
    finally:
        signal.signal(signal.SIGHUP, before)

    assert int(out.split()[1], 16) & (1 << (signal.SIGHUP - 1))


def test_the_child_inherits_no_descriptor_of_ours(tmp_path: Path) -> None:
    program = """
import os
for name in os.listdir("/proc/self/fd"):
    if int(name) > 2 and os.path.exists(f"/proc/self/fd/{name}"):
        print(name)
"""
    inheritable = {fd for fd in range(3, 1024) if is_inheritable(fd)}
    with (tmp_path / "ours").open("w"):
        out = run(sys.executable, "-c", program)[1]

    assert {int(name) for name in out.split()} - inheritable == set()


def is_inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


def test_resources_are_those_of_the_child() -> None:
    program = "sum(range(3_000_000)); bytearray(60_000_000)"
    with spawn(Launch((sys.executable, "-c", program)), dict(os.environ)) as child:
        child.release(sys.executable)
        _, usage = child.reap()

    assert usage.user_ns > 0
    assert usage.wall_ns > usage.user_ns // 2
    assert usage.max_rss_bytes > 60_000_000
    assert usage.minor_faults > 100


def test_reaping_twice_tells_the_same() -> None:
    with spawn(Launch(("sh", "-c", "exit 3")), dict(os.environ)) as child:
        child.release("sh")

        assert child.reap() == child.reap()


def test_no_descriptor_is_left_open() -> None:
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough
    run("true")
    with spawn(Launch(("true",)), {}):
        pass
    with pytest.raises(BenchmarkFailedError):
        run("no-such-program-here")

    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - names, not paths


@pytest.fixture
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is none, the system lets no terminal's signal stop a child: nobody resumes it."""
    monkeypatch.setattr("codspeed.launch.child._has_terminal", lambda: True)


@pytest.mark.usefixtures("_terminal")
def test_a_stop_is_told_once() -> None:
    assert _told_of_stop_by("TSTP") == [True, False]


@pytest.mark.usefixtures("_terminal")
def test_only_the_terminals_stops_are_told() -> None:
    assert _told_of_stop_by("STOP") == [False, False]


def _told_of_stop_by(name: str) -> list[bool]:
    with spawn(Launch(("sh", "-c", f"kill -{name} $$; exit 5")), dict(os.environ)) as child:
        child.release("sh")
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        told = [child.is_stopped(), child.is_stopped()]
        child.signal_group(signal.SIGCONT)
        assert child.reap()[0] == 5
    return told


def test_standard_input_is_a_file_that_nobody_else_can_read() -> None:
    program = "import os; print(oct(os.fstat(0).st_mode), os.fstat(0).st_nlink)"
    out = run(sys.executable, "-c", program, stdin=b"secret")[1].split()

    assert stat.S_IMODE(int(out[0], 8)) == 0o600
    assert out[1] == b"0"


def test_the_type_says_what_a_child_is() -> None:
    with spawn(Launch(("true",)), {}) as child:
        assert isinstance(child, Child)
        assert not child.holds_terminal


@pytest.mark.parametrize("has_terminal", [False, True])
def test_only_without_a_terminal_a_child_has_a_session_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
    has_terminal: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    monkeypatch.setattr("codspeed.launch.child._has_terminal", lambda: has_terminal)
    with spawn(Launch(("true",)), dict(os.environ)) as child:
        group, session = os.getpgid(child.pid), os.getsid(child.pid)

    assert group == child.pid
    assert session == (os.getsid(0) if has_terminal else child.pid)
