"""Where pytest's cache goes while an environment is held still."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from codspeed.launch.pytest_cache import redirected, remove

if TYPE_CHECKING:
    from pathlib import Path

OPTION = "-o cache_dir=$CODSPEED_PROFILE_FOLDER/.pytest_cache"


def test_the_cache_goes_to_the_profile_folder(tmp_path: Path) -> None:
    assert redirected({}, "pytest", tmp_path) == {"PYTEST_ADDOPTS": OPTION}


def test_ones_own_options_come_after_and_so_prevail(tmp_path: Path) -> None:
    env = {"PYTEST_ADDOPTS": "-q"}

    assert redirected(env, "pytest", tmp_path) == {"PYTEST_ADDOPTS": f"{OPTION} -q"}


@pytest.mark.parametrize("name", ["pytest.ini", "pyproject.toml"])
def test_a_cache_that_is_switched_off_in_a_file_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("addopts = -p no:cacheprovider")
    (tmp_path / "below").mkdir()

    assert redirected({}, "pytest", tmp_path / "below") == {}


def test_a_cache_that_is_switched_off_by_option_is_left_alone(tmp_path: Path) -> None:
    assert redirected({}, "pytest -p no:cacheprovider", tmp_path) == {}
    assert redirected({"PYTEST_ADDOPTS": "-pno:cacheprovider"}, "pytest", tmp_path) == {}


def test_the_cache_does_not_stay_in_the_profile_folder(tmp_path: Path) -> None:
    (tmp_path / ".pytest_cache" / "v").mkdir(parents=True)

    remove(tmp_path)
    remove(tmp_path)

    assert list(tmp_path.iterdir()) == []
