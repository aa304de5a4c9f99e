"""Which executors measure."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from codspeed.cli import options
from codspeed.cli.mode import is_ci, select
from codspeed.cli.scan import Setting
from codspeed.cli.settings import Settings
from codspeed.errors import PluginError, UsageError
from codspeed.protocols import ExecutorDescriptor
from codspeed.registry import Plugin, PluginState


@attrs.define
class FakeRegistry:
    """Executors with the modes of ours and one of a stranger."""

    extra: list[Plugin] = attrs.Factory(list)

    def plugins(self, group: str) -> list[Plugin]:
        wanted = [("valgrind", "simulation", ("instrumentation",)), ("walltime", "walltime", ())]
        return [_plugin(name, mode, aliases) for name, mode, aliases in wanted] + self.extra

    def descriptors(self, group: str) -> list[Any]:
        return [p.descriptor for p in self.plugins(group) if p.descriptor is not None]

    def get(self, group: str, name: str) -> Plugin:
        for plugin in self.plugins(group):
            if plugin.name == name:
                return plugin
        problem = f"no executor '{name}'"
        raise PluginError(problem)


def _plugin(name: str, mode: str, aliases: tuple[str, ...] = ()) -> Plugin:
    descriptor = ExecutorDescriptor(
        name=name, label=name, mode=mode, aliases=aliases, load=lambda: object
    )
    owner = f"acme-{name}"
    return Plugin(name, "codspeed.executors", owner, "1", 1, PluginState.OK, descriptor=descriptor)


def _select(
    given: dict[str, Setting] | None = None,
    *,
    env: dict[str, str] | None = None,
    session: tuple[str, ...] = (),
    extra: list[Plugin] | None = None,
) -> Any:
    settings = Settings((*options.GLOBAL, *options.RUN), given or {})
    registry: Any = FakeRegistry(extra or [])
    return select(settings, registry, env or {}, session)


def _mode(*words: str, origin: str = "flag") -> dict[str, Setting]:
    return {"mode": Setting(words, origin)}


def test_modes_and_aliases_name_executors_in_order() -> None:
    assert _select(_mode("walltime", "simulation")).executors == ("walltime", "valgrind")
    assert _select(_mode("simulation", "instrumentation")).executors == ("valgrind",)


def test_a_deprecated_mode_is_a_warning() -> None:
    [warning] = _select(_mode("instrumentation")).warnings

    assert warning == "mode 'instrumentation' is deprecated; say 'simulation'"


def test_executors_are_named_by_entry_point() -> None:
    assert _select({"executor": Setting(("valgrind",), "flag")}).executors == ("valgrind",)


def test_executor_goes_before_the_environment_s_mode() -> None:
    given = {"executor": Setting(("valgrind",), "flag")}
    given |= _mode("walltime", origin="environment variable CODSPEED_RUNNER_MODE")

    assert _select(given).executors == ("valgrind",)


def test_executor_and_mode_together_are_refused() -> None:
    with pytest.raises(UsageError):
        _select({"executor": Setting(("valgrind",), "flag"), **_mode("walltime")})


def test_the_session_goes_before_the_default() -> None:
    selection = _select(session=("simulation",))

    assert selection.executors == ("valgrind",)
    assert selection.notes == ("mode simulation, as this shell session uses",)


def test_outside_ci_walltime_is_assumed_and_said() -> None:
    selection = _select()

    assert selection.executors == ("walltime",)
    assert selection.notes[0].startswith("mode walltime, since none was given")


@pytest.mark.parametrize("env", [{"CI": "true"}, {"CI": "1"}, {"GITLAB_CI": "true"}])
def test_in_ci_no_mode_is_assumed(env: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        _select(env=env)

    assert caught.value.hint is not None
    assert caught.value.hint.endswith("modes: simulation, walltime")


@pytest.mark.parametrize("env", [{}, {"CI": "false"}, {"CI": "0", "GITHUB_ACTIONS": "true"}])
def test_what_is_not_ci(env: dict[str, str]) -> None:
    assert not is_ci(env)


def test_an_empty_mode_is_an_unknown_one() -> None:
    with pytest.raises(UsageError) as caught:
        _select(_mode("", origin="environment variable CODSPEED_RUNNER_MODE"))

    assert caught.value.problem == "no mode ''; installed: simulation, walltime"


def test_an_unknown_mode_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        _select(_mode("walltme"))

    assert caught.value.hint == "did you mean 'walltime'?"


def test_a_mode_of_an_absent_plugin_says_which() -> None:
    with pytest.raises(PluginError) as caught:
        _select(_mode("instructions"))

    assert (
        caught.value.problem == "mode 'instructions' needs codspeed-icount, which is not installed"
    )


def test_a_mode_whose_plugin_is_broken_says_why() -> None:
    broken = Plugin(
        "memory",
        "codspeed.executors",
        "codspeed-memory",
        "2",
        None,
        PluginState.IMPORT_ERROR,
        reason="importing x failed: ImportError: y",
    )
    with pytest.raises(PluginError) as caught:
        _select(_mode("memory"), extra=[broken])

    assert "importing x failed: ImportError: y" in caught.value.problem


def test_a_mode_of_two_executors_asks_which() -> None:
    with pytest.raises(UsageError) as caught:
        _select(_mode("walltime"), extra=[_plugin("sundial", "walltime")])

    assert caught.value.problem == "several executors measure in mode 'walltime': walltime, sundial"
