"""Markdown that strangers have a say in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed.model import Bundle, Kind
from codspeed_report.compare import compare
from codspeed_report.forge_text import Report, code, markdown, marker
from codspeed_report.selection import of_bundle

Make = Callable[..., Bundle]


def report(make: Make, before: Mapping[str, float], after: Mapping[str, float]) -> Report:
    base, head = (
        of_bundle(make(day, values, kind=Kind.EXACT)) for day, values in ((1, before), (2, after))
    )
    return Report(head, compare(base, head))


def test_what_changed_most_comes_first(make: Make) -> None:
    shown = report(
        make,
        {"b::same": 1, "b::gone": 1, "b::up": 10, "b::down": 10},
        {"b::same": 1, "b::new": 1} | {"b::up": 11, "b::down": 5},
    )
    lines = markdown(shown, title="Benchmarks", limit=10_000).splitlines()

    assert lines[2] == "3 benchmarks compared, 2 changed, 1 new, 1 missing."
    assert [line.split("`")[1] for line in lines if line.startswith("| `")] == [
        "down",
        "up",
        "same",
        "new",
        "gone",
    ]
    assert "| `down` | Instructions | 10 | 5 | **-50.0%** | exact | changed by -5 |" in lines


def test_long_tables_are_cut_and_say_so(make: Make) -> None:
    many = {f"b::bench{number}": 1.0 for number in range(200)}
    text = markdown(report(make, many, many), title="Benchmarks", limit=2_000)

    assert len(text) <= 2_000
    rows = text.count("| `bench")
    assert f"… and {200 - rows} more rows." in text


@given(name=st.text(max_size=40), limit=st.integers(400, 2_000))
def test_no_name_leaves_its_cell(name: str, limit: int) -> None:
    shown = code(name)
    inner = shown.replace("\\|", "")

    assert "|" not in inner
    assert "\n" not in shown
    fence = len(inner) - len(inner.lstrip("`"))
    assert "`" * fence not in inner[fence:-fence]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain", "`plain`"),
        ("a|b", "`a\\|b`"),
        ("@you <b>", "`@you <b>`"),
        ("``x`", "``` ``x` ```"),
        ("two\nlines", "`two lines`"),
        ("", "` `"),
    ],
)
def test_names_are_code(name: str, expected: str) -> None:
    assert code(name) == expected


def test_markers_tell_jobs_apart() -> None:
    assert marker("a") == marker("a") != marker("b")
    assert "--" not in marker("x-->y")[4:-3]
