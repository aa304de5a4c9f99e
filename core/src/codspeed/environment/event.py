"""The file in which GitHub describes the event that started a job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NoReturn

import attrs

from codspeed.environment.job import is_text
from codspeed.errors import ConfigError

_HINT: Final = "leave GITHUB_EVENT_PATH and its file as GitHub Actions made them"


@attrs.frozen
class Event:
    """The payload of an event, asked by path."""

    path: Path
    payload: dict[str, Any]

    def get(self, *keys: str) -> Any:
        """Return what lies at a path; None if there is nothing."""
        value: Any = self.payload
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def flag(self, *keys: str) -> bool:
        """Return a boolean.

        Raises:
            ConfigError: If it is missing or something else.
        """
        value = self.get(*keys)
        if not isinstance(value, bool):
            self._miss(keys, value, "a boolean")
        return value

    def number(self, *keys: str) -> int:
        """Return an integer.

        Raises:
            ConfigError: If it is missing or something else.
        """
        value = self.get(*keys)
        if not isinstance(value, int) or isinstance(value, bool):
            self._miss(keys, value, "an integer")
        return value

    def text(self, *keys: str) -> str:
        """Return a text.

        Raises:
            ConfigError: If it is missing or something else.
        """
        value = self.get(*keys)
        if not isinstance(value, str) or not is_text(value):
            self._miss(keys, value, "a text")
        return value

    def optional_text(self, *keys: str) -> str:
        """Return a text; empty if there is none."""
        value = self.get(*keys)
        return value if isinstance(value, str) and is_text(value) else ""

    def _miss(self, keys: tuple[str, ...], value: Any, wanted: str) -> NoReturn:
        found = "missing" if value is None else f"{json.dumps(value)[:60]}, not {wanted}"
        problem = f"{'.'.join(keys)} in the event file {self.path} is {found}"
        raise ConfigError(problem, hint=_HINT)


def read_event(path: Path) -> Event:
    """Return the event that a file describes.

    Raises:
        ConfigError: If the file can't be read or holds no JSON object.
    """
    try:
        payload = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        problem = f"the event file {path} (GITHUB_EVENT_PATH) can't be read: {error.strerror}"
        raise ConfigError(problem, hint=_HINT) from error
    except (ValueError, RecursionError) as error:
        problem = f"the event file {path} (GITHUB_EVENT_PATH) is no JSON: {error}"
        raise ConfigError(problem, hint=_HINT) from error
    if not isinstance(payload, dict):
        problem = f"the event file {path} (GITHUB_EVENT_PATH) holds no JSON object"
        raise ConfigError(problem, hint=_HINT)
    return Event(path, payload)
