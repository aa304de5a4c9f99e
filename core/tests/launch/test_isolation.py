"""Isolation: what is chosen, and what a command sees below a wrapper."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codspeed.errors import ToolError
from codspeed.launch import privilege
from codspeed.launch.isolation import Isolation, IsolationKind, isolated, resolve
from codspeed.model import Launch, System

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ODD = {
    "QUOTES": "a'b\"c`d`",
    "LINES": "one\ntwo\r\n\tthree",
    "DOLLAR": "$HOME ${X} $(true) \\",
    "UNICODE": "é ☃ 🐍",
    "BYTES": "caf\udce9",
    "EMPTY": "",
    "BLANK": "  \t",
}
HOOKED = Isolation(IsolationKind.HOOKS, "test")
SYSTEMD = Isolation(IsolationKind.SYSTEMD, "test")


def make_system(env: Mapping[str, str] | None = None, *, name: str = "linux") -> System:
    return System(name, "debian", "12", "x86_64", 0, Path("/tmp"), env or {})


@pytest.fixture
def hooks(tmp_path: Path) -> Path:
    """Return a folder of a prepared machine; its hooks note that they were called."""
    folder = tmp_path / "hooks"
    folder.mkdir()
    log = tmp_path / "called"
    for name in ("pre-bench", "post-bench"):
        write_program(folder / f"codspeed-{name}", f'echo "{name} $@" >>{log}; echo noise')
    write_program(folder / "codspeed-wrap-bench", f'echo wrap >>{log}; exec "$@"')
    return folder


@pytest.fixture
def called(tmp_path: Path) -> Callable[[], list[str]]:
    return lambda: (tmp_path / "called").read_text().splitlines()


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def run(launch: Launch, hooks: Path, environment: Mapping[str, str]) -> tuple[int, bytes]:
    """Run below the hooks as the session does: with the environment already set."""
    with isolated(
        launch, HOOKED, environment=environment, announce=print, interactive=False, hooks=hooks
    ) as wrapped:
        done = subprocess.run(
            wrapped.argv, env={**environment, **wrapped.env}, capture_output=True, check=False
        )
    return done.returncode, done.stdout


# --- The choice -----------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, Path]:
    """Return folders without hooks and without systemd."""
    return {"hooks": tmp_path / "no-hooks", "systemd": tmp_path / "no-systemd"}


def test_a_prepared_machine_uses_its_hooks(hooks: Path, tmp_path: Path) -> None:
    chosen = resolve(make_system(), hooks=hooks, systemd=tmp_path)

    assert chosen.kind is IsolationKind.HOOKS


def test_hooks_that_are_no_programs_are_none(hooks: Path, tmp_path: Path) -> None:
    (hooks / "codspeed-wrap-bench").chmod(0o644)
    chosen = resolve(make_system(), hooks=hooks, systemd=tmp_path / "absent")

    assert chosen == Isolation(IsolationKind.NONE, "systemd does not run here")


def test_it_can_be_switched_off(hooks: Path, tmp_path: Path) -> None:
    system = make_system({"CODSPEED_ISOLATION": "false"})

    assert resolve(system, hooks=hooks, systemd=tmp_path).kind is IsolationKind.NONE


def test_there_is_none_outside_of_linux(hooks: Path, tmp_path: Path) -> None:
    chosen = resolve(make_system(name="macos"), hooks=hooks, systemd=tmp_path)

    assert chosen == Isolation(IsolationKind.NONE, "not available on macos")


@pytest.mark.parametrize("wish", ["true", ""])
def test_systemd_is_not_chosen_where_it_does_not_run(
    elsewhere: dict[str, Path], wish: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference fails the whole run as root where PID 1 is something else."""
    monkeypatch.setattr(privilege, "is_root", lambda: True)
    chosen = resolve(make_system({"CODSPEED_ISOLATION": wish}), **elsewhere)

    assert chosen.kind is IsolationKind.NONE


@pytest.mark.parametrize(
    ("wish", "root", "kind"),
    [
        ("", True, IsolationKind.SYSTEMD),
        ("", False, IsolationKind.NONE),
        ("true", False, IsolationKind.SYSTEMD),
    ],
)
def test_systemd_needs_rights_or_a_wish(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wish: str,
    root: bool,  # noqa: FBT001 - a parameter of the table
    kind: IsolationKind,
) -> None:
    monkeypatch.setattr(privilege, "is_root", lambda: root)
    monkeypatch.setenv("PATH", "")
    system = make_system({"CODSPEED_ISOLATION": wish})

    assert resolve(system, hooks=tmp_path / "no", systemd=tmp_path).kind is kind


# --- Below the wrapper ----------------------------------------------------------------------------


def test_without_isolation_nothing_changes() -> None:
    launch = Launch(("true",), env={"A": "1"})
    none = Isolation(IsolationKind.NONE, "")
    with isolated(launch, none, environment={}, announce=print, interactive=False) as wrapped:
        assert wrapped is launch


@pytest.mark.process
def test_hooks_run_around_the_command(hooks: Path, called: Callable[[], list[str]]) -> None:
    status, out = run(Launch(("sh", "-c", "echo hello; exit 3")), hooks, dict(os.environ))

    assert (status, out) == (3, b"hello\n")
    assert called() == [f"pre-bench {os.getpid()}", "wrap", "post-bench "]


@pytest.mark.process
def test_what_hooks_say_is_no_data(hooks: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(Launch(("true",)), hooks, dict(os.environ))
    said = capfd.readouterr()

    assert (said.out, said.err) == ("", "noise\nnoise\n")


@pytest.mark.process
def test_the_hook_at_the_end_runs_also_after_a_failure(
    hooks: Path, called: Callable[[], list[str]]
) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        isolated(
            Launch(("true",)),
            HOOKED,
            environment={},
            announce=print,
            interactive=False,
            hooks=hooks,
        ),
    ):
        raise ZeroDivisionError

    assert called()[-1] == "post-bench "


@pytest.mark.process
def test_absent_hooks_do_no_harm(hooks: Path) -> None:
    (hooks / "codspeed-pre-bench").unlink()
    (hooks / "codspeed-post-bench").unlink()

    assert run(Launch(("true",)), hooks, dict(os.environ))[0] == 0


@pytest.mark.process
def test_arguments_and_variables_survive_the_wrapper(hooks: Path) -> None:
    """Also a wrapper that clears the environment, as sudo does."""
    write_program(hooks / "codspeed-wrap-bench", 'exec env -i PATH="$PATH" "$@"')
    program = """
import os, sys
values = [os.environb[name.encode()] for name in sys.argv[2:]]
sys.stdout.buffer.write(b"|".join([os.fsencode(sys.argv[1]), *values]))
"""
    word = "a b' $HOME `x` \n é"
    environment = {**os.environ, **ODD, "MINE": "outer"}
    launch = Launch((sys.executable, "-c", program, word, "MINE", *ODD), env={"MINE": "inner"})
    status, out = run(launch, hooks, environment)

    assert status == 0
    assert out.split(b"|") == [os.fsencode(text) for text in (word, "inner", *ODD.values())]


@pytest.mark.process
@pytest.mark.parametrize("name", ["UID", "EUID", "PPID", "SHELLOPTS", "BASHOPTS", "BASH_VERSINFO"])
def test_variables_that_belong_to_bash_do_not_stop_the_command(hooks: Path, name: str) -> None:
    """They would be the last line of the script, and a failing one."""
    environment = {"PATH": os.environ["PATH"], name: "1"}

    assert run(Launch(("echo", "ran")), hooks, environment) == (0, b"ran\n")


@pytest.mark.process
def test_names_that_are_no_names_to_bash_do_not_stop_the_command(hooks: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "BASH_FUNC_x%%": "() { :; }", "a.b": "c", "1": "2"}

    assert run(Launch(("echo", "ran")), hooks, environment) == (0, b"ran\n")


@pytest.mark.process
def test_the_environment_is_on_disk_for_us_alone_and_only_meanwhile(hooks: Path) -> None:
    with isolated(
        Launch(("true",)),
        HOOKED,
        environment={"TOKEN": "secret"},
        announce=print,
        interactive=False,
        hooks=hooks,
    ) as wrapped:
        found = re.search(r"source (\S+) ", wrapped.argv[-1])
        assert found is not None
        path = Path(found[1])
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text()

    assert mode == 0o600
    assert text == "export TOKEN=secret\n"
    assert not path.exists()


def test_a_scope_of_systemd_is_started_as_the_reference_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(privilege, "is_root", lambda: True)
    with isolated(
        Launch(("make", "a b")), SYSTEMD, environment={}, announce=print, interactive=False
    ) as wrapped:
        argv = wrapped.argv

    assert argv[:8] == (
        "systemd-run", "--quiet", "--slice=codspeed.slice", "--scope", "--same-dir",
        f"--uid={os.getuid()}", f"--gid={os.getgid()}", "--",
    )  # fmt: skip
    assert argv[8:10] == ("bash", "-c")
    assert argv[10].endswith(" && exec make 'a b'")


def test_a_forced_scope_without_rights_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privilege, "is_root", lambda: False)
    monkeypatch.setenv("PATH", "")
    with (
        pytest.raises(ToolError, match="Sudo is not available"),
        isolated(Launch(("x",)), SYSTEMD, environment={}, announce=print, interactive=False),
    ):
        pass


@pytest.mark.parametrize("kind", IsolationKind)
def test_every_kind_says_what_it_does(kind: IsolationKind) -> None:
    described = Isolation(kind, "because").described

    assert described.startswith(f"{kind.value} (because); ")
    assert len(described) > len(f"{kind.value} (because); ")
