"""A still environment: what is fixed, dropped, padded, hashed and documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed.launch.environment import STRICT_NAMES, inherited
from codspeed.launch.still import (
    BLOCK_BYTES,
    FILLER,
    as_markdown,
    block_bytes,
    environment_hash,
    padded,
    stilled,
)
from codspeed.launch.volatile import ALWAYS, GROUPS

DOC = Path(__file__).parents[3] / "docs" / "simulation.md"
# What an operating system can hold: no zero, no `=` in a name.
NAMES = st.text(st.characters(exclude_characters="\0=", exclude_categories=["Cs"]), min_size=1)
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
ENVIRONMENTS = st.dictionaries(NAMES, VALUES)


def github(number: int) -> dict[str, str]:
    """Return the environment of a job; every other one is of a pull request with a debug flag."""
    extra = {"RUNNER_DEBUG": "1", "ACTIONS_RUNTIME_TOKEN": "t" * 99} if number % 2 else {}
    return {
        "PATH": "/bin",
        "GITHUB_ACTIONS": "true",
        "GITHUB_RUN_ID": str(10**number),
        "GITHUB_SHA": f"{number:040x}",
        "GITHUB_REF": "refs/heads/" + "b" * number,
        "GITHUB_HEAD_REF": "branch" if number % 2 else "",
        "GITHUB_ACTOR": "a" * number,
        "GITHUB_TOKEN": "t" * (40 + number),
        "SHLVL": str(number),
        **extra,
    }


def test_jobs_of_one_workflow_see_the_same() -> None:
    seen = {tuple(sorted(stilled(github(number)).variables.items())) for number in range(12)}

    assert len(seen) == 1


def test_what_is_the_users_own_is_left_alone() -> None:
    env = {"PATH": "/usr/bin", "MY_RUN_ID": "12", "CI": "true", "TMPDIR": "/tmp/x"}

    assert stilled(env).variables == {**env, **ALWAYS}


def test_names_mean_nothing_without_their_provider() -> None:
    env = {"BUILD_NUMBER": "12", "CI_COMMIT_SHA": "abc", "CHANGE_SET": "x", **ALWAYS}

    assert stilled(env).variables == env
    assert stilled(env).changes == ()


def test_a_change_is_told_without_its_value() -> None:
    env = {"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "somebody", "GITHUB_TOKEN": "secret", **ALWAYS}

    assert stilled(env).changes == (
        "GITHUB_ACTOR set to a fixed value of 5 characters",
        "GITHUB_TOKEN dropped",
    )


def test_what_the_command_needs_is_kept() -> None:
    env = {"GITHUB_ACTIONS": "true", "GITHUB_TOKEN": "needed", "TZ": "Europe/Berlin", "SHLVL": "3"}

    variables = stilled(env, keep=("GITHUB_TOKEN", "TZ")).variables

    assert variables["GITHUB_TOKEN"] == "needed"
    assert variables["TZ"] == "Europe/Berlin"
    assert variables["SHLVL"] == "1"


@given(ENVIRONMENTS)
def test_stilling_twice_changes_nothing_more(env: dict[str, str]) -> None:
    once = stilled(env).variables

    assert stilled(once).variables == once
    assert stilled(once).changes == ()


@given(ENVIRONMENTS)
def test_the_block_has_a_fixed_size(env: dict[str, str]) -> None:
    once = padded(env)

    assert block_bytes(once) % BLOCK_BYTES == 0
    assert padded(once) == once
    assert {name: value for name, value in once.items() if name != FILLER} == {
        name: value for name, value in env.items() if name != FILLER
    }


def test_small_environments_have_the_same_size() -> None:
    assert block_bytes(padded({"A": "1"})) == block_bytes(padded({"B": "x" * 9_000})) == BLOCK_BYTES


def test_bytes_count_as_the_kernel_counts_them() -> None:
    assert block_bytes({"A": "é\udce9"}) == len(b"A=\xc3\xa9\xe9\0")


@given(ENVIRONMENTS)
def test_the_hash_sees_names_and_lengths_only(env: dict[str, str]) -> None:
    other = {name: "x" * len(value.encode()) for name, value in reversed(env.items())}

    assert environment_hash(other) == environment_hash(env) == environment_hash(padded(env))


@pytest.mark.parametrize(
    "other", [{"A": "22", "B": "1"}, {"A": "1"}, {"A": "1", "C": "1"}, {"A": "1", "B": "é"}]
)
def test_the_hash_tells_lengths_and_names_apart(other: dict[str, str]) -> None:
    assert environment_hash(other) != environment_hash({"A": "1", "B": "1"})


def test_strict_passes_the_allow_list_and_what_the_command_needs() -> None:
    env = dict.fromkeys([*STRICT_NAMES, "MINE", "OTHER"], "x")

    assert inherited(env, strict=True, keep=("MINE",)).keys() == STRICT_NAMES | {"MINE"}
    assert inherited(env, strict=False) == env


def test_each_variable_is_in_the_table_once_per_group() -> None:
    for group in GROUPS:
        exact = {name for name in group.dropped if not name.endswith("*")}
        starts = tuple(name[:-1] for name in group.dropped if name.endswith("*"))

        assert exact.isdisjoint(group.fixed)
        assert not [name for name in (*group.fixed, *exact) if starts and name.startswith(starts)]
        assert len(set(group.dropped)) == len(group.dropped)


def test_the_documentation_has_the_table_of_the_code() -> None:
    text = DOC.read_text("utf-8")

    (table,) = re.findall(r"<!-- volatile -->\n(.*?)<!-- /volatile -->", text, re.DOTALL)

    assert table.strip() == as_markdown().strip()
