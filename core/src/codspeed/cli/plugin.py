"""The verb `plugins`: what is installed, and what is wrong with what can't be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from codspeed.cli.contract import HELP_NAMES, ContractCommand, Option, Words
from codspeed.cli.scan import FLAG, Rule
from codspeed.errors import PluginError
from codspeed.registry import Plugin, PluginState, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codspeed.cli.app import App
    from codspeed.cli.scan import Setting
    from codspeed.model import System

SCHEMA: Final = "codspeed.plugins/1"
_JSON: Final = Option(Rule("json", style=FLAG), "As JSON.", default=False)
_HEADINGS: Final = ("NAME", "GROUP", "DISTRIBUTION", "VERSION", "API", "STATE")
# What a person can and should repair; the others are a choice or the platform.
_FAULTS: Final = frozenset(
    {
        PluginState.INCOMPATIBLE,
        PluginState.DUPLICATE,
        PluginState.IMPORT_ERROR,
        PluginState.TOOL_MISSING,
    }
)


def examined(app: App) -> list[Plugin]:
    """Return all plugins with their state on this machine, tools included."""
    app.registry.options()  # refuses those whose options contradict others
    return [
        _with_tools(plugin, app.system)
        for group in app.registry.groups()
        for plugin in app.registry.plugins(group, app.system)
    ]


def _with_tools(plugin: Plugin, system: System) -> Plugin:
    if plugin.group != "codspeed.executors" or plugin.descriptor is None:
        return plugin
    try:
        missing = [t for t in made_of(plugin).tools(system) if t.required and not t.is_usable]
    except Exception as error:  # noqa: BLE001 - a stranger's code
        reason = f"loading it failed: {type(error).__name__}: {error}"
        remedy = f"repair or uninstall {plugin.distribution}"
        return plugin.refused(PluginState.IMPORT_ERROR, reason, remedy)
    if not missing:
        return plugin
    reason = "; ".join(f"{tool.name}: {tool.problem or 'not found'}" for tool in missing)
    remedy = "; ".join(tool.remedy for tool in missing if tool.remedy)
    return plugin.refused(PluginState.TOOL_MISSING, reason, remedy or "codspeed setup")


def made_of(plugin: Plugin) -> Any:
    """Return the executor of a usable plugin, with its options as they are by default."""
    return plugin.descriptor.load()(plugin.descriptor.options())


def _facts(plugin: Plugin) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "group": plugin.group,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "api_version": plugin.api_version,
        "state": plugin.state.value,
        "reason": plugin.reason,
        "remedy": plugin.remedy,
    }


def _list(app: App, given: Mapping[str, Setting], _words: Sequence[str]) -> int:
    plugins = examined(app)
    if "json" in given:
        app.write_json(SCHEMA, {"plugins": [_facts(plugin) for plugin in plugins]})
        return 0
    rows = [_HEADINGS, *map(_row, plugins)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(_HEADINGS))]
    for row in rows:
        app.write(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    return 0


def _row(plugin: Plugin) -> tuple[str, ...]:
    state = plugin.state.value + (f": {plugin.reason}" if plugin.reason else "")
    api = "-" if plugin.api_version is None else str(plugin.api_version)
    group = plugin.group.removeprefix("codspeed.")
    return plugin.name, group, plugin.distribution, plugin.version, api, state


def _show(app: App, given: Mapping[str, Setting], words: Sequence[str]) -> int:
    plugins = examined(app)
    owner, _, name = words[0].rpartition(":")
    found = [p for p in plugins if p.name == name and owner in {"", p.distribution}]
    if not found:
        near = nearest(name, [plugin.name for plugin in plugins])
        hint = f"did you mean '{near}'?" if near else "see `codspeed plugins list`"
        problem = f"no plugin '{words[0]}'"
        raise PluginError(problem, hint=hint)
    if "json" in given:
        app.write_json(SCHEMA, {"plugins": [_details(plugin) for plugin in found]})
        return 0
    for plugin in found:
        app.lines([f"{key.replace('_', ' ')}: {value}" for key, value in _details(plugin).items()])
    return 0


def _details(plugin: Plugin) -> dict[str, Any]:
    """Return the facts, and what the descriptor of a usable plugin says."""
    descriptor = plugin.descriptor
    if descriptor is None:
        return _facts(plugin)
    from codspeed.model import option_specs  # noqa: PLC0415 - late: start-up stays quick

    flags = ["--" + name.replace("_", "-") for name in option_specs(descriptor.options)]
    more: dict[str, Any] = {"label": descriptor.label, "options": flags}
    if plugin.group == "codspeed.executors":
        more |= {"mode": descriptor.mode, "aliases": list(descriptor.aliases)}
    return _facts(plugin) | more


def _doctor(app: App, given: Mapping[str, Setting], _words: Sequence[str]) -> int:
    plugins = examined(app)
    faults = [plugin for plugin in plugins if plugin.state in _FAULTS]
    if "json" in given:
        facts = {"plugins": [_facts(plugin) for plugin in plugins], "faults": len(faults)}
        app.write_json(SCHEMA, facts)
        return 1 if faults else 0
    for plugin in plugins:
        if plugin.state is PluginState.OK and not plugin.reason:
            continue
        sign = "✗" if plugin in faults else "!"
        app.write(f"{sign} {plugin.title}: {plugin.state.value}: {plugin.reason}")
        if plugin.remedy:
            app.write(f"  {plugin.remedy}")
    usable = sum(plugin.state is PluginState.OK for plugin in plugins)
    app.write(f"{usable} of {len(plugins)} plugins can be used")
    return 1 if faults else 0


plugins = click.Group(
    "plugins",
    help="List plugins and what is wrong with them.",
    context_settings={"help_option_names": HELP_NAMES},
    commands=[
        ContractCommand("list", _list, help="List all plugins with their state.", options=(_JSON,)),
        ContractCommand(
            "show",
            _show,
            help="Show all that is known of a plugin.",
            options=(_JSON,),
            words=Words("NAME", least=1, most=1),
        ),
        ContractCommand(
            "doctor",
            _doctor,
            help="Say what is wrong and how to repair it; exit code 1 if something is.",
            options=(_JSON,),
        ),
    ],
)
