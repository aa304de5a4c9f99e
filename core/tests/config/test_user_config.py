"""The user's profiles: format of the reference, private, written in one step."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from codspeed.config.user import Profile, UserConfig, load, locate, save
from codspeed.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def test_without_a_file_there_is_an_empty_default(tmp_path: Path) -> None:
    assert load(tmp_path / "config.yaml").profiles == {"default": Profile()}


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    staging = Profile("https://api", "https://upload", "secret")
    config = UserConfig(tmp_path / "deep" / "config.yaml", {"default": Profile()})
    save(config.with_profile("staging", staging))

    assert load(config.path).profiles == {"default": Profile(), "staging": staging}


def test_the_file_is_the_reference_s_to_the_letter(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    profiles = {"staging": Profile(api_url="https://api"), "default": Profile(token="cs_abc")}
    save(UserConfig(path, profiles))

    assert path.read_text() == (
        "version: 1\n"
        "profiles:\n"
        "  default:\n"
        "    auth:\n"
        "      token: cs_abc\n"
        "  staging:\n"
        "    api-url: https://api\n"
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_only_the_user_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("version: 1\n")
    path.chmod(0o644)
    save(load(path))

    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.yaml"]


def test_the_token_of_version_0_moves_to_the_default_profile_and_reading_writes_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "config.yaml"
    old = "auth:\n  token: cs_old\n"
    path.write_text(old)

    assert load(path).get("default").token == "cs_old"
    assert path.read_text() == old


def test_a_token_that_the_default_profile_has_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("auth: {token: old}\nprofiles: {default: {auth: {token: new}}}\n")

    assert load(path).get("default").token == "new"


def test_legacy_keys_beside_version_1_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("version: 1\nauth: {token: old}\n")

    assert load(path).get("default").token is None


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("version: 2\n")
    with pytest.raises(ConfigError) as caught:
        load(path)

    assert caught.value.hint == "upgrade codspeed"


def test_a_missing_profile_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "config.yaml").get("staging")

    assert caught.value.hint == "create it: codspeed profile set staging"


def test_a_token_does_not_show_in_a_repr() -> None:
    assert "secret" not in repr(Profile(token="secret"))


def test_the_place_follows_xdg_then_home(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path / "home")}

    assert locate(env) == tmp_path / "home" / ".config" / "codspeed" / "config.yaml"
    env["XDG_CONFIG_HOME"] = str(tmp_path / "xdg")
    assert locate(env, "other") == tmp_path / "xdg" / "codspeed" / "other.yaml"


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b"])
def test_a_name_that_leaves_the_folder_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        locate({"HOME": "x"}, name)
