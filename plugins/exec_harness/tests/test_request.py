"""Targets as JSON."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed.errors import UsageError
from codspeed.model import Launch
from codspeed.protocols import Target
from codspeed_exec_harness.descriptor import Bounds
from codspeed_exec_harness.request import make_target, parse_targets, render_targets


def test_reads_what_the_reference_sends() -> None:
    (target,) = parse_targets(
        b'[{"command":["sleep","0.1"],"name":"nap","walltime_args":{"warmup_time":"0s",'
        b'"max_time":null,"min_time":null,"max_rounds":5,"min_rounds":null}}]'
    )

    assert target == Target(
        name="nap",
        uri="exec_harness::nap",
        launch=Launch(("sleep", "0.1")),
        bounds=Bounds(warmup_time="0s", max_rounds=5),
    )


def test_only_a_command_is_needed_and_unknown_keys_are_nothing() -> None:
    (target,) = parse_targets(b'[{"command":["a","b c"],"colour":"red"}]')

    assert target == Target("a b c", "exec_harness::a b c", Launch(("a", "b c")), Bounds())


def test_writes_the_keys_of_the_reference() -> None:
    target = make_target(Launch(("sleep", "1")), "nap", Bounds(max_rounds=5))
    (element,) = json.loads(render_targets([target]))

    assert element.pop("launch") == {"argv": ["sleep", "1"], "env": {}, "cwd": None, "sudo": False}
    assert element == {
        "command": ["sleep", "1"],
        "name": "nap",
        "walltime_args": {
            "warmup_time": None,
            "max_time": None,
            "min_time": None,
            "max_rounds": 5,
            "min_rounds": None,
        },
    }


def test_a_name_made_of_the_command_is_left_out() -> None:
    (element,) = json.loads(render_targets([make_target(Launch(("a", "b")), None, Bounds())]))

    assert set(element) == {"command", "walltime_args", "launch"}


def test_how_the_executor_starts_a_target_arrives() -> None:
    launch = Launch(("wrap", "-x", "a b"), {"LD_PRELOAD": "/x.so"}, Path("/tmp"), sudo=True)
    target = Target("a b", "exec_harness::a b", launch, Bounds())

    assert parse_targets(render_targets([target])) == [target]


def test_a_uri_of_another_kind_arrives() -> None:
    target = Target("a", "slice1::a", Launch(("a",)), Bounds())

    assert parse_targets(render_targets([target])) == [target]


@pytest.mark.parametrize("name", [None, "n" * 2000])
def test_a_long_name_is_cut_and_told_but_not_its_uri(
    name: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    sent = make_target(Launch(("n" * 2000,)), name, Bounds())
    with caplog.at_level(logging.WARNING):
        (target,) = parse_targets(render_targets([sent]))

    assert target.name == "n" * 924
    assert target.uri == "exec_harness::" + "n" * 2000
    assert caplog.messages == [f"The name of a benchmark is cut at 924 bytes: {'n' * 924}"]


def test_a_name_is_never_cut_inside_a_character() -> None:
    target = make_target(Launch(("x",)), "é" * 461 + "€€", Bounds())

    assert target.name == "é" * 461


def test_words_that_are_not_utf_8_reach_the_command_but_not_the_name() -> None:
    sent = make_target(Launch(("a", "\udcff")), None, Bounds())
    (target,) = parse_targets(render_targets([sent]))

    assert target.launch.argv == ("a", "\udcff")
    assert target.uri == "exec_harness::a \ufffd"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "No commands provided in stdin input"),
        ('[{"command":[]}]', "Empty command in stdin input"),
        ("{}", "Failed to parse JSON from stdin: an array is expected"),
        ("[1]", "Failed to parse JSON from stdin: [0]: an object is expected, not 1"),
        (
            '[{"command":"ls"}]',
            'Failed to parse JSON from stdin: [0].command: an array of text is expected, not "ls"',
        ),
        (
            '[{"command":["a"]},{"command":["a"],"walltime_args":{"max_rounds":true}}]',
            (
                "Failed to parse JSON from stdin: [1].walltime_args.max_rounds: "
                "a whole number from 0 is expected, not true"
            ),
        ),
        (
            '[{"command":["a"],"walltime_args":{"max_time":3}}]',
            "Failed to parse JSON from stdin: [0].walltime_args.max_time: text is expected, not 3",
        ),
        (
            '[{"command":["a\\u0000"]}]',
            (
                "Failed to parse JSON from stdin: [0].command[0]: "
                'text without NUL is expected, not "a\\u0000"'
            ),
        ),
        (
            '[{"command":["a"],"launch":{"sudo":1}}]',
            "Failed to parse JSON from stdin: [0].launch.sudo: true or false is expected, not 1",
        ),
    ],
)
def test_refuses_what_it_does_not_understand(text: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_targets(text.encode())

    assert caught.value.problem == problem


@given(
    text=st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["command", "name", "walltime_args", "launch", "argv", "env"]),
                inner,
            )
        ),
    ).map(lambda value: json.dumps([value]).encode())
)
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    try:
        targets = parse_targets(text)
    except UsageError:
        return
    assert all(target.launch.argv for target in targets)


WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(
    argv=st.lists(WORDS, min_size=1, max_size=4).map(tuple),
    name=st.none() | WORDS,
    env=st.dictionaries(WORDS, WORDS, max_size=3),
    rounds=st.none() | st.integers(0, 2**64 - 1),
)
def test_what_is_written_is_read_back(
    argv: tuple[str, ...], name: str | None, env: dict[str, str], rounds: int | None
) -> None:
    target = make_target(Launch(argv, env), name, Bounds(max_rounds=rounds))

    assert parse_targets(render_targets([target])) == [target]
