"""The verb `config`: what holds, where it comes from, and what codspeed.yml may say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from codspeed.cli import options
from codspeed.cli.contract import HELP_NAMES, ContractCommand, Option
from codspeed.cli.scan import FLAG, Rule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from codspeed.cli.app import App
    from codspeed.cli.scan import Setting

SCHEMA: Final = "codspeed.config/1"
_SECRET_WORDS: Final = ("token", "secret", "password")
_ORIGIN: Final = Option(
    Rule("origin", style=FLAG), "Say where each value comes from.", default=False
)


def _options(app: App) -> list[Option]:
    """Return what `run` and `exec` take, so that their flags can be tried here."""
    run = options.of_plugins(app.registry, "run")
    return [
        _ORIGIN,
        *options.RUN,
        *run,
        *_missing_in(run, options.of_plugins(app.registry, "exec")),
    ]


def _missing_in(one: Sequence[Option], other: Sequence[Option]) -> list[Option]:
    names = {option.name for option in one}
    return [option for option in other if option.name not in names]


def _show(app: App, given: Mapping[str, Setting], _words: Sequence[str]) -> int:
    app.settle(_options(app), given)
    secrets = {option.name for option in _options(app) if option.secret}
    rows = {
        name.replace("_", "-"): (
            "***" if setting.value and name in secrets else _shown(name, setting.value),
            setting.origin,
        )
        for name, setting in app.settings.all().items()
        if name not in {"origin", "json"}
    }
    files = _files(app)
    if "json" in given:
        values = {
            name: {"value": value, "origin": origin} for name, (value, origin) in rows.items()
        }
        app.write_json(SCHEMA, {"files": files, "options": values})
        return 0
    for label, path in files.items():
        app.write(f"# {label}: {path or 'none'}")
    for name, (value, origin) in rows.items():
        app.write(f"{name}: {value}" + (f"  # {origin}" if "origin" in given else ""))
    return 0


def _files(app: App) -> dict[str, str | None]:
    def text(path: Path | None) -> str | None:
        return None if path is None or not path.exists() else str(path)

    project = None if app.project is None else app.project.path
    return {"project": text(project), "user": text(app.user.path)}


def _shown(name: str, value: Any) -> Any:
    """Return a value as people and JSON read it, without secrets."""
    if value and any(word in name for word in _SECRET_WORDS):
        return "***"
    if isinstance(value, tuple):
        return ",".join("=".join(item) if isinstance(item, tuple) else str(item) for item in value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)


def _schema(app: App, _given: Mapping[str, Setting], _words: Sequence[str]) -> int:
    import json  # noqa: PLC0415 - late: start-up stays quick

    from codspeed.config.schema import schema  # noqa: PLC0415 - late: start-up stays quick

    app.write(json.dumps(schema(options.file_keys(app.registry)), indent=2))
    return 0


config = click.Group(
    "config",
    help="Show what is configured and where it comes from.",
    context_settings={"help_option_names": HELP_NAMES},
    commands=[
        ContractCommand("show", _show, help="Show every option's value.", options=_options),
        ContractCommand("schema", _schema, help="Print the JSON Schema of codspeed.yml."),
    ],
)
