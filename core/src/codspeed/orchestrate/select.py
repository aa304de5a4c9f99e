"""Which plugins take part, and how they are made from their options."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from codspeed.errors import CodspeedError, PluginCrashError, UsageError
from codspeed.model import Compat, SupportLevel, option_specs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from codspeed.model import RunContext, System
    from codspeed.registry import Plugin, Registry


def harness_plugin(registry: Registry) -> Plugin:
    """Return the harness for plain commands.

    Raises:
        PluginError: If none is installed; says what to install.
    """
    return registry.get("codspeed.harnesses", "exec-harness")


def uploader_plugins(
    registry: Registry,
    names: Sequence[str] | None,
    context: RunContext,
    values: Mapping[str, Any],
    *,
    warn: Callable[[str], None],
) -> list[Plugin]:
    """Return the named uploaders, or with None those that are wanted in this context.

    Args:
        warn: Told of one that can't say whether it is wanted; nobody named it, so the run goes on.

    Raises:
        PluginError: If a named one is unknown or broken. Broken ones that nobody named do no harm.
        UsageError: If the options of one contradict each other: better now than after the run.
    """
    if names is not None:
        named = [registry.get("codspeed.uploaders", name) for name in names]
        for plugin in named:
            with blaming(plugin):
                _is_wanted(plugin, context, values)  # refuses options that fit no such context
        return named
    found = []
    for plugin in registry.plugins("codspeed.uploaders"):
        if plugin.descriptor is None:
            continue
        try:
            with blaming(plugin):
                is_wanted = _is_wanted(plugin, context, values)
        except UsageError:
            raise
        except CodspeedError as failure:
            warn(f"{failure.problem}; it is left out")
        else:
            found += [plugin] if is_wanted else []
    return found


def wanted_instruments(
    registry: Registry,
    is_wanted: Callable[[Any, Any], str | None],
    values: Mapping[str, Any],
    *,
    system: System,
    but: Sequence[Plugin],
    warn: Callable[[str], None],
) -> list[tuple[Plugin, Any]]:
    """Return and make the instruments that observe unasked.

    Args:
        is_wanted: Says why, given a descriptor and its options; None if it is not.
        but: Those that were named, which are made already.
        warn: Told of one that can't say so or be made; nobody named it, so the run goes on.
    """
    names = {plugin.name for plugin in but}
    found = []
    for plugin in registry.plugins("codspeed.instruments"):
        if plugin.descriptor is None or plugin.name in names:
            continue
        try:
            with blaming(plugin):
                if plugin.descriptor.support(system).level is SupportLevel.UNSUPPORTED:
                    continue
                if is_wanted(plugin.descriptor, options_of(plugin, values)) is not None:
                    found.append((plugin, made(plugin, values)))
        except CodspeedError as failure:
            warn(f"{failure.problem}; it is left out")
    return found


def lacking_lines(
    registry: Registry, context: RunContext, values: Mapping[str, Any], chosen: Sequence[Plugin]
) -> list[str]:
    """Return a line for each uploader that people expect here, but that lacks something to run."""
    lines = []
    taking_part = {plugin.name for plugin in chosen}
    for plugin in registry.plugins("codspeed.uploaders"):
        if plugin.descriptor is None or plugin.name in taking_part:
            continue
        # Whether it is wanted failed before, with a warning; this is no more than a courtesy.
        with contextlib.suppress(CodspeedError), blaming(plugin):
            line = plugin.descriptor.lacking(context, options_of(plugin, values))
            lines += [line] if line else []
    return lines


def compat_of(uploaders: Sequence[Plugin]) -> Compat:
    """Return the reference's ways if an uploader asks for them, else ours."""
    wishes = {plugin.descriptor.compat for plugin in uploaders}
    return Compat.CODSPEED if Compat.CODSPEED.value in wishes else Compat.NATIVE


def made(plugin: Plugin, values: Mapping[str, Any]) -> Any:
    """Return what `load` gives, called with the plugin's options.

    Raises:
        PluginCrashError: If the plugin fails to load or to start.
        CodspeedError: What the plugin itself raised as one of ours.
    """
    with blaming(plugin):
        return plugin.descriptor.load()(options_of(plugin, values))


def options_of(plugin: Plugin, values: Mapping[str, Any]) -> Any:
    """Return the plugin's options with those values that are its own."""
    return plugin.descriptor.options(**option_values(plugin, values))


def option_values(plugin: Plugin, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of `values` that belongs to the plugin."""
    specs = option_specs(plugin.descriptor.options)
    return {name: values[name] for name in specs if name in values}


@contextlib.contextmanager
def blaming(plugin: Plugin) -> Iterator[None]:
    """Turn whatever `plugin` raises into one of our errors: the guard around plugins.

    Raises:
        PluginCrashError: For what is no `CodspeedError`.
    """
    try:
        yield
    except CodspeedError:
        raise
    except Exception as failure:
        raise _crash(plugin, failure) from failure


def _crash(plugin: Plugin, failure: Exception) -> PluginCrashError:
    problem = f"plugin {plugin.name} ({plugin.distribution} {plugin.version}) failed: {failure!r}"
    hint = "report it to the plugin's author; CODSPEED_LOG=debug shows where"
    return PluginCrashError(problem, hint=hint)


def _is_wanted(plugin: Plugin, context: RunContext, values: Mapping[str, Any]) -> bool:
    return plugin.descriptor.wanted(context, options_of(plugin, values)) is not None
