"""Resolved values: flag, then environment, then codspeed.yml, then default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codspeed.cli.scan import Setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from codspeed.cli.contract import Option
    from codspeed.config.project import ProjectConfig


class Settings:
    """The values of one invocation, and where each came from.

    Args:
        options: All that this verb knows.
        given: What flags and environment variables said.
        project: The project's configuration; None if there is none.
    """

    def __init__(
        self,
        options: Iterable[Option],
        given: Mapping[str, Setting],
        project: ProjectConfig | None = None,
    ) -> None:
        self._options = {option.name: option for option in options}
        self._given = dict(given)
        self._project = project

    def get(self, name: str) -> Any:
        """Return the value of an option; None if this verb does not have it."""
        return self.setting(name).value

    def setting(self, name: str) -> Setting:
        """Return value and origin of an option."""
        if name in self._given:
            return self._given[name]
        located = None if self._project is None else self._project.options.get(name)
        if located is not None and self._project is not None:
            return Setting(located.value, f"{self._project.path.name}:{located.line}")
        option = self._options.get(name)
        return Setting(None if option is None else option.default, "default")

    def flag(self, name: str) -> Any:
        """Return the value if flag or environment gave it, else None."""
        return self._given[name].value if name in self._given else None

    def of_plugins(self, *, but: Iterable[str] = ()) -> dict[str, Any]:
        """Return the values of plugins' options that somebody set, by field name."""
        left_out = set(but)
        return {
            name: self.setting(name).value
            for name, option in self._options.items()
            if option.owner != "codspeed-core"
            and name not in left_out
            and self.setting(name).origin != "default"
        }

    def all(self) -> dict[str, Setting]:
        """Return every option with its value and origin, sorted by name."""
        return {name: self.setting(name) for name in sorted(self._options)}
