"""What one invocation knows: environment, registry, configuration. Everything on first use."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Final

from codspeed.cli import options as core_options
from codspeed.cli.contract import extract, settle
from codspeed.cli.settings import Settings
from codspeed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from codspeed.cli.contract import Option
    from codspeed.cli.reporter import PlainReporter
    from codspeed.cli.scan import Setting
    from codspeed.config.project import ProjectConfig
    from codspeed.config.user import Profile, UserConfig
    from codspeed.model import RunContext, RunReport, RunRequest, System
    from codspeed.protocols import Executor
    from codspeed.registry import Registry

_ROOT_ONLY: Final = frozenset({"--help", "--version"})


class App:
    """The object of every click context, and what a verb of a plugin is built with (`CommandApp`).

    Args:
        env: The environment this process started with.
        cwd: The folder it started in.
    """

    def __init__(self, env: Mapping[str, str], cwd: Path) -> None:
        self.env = env
        self.cwd = cwd
        self.given: dict[str, Setting] = {}
        self.settings = Settings((), {})

    def take_globals(self, words: Sequence[str]) -> list[str]:
        """Read the options that stand before or after the verb; return the other words.

        Those of plugins are read only if an option is left: help and version import no plugin.

        Raises:
            UsageError: If a value is missing or not allowed.
        """
        self.given, rest = extract(words, core_options.GLOBAL, self.env)
        before = rest[: rest.index("--")] if "--" in rest else rest
        if any(word.startswith("--") for word in before if word not in _ROOT_ONLY):
            given, rest = extract(rest, self.global_options, self.env)
            self.given |= given
        return rest

    # --- What there is

    @functools.cached_property
    def global_options(self) -> list[Option]:
        """Return the options that plugins contribute to every verb."""
        return core_options.global_of_plugins(self.registry)

    @functools.cached_property
    def registry(self) -> Registry:
        """Return the installed plugins."""
        from codspeed.registry import Registry  # noqa: PLC0415 - costs time

        return Registry(self.env, reserved=core_options.RESERVED)

    @functools.cached_property
    def system(self) -> System:
        """Return the facts of this machine."""
        from codspeed.environment import read_system  # noqa: PLC0415 - costs time

        return read_system(self.env)

    @functools.cached_property
    def project(self) -> ProjectConfig | None:
        """Return what codspeed.yml says; None if there is none.

        Raises:
            ConfigError: If it can't be read or understood.
        """
        wanted = self.given.get("config")
        path = self._find_project() if wanted is None else self.cwd / wanted.value
        if path is None:
            return None
        from codspeed.config.project import load  # noqa: PLC0415 - most projects have no file

        return load(path, core_options.file_keys(self.registry))

    def _find_project(self) -> Path | None:
        from codspeed.config.discovery import find  # noqa: PLC0415 - late: start-up stays quick

        return find(self.cwd)

    @functools.cached_property
    def user(self) -> UserConfig:
        """Return the user's configuration.

        Raises:
            ConfigError: If it can't be read or understood.
        """
        from codspeed.config import user  # noqa: PLC0415 - only profiles need it

        name = self.given.get("config_name")
        return user.load(user.locate(self.env, "config" if name is None else name.value))

    def profile_name(self) -> Setting:
        """Return the name of the profile in use and where it came from."""
        from codspeed.cli.scan import Setting  # noqa: PLC0415 - late: start-up stays quick
        from codspeed.config import session  # noqa: PLC0415 - late: start-up stays quick

        given = self.given.get("profile")
        if given is not None:
            return given
        remembered = session.profile(self.env)
        return Setting(remembered, "session") if remembered else Setting("default", "default")

    def profile(self) -> Profile:
        """Return the profile in use.

        Raises:
            ConfigError: If there is none of this name.
        """
        return self.user.get(self.profile_name().value)

    def settle(self, options: Iterable[Option], given: Mapping[str, Setting]) -> Settings:
        """Resolve a verb's options; from now on `option` answers with them."""
        known = (*core_options.GLOBAL, *self.global_options, *options)
        everything = {**settle({}, self.global_options, self.env), **self.given, **given}
        self.settings = Settings(known, everything, self.project, self._lenient_profile)
        return self.settings

    def _lenient_profile(self) -> Profile:
        """Return the profile in use, an empty one if it is yet to be made by `auth login`."""
        from codspeed.config.user import Profile  # noqa: PLC0415 - late: start-up stays quick

        return self.user.profiles.get(self.profile_name().value, Profile())

    # --- CommandApp

    def option(self, name: str) -> Any:
        """Return the resolved value of an option: flag, environment, codspeed.yml, default."""
        return self.settings.get(name)

    def context(self) -> RunContext:
        """Return where we are."""
        from codspeed.environment import read_context  # noqa: PLC0415 - starts git

        return read_context(self.registry, self.env, self.cwd)

    def provider(self) -> str:
        """Return the name of the environment we are in."""
        from codspeed.environment import detect  # noqa: PLC0415 - late: start-up stays quick

        found = detect(self.registry, self.env)
        return "local" if found is None else str(found.name)

    def data_folder(self) -> Path:
        """Return where this repository's bundles and index live."""
        from codspeed.environment import data_folder  # noqa: PLC0415 - late: start-up stays quick

        return data_folder(self.context(), self.env)

    def run(self, request: RunRequest) -> RunReport:
        """Measure as `codspeed run` does."""
        from codspeed.cli.reporter import make_reporter  # noqa: PLC0415 - late: start-up stays quick

        return self.measure(request, make_reporter(self))

    def measure(self, request: RunRequest, reporter: PlainReporter) -> RunReport:
        """Measure and tell `reporter`."""
        from codspeed import orchestrate  # noqa: PLC0415 - only runs need it

        return orchestrate.run(
            request,
            registry=self.registry,
            system=self.system,
            context=self.context(),
            reporter=reporter,
        )

    def executor(self, name: str, options: Mapping[str, Any]) -> Executor:
        """Return an executor that reads what it measured before, made of its recorded options.

        Raises:
            PluginError: If it is not installed or can't be used.
            PluginCrashError: If it fails to load or to start.
            ConfigError: If the options are not those of the installed version.
        """
        from codspeed import wire  # noqa: PLC0415 - only verbs that read profiles need it
        from codspeed.orchestrate.select import made, option_values  # noqa: PLC0415 - as above

        plugin = self.registry.get("codspeed.executors", name)
        known = option_values(plugin, options)  # plain values, as they are in a manifest
        typed = wire.from_plain(
            known, plugin.descriptor.options, where=f"options of {name}", error=ConfigError
        )
        executor: Executor = made(plugin, {field: getattr(typed, field) for field in known})
        return executor

    def labels(self) -> dict[str, str]:
        """Return the headings of executors by name."""
        descriptors = self.registry.descriptors("codspeed.executors")
        return {descriptor.name: descriptor.label for descriptor in descriptors}

    def print(self, renderable: Any) -> None:
        """Show human text on standard error; rich renderables are drawn."""
        if isinstance(renderable, str):
            sys.stderr.write(f"{renderable}\n")
            return
        from codspeed.cli.table import console  # noqa: PLC0415 - imports rich

        console(sys.stderr, self.env).print(renderable)

    def write(self, text: str) -> None:
        """Write data to standard output; a line end is added if there is none."""
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")

    def write_json(self, schema: str, data: Mapping[str, Any]) -> None:
        """Write one JSON document with its schema."""
        import json  # noqa: PLC0415 - late: start-up stays quick

        self.write(json.dumps({"schema": schema, **data}, indent=2, default=str))

    def lines(self, lines: Sequence[str]) -> None:
        """Write lines of data."""
        for line in lines:
            self.write(line)
