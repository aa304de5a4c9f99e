"""The verbs `setup` and `status`: what executors need, and what works here."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from codspeed.cli import mode, options
from codspeed.cli.contract import ContractCommand, Option, Words
from codspeed.cli.reporter import make_reporter
from codspeed.errors import UsageError, exit_code

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from codspeed.cli.app import App
    from codspeed.cli.scan import Setting
    from codspeed.cli.settings import Settings
    from codspeed.model import System, Tool
    from codspeed.registry import Plugin

_EXECUTORS = "codspeed.executors"


def _options(app: App) -> list[Option]:
    return [options.MODE, *options.of_plugins(app.registry, "setup")]


def _setup(app: App, given: Mapping[str, Setting], words: Sequence[str]) -> int:
    settings = app.settle(_options(app), given)
    names = _executors(app, settings)
    if words:
        return _setup_status(app, words[0], names)
    reporter = make_reporter(app)
    from codspeed import orchestrate  # noqa: PLC0415 - after the command line is known to be right

    errors = orchestrate.setup(
        names,
        registry=app.registry,
        system=app.system,
        reporter=reporter,
        plugin_options=settings.of_plugins(),
        setup_cache_dir=settings.get("setup_cache_dir"),
    )
    return exit_code(errors)


def _executors(app: App, settings: Settings) -> tuple[str, ...]:
    """Return who was named; all usable ones if nobody was."""
    if any(settings.setting(name).origin != "default" for name in ("mode", "executor")):
        return mode.select(settings, app.registry, app.env, ()).executors
    return tuple(descriptor.name for descriptor in app.registry.descriptors(_EXECUTORS))


def _setup_status(app: App, word: str, names: Sequence[str]) -> int:
    if word != "status":
        problem = f"unexpected argument '{word}'"
        raise UsageError(problem, hint="`codspeed setup` or `codspeed setup status`")
    owners = [app.registry.get(_EXECUTORS, name).distribution for name in names]
    wanted = {(owner, name.rpartition(":")[2]) for owner, name in zip(owners, names, strict=True)}
    found = app.registry.plugins(_EXECUTORS, app.system)
    app.lines(_tools([p for p in found if (p.distribution, p.name) in wanted], app.system))
    return 0


setup = ContractCommand(
    "setup",
    _setup,
    help=(
        "Install the tools that executors need; of all executors unless modes are named."
        "\n\n`setup status` installs nothing and shows which are there."
    ),
    options=_options,
    words=Words("[status]", most=1),
)


# --- Which tools are there (spec/cli-upload.md 1.10) ----------------------------------------------


def _tools(plugins: Sequence[Plugin], system: System) -> list[str]:
    """Return a heading, and for each executor a line, below it what would help."""
    shown = [plugin for plugin in plugins if plugin.state.value != "disabled"]
    lines = [line for plugin in shown for line in _executor_lines(plugin, system)]
    return ["Tools", *(f"  {line}" for line in lines)]


def _executor_lines(plugin: Plugin, system: System) -> Iterator[str]:
    from codspeed.cli.plugin import made_of  # noqa: PLC0415 - only here

    title = f"{plugin.name} executor"
    if plugin.descriptor is None:
        yield f"✗ {title}: {plugin.state.value}: {plugin.reason}"
        return
    try:
        executor = made_of(plugin)
        tools, privileges = executor.tools(system), executor.privileges()
    except Exception as error:  # noqa: BLE001 - a stranger's code
        yield f"✗ {title}: {type(error).__name__}: {error}"
        return
    shown = ", ".join(map(_tool, tools)) or "No tool to install"
    yield f"{_sign(tools, is_degraded=bool(plugin.reason))} {title}: {shown}"
    if plugin.reason:
        yield f"  {plugin.reason}"
    for tool in tools:
        if tool.remedy and not tool.is_usable:
            yield f"  {tool.name}: {tool.remedy}"
    if privileges.sudo or privileges.purpose:
        yield f"  privileges: {'sudo ' if privileges.sudo else ''}{privileges.purpose}".rstrip()


def _tool(tool: Tool) -> str:
    facts = [tool.version, tool.problem] if tool.found is not None else ["not installed"]
    told = ", ".join(filter(None, facts))
    return f"{tool.name} ({told})" if told else tool.name


def _sign(tools: Sequence[Tool], *, is_degraded: bool) -> str:
    lacking = [tool for tool in tools if not tool.is_usable]
    if any(tool.required for tool in lacking):
        return "✗"
    return "!" if lacking or is_degraded else "✓"


# --- The verb `status` ----------------------------------------------------------------------------


def _status(app: App, _given: Mapping[str, Setting], _words: Sequence[str]) -> int:
    from codspeed import __version__  # noqa: PLC0415 - late: start-up stays quick

    app.settle((), {})
    system = attrs.evolve(app.system, env=_env_with_flags(app))
    for group in app.registry.groups():
        for plugin in app.registry.plugins(group, system):
            if plugin.descriptor is not None and plugin.descriptor.status is not None:
                app.lines([*plugin.descriptor.status(system), ""])
    app.lines([*_tools(app.registry.plugins(_EXECUTORS, system), system), ""])
    app.lines(
        [
            "System",
            f"  codspeed {__version__}",
            f"  {system.distribution or system.os} {system.version} ({system.arch})",
            f"  {_processor(system)}",
        ]
    )
    return 0


def _env_with_flags(app: App) -> dict[str, str]:
    """Return the environment in which global flags stand as the variables that they are short for.

    A plugin's status lines know the environment only.
    """
    flags = {
        option.rule.env: str(app.given[option.name].value)
        for option in (*options.GLOBAL, *app.global_options)
        if option.rule.env and option.name in app.given
    }
    return {**app.env, **flags}


def _processor(system: System) -> str:
    """Return the line of the processor as the reference prints it (spec/cli-upload.md 1.10)."""
    from codspeed import environment  # noqa: PLC0415 - late: start-up stays quick

    facts = environment.read_fingerprint(system)
    gibibytes = math.ceil(facts["memory_bytes"] / 1024**3)
    return f"{facts['cpu_model'] or 'unknown'} ({facts['cpu_cores']}C / {gibibytes}GB)"


status = ContractCommand("status", _status, help="Show what works here.")
