"""Results of the service as text (spec/cli-upload.md 5.5, 10)."""

from __future__ import annotations

from typing import Any

import pytest

from codspeed_service import display, quantity
from codspeed_service.table import Cell, draw


def paint(text: str, *look: str) -> str:
    return f"<{'+'.join(look)}>{text}" if look else text


def plain(text: str, *_look: str) -> str:
    return text


def result(executor: str, value: float, detail: Any, name: str = "n") -> dict[str, Any]:
    return {"benchmark": {"name": name, "executor": executor}, "value": value, executor: detail}


SIMULATED = {"timeDistribution": {"ir": 2.6e-3, "l1m": 0.45e-3, "llm": 0.145e-3, "sys": 16.05e-6}}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "< 1 ns"),
        (1.5e-9, "1.50 ns"),
        (0.000567, "567.00 \u00b5s"),
        (1.5678, "1.57 s"),
        (0.0009999999, "1000.00 \u00b5s"),
        (9e-10, "< 1 ns"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert quantity.duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1536, "1.5 KB"),
        (1 << 20, "1 MB"),
        (1024**6, "1024 PB"),
    ],
)
def test_sizes(size: float, text: str) -> None:
    assert quantity.memory(size) == text


@pytest.mark.parametrize(
    ("value", "text"), [(2e-6, "0.000002"), (1024.0, "1024"), (1e22, "1" + "0" * 22), (0.5, "0.5")]
)
def test_numbers_without_exponent(value: float, text: str) -> None:
    assert quantity.plain(value) == text


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (result("valgrind", 3.21e-3, SIMULATED), "n: 3.21 ms"),
        (
            result("walltime", 1e-3, {"iterations": 1000, "stdev": 2e-5, "totalTime": 2}),
            "n: best 1.00 ms (1,000 iterations, rel. stddev: 2.00%, total 2.00 s)",
        ),
        (
            result("memory", 1536, {"totalAllocated": str(1 << 60), "allocCalls": "12345"}),
            "n: peak 1.5 KB (total allocated: 1024 PB, 12,345 allocations)",
        ),
        (result("walltime", 1e-3, None), "n: best 1.00 ms"),
        (result("memory", 1536, None), "n: peak 1.5 KB"),
    ],
)
def test_one_result_is_a_line(found: dict[str, Any], line: str) -> None:
    assert display.results([found], plain) == [line]


def test_the_table_of_the_contract() -> None:
    row = result("valgrind", 3.21e-3, SIMULATED, "parse_small_file")

    assert display.results([row, row], plain)[:5] == [
        "\u256d" + "\u2500" * 66 + "\u256e",
        "\u2502" + "\u2699 CPU Simulation".center(66).rstrip().ljust(66) + "\u2502",
        (
            "\u251c\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500"
            "\u2500\u2500\u2500\u2500\u2500\u252c\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500"
            "\u2500\u252c\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u252c\u2500\u2500\u2500"
            "\u2500\u2500\u2500\u2500\u252c\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u252c"
            "\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2524"
        ),
        (
            "\u2502 Benchmark        \u2502    Time \u2502 Instr. \u2502 Cache \u2502 Memory \u2502"
            " Sys. Time \u2502"
        ),
        (
            "\u251c\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500"
            "\u2500\u2500\u2500\u2500\u2500\u253c\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500"
            "\u2500\u253c\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u253c\u2500\u2500\u2500"
            "\u2500\u2500\u2500\u2500\u253c\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u253c"
            "\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2524"
        ),
    ]
    assert display.results([row, row], plain)[5] == (
        "\u2502 parse_small_file \u2502 3.21 ms \u2502  81.0% \u2502 14.0% \u2502   4.5% \u2502"
        "  16.05 \u00b5s \u2502"
    )


def test_executors_have_a_table_each_in_order() -> None:
    rows = [
        result("memory", 1, None),
        result("valgrind", 1, None),
        result("walltime", 1, {"iterations": 1, "stdev": None, "totalTime": 1}),
    ]

    text = "\n".join(display.results(rows, plain))

    assert text.index("CPU Simulation") < text.index("Walltime") < text.index("\u25a4 Memory")
    assert "N/A" in text


@pytest.mark.parametrize(
    ("stdev", "look"), [(0.02, "green"), (0.05, "yellow"), (0.051, "red"), (None, "dim")]
)
def test_a_spread_has_the_colour_of_its_size(stdev: float | None, look: str) -> None:
    row = result("walltime", 1.0, {"iterations": 1, "stdev": stdev, "totalTime": 1})

    assert f"<{look}>" in display.results([row, row], paint)[5]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (0.1, "<green+bold>\u2191 Impact: +10.0%"),
        (-0.1, "<red+bold>\u2193 Impact: -10.0%"),
        (0.0049, "<dim>\u25cf Impact: 0.5%"),
        (None, "Impact: -"),
    ],
)
def test_the_overall_line(change: float | None, text: str) -> None:
    assert display.impact(change, paint) == text


@pytest.mark.parametrize(
    ("category", "status", "word"),
    [
        ("Untouched", "NoChange", "No Change"),
        ("Regression", "Regression", "Regression"),
        ("Ignored", "NoChange", "No Change"),
        ("Archived", "Missing", "Missing"),
    ],
)
def test_the_status_of_a_comparison(category: str, status: str, word: str) -> None:
    row = {**result("walltime", 1, None), "baseValue": None, "change": None}

    lines = display.comparison(
        {"impact": 0, "resultComparisons": [row | {"category": category, "status": status}]}, plain
    )

    assert word in lines[-2]


def test_wide_letters_do_not_break_the_frame() -> None:
    lines = draw("t", [[Cell("a"), Cell("b")], [Cell("\u65e5\u672c"), Cell("e\u0301")]], plain)

    assert lines[5] == "\u2502 \u65e5\u672c \u2502 e\u0301 \u2502"
    assert lines[3] == "\u2502 a    \u2502 b \u2502"


def test_a_title_wider_than_its_table() -> None:
    lines = draw("a long title", [[Cell("a")], [Cell("b")]], plain)

    assert {len(line) for line in lines} == {16}
