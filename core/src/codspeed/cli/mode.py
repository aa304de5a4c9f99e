"""Which executors measure: --executor, --mode, the environment, the shell session, or the place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from codspeed.cli import absent
from codspeed.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codspeed.cli.scan import Setting
    from codspeed.cli.settings import Settings
    from codspeed.registry import Registry

_EXECUTORS: Final = "codspeed.executors"
_DEFAULT: Final = "walltime"
# The reference's older word, still sent to integrations; users should say the newer one.
_DEPRECATED: Final = {"instrumentation": "simulation"}
# Variables that CI systems set, besides CI itself: their own documentation.
_CI_VARIABLES: Final = (
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "BUILDKITE",
    "CIRCLECI",
    "TF_BUILD",
    "JENKINS_URL",
    "TRAVIS",
    "BITBUCKET_BUILD_NUMBER",
    "TEAMCITY_VERSION",
)


class Selection(NamedTuple):
    """Who measures.

    Attributes:
        executors: Names for `Registry.get`, in order.
        notes: Why, where the user did not say it; lines for the start of the run.
        warnings: What should be written differently.
    """

    executors: tuple[str, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def is_ci(env: Mapping[str, str]) -> bool:
    """Whether a CI system started us."""
    said = env.get("CI", "").lower()
    if said in {"false", "0"}:
        return False
    return bool(said) or any(env.get(name) for name in _CI_VARIABLES)


def select(
    settings: Settings, registry: Registry, env: Mapping[str, str], session: Sequence[str]
) -> Selection:
    """Return who measures.

    Args:
        settings: For --executor and --mode with its variable.
        registry: What is installed.
        env: To tell CI from elsewhere.
        session: Modes that the shell session remembers.

    Raises:
        UsageError: If the modes can't be told, or one is unknown.
        PluginError: If an executor is unknown or can't be used.
    """
    named, mode = settings.setting("executor"), settings.setting("mode")
    if named.origin == "flag":
        if mode.origin == "flag":
            problem = "--executor and --mode say the same in two ways; give one of them"
            raise UsageError(problem)
        return Selection(_distinct(_checked(registry, name) for name in named.value))
    words, notes = _modes(mode, session, registry, env)
    warnings = tuple(
        f"mode '{word}' is deprecated; say '{_DEPRECATED[word]}'"
        for word in words
        if word in _DEPRECATED
    )
    return Selection(_distinct(of_mode(registry, word) for word in words), notes, warnings)


def _modes(
    mode: Setting, session: Sequence[str], registry: Registry, env: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if mode.origin != "default":
        return mode.value, ()
    if session:
        return tuple(session), (f"mode {', '.join(session)}, as this shell session uses",)
    if is_ci(env):
        hint = f"say --mode, or set CODSPEED_RUNNER_MODE; modes: {_listed(registry)}"
        problem = "no mode given, and in CI none is assumed"
        raise UsageError(problem, hint=hint)
    return (_DEFAULT,), (f"mode {_DEFAULT}, since none was given (--mode, or `codspeed use MODE`)",)


def of_mode(registry: Registry, word: str) -> str:
    """Return the executor that measures in a mode; the word may be an alias.

    Raises:
        UsageError: If the mode is unknown or several executors have it.
        PluginError: If its plugin is absent or can't be used.
    """
    found = [d for d in registry.descriptors(_EXECUTORS) if word == d.mode or word in d.aliases]
    if len(found) == 1:
        name: str = found[0].name
        return name
    if found:
        names = ", ".join(descriptor.name for descriptor in found)
        problem = f"several executors measure in mode '{word}': {names}"
        raise UsageError(
            problem,
            hint=f"say which: --executor {found[0].name}",
        )
    raise _unknown_mode(registry, word)


def _unknown_mode(registry: Registry, word: str) -> Exception:
    from codspeed.registry import PluginState, nearest, unusable  # noqa: PLC0415 - for a message

    distribution = absent.MODES.get(word)
    for plugin in registry.plugins(_EXECUTORS):
        is_meant = plugin.name == word or plugin.distribution == distribution
        if is_meant and plugin.state is not PluginState.OK:
            return unusable(plugin)
    if distribution is not None:
        return absent.missing(f"mode '{word}'", distribution)
    near = nearest(word, modes(registry))
    hint = f"did you mean '{near}'?" if near else "see `codspeed plugins list`"
    return UsageError(f"no mode '{word}'; installed: {_listed(registry)}", hint=hint)


def modes(registry: Registry) -> list[str]:
    """Return the modes of the usable executors, sorted."""
    return sorted({descriptor.mode for descriptor in registry.descriptors(_EXECUTORS)})


def _listed(registry: Registry) -> str:
    return ", ".join(modes(registry)) or "none"


def _checked(registry: Registry, name: str) -> str:
    registry.get(_EXECUTORS, name)
    return name


def _distinct(names: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))  # type: ignore[call-overload]  # values of settings are untyped
