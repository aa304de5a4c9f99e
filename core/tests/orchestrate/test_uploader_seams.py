"""What core does for uploaders: options from the profile, secrets, whom to tell, early refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from codspeed.cli import options
from codspeed.cli.reporter import PlainReporter
from codspeed.cli.settings import Settings
from codspeed.config.user import Profile
from codspeed.errors import UsageError
from codspeed.journal import Journal
from codspeed.model import (
    Bundle,
    Manifest,
    Reporter,
    RunContext,
    RunRequest,
    System,
    option,
    option_specs,
)
from codspeed.orchestrate.deliver import hand_over
from codspeed.orchestrate.select import uploader_plugins
from codspeed.protocols import Receipt, UploaderDefaults, UploaderDescriptor
from codspeed.registry import Plugin, PluginState

SYSTEM = System("linux", "debian", "12", "x86_64", 0, Path(), {"A": "b"})
CONTEXT = RunContext("local", "a/b", "b-1", Path())


@attrs.frozen
class Options:
    """Of a made-up uploader."""

    address: str | None = option(None, profile="upload_url", in_file=False)
    password: str | None = option(None, secret=True, in_file=False)

    def __attrs_post_init__(self) -> None:
        if self.address == "nowhere":
            problem = "there is no such address"
            raise UsageError(problem)


class Remembering(UploaderDefaults):
    """Remembers what it was prepared with."""

    prepared: Any = None

    def prepare(self, system: System, reporter: Reporter) -> None:
        Remembering.prepared = (system, reporter)

    def upload(self, bundle: Bundle) -> Receipt:
        return Receipt("taken")


class Old:
    """Written before there was `prepare`."""

    def __init__(self, _options: Any) -> None:
        """Need nothing."""

    def accepts(self, _part: Any) -> None:
        """Take everything."""

    def upload(self, _bundle: Bundle) -> Receipt:
        return Receipt("taken by the old one")


def plugin(kind: type) -> Plugin:
    descriptor = UploaderDescriptor(name="x", label="X", load=lambda: kind, options=Options)
    return Plugin("x", "codspeed.uploaders", "dist", "1", 1, PluginState.OK, descriptor=descriptor)


def bundle() -> Bundle:
    manifest = Manifest(1, "id", 0, "0.1.0", {}, CONTEXT, {}, {}, ())
    return Bundle(Path("bundle"), manifest, ())


def settings(profile: Profile, **given: Any) -> Settings:
    known = [
        options.from_spec(name, spec, default, "dist")
        for name, (spec, default) in option_specs(Options).items()
    ]
    return Settings(known, given, None, lambda: profile)


def test_the_profile_stands_in_for_flag_and_variable() -> None:
    found = settings(Profile(upload_url="https://x.example/")).setting("address")

    assert found == ("https://x.example/", "profile")


def test_what_the_profile_does_not_say_has_the_default() -> None:
    assert settings(Profile()).setting("address") == (None, "default")
    assert settings(Profile()).of_plugins() == {}


def test_uploaders_learn_where_they_are_and_whom_to_tell() -> None:
    reporter = Reporter()

    errors, lines = hand_over(bundle(), [plugin(Remembering)], {}, SYSTEM, reporter)

    assert (errors, lines) == ([], ["taken"])
    assert Remembering.prepared == (SYSTEM, reporter)


def test_uploaders_without_prepare_still_work() -> None:
    assert hand_over(bundle(), [plugin(Old)], {}, SYSTEM, Reporter())[1] == ["taken by the old one"]


@pytest.mark.parametrize("names", [None, ["x"]])
def test_options_that_make_no_sense_are_refused_before_the_run(names: list[str] | None) -> None:
    class FakeRegistry:
        def get(self, _group: str, _name: str) -> Plugin:
            return plugin(Remembering)

        def plugins(self, _group: str) -> list[Plugin]:
            return [plugin(Remembering)]

    with pytest.raises(UsageError, match="no such address"):
        uploader_plugins(
            FakeRegistry(),  # type: ignore[arg-type]  # a fake with what is used
            names,
            CONTEXT,
            {"address": "nowhere"},
            warn=pytest.fail,
        )


def test_secrets_are_in_no_repr() -> None:
    request = RunRequest(executors=("x",), plugin_options={"password": "s3cret"})

    assert "s3cret" not in repr(Options(password="s3cret")) + repr(request)


def test_a_line_for_programs_is_shown_as_it_is_at_every_level(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    reporter = PlainReporter({"CODSPEED_LOG": "error", "FORCE_COLOR": "1"}, dict)
    with Journal(reporter, tmp_path / "log.txt", {}) as journal:
        journal.verbatim('Hash: "1"')
        journal.verbatim('{"a": 1}', stream="stdout")

    assert capfd.readouterr() == ('{"a": 1}\n', 'Hash: "1"\n')
    assert 'Hash: "1"' in (tmp_path / "log.txt").read_text()
