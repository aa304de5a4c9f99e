"""The reference's parsing rules (spec of the command line, 1.5), as one table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codspeed.cli.contract import Option, extract, settle
from codspeed.cli.scan import FLAG, LIST, OPTIONAL_BOOL, Rule, UnknownOptionError, scan
from codspeed.errors import UsageError

_RULES = (
    Rule("mode", style=LIST, short="m", env="MODE"),
    Rule("skip_upload", style=FLAG, env="SKIP"),
    Rule("token", env="TOKEN"),
    Rule("cycle_estimation", style=OPTIONAL_BOOL, env="CYCLE"),
    Rule("tool", choices=("callgrind", "tracegrind"), env="TOOL"),
    Rule("max_rounds", parse="int"),
    Rule("go_version", parse="semver", env="GO"),
    Rule("variant", style=LIST, parse="pair", split=False),
    Rule("lock_timeout", parse="seconds"),
    Rule("folder", parse="path"),
)
_OPTIONS = [Option(rule, "") for rule in _RULES]


def _parse(words: str | list[str], env: dict[str, str] | None = None) -> tuple[dict[str, Any], Any]:
    args = words.split() if isinstance(words, str) else words
    scanned = scan(args, _RULES)
    given = settle(scanned.found, _OPTIONS, env or {})
    return {name: setting.value for name, setting in given.items()}, scanned.words


@pytest.mark.parametrize(
    ("line", "env", "values", "words"),
    [
        pytest.param("pytest tests", {}, {}, ["pytest", "tests"], id="words need no --"),
        pytest.param("-- pytest --codspeed", {}, {}, ["pytest", "--codspeed"], id="after --"),
        pytest.param("a -- b -- c", {}, {}, ["a", "b", "--", "c"], id="only the first -- counts"),
        pytest.param("-", {}, {}, ["-"], id="a lone dash is a word"),
        pytest.param("a --token x b", {}, {"token": "x"}, ["a", "b"], id="option after a word"),
        pytest.param("--token=x", {}, {"token": "x"}, [], id="attached"),
        pytest.param("--token=", {}, {"token": ""}, [], id="attached and empty"),
        pytest.param("--token=-x", {}, {"token": "-x"}, [], id="attached with a dash"),
        pytest.param("--token=a=b", {}, {"token": "a=b"}, [], id="only the first = counts"),
        pytest.param("--token -", {}, {"token": "-"}, [], id="a lone dash is a value"),
        pytest.param("-m a", {}, {"mode": ("a",)}, [], id="short"),
        pytest.param("-ma", {}, {"mode": ("a",)}, [], id="short, attached"),
        pytest.param("-m=a", {}, {"mode": ("a",)}, [], id="short, attached by ="),
        pytest.param("-m a,b --mode c", {}, {"mode": ("a", "b", "c")}, [], id="lists append"),
        pytest.param("-m a", {"MODE": "b"}, {"mode": ("a",)}, [], id="flag before environment"),
        pytest.param("", {"MODE": "a,b"}, {"mode": ("a", "b")}, [], id="list in environment"),
        pytest.param("", {"TOKEN": ""}, {"token": ""}, [], id="empty environment is present"),
        pytest.param("", {"SKIP": "true"}, {"skip_upload": True}, [], id="boolean environment"),
        pytest.param("", {"SKIP": "false"}, {"skip_upload": False}, [], id="false environment"),
        pytest.param(
            "--skip-upload", {"SKIP": "1"}, {"skip_upload": True}, [], id="flag: env is not parsed"
        ),
        pytest.param(
            "--cycle-estimation foo", {}, {"cycle_estimation": True}, ["foo"], id="eats no word"
        ),
        pytest.param(
            "--cycle-estimation=false", {}, {"cycle_estimation": False}, [], id="only with ="
        ),
        pytest.param("--tool callgrind", {}, {"tool": "callgrind"}, [], id="choice"),
        pytest.param("--max-rounds 5", {}, {"max_rounds": 5}, [], id="number"),
        pytest.param("--go-version 1.0.0-beta.1", {}, {"go_version": "1.0.0-beta.1"}, [], id="sv"),
        pytest.param(
            "--variant a=1,2 --variant b=",
            {},
            {"variant": (("a", "1,2"), ("b", ""))},
            [],
            id="pairs keep commas",
        ),
        pytest.param("--lock-timeout 10m", {}, {"lock_timeout": 600.0}, [], id="minutes"),
        pytest.param("--lock-timeout 0", {}, {"lock_timeout": 0.0}, [], id="no waiting"),
        pytest.param("--folder a/b", {}, {"folder": Path("a/b")}, [], id="path"),
    ],
)
def test_accepted(line: str, env: dict[str, str], values: dict[str, Any], words: list[str]) -> None:
    assert _parse(line, env) == (values, words)


@pytest.mark.parametrize(
    ("line", "env", "message"),
    [
        pytest.param("--codspeed", {}, "unexpected option '--codspeed'", id="unknown"),
        pytest.param("pytest --codspeed", {}, "unexpected option '--codspeed'", id="after a word"),
        pytest.param("-x", {}, "unexpected option '-x'", id="unknown short"),
        pytest.param("--tok x", {}, "unexpected option '--tok'", id="no abbreviations"),
        pytest.param("--Token x", {}, "unexpected option '--Token'", id="case"),
        pytest.param(
            "--token a --token b",
            {},
            "--token was given 2 times, but may be given once",
            id="twice",
        ),
        pytest.param(
            "--skip-upload --skip-upload",
            {},
            "--skip-upload was given 2 times, but may be given once",
            id="flag twice",
        ),
        pytest.param(
            "--skip-upload=true",
            {},
            "--skip-upload takes no value, but 'true' was given",
            id="flag with value",
        ),
        pytest.param("--token", {}, "--token needs a value", id="no value"),
        pytest.param("--token --skip-upload", {}, "--token needs a value", id="an option follows"),
        pytest.param("--token -- x", {}, "--token needs a value", id="-- follows"),
        pytest.param("-m", {}, "-m needs a value", id="short without value"),
        pytest.param(
            "--cycle-estimation=1",
            {},
            "--cycle-estimation must be exactly 'true' or 'false', not '1'",
            id="optional boolean",
        ),
        pytest.param(
            "--tool Callgrind",
            {},
            "--tool does not know 'Callgrind'; possible values: callgrind, tracegrind",
            id="choices are case-sensitive",
        ),
        pytest.param(
            "",
            {"TOOL": ""},
            "TOOL does not know ''; possible values: callgrind, tracegrind",
            id="empty environment is a value",
        ),
        *(
            pytest.param(
                "",
                {"SKIP": text},
                f"SKIP must be exactly 'true' or 'false', not '{text}'",
                id=f"boolean environment {text!r}",
            )
            for text in ("1", "0", "yes", "TRUE", "")
        ),
        pytest.param(
            "--max-rounds=-1",
            {},
            "--max-rounds does not accept '-1': it must be a whole number of at least 0",
            id="negative",
        ),
        pytest.param(
            "--go-version 1.2",
            {},
            "--go-version does not accept '1.2': "
            "it must be a version such as 1.2.3 or 1.0.0-beta.1",
            id="semver",
        ),
        pytest.param(
            "--variant python",
            {},
            "--variant does not accept 'python': it must be KEY=VALUE",
            id="v",
        ),
        pytest.param(
            "--lock-timeout soon",
            {},
            "--lock-timeout does not accept 'soon': it must be a time such as 30, 30s or 10m",
            id="time",
        ),
    ],
)
def test_refused(line: str, env: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        _parse(line, env)

    assert caught.value.problem == message
    assert caught.value.exit_code == 2


def test_words_are_verbatim() -> None:
    assert _parse(["--", "a b", "", "-m"])[1] == ["a b", "", "-m"]


def test_an_unknown_option_knows_whether_a_word_stood_before_it() -> None:
    with pytest.raises(UnknownOptionError) as caught:
        _parse("pytest --codspeed")

    assert caught.value.after_word


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("--token x run -m a", ["run", "-m", "a"]),
        ("run --token x -m a", ["run", "-m", "a"]),
        ("run -m a --token=x", ["run", "-m", "a"]),
        ("run --token x -- --token y", ["run", "--", "--token", "y"]),
    ],
)
def test_global_options_may_stand_before_or_after_the_verb(line: str, rest: list[str]) -> None:
    token = [option for option in _OPTIONS if option.name == "token"]
    given, left = extract(line.split(), token, {})

    assert given["token"].value == "x"
    assert left == rest
