"""Real distributions in a folder on sys.path: what strangers install, good and bad."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from codspeed.errors import PluginError
from codspeed.model import System
from codspeed.registry import EXECUTORS, UPLOADERS, PluginState, Registry, entry_points

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DESCRIPTOR = """
import attrs
from codspeed.model import Support, option
from codspeed.protocols import ExecutorDescriptor

@attrs.frozen
class Options:
    {options}

descriptor = ExecutorDescriptor(
    name={name!r}, label="Fake", mode={name!r}, load=lambda: object, options=Options,
    api_version={api}, support=lambda system: {support},
)
"""


class Folder:
    """A folder on sys.path into which distributions are written as pip writes them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def install(
        self,
        distribution: str,
        *,
        module: str,
        code: str,
        name: str = "fake",
        group: str = EXECUTORS,
        metadata: str = ".dist-info",
    ) -> None:
        self.path.mkdir(exist_ok=True)
        (self.path / f"{module}.py").write_text(code)
        folder = self.path / f"{distribution.replace('-', '_')}-1.5{metadata}"
        folder.mkdir(exist_ok=True)
        file = "METADATA" if metadata == ".dist-info" else "PKG-INFO"
        (folder / file).write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        (folder / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}:descriptor\n")

    def good(
        self,
        distribution: str,
        *,
        module: str,
        name: str = "fake",
        api: int = 1,
        options: str = "pass",
        support: str = "Support.ok()",
    ) -> None:
        code = _DESCRIPTOR.format(name=name, api=api, options=options, support=support)
        self.install(distribution, module=module, code=code, name=name)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    """Yield a folder that is first on sys.path; modules imported from it are forgotten."""
    before = set(sys.modules)
    path = tmp_path / "site"
    path.mkdir()
    monkeypatch.syspath_prepend(str(path))
    yield Folder(path)
    for module in set(sys.modules) - before:
        if module.startswith("fake_"):
            del sys.modules[module]


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System("linux", "debian", "12", "x86_64", 1000, tmp_path, {})


def _fake(registry: Registry, name: str = "fake") -> list[PluginState]:
    return [plugin.state for plugin in registry.plugins(EXECUTORS) if plugin.name == name]


def test_a_plugin_is_listed_with_its_distribution_and_loaded(site: Folder) -> None:
    site.good("acme-fake", module="fake_good")
    plugin = Registry().get(EXECUTORS, "fake")

    assert (plugin.distribution, plugin.version, plugin.api_version) == ("acme-fake", "1.5", 1)
    assert plugin.state is PluginState.OK
    assert plugin.descriptor.mode == "fake"


def test_names_are_listed_without_importing_the_plugin(site: Folder) -> None:
    site.install("acme-fake", module="fake_unread", code="raise SystemExit(9)")

    assert ("fake", "acme-fake") in Registry().names(EXECUTORS)
    assert "fake_unread" not in sys.modules


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        pytest.param("import does_not_exist", "No module named", id="missing module"),
        pytest.param("raise SystemExit(3)", "SystemExit: 3", id="exit"),
        pytest.param("assert False, 'no'", "AssertionError: no", id="assertion"),
        pytest.param("1 / 0", "ZeroDivisionError", id="any exception"),
        pytest.param("x = 1", "has no attribute 'descriptor'", id="missing attribute"),
        pytest.param("descriptor = (", "SyntaxError", id="syntax"),
    ],
)
def test_a_plugin_that_fails_to_import_is_listed_with_its_reason(
    site: Folder, code: str, reason: str
) -> None:
    site.install("acme-fake", module="fake_broken", code=code)
    registry = Registry()

    assert _fake(registry) == [PluginState.IMPORT_ERROR]
    with pytest.raises(PluginError) as caught:
        registry.get(EXECUTORS, "fake")
    assert "executor 'fake' of acme-fake 1.5" in caught.value.problem
    assert reason in caught.value.problem
    assert caught.value.hint == "repair or uninstall acme-fake"


def test_ctrl_c_while_a_plugin_is_imported_is_not_swallowed(site: Folder) -> None:
    site.install("acme-fake", module="fake_interrupted", code="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        Registry().plugins(EXECUTORS)


def test_a_broken_plugin_does_not_disturb_the_others(site: Folder) -> None:
    site.install("acme-bad", module="fake_bad", code="1 / 0", name="bad")
    site.good("acme-fake", module="fake_beside_bad")

    assert Registry().get(EXECUTORS, "fake").distribution == "acme-fake"


def test_two_distributions_with_one_name_are_both_refused_until_one_is_named(site: Folder) -> None:
    site.good("acme-fake", module="fake_one")
    site.good("zeta-fake", module="fake_two")
    registry = Registry()

    assert _fake(registry) == [PluginState.DUPLICATE, PluginState.DUPLICATE]
    with pytest.raises(PluginError) as caught:
        registry.get(EXECUTORS, "fake")
    assert "declared by acme-fake 1.5 and zeta-fake 1.5" in caught.value.problem
    assert caught.value.hint == "say which: acme-fake:fake or zeta-fake:fake"
    assert registry.get(EXECUTORS, "zeta-fake:fake").distribution == "zeta-fake"


def test_names_that_are_not_neighbours_are_still_duplicates(site: Folder) -> None:
    site.good("acme-fake", module="fake_first")
    site.good("beta-other", module="fake_between", name="between")
    site.good("zeta-fake", module="fake_last")

    assert _fake(Registry()) == [PluginState.DUPLICATE, PluginState.DUPLICATE]


def test_one_distribution_that_is_found_twice_counts_once(site: Folder) -> None:
    site.good("acme-fake", module="fake_editable")
    site.install(
        "acme.fake",
        module="fake_editable",
        code=(site.path / "fake_editable.py").read_text(),
        metadata=".egg-info",
    )

    assert _fake(Registry()) == [PluginState.OK]


def test_a_stale_copy_behind_the_installed_one_does_not_count(
    site: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.good("acme-fake", module="fake_new")
    stale = Folder(tmp_path / "stale")
    stale.good("acme-fake", module="fake_old", name="renamed-since")
    monkeypatch.setattr(sys, "path", [*sys.path, str(stale.path)])

    assert [e.name for e in entry_points() if e.dist and e.dist.name == "acme-fake"] == ["fake"]


@pytest.mark.parametrize(("api", "side"), [(99, "codspeed-core"), (0, "acme-fake")])
def test_another_api_version_is_refused_and_the_side_to_upgrade_named(
    site: Folder, api: int, side: str
) -> None:
    site.good("acme-fake", module="fake_api", api=api)
    registry = Registry()

    assert _fake(registry) == [PluginState.INCOMPATIBLE]
    with pytest.raises(PluginError) as caught:
        registry.get(EXECUTORS, "fake")
    assert f"version {api} of codspeed.executors" in caught.value.problem
    assert caught.value.hint == f"upgrade {side}"


def test_what_is_no_descriptor_is_refused(site: Folder) -> None:
    site.install("acme-fake", module="fake_dict", code="descriptor = {}")

    [plugin] = [p for p in Registry().plugins(EXECUTORS) if p.name == "fake"]
    assert plugin.state is PluginState.INCOMPATIBLE
    assert plugin.reason == "fake_dict:descriptor is of type dict, not ExecutorDescriptor"


def test_a_descriptor_of_another_name_is_refused(site: Folder) -> None:
    code = _DESCRIPTOR.format(name="other", api=1, options="pass", support="Support.ok()")
    site.install("acme-fake", module="fake_misnamed", code=code)

    assert _fake(Registry()) == [PluginState.INCOMPATIBLE]


@pytest.mark.parametrize("word", ["fake", "acme-fake", "acme-fake:fake", "x, fake"])
def test_a_plugin_can_be_switched_off(site: Folder, word: str) -> None:
    site.install("acme-fake", module="fake_off", code="1 / 0")
    registry = Registry({"CODSPEED_DISABLE_PLUGINS": word})

    assert _fake(registry) == [PluginState.DISABLED]
    assert "fake_off" not in sys.modules
    with pytest.raises(PluginError, match="CODSPEED_DISABLE_PLUGINS"):
        registry.get(EXECUTORS, "fake")


def test_an_unknown_name_lists_what_there_is_and_the_nearest(site: Folder) -> None:
    site.good("acme-fake", module="fake_near")
    with pytest.raises(PluginError) as caught:
        Registry().get(EXECUTORS, "fkae")

    assert caught.value.problem.startswith("no executor 'fkae'; installed: fake")
    assert caught.value.hint == "did you mean 'fake'?"


def test_an_unknown_group_has_no_plugins() -> None:
    assert Registry().plugins("codspeed.nothing") == []


def test_what_does_not_work_here_says_so_only_when_a_system_is_given(
    site: Folder, system: System
) -> None:
    site.good("acme-fake", module="fake_mac", support="Support.unsupported('needs macOS')")
    registry = Registry()
    [here] = [p for p in registry.plugins(EXECUTORS, system) if p.name == "fake"]

    assert (here.state, here.reason) == (PluginState.UNSUPPORTED, "needs macOS")
    assert _fake(registry) == [PluginState.OK]


def test_a_support_check_that_crashes_is_an_error_of_that_plugin(
    site: Folder, system: System
) -> None:
    site.good("acme-fake", module="fake_crash", support="1 / 0")
    [here] = [p for p in Registry().plugins(EXECUTORS, system) if p.name == "fake"]

    assert here.state is PluginState.IMPORT_ERROR
    assert "ZeroDivisionError" in here.reason


def test_an_option_declared_twice_alike_is_one_option(site: Folder) -> None:
    site.good("acme-fake", module="fake_a", options="speed: int = option(3, parse='int')")
    site.good("beta", module="fake_b", name="b", options="speed: int = option(3, parse='int')")
    registry = Registry()

    assert registry.options()["speed"][1] == 3
    assert _fake(registry) + _fake(registry, "b") == [PluginState.OK, PluginState.OK]


def test_an_option_declared_differently_refuses_the_second_and_names_both(site: Folder) -> None:
    site.good("acme-a", module="fake_c", name="a", options="speed: int = option(3, parse='int')")
    site.good("beta-b", module="fake_d", name="b", options="speed: int = option(4, parse='int')")
    registry = Registry()
    registry.options()

    [refused] = [plugin for plugin in registry.plugins(EXECUTORS) if plugin.name == "b"]
    assert _fake(registry, "a") == [PluginState.OK]
    assert refused.state is PluginState.INCOMPATIBLE
    assert refused.reason == "it declares --speed differently than executor 'a' of acme-a 1.5"


def test_an_option_of_core_can_not_be_taken(site: Folder) -> None:
    site.good("acme-fake", module="fake_core", options="mode: str = option('')")
    registry = Registry(reserved={"mode"})
    registry.options()

    assert _fake(registry) == [PluginState.INCOMPATIBLE]


def test_groups_of_strangers_are_listed_after_ours(site: Folder) -> None:
    site.install("acme", module="fake_group", code="descriptor = 1", group="codspeed.zebras")

    assert Registry().groups()[-1] == "codspeed.zebras"
    assert UPLOADERS in Registry().groups()
