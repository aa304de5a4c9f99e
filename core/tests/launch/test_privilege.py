"""Root's rights: when sudo is put in front, and when it may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codspeed.errors import ToolError
from codspeed.launch import privilege

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.process


@pytest.fixture
def sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Be a user who is not root, with a sudo of a given behaviour, or none."""
    monkeypatch.setattr(privilege, "is_root", lambda: False)
    monkeypatch.setenv("PATH", str(tmp_path))

    def install(behaviour: str) -> None:
        path = tmp_path / "sudo"
        path.write_text(f"#!/bin/sh\necho $@ >>{tmp_path}/asked\n{behaviour}\n")
        path.chmod(0o755)

    return install


def silent(text: str) -> None:
    pytest.fail(f"nothing is asked for: {text}")


NEEDS_PASSWORD = 'case "$1" in --version|--validate) exit 0;; *) exit 1;; esac'


def test_root_needs_no_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privilege, "is_root", lambda: True)
    argv = privilege.elevated(["perf", "record"], announce=silent, interactive=False)

    assert argv == ("perf", "record")
    assert privilege.can_elevate_without_prompt()


def test_sudo_without_a_password_is_put_in_front(sudo: Callable[[str], None]) -> None:
    sudo("exit 0")
    argv = privilege.elevated(["perf", "record"], announce=silent, interactive=False)

    assert argv == ("sudo", "--non-interactive", "--preserve-env", "perf", "record")


def test_a_missing_sudo_is_an_error_that_names_the_command(sudo: Callable[[str], None]) -> None:
    with pytest.raises(ToolError) as caught:
        privilege.elevated(["perf", "a b"], announce=silent, interactive=True)

    assert caught.value.problem == "Sudo is not available to run the command: perf 'a b'"
    assert not privilege.can_elevate_without_prompt()


def test_nobody_is_asked_where_nobody_can_answer(sudo: Callable[[str], None]) -> None:
    sudo(NEEDS_PASSWORD)
    with pytest.raises(ToolError) as caught:
        privilege.elevated(["perf"], announce=silent, interactive=False)

    assert caught.value.problem == "root's rights are needed to run the command: perf"


def test_nobody_is_asked_without_a_terminal(
    sudo: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sudo(NEEDS_PASSWORD)
    monkeypatch.setattr(privilege, "_has_terminal", lambda: False)
    with pytest.raises(ToolError, match="root's rights are needed"):
        privilege.elevated(["perf"], announce=silent, interactive=True)


def test_a_person_is_asked_and_told_before(
    sudo: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sudo(NEEDS_PASSWORD)
    monkeypatch.setattr(privilege, "_has_terminal", lambda: True)
    told: list[str] = []
    argv = privilege.elevated(["perf"], announce=told.append, interactive=True)

    assert told == ["Sudo privileges are required to continue."]
    assert argv == ("sudo", "--non-interactive", "--preserve-env", "perf")
    assert (tmp_path / "asked").read_text().splitlines()[-1] == "--validate"


def test_a_refused_password_is_an_error(
    sudo: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sudo('[ "$1" = --version ]')
    monkeypatch.setattr(privilege, "_has_terminal", lambda: True)
    with pytest.raises(ToolError) as caught:
        privilege.elevated(["perf"], announce=lambda _text: None, interactive=True)

    assert caught.value.hint == "sudo refused the password"
