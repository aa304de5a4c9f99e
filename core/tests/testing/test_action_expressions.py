"""The subset of GitHub's expressions that the runner of composite actions knows."""

from __future__ import annotations

from typing import Any

import pytest

from codspeed.testing.expression import condition, evaluate, interpolate

CONTEXTS: dict[str, Any] = {
    "inputs": {"a-b": "x", "empty": ""},
    "steps": {"one": {"outputs": {"done": "true"}}},
    "matrix": None,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("inputs.a-b == 'x'", True),
        ("inputs.a-b != 'x' || 'it''s'", "it's"),
        ("inputs.a-b == 'x' && inputs.empty || 'other'", "other"),
        ("!(inputs.empty)", True),
        ("steps.one.outputs.done", "true"),
        ("toJSON(matrix)", "null"),
        ("true && null", None),
    ],
)
def test_values(text: str, expected: object) -> None:
    assert evaluate(text, CONTEXTS) == expected


@pytest.mark.parametrize(
    "text", ["inputs.c", "hashFiles('x')", "1 + 1", "a b", "(inputs.empty", "", "toJSON()", "'"]
)
def test_what_is_not_known_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"not understood|does not exist"):
        evaluate(text, CONTEXTS)


@pytest.mark.parametrize(
    ("text", "has_failed", "runs"),
    [
        (None, False, True),
        (None, True, False),
        ("inputs.a-b == 'x'", True, False),
        ("always() && inputs.a-b == 'x'", True, True),
        ("${{ failure() }}", True, True),
        ("success()", True, False),
        ("inputs.empty", False, False),
    ],
)
def test_conditions(text: str | None, *, has_failed: bool, runs: bool) -> None:
    assert condition(text, CONTEXTS, has_failed=has_failed) == runs


def test_texts() -> None:
    assert interpolate("${{ inputs.a-b }}-${{ inputs.empty }}${{ true }}", CONTEXTS) == "x-true"
    assert interpolate(1, CONTEXTS) == "1"
