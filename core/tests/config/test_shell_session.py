"""What a shell session remembers: found from every process below the shell."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from codspeed.config import session

if TYPE_CHECKING:
    from pathlib import Path

_NEEDS_PROC = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"XDG_RUNTIME_DIR": str(tmp_path)}


def test_nothing_is_remembered_at_first(env: dict[str, str]) -> None:
    assert session.modes(env) == ()
    assert session.profile(env) is None


def test_modes_are_stored_as_the_reference_stores_them(env: dict[str, str], tmp_path: Path) -> None:
    session.remember(session.MODES, ["simulation", "walltime"], env)
    stored = tmp_path / "codspeed_use_mode" / str(os.getppid())

    assert stored.read_text() == '["simulation","walltime"]'
    assert session.modes(env) == ("simulation", "walltime")


def test_a_profile_is_a_text(env: dict[str, str], tmp_path: Path) -> None:
    session.remember(session.PROFILE, "staging", env)

    assert (tmp_path / "codspeed_profile" / str(os.getppid())).read_text() == '"staging"'
    assert session.profile(env) == "staging"


@_NEEDS_PROC
def test_a_grandparent_s_choice_holds_below_it(env: dict[str, str], tmp_path: Path) -> None:
    grandparent = next(pid for pid in session._ancestors() if pid != os.getppid())
    folder = tmp_path / "codspeed_use_mode"
    folder.mkdir()
    (folder / str(grandparent)).write_text('["memory"]')

    assert session.modes(env) == ("memory",)


@_NEEDS_PROC
def test_a_file_older_than_its_process_belonged_to_another(
    env: dict[str, str], tmp_path: Path
) -> None:
    session.remember(session.MODES, ["memory"], env)
    os.utime(tmp_path / "codspeed_use_mode" / str(os.getppid()), (1, 1))

    assert session.modes(env) == ()


@pytest.mark.parametrize("text", ["", "{", "5", '"x"', "null"])
def test_a_damaged_file_says_nothing(env: dict[str, str], tmp_path: Path, text: str) -> None:
    folder = tmp_path / "codspeed_use_mode"
    folder.mkdir()
    (folder / str(os.getppid())).write_text(text)

    assert session.modes(env) == ()
