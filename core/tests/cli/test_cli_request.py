"""From words and settings to a request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codspeed.cli import options, request
from codspeed.cli.scan import Setting
from codspeed.cli.settings import Settings
from codspeed.config.document import parse
from codspeed.config.project import ProjectConfig, check
from codspeed.errors import UsageError
from codspeed.model import Compat, Entrypoint, ExecTarget


def _settings(**given: Any) -> Settings:
    flags = {name: Setting(value, "flag") for name, value in given.items()}
    return Settings((*options.GLOBAL, *options.RUN, options.NAME), flags)


def _project(text: str) -> ProjectConfig:
    return check(parse(text, Path("/project/codspeed.yml")), {})


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["pytest -k 'a or b'"], "pytest -k 'a or b'"),
        (["  make bench\n"], "make bench"),
        (["cd x && cargo codspeed run"], "cd x && cargo-codspeed run"),
        (["pytest", "-k", "a or b"], ("pytest", "-k", "a or b")),
        (["cargo", "codspeed", "run"], ("cargo-codspeed", "run")),
        (["echo", "cargo codspeed"], ("echo", "cargo codspeed")),
    ],
)
def test_one_word_is_shell_text_and_several_are_an_argv(
    words: list[str], command: str | tuple[str, ...]
) -> None:
    assert request.entrypoint(words, None) == Entrypoint(command, None)


@pytest.mark.parametrize("words", [[], [""], [" \n"], ["", "x"]])
def test_an_empty_command_is_refused(words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        request.entrypoint(words, None)

    assert caught.value.problem == "The bench command is empty"


@pytest.mark.parametrize(("name", "shown"), [(None, "<unnamed>"), ("nap", "nap")])
def test_an_empty_exec_target_is_refused_in_the_reference_s_words(
    name: str | None, shown: str
) -> None:
    with pytest.raises(UsageError) as caught:
        request.exec_target([" ", "x"], name, {}, None)

    assert caught.value.problem == (
        f"Empty command for exec benchmark target `{shown}`. Provide a program to run "
        "(e.g. `codspeed exec -- <program> [args...]`, or set a non-empty `exec` in the config)."
    )


def test_exec_words_are_never_joined() -> None:
    target = request.exec_target(["sh", "-c", "echo a b", ""], "nap", {"max_rounds": 5}, None)

    assert target == ExecTarget(("sh", "-c", "echo a b", ""), "nap", {"max_rounds": 5})


def test_configured_benchmarks_run_beside_their_file() -> None:
    entrypoints, targets = request.configured(
        _project(
            "options: {working-directory: sub, max-time: 1}\n"
            "benchmarks:\n"
            "- {exec: a 'b c', name: n, options: {max-rounds: 2}}\n"
            "- {entrypoint: cargo codspeed run}\n"
        )
    )

    assert entrypoints == (Entrypoint("cargo-codspeed run", Path("/project/sub")),)
    bounds = {"max_time": "1", "max_rounds": 2}
    assert targets == (ExecTarget(("a", "b c"), "n", bounds, Path("/project/sub")),)


def test_the_options_of_a_target_go_before_those_of_the_root() -> None:
    _, [target] = request.configured(
        _project("options: {max-time: 1}\nbenchmarks: [{exec: a, options: {max-time: 2}}]")
    )

    assert target.bounds == {"max_time": "2"}


@pytest.mark.parametrize("project", [None, _project("options: {max-time: 1}")])
def test_nothing_to_run_is_said_in_the_reference_s_words(project: ProjectConfig | None) -> None:
    with pytest.raises(UsageError) as caught:
        request.configured(project)

    assert caught.value.problem == "No command provided and no targets defined in codspeed.yaml"


def test_defaults_make_a_plain_request() -> None:
    made = request.build(_settings(), executors=["walltime"], cwd=Path("/here"))

    assert made.executors == ("walltime",)
    assert (made.compat, made.uploaders, made.store) == (None, None, True)
    assert (made.lock_timeout, made.environment, made.variant) == (600.0, "inherit", {})


def test_flags_reach_the_request() -> None:
    made = request.build(
        _settings(
            compat="native",
            variant=(("python", "3.12"), ("arch", "arm64")),
            uploader=("local", "codspeed", "local"),
            no_store=True,
            bundle_dir=Path("b"),
            lock_timeout=0.0,
            go_runner_version="1.2.3",
        ),
        executors=["a", "b"],
        cwd=Path("/here"),
    )

    assert made.compat is Compat.NATIVE
    assert made.variant == {"python": "3.12", "arch": "arm64"}
    assert made.uploaders == ("local", "codspeed")
    assert (made.store, made.bundle_dir, made.lock_timeout) == (False, Path("/here/b"), 0.0)


def test_uploader_none_means_nowhere() -> None:
    assert request.names_or_none("uploader", ("none",)) == ()
    with pytest.raises(UsageError):
        request.names_or_none("uploader", ("none", "local"))


def test_instruments_are_the_usual_ones_or_named_or_none() -> None:
    names = (None, ("mongodb", "mongodb"), ("none",))

    assert [request.names_or_none("instruments", each) for each in names] == [
        None,
        ("mongodb",),
        (),
    ]
    with pytest.raises(UsageError, match="--instruments none can't be combined with others"):
        request.names_or_none("instruments", ("none", "mongodb"))


def test_a_variant_has_one_value_per_key() -> None:
    with pytest.raises(UsageError, match="--variant a was given twice"):
        request.variant((("a", "1"), ("a", "2")))


def test_only_what_somebody_said_is_an_option_of_a_plugin() -> None:
    speed = options.from_spec("speed", _spec(), 3, "acme-fake")
    quiet = options.from_spec("quiet", _spec(), 0, "acme-fake")
    settings = Settings((*options.RUN, speed, quiet), {"speed": Setting(4, "flag")})
    made = request.build(settings, executors=["fake"], cwd=Path("/here"))

    assert made.plugin_options == {"speed": 4}


def _spec() -> Any:
    from codspeed.model import OptionSpec  # noqa: PLC0415 - late: start-up stays quick

    return OptionSpec(parse="int")


def test_a_file_goes_before_the_default_and_behind_the_flag() -> None:
    project = _project("options:\n  max-rounds: 7")
    option = options.from_spec("max_rounds", _spec(), None, "acme-fake")

    assert Settings([option], {}, project).setting("max_rounds") == Setting(7, "codspeed.yml:2")
    given = {"max_rounds": Setting(1, "flag")}
    assert Settings([option], given, project).get("max_rounds") == 1


def test_a_working_directory_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such folder"):
        request.working_directory(_settings(working_directory=Path("no")), tmp_path)
