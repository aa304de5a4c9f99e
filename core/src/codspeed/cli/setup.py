"""The verbs `setup` and `status`: what executors need, and what works here."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from codspeed.cli import mode, options
from codspeed.cli.contract import ContractCommand, Option
from codspeed.cli.reporter import make_reporter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from codspeed.cli.app import App
    from codspeed.cli.scan import Setting
    from codspeed.cli.settings import Settings
    from codspeed.model import System
    from codspeed.registry import Plugin


def _options(app: App) -> list[Option]:
    return [options.MODE, *options.of_plugins(app.registry, "setup")]


def _setup(app: App, given: Mapping[str, Setting], _words: Sequence[str]) -> int:
    settings = app.settle(_options(app), given)
    reporter = make_reporter(app)
    from codspeed import orchestrate  # noqa: PLC0415 - after the command line is known to be right

    orchestrate.setup(
        _executors(app, settings),
        registry=app.registry,
        system=app.system,
        reporter=reporter,
        plugin_options=settings.of_plugins(),
        setup_cache_dir=settings.get("setup_cache_dir"),
    )
    return 0


def _executors(app: App, settings: Settings) -> tuple[str, ...]:
    """Return who was named; all usable ones if nobody was."""
    if any(settings.setting(name).origin != "default" for name in ("mode", "executor")):
        return mode.select(settings, app.registry, app.env, ()).executors
    return tuple(descriptor.name for descriptor in app.registry.descriptors("codspeed.executors"))


setup = ContractCommand(
    "setup",
    _setup,
    help="Install the tools that executors need; of all executors unless modes are named.",
    options=_options,
)


def _status(app: App, _given: Mapping[str, Setting], _words: Sequence[str]) -> int:
    from codspeed import __version__  # noqa: PLC0415

    for group in app.registry.groups():
        for plugin in app.registry.plugins(group, app.system):
            app.lines(list(_plugin_lines(app, plugin)))
    system = app.system
    app.lines(
        [
            "System",
            f"  codspeed {__version__}",
            f"  {system.distribution or system.os} {system.version} ({system.arch})",
            f"  {_processor(system)}",
        ]
    )
    return 0


def _processor(system: System) -> str:
    """Return the line of the processor as the reference prints it (spec/cli-upload.md 1.10)."""
    from codspeed import environment  # noqa: PLC0415

    facts = environment.read_fingerprint(system)
    gibibytes = math.ceil(facts["memory_bytes"] / 1024**3)
    return f"{facts['cpu_model'] or 'unknown'} ({facts['cpu_cores']}C / {gibibytes}GB)"


def _plugin_lines(app: App, plugin: Plugin) -> Iterator[str]:
    """Yield what a plugin says of itself; executors are shown also if they say nothing."""
    from codspeed.cli.plugin import tools  # noqa: PLC0415

    is_executor = plugin.group == "codspeed.executors"
    if plugin.descriptor is None:
        if is_executor:
            yield f"✗ {plugin.name} executor: {plugin.state.value}: {plugin.reason}"
        return
    if is_executor:
        sign = "!" if plugin.reason else "✓"
        yield f"{sign} {plugin.name} executor" + (f": {plugin.reason}" if plugin.reason else "")
        for tool in tools(plugin, app.system):
            yield f"  {tool}"
    if plugin.descriptor.status is not None:
        yield from plugin.descriptor.status(app.system)


status = ContractCommand("status", _status, help="Show what works here.")
