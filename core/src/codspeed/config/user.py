"""The user's own configuration: named profiles with addresses and tokens.

The file and its format are the reference's (version 1), so both programs share it. Reading never
writes: an older file is migrated in memory and rewritten when something is saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from codspeed.config.document import kind, read
from codspeed.config.file import write_private
from codspeed.errors import ConfigError

# History: 0 one token at the top level; 1 profiles.
VERSION: Final = 1
DEFAULT: Final = "default"


@attrs.frozen
class Profile:
    """Addresses and token that belong together; None where the default applies."""

    api_url: str | None = None
    upload_url: str | None = None
    token: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class UserConfig:
    """All profiles of one file; `default` is always there."""

    path: Path
    profiles: Mapping[str, Profile]

    def get(self, name: str) -> Profile:
        """Return a profile.

        Raises:
            ConfigError: If there is none of this name; says how to make it.
        """
        if name not in self.profiles:
            known = ", ".join(sorted(self.profiles))
            problem = f"no profile '{name}' in {self.path}; there: {known}"
            raise ConfigError(problem, hint=f"create it: codspeed profile set {name}")
        return self.profiles[name]

    def with_profile(self, name: str, profile: Profile) -> UserConfig:
        """Return a copy in which `name` is `profile`."""
        return attrs.evolve(self, profiles={**self.profiles, name: profile})


def locate(env: Mapping[str, str], name: str = "config") -> Path:
    """Return where the user's configuration called `name` lives, whether it exists or not.

    Raises:
        ConfigError: If the name is not that of a file, or there is no home folder.
    """
    if not name or name in {".", ".."} or any(sign in name for sign in "/\\\0"):
        problem = f"'{name}' can't be the name of a user configuration"
        raise ConfigError(problem)
    base = env.get("XDG_CONFIG_HOME")
    if base:
        return Path(base) / "codspeed" / f"{name}.yaml"
    try:
        return Path(env.get("HOME") or Path.home()) / ".config" / "codspeed" / f"{name}.yaml"
    except RuntimeError as error:
        hint = "set HOME or XDG_CONFIG_HOME"
        problem = "there is no home folder to keep the configuration in"
        raise ConfigError(problem, hint=hint) from error


def load(path: Path) -> UserConfig:
    """Read the user's configuration; a file that does not exist has one empty profile.

    Raises:
        ConfigError: If it can't be read or understood, or a newer codspeed wrote it.
    """
    if not path.exists():
        return UserConfig(path, {DEFAULT: Profile()})
    document = read(path)
    top = document.mapping((), document.data, path.name)
    version = top.get("version", 0)
    if not isinstance(version, int) or isinstance(version, bool) or version < 0:
        document.fail(("version",), f"version must be a whole number, but is {kind(version)}")
    if version > VERSION:
        problem = f"{path} has version {version}; this codspeed reads versions up to {VERSION}"
        raise ConfigError(problem, hint="upgrade codspeed")
    listed = document.mapping(("profiles",), top.get("profiles"), "profiles")
    profiles = {DEFAULT: Profile()} | {
        name: _profile(document.mapping(("profiles", name), data, f"profile '{name}'"))
        for name, data in listed.items()
    }
    return UserConfig(path, profiles if version else _migrated(profiles, top))


def _profile(data: Mapping[str, Any]) -> Profile:
    auth = data.get("auth")
    token = auth.get("token") if isinstance(auth, dict) else None
    return Profile(_text(data.get("api-url")), _text(data.get("upload-url")), _text(token))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _migrated(profiles: Mapping[str, Profile], top: Mapping[str, Any]) -> dict[str, Profile]:
    """Move the token of version 0 into the default profile, unless that has one."""
    old = _profile(top).token
    default = profiles[DEFAULT]
    if default.token is None and old is not None:
        default = attrs.evolve(default, token=old)
    return {**profiles, DEFAULT: default}


def save(config: UserConfig) -> None:
    """Write the file so that only the user can read it, and readers never see half of it.

    Raises:
        ConfigError: If it can't be written.
    """
    import yaml  # noqa: PLC0415 - only where something is saved

    data = {
        "version": VERSION,
        "profiles": {name: _plain(config.profiles[name]) for name in sorted(config.profiles)},
    }
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    try:
        config.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(config.path, text)
    except OSError as error:
        problem = f"can't write {config.path}: {error.strerror}"
        raise ConfigError(problem) from error


def _plain(profile: Profile) -> dict[str, Any]:
    values = {
        "auth": {"token": profile.token} if profile.token is not None else None,
        "api-url": profile.api_url,
        "upload-url": profile.upload_url,
    }
    return {key: value for key, value in values.items() if value is not None}
