"""Which plugins take part, and how they are made from their options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codspeed.errors import CodspeedError, PluginCrashError
from codspeed.model import Compat, option_specs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codspeed.model import RunContext
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
) -> list[Plugin]:
    """Return the named uploaders, or with None those that are wanted in this context.

    Raises:
        PluginError: If a named one is unknown or broken. Broken ones that nobody named do no harm.
    """
    if names is not None:
        return [registry.get("codspeed.uploaders", name) for name in names]
    return [
        plugin
        for plugin in registry.plugins("codspeed.uploaders")
        if plugin.descriptor is not None and _is_wanted(plugin, context, values)
    ]


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
    try:
        return plugin.descriptor.load()(options_of(plugin, values))
    except CodspeedError:
        raise
    except Exception as failure:
        raise crash(plugin, failure) from failure


def options_of(plugin: Plugin, values: Mapping[str, Any]) -> Any:
    """Return the plugin's options with those values that are its own."""
    return plugin.descriptor.options(**option_values(plugin, values))


def option_values(plugin: Plugin, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of `values` that belongs to the plugin."""
    specs = option_specs(plugin.descriptor.options)
    return {name: values[name] for name in specs if name in values}


def crash(plugin: Plugin, failure: Exception) -> PluginCrashError:
    """Return the error for a plugin that raised something that is not one of ours."""
    problem = f"plugin {plugin.name} ({plugin.distribution} {plugin.version}) failed: {failure!r}"
    hint = "report it to the plugin's author; CODSPEED_LOG=debug shows where"
    error = PluginCrashError(problem, hint=hint)
    error.__cause__ = failure
    return error


def _is_wanted(plugin: Plugin, context: RunContext, values: Mapping[str, Any]) -> bool:
    return plugin.descriptor.wanted(context, options_of(plugin, values)) is not None
