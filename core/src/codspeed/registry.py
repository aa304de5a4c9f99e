"""Which plugins are installed, and what is wrong with those that can't be used.

Names come from the metadata of the installed distributions, read anew in every process; descriptors
are loaded through stevedore, one guarded entry point at a time. This is the only module that knows
stevedore, and it is imported only when a descriptor is asked for. Why its cache, its duplicate
check and its error handling are not used: docs/design.md.
"""

from __future__ import annotations

import enum
import importlib.metadata
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from codspeed import __version__
from codspeed.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from codspeed.model import OptionSpec, System
    from codspeed.protocols import Descriptor

EXECUTORS: Final = "codspeed.executors"
INSTRUMENTS: Final = "codspeed.instruments"
UPLOADERS: Final = "codspeed.uploaders"
HARNESSES: Final = "codspeed.harnesses"
COMMANDS: Final = "codspeed.commands"
ENVIRONMENTS: Final = "codspeed.environments"

# In this order plugins win when two declare the same option differently.
GROUPS: Final = (EXECUTORS, HARNESSES, INSTRUMENTS, UPLOADERS, COMMANDS, ENVIRONMENTS)

_KINDS: Final = {
    EXECUTORS: "executor",
    INSTRUMENTS: "instrument",
    UPLOADERS: "uploader",
    HARNESSES: "harness",
    COMMANDS: "command",
    ENVIRONMENTS: "environment",
}
_CLASSES: Final = {
    EXECUTORS: "ExecutorDescriptor",
    INSTRUMENTS: "InstrumentDescriptor",
    UPLOADERS: "UploaderDescriptor",
    HARNESSES: "HarnessDescriptor",
    COMMANDS: "CommandDescriptor",
    ENVIRONMENTS: "EnvironmentDescriptor",
}


class PluginState(enum.Enum):
    """Whether a plugin can be used; the values are shown by `codspeed plugins`."""

    OK = "ok"
    DISABLED = "disabled"
    INCOMPATIBLE = "incompatible"
    DUPLICATE = "duplicate"
    IMPORT_ERROR = "import error"
    UNSUPPORTED = "unsupported here"
    TOOL_MISSING = "tool missing"


class Plugin(NamedTuple):
    """One entry point as far as it could be read.

    Attributes:
        api_version: None if the descriptor could not be loaded.
        reason: Why the state is not OK; empty if it is.
        remedy: What to do about it; may be empty.
        descriptor: None if it could not be loaded or must not be used.
        cause: The exception behind an import error.
    """

    name: str
    group: str
    distribution: str
    version: str
    api_version: int | None
    state: PluginState
    reason: str = ""
    remedy: str = ""
    descriptor: Any = None
    cause: BaseException | None = None

    @property
    def kind(self) -> str:
        """Return what it is, for people."""
        return _KINDS.get(self.group, self.group)

    @property
    def title(self) -> str:
        """Return how messages name it."""
        return f"{self.kind} '{self.name}' of {self.distribution} {self.version}"

    def refused(self, state: PluginState, reason: str, remedy: str = "") -> Plugin:
        """Return the same plugin in another state, without what must not be used then."""
        return self._replace(state=state, reason=reason, remedy=remedy, descriptor=None)


# --- Names ----------------------------------------------------------------------------------------


def entry_points(prefix: str = "codspeed.") -> list[importlib.metadata.EntryPoint]:
    """Return the entry points of all such groups, sorted; imports no plugin.

    A distribution that is found twice (an editable install and a stray egg-info) counts once: the
    first on `sys.path` is the one whose code would be imported.
    """
    found: dict[tuple[str, str, str], importlib.metadata.EntryPoint] = {}
    for distribution in _distributions(prefix):
        owner = _normal(distribution.name)
        for entry in distribution.entry_points:
            if entry.group.startswith(prefix):
                found.setdefault((entry.group, entry.name, owner), entry)
    return [found[key] for key in sorted(found)]


def _distributions(prefix: str) -> Iterator[importlib.metadata.Distribution]:
    """Yield what declares such groups, at the cost of reading one small file per distribution."""
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        declared = distribution.read_text("entry_points.txt")
        if declared is None or f"[{prefix}" not in declared:
            continue
        name = _normal(distribution.name or "")
        if not name or name in seen or not _is_first(name, declared):
            continue
        seen.add(name)
        yield distribution


def _is_first(name: str, declared: str) -> bool:
    """Whether this declaration is that of the copy which Python would import."""
    try:
        first = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return True
    return first.read_text("entry_points.txt") == declared


def _normal(name: str) -> str:
    """Return the name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


# --- Descriptors ----------------------------------------------------------------------------------


class Registry:
    """The plugins of this installation. Reads metadata once and each descriptor once.

    Args:
        env: Read for CODSPEED_DISABLE_PLUGINS: names, distributions or "distribution:name", with
            commas.
        reserved: Option fields that belong to core; a plugin that declares one is refused.
    """

    def __init__(
        self, env: Mapping[str, str] | None = None, *, reserved: Collection[str] = ()
    ) -> None:
        listed = (env or {}).get("CODSPEED_DISABLE_PLUGINS", "")
        self._disabled = {word.strip() for word in listed.split(",")} - {""}
        self._reserved = frozenset(reserved)
        self._entries: list[importlib.metadata.EntryPoint] | None = None
        self._plugins: dict[str, list[Plugin]] = {}

    def names(self, group: str) -> list[tuple[str, str]]:
        """Return (name, distribution) of what is not switched off in a group; imports no plugin."""
        return [
            (entry.name, _owner(entry)[0])
            for entry in self._of(group)
            if not self._is_disabled(entry)
        ]

    def plugins(self, group: str, system: System | None = None) -> list[Plugin]:
        """Return every plugin of `group` with its state, sorted by name.

        Args:
            group: One of `GROUPS`, or any other group that starts with "codspeed.".
            system: Also ask each usable plugin whether it works here.
        """
        if group not in self._plugins:
            self._plugins[group] = [self._load(entry) for entry in self._of(group)]
            _refuse_duplicates(self._plugins[group])
        plugins = self._plugins[group]
        return plugins if system is None else [_supported(plugin, system) for plugin in plugins]

    def descriptors(self, group: str) -> list[Any]:
        """Return the descriptors of the usable plugins of `group`, sorted by name."""
        return [
            plugin.descriptor for plugin in self.plugins(group) if plugin.state is PluginState.OK
        ]

    def get(self, group: str, name: str) -> Plugin:
        """Return the usable plugin called `name` or "distribution:name".

        Raises:
            PluginError: If there is none, several, or one that can't be used; says which, why and
                what to do.
        """
        owner, _, short = name.rpartition(":")
        found = [
            plugin
            for plugin in self.plugins(group)
            if plugin.name == short
            and (not owner or _normal(owner) == _normal(plugin.distribution))
        ]
        if not found:
            raise _unknown(_KINDS.get(group, group), name, [p.name for p in self.plugins(group)])
        plugin = found[0]
        if plugin.state is PluginState.DUPLICATE and owner:
            plugin = self._load(self._entry(plugin))
        if plugin.state is not PluginState.OK:
            raise unusable(plugin)
        return plugin

    def options(self) -> dict[str, tuple[OptionSpec, Any, Plugin]]:
        """Return every option of usable plugins: field -> (spec, default, who declared it first).

        A plugin whose option contradicts an earlier one is refused from here on, naming both.
        """
        declared: dict[str, tuple[OptionSpec, Any, Plugin]] = {}
        for group in GROUPS[:4]:
            plugins = self.plugins(group)
            for index, plugin in enumerate(plugins):
                if plugin.state is PluginState.OK:
                    plugins[index] = self._declare(plugin, declared)
        return declared

    def _of(self, group: str) -> list[importlib.metadata.EntryPoint]:
        if self._entries is None:
            self._entries = entry_points()
        return [entry for entry in self._entries if entry.group == group]

    def _entry(self, plugin: Plugin) -> importlib.metadata.EntryPoint:
        return next(
            entry
            for entry in self._of(plugin.group)
            if (entry.name, _owner(entry)[0]) == (plugin.name, plugin.distribution)
        )

    def groups(self) -> list[str]:
        """Return all groups: ours first, then those only plugins know."""
        self._of("")
        others = {entry.group for entry in self._entries or ()} - set(GROUPS)
        return [*GROUPS, *sorted(others)]

    def _is_disabled(self, entry: importlib.metadata.EntryPoint) -> bool:
        owner = _owner(entry)[0]
        return bool(self._disabled & {entry.name, owner, f"{owner}:{entry.name}"})

    def _load(self, entry: importlib.metadata.EntryPoint) -> Plugin:
        owner, version = _owner(entry)
        plugin = Plugin(entry.name, entry.group, owner, version, None, PluginState.OK)
        if self._is_disabled(entry):
            remedy = f"take '{entry.name}' out of CODSPEED_DISABLE_PLUGINS"
            reason = "switched off by CODSPEED_DISABLE_PLUGINS"
            return plugin.refused(PluginState.DISABLED, reason, remedy)
        try:
            descriptor = _load_with_stevedore(entry)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - also SystemExit
            reason = f"importing {entry.value} failed: {_describe(error)}"
            remedy = f"repair or uninstall {owner}"
            return plugin.refused(PluginState.IMPORT_ERROR, reason, remedy)._replace(cause=error)
        return _checked(plugin, entry, descriptor)

    def _declare(
        self, plugin: Plugin, declared: dict[str, tuple[OptionSpec, Any, Plugin]]
    ) -> Plugin:
        from codspeed.model.option import option_specs  # noqa: PLC0415 - only with a descriptor

        try:
            specs = option_specs(plugin.descriptor.options)
        except Exception as error:  # noqa: BLE001 - whatever a stranger calls its options
            reason = f"its options can't be read: {_describe(error)}"
            remedy = f"upgrade {plugin.distribution}"
            return plugin.refused(PluginState.INCOMPATIBLE, reason, remedy)
        for field, (spec, default) in specs.items():
            clash = _clash(field, spec, default, declared, self._reserved)
            if clash:
                return plugin.refused(PluginState.INCOMPATIBLE, clash, "uninstall one of the two")
        for field, (spec, default) in specs.items():
            declared.setdefault(field, (spec, default, plugin))
        return plugin


def unusable(plugin: Plugin) -> PluginError:
    """Return the error for a plugin that was asked for and can't be used."""
    problem = f"{plugin.title} can't be used ({plugin.state.value}): {plugin.reason}"
    error = PluginError(problem, hint=plugin.remedy or None)
    error.__cause__ = plugin.cause
    return error


def nearest(word: str, known: Collection[str]) -> str | None:
    """Return what the user may have meant; None if nothing is near."""
    import difflib  # noqa: PLC0415 - only on the way to an error

    return next(iter(difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)), None)


def _unknown(kind: str, name: str, available: list[str]) -> PluginError:
    listed = ", ".join(sorted(set(available))) or "none"
    near = nearest(name, available)
    hint = f"did you mean '{near}'?" if near else "see `codspeed plugins list`"
    return PluginError(f"no {kind} '{name}'; installed: {listed}", hint=hint)


def _owner(entry: importlib.metadata.EntryPoint) -> tuple[str, str]:
    """Return name and version of the distribution that declares `entry`."""
    return (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "")


def _load_with_stevedore(entry: importlib.metadata.EntryPoint) -> Any:
    """Return what one entry point names; whatever goes wrong there is raised here."""
    from stevedore.extension import ExtensionManager  # noqa: PLC0415 - costs as much as click

    class OneEntryPoint(ExtensionManager[Any]):
        """Loads the entry point it is given: no cache on disk, no conflict that goes unseen."""

        def list_entry_points(self) -> list[importlib.metadata.EntryPoint]:
            """Return the one that core found."""
            return [entry]

    def fail(_manager: Any, _entry: importlib.metadata.EntryPoint, error: BaseException) -> None:
        raise error

    manager = OneEntryPoint(
        entry.group, on_load_failure_callback=fail, propagate_map_exceptions=True
    )
    return manager.extensions[0].plugin


def _describe(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _checked(
    plugin: Plugin, entry: importlib.metadata.EntryPoint, descriptor: Descriptor
) -> Plugin:
    """Return the plugin with its descriptor if core understands it."""
    from codspeed import protocols  # noqa: PLC0415 - only with a descriptor at hand

    wanted = _CLASSES.get(plugin.group, "Descriptor")
    if not isinstance(descriptor, getattr(protocols, wanted)):
        reason = f"{entry.value} is of type {type(descriptor).__name__}, not {wanted}"
        return plugin.refused(PluginState.INCOMPATIBLE, reason, f"upgrade {plugin.distribution}")
    plugin = plugin._replace(api_version=descriptor.api_version)
    if descriptor.name != plugin.name:
        reason = f"the entry point is called '{plugin.name}', its descriptor '{descriptor.name}'"
        return plugin.refused(PluginState.INCOMPATIBLE, reason, f"upgrade {plugin.distribution}")
    oldest, newest = protocols.API_VERSIONS.get(plugin.group, (1, 1))
    if oldest <= descriptor.api_version <= newest:
        return plugin._replace(descriptor=descriptor)
    behind = "codspeed-core" if descriptor.api_version > newest else plugin.distribution
    served = f"{oldest}" if oldest == newest else f"{oldest} to {newest}"
    reason = (
        f"it was written for version {descriptor.api_version} of {plugin.group}; "
        f"codspeed-core {__version__} serves {served}"
    )
    return plugin.refused(PluginState.INCOMPATIBLE, reason, f"upgrade {behind}")


def _refuse_duplicates(plugins: list[Plugin]) -> None:
    for index, plugin in enumerate(plugins):
        twins = [
            p for p in plugins if p.name == plugin.name and p.state is not PluginState.DISABLED
        ]
        if len(twins) < 2 or plugin.state is not PluginState.OK:
            continue
        owners = " and ".join(f"{twin.distribution} {twin.version}" for twin in twins)
        names = " or ".join(f"{twin.distribution}:{twin.name}" for twin in twins)
        reason = f"declared by {owners}"
        plugins[index] = plugin.refused(PluginState.DUPLICATE, reason, f"say which: {names}")


def _supported(plugin: Plugin, system: System) -> Plugin:
    if plugin.state is not PluginState.OK:
        return plugin
    try:
        support = plugin.descriptor.support(system)
    except Exception as error:  # noqa: BLE001 - a stranger's code
        reason = f"asking whether it works here failed: {_describe(error)}"
        return plugin.refused(PluginState.IMPORT_ERROR, reason, f"upgrade {plugin.distribution}")
    if support.level.value == "unsupported":
        return plugin.refused(PluginState.UNSUPPORTED, support.reason)
    return plugin._replace(reason=support.reason)


def _clash(
    field: str,
    spec: OptionSpec,
    default: Any,
    declared: Mapping[str, tuple[OptionSpec, Any, Plugin]],
    reserved: Collection[str],
) -> str | None:
    """Return why an option can't be declared; None if it can."""
    flag = "--" + field.replace("_", "-")
    if field in reserved:
        return f"it declares {flag}, which belongs to codspeed-core"
    if field not in declared:
        return None
    other, other_default, owner = declared[field]
    same = ("style", "parse", "choices", "env")
    if default == other_default and all(getattr(spec, x) == getattr(other, x) for x in same):
        return None
    return f"it declares {flag} differently than {owner.title}"
