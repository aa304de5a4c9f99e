"""What a run shows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from codspeed.cli.reporter import JsonReporter, PlainReporter, elapsed
from codspeed.cli.window import Lines, WindowReporter, cells, cut
from codspeed.errors import ToolError
from codspeed.model import BenchmarkResult, Launch, Metric, PartResults, RunPart, RunReport

Told = pytest.CaptureFixture[str]
_PART = RunPart(0, "fake", "fakery", "make bench", Launch(("make",)), Path("x"))
_METRICS = (
    Metric("time", 1_500.0, "ns", label="Time", headline=True),
    Metric("hidden", 3.0, "count"),
)
_RESULTS = PartResults(0, "fake", "fakery", "m", (BenchmarkResult("f.py::b", "b", _METRICS),))


def _labels() -> dict[str, str]:
    return {"fake": "Fake Clock"}


def _plain(**env: str) -> PlainReporter:
    return PlainReporter({"NO_COLOR": "1", **env}, _labels)


def test_messages_go_to_standard_error_with_their_sign(capsys: Told) -> None:
    reporter = _plain()
    reporter.debug("detail")
    reporter.info("fact")
    reporter.warning("odd\nmore")
    reporter.error(ToolError("no tool", hint="get it"))
    captured = capsys.readouterr()

    assert captured.out == ""
    assert captured.err == "  fact\n  ⚠ odd\n    more\n  ✗ no tool\n    get it\n"


@pytest.mark.parametrize(
    ("level", "shown"), [("debug", "· d|i|⚠ w"), ("info", "i|⚠ w"), ("warn", "⚠ w"), ("error", "")]
)
def test_the_level_decides_what_is_shown(capsys: Told, level: str, shown: str) -> None:
    reporter = _plain(CODSPEED_LOG=level)
    reporter.debug("d")
    reporter.info("i")
    reporter.warning("w")

    lines = [line.strip() for line in capsys.readouterr().err.splitlines()]
    assert "|".join(lines) == shown


def test_the_cause_of_an_error_is_shown_at_debug(capsys: Told) -> None:
    error = ToolError("outer")
    error.__cause__ = OSError("inner")
    _plain(CODSPEED_LOG="debug").error(error)

    assert "Caused by: OSError: inner" in capsys.readouterr().err


def test_output_goes_where_the_command_wrote_it(capfd: Told) -> None:
    reporter = _plain()
    reporter.output(b"a\xff\n", stream="stdout")
    reporter.output(b"b", stream="stderr")
    reporter.info("ours starts a line")
    captured = capfd.readouterr()

    assert captured.out.startswith("a")
    assert captured.err == "b\n  ours starts a line\n"


def test_output_waits_while_a_benchmark_window_is_open(capfd: Told) -> None:
    reporter = _plain()
    reporter.window(is_open=True)
    reporter.output(b"inside\n", stream="stdout")
    assert capfd.readouterr().out == ""
    reporter.window(is_open=False)
    reporter.tick()

    assert capfd.readouterr().out == "inside\n"


def test_output_that_is_too_much_to_hold_is_shown(capfd: Told) -> None:
    reporter = _plain()
    reporter.window(is_open=True)
    reporter.output(b"x" * (1 << 21), stream="stdout")

    assert len(capfd.readouterr().out) == 1 << 21


@pytest.mark.parametrize(
    ("kind", "level", "is_loaded"),
    [
        ("PlainReporter", "info", True),
        ("PlainReporter", "warn", False),
        ("JsonReporter", "info", False),
    ],
)
def test_what_draws_tables_is_loaded_while_the_command_starts(
    kind: str, level: str, *, is_loaded: bool
) -> None:
    program = (
        "import sys; from codspeed.cli import reporter;"
        f"made = reporter.{kind}({{'CODSPEED_LOG': {level!r}}}, dict);"
        "before = 'rich' in sys.modules; made.released();"
        "print(before, 'codspeed.cli.table' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == f"False {is_loaded}\n"


def test_results_are_a_table_per_executor_with_labelled_metrics(
    capsys: Told, tmp_path: Path
) -> None:
    bundle: Any = type("FakeBundle", (), {"results": (_RESULTS,), "path": tmp_path})
    _plain().finished(bundle, ["stored here"])
    shown = capsys.readouterr().err

    assert "Fake Clock" in shown
    assert re.search(r"│ Benchmark │ +Time │", shown)
    assert re.search(r"│ b +│ 1.50 µs │", shown)
    assert shown.splitlines()[-2:] == ["  stored here", f"  Bundle: {tmp_path}"]


def test_benchmarks_of_one_name_are_told_apart(capsys: Told, tmp_path: Path) -> None:
    """JMH's fork names parameter values in the URI only."""
    uris = ("F.java::fib[5]", "F.java::fib[10]", "F.java::other")
    results = tuple(BenchmarkResult(uri, uri[8:11], _METRICS) for uri in uris)
    part = PartResults(0, "fake", "fakery", "m", results)
    bundle: Any = type("FakeBundle", (), {"results": (part,), "path": tmp_path})
    _plain().finished(bundle, [])
    shown = capsys.readouterr().err

    assert re.findall(r"│ (\S+) +│ 1.50 µs", shown) == ["F.java::fib[5]", "F.java::fib[10]", "oth"]


def test_events_are_json_lines_and_nothing_else_is_on_standard_output(capfd: Told) -> None:
    reporter = JsonReporter({"NO_COLOR": "1"}, _labels, merge_output=True)
    reporter.part_started(_PART, count=1)
    reporter.output(b"noise\n", stream="stdout")
    reporter.benchmark('a "b"')
    reporter.part_finished(_PART, _RESULTS)
    reporter.finished(None, ["stored"])
    reporter.ended(RunReport(None, (ToolError("t"),), 1))
    captured = capfd.readouterr()
    events = [json.loads(line) for line in captured.out.splitlines()]

    assert {event["schema"] for event in events} == {"codspeed.event/1"}
    assert [event["event"] for event in events] == [
        "part_started",
        "benchmark",
        "part_finished",
        "finished",
    ]
    assert events[1]["uri"] == 'a "b"'
    assert events[2]["benchmarks"][0]["metrics"][0]["value"] == 1500.0
    assert (events[3]["exit_code"], events[3]["errors"][0]["slug"]) == (1, "tool")
    assert captured.err == "noise\n"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_in_json_is_null(capsys: Told, value: float) -> None:
    metrics = (Metric("time", value, "ns"),)
    results = PartResults(0, "fake", "f", "m", (BenchmarkResult("u", "n", metrics),))
    JsonReporter({}, _labels).part_finished(_PART, results)

    event = json.loads(capsys.readouterr().out)
    assert event["benchmarks"][0]["metrics"][0]["value"] is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.35, "350ms"), (2.39, "2.3s"), (59.99, "59.9s"), (65, "1m 5s")]
)
def test_elapsed(seconds: float, text: str) -> None:
    assert elapsed(seconds) == text


class TestLines:
    """Output becomes text that can't move our cursor."""

    def test_a_carriage_return_starts_the_line_again(self) -> None:
        lines = Lines()
        lines.feed(b"10%\r50%")
        lines.feed(b"\r100%\nnext")

        assert lines.last(5) == ["100%", "next"]

    def test_escapes_and_controls_are_dropped(self) -> None:
        lines = Lines()
        lines.feed(b"\x1b[31mred\x1b[0m\x1b[2J\x1b]0;title\x07\x08!\ttab\n")

        assert lines.last(5) == ["red!    tab"]

    def test_a_character_that_is_cut_in_two_is_whole(self) -> None:
        lines = Lines()
        lines.feed("é".encode()[:1])
        lines.feed("é".encode()[1:] + b"\n")

        assert lines.last(5) == ["é"]

    def test_lines_above_are_counted(self) -> None:
        lines = Lines()
        lines.feed(b"".join(b"%d\n" % number for number in range(50)))

        assert lines.last(3) == ["47", "48", "49"]
        assert lines.above(3) == 47


def test_wide_characters_take_two_columns() -> None:
    assert cells("日本") == 4
    assert cut("日本語", 5) == "日本…"
    assert cut("abc", 3) == "abc"


class TestWindow:
    """The box on a terminal."""

    @pytest.fixture
    def reporter(self, monkeypatch: pytest.MonkeyPatch) -> WindowReporter:
        monkeypatch.setattr("codspeed.cli.window.size", lambda *_: (50, 12))
        return WindowReporter({"NO_COLOR": "1"}, _labels)

    def test_it_shows_the_last_lines_cut_to_the_width(
        self, reporter: WindowReporter, capsys: Told
    ) -> None:
        reporter.part_started(_PART, count=1)
        reporter.output(b"".join(b"%d %s\n" % (n, b"x" * 60) for n in range(9)), stream="stdout")
        capsys.readouterr()
        reporter.tick()
        frame = capsys.readouterr().err.split("\x1b[J")[-1].splitlines()

        assert "Fake Clock - make bench" in frame[0]
        assert frame[1].startswith("    ╭─ 3 lines above ─")
        assert len(frame) == 1 + 1 + 6 + 1 + 1
        assert {len(line) for line in frame[1:-1]} == {49}
        assert frame[-2].startswith("    ╰")
        assert frame[-1].startswith("    running · ")

    def test_nothing_is_drawn_while_a_benchmark_window_is_open(
        self, reporter: WindowReporter, capsys: Told
    ) -> None:
        reporter.part_started(_PART, count=1)
        reporter.window(is_open=True)
        capsys.readouterr()
        reporter.output(b"inside\n", stream="stdout")
        reporter.warning("later")
        reporter.tick()
        assert capsys.readouterr().err == ""
        reporter.window(is_open=False)
        reporter.benchmark("f.py::b")
        reporter.tick()
        shown = capsys.readouterr().err

        assert "⚠ later" in shown
        assert "inside" in shown
        assert "1 benchmark done" in shown

    def test_messages_stand_above_the_box(self, reporter: WindowReporter, capsys: Told) -> None:
        reporter.part_started(_PART, count=1)
        reporter.info("fact")
        after = capsys.readouterr().err.split("\x1b[J")[-1].splitlines()

        assert after[0] == "  fact"
        assert "Fake Clock" in after[1]

    def test_at_the_end_title_and_last_lines_stay(
        self, reporter: WindowReporter, capsys: Told
    ) -> None:
        reporter.part_started(_PART, count=2)
        reporter.output(b"done\n", stream="stdout")
        reporter.part_finished(_PART, _RESULTS)
        last = capsys.readouterr().err.split("\x1b[J")[-1].splitlines()
        reporter.info("fact")

        assert re.fullmatch(r"  ✓  Fake Clock - make bench \(1/2\) \d+ms", last[0])
        assert "│ done" in last[2]
        assert len(last) == 4
        assert capsys.readouterr().err == "  fact\n"
