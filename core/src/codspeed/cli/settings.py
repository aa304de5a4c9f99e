"""Resolved values: flag, environment, codspeed.yml, the user's profile, default; first wins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codspeed.cli.scan import Setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from codspeed.cli.contract import Option
    from codspeed.config.project import ProjectConfig
    from codspeed.config.user import Profile


class Settings:
    """The values of one invocation, and where each came from.

    Args:
        options: All that this verb knows.
        given: What flags and environment variables said.
        project: The project's configuration; None if there is none.
        profile: Reads the user's profile; called only for an option that may come from there.
    """

    def __init__(
        self,
        options: Iterable[Option],
        given: Mapping[str, Setting],
        project: ProjectConfig | None = None,
        profile: Callable[[], Profile] | None = None,
    ) -> None:
        self._options = {option.name: option for option in options}
        self._given = dict(given)
        self._project = project
        self._profile = profile

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
        if option is None:
            return Setting(None, "default")
        if option.profile and self._profile is not None:
            value = getattr(self._profile(), option.profile)
            if value is not None:
                return Setting(value, "profile")
        return Setting(option.default, "default")

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
