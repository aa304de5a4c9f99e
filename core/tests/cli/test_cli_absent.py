"""What belongs to an absent plugin: named, with a way to get it that nobody can take over."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from codspeed.cli import absent
from codspeed.cli.scan import UnknownOptionError
from codspeed.registry import Plugin, PluginState

if TYPE_CHECKING:
    from pathlib import Path


class FakeRegistry:
    """Knows distributions by one plugin each."""

    def __init__(self, *distributions: str) -> None:
        self._distributions = distributions

    def groups(self) -> list[str]:
        return ["codspeed.commands"]

    def plugins(self, group: str) -> list[Plugin]:
        return [Plugin("x", group, name, "1", 1, PluginState.OK) for name in self._distributions]


def _verb(name: str, *installed: str) -> Any:
    registry: Any = FakeRegistry(*installed)
    return absent.unknown_verb(name, ["run", "exec"], registry)


def _flag(name: str, *installed: str) -> Any:
    registry: Any = FakeRegistry(*installed)
    return absent.explain(UnknownOptionError(name), ["--mode"], registry)


@pytest.mark.parametrize("verb", ["auth", "ab", "flame", "report", "accept", "merge", "compare"])
def test_a_known_verb_says_what_it_needs(verb: str) -> None:
    error = _verb(verb)

    assert error.exit_code == 2
    assert error.problem.startswith(f"`codspeed {verb}` needs codspeed-")


def test_a_verb_that_the_installed_plugin_does_not_have_yet() -> None:
    problem = _verb("ab", "codspeed-report").problem

    assert problem == "the installed codspeed-report does not bring `codspeed ab` to this command"


@pytest.mark.parametrize(
    ("flag", "owner"),
    [
        ("--token", "codspeed-service"),
        ("-r", "codspeed-service"),
        ("--simulation-tool", "codspeed-valgrind"),
        ("--enable-profiler", "codspeed-walltime"),
        ("--mongo-uri-env-name", "codspeed-mongodb"),
        ("--max-rounds", "codspeed-exec-harness"),
    ],
)
def test_a_known_option_says_what_it_needs(flag: str, owner: str) -> None:
    error = _flag(flag)

    assert error.exit_code == 2
    assert error.problem == f"{flag} needs {owner}, which is not installed"


def test_a_bound_on_the_wrong_verb() -> None:
    assert "belongs to `codspeed exec`" in _flag("--max-rounds", "codspeed-exec-harness").hint


def test_an_unknown_option_names_the_nearest() -> None:
    assert _flag("--mdoe").hint == "did you mean '--mode'?"


class TestHowToInstall:
    """In terms of how core was installed."""

    def test_from_an_editable_clone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "plugins" / "exec_harness").mkdir(parents=True)
        url = {"url": (tmp_path / "core").as_uri(), "dir_info": {"editable": True}}
        monkeypatch.setattr(absent, "_direct_url", lambda: url)

        folder = tmp_path / "plugins" / "exec_harness"
        command = f"{sys.executable} -m pip install -e {folder}"
        assert absent.how_to_install("codspeed-exec-harness").endswith(command)

    def test_from_a_clone_that_does_not_have_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url = {"url": (tmp_path / "core").as_uri(), "dir_info": {}}
        monkeypatch.setattr(absent, "_direct_url", lambda: url)

        assert absent.how_to_install("codspeed-service") == (
            f"it is not in {tmp_path} yet: a later version of codspeed brings it"
        )

    def test_from_git(self, monkeypatch: pytest.MonkeyPatch) -> None:
        url = {"url": "https://host/o/r", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
        monkeypatch.setattr(absent, "_direct_url", lambda: url)

        source = "codspeed-service @ git+https://host/o/r@abc#subdirectory=plugins/service"
        assert source in absent.how_to_install("codspeed-service")

    def test_from_an_index_no_command_is_invented(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(absent, "_direct_url", dict)

        assert "pip install" not in absent.how_to_install("codspeed-service")
