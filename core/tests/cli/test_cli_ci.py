"""Job logs of the CI providers."""

from __future__ import annotations

from pathlib import Path

import pytest

from codspeed.cli.app import App
from codspeed.cli.ci import CiReporter, GitHubSyntax, GitLabSyntax, github_escape
from codspeed.cli.reporter import make_reporter
from codspeed.errors import ToolError
from codspeed.model import Launch, RunPart

Told = pytest.CaptureFixture[str]
PART = RunPart(0, "fake", "fakery", "make bench", Launch(("make",)), Path("x"))


def shown(told: Told, provider: str, **env: str) -> str:
    """Return what a small run writes, which is all on standard output."""
    with CiReporter({"NO_COLOR": "1", **env}, lambda: {"fake": "Fake"}, provider) as reporter:
        reporter.part_started(PART, count=1)
        reporter.debug("detail")
        reporter.info("one\ntwo")
        reporter.warning("odd\nmore")
        reporter.error(ToolError("no tool", hint="get it"))
        reporter.output(b"half a line", stream="stdout")
        reporter.part_finished(PART, None)
        reporter.finished(None, ["stored"])
    captured = told.readouterr()
    assert captured.err == ""
    return captured.out


def test_github(capsys: Told) -> None:
    lines = shown(capsys, "github-actions").splitlines()

    assert lines[:7] == [
        "::group::Running the benchmarks",
        "Fake - make bench",
        "one",
        "two",
        "::warning::odd%0Amore",
        "::error::no tool%0Aget it",
        "half a line",
    ]
    assert lines[7].startswith("✗  Fake - make bench")
    assert lines[8:] == ["::endgroup::", "::group::Benchmark results", "stored", "::endgroup::"]


def test_buildkite(capsys: Told) -> None:
    lines = shown(capsys, "buildkite").splitlines()

    assert lines[0] == "+++ Running the benchmarks"
    assert "[WARN] odd" in lines
    assert "[ERROR] no tool" in lines
    assert lines[-2:] == ["+++ Benchmark results", "stored"]


def test_gitlab(capsys: Told) -> None:
    text = shown(capsys, "gitlab-ci")

    assert "\x1b[33modd\nmore\x1b[0m\n" in text
    assert "\x1b[31mno tool\nget it\x1b[0m\n" in text


def test_gitlab_sections() -> None:
    syntax = GitLabSyntax(lambda: 12.9)

    assert syntax.start("Running the bénch!") == (
        "\x1b[0Ksection_start:12:running_the_bénch_\r\x1b[0K\x1b[36;1mRunning the bénch!\x1b[0m"
    )
    assert syntax.end() == "\x1b[0Ksection_end:12:running_the_bénch_\r\x1b[0K"
    assert syntax.end() == "\x1b[0Ksection_end:12:\r\x1b[0K"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a\nb\n", "a%0Ab\n", id="vector of the contract"),
        pytest.param("a\r\nb", "a%0D%0Ab", id="carriage return"),
        pytest.param("100%", "100%", id="percent"),
    ],
)
def test_github_escape(text: str, expected: str) -> None:
    assert github_escape(text) == expected


def test_names_give_no_orders_to_github() -> None:
    line = GitHubSyntax().line("info", "bench\n  ::add-mask::x\n##[error]y")

    assert line == "bench\n  | ::add-mask::x\n| ##[error]y"


def test_levels(capsys: Told) -> None:
    quiet = shown(capsys, "github-actions", CODSPEED_LOG="error")
    loud = shown(capsys, "github-actions", RUNNER_DEBUG="1", CODSPEED_LOG="error")

    assert "::warning::" not in quiet
    assert quiet.splitlines()[0] == "::group::Running the benchmarks"
    assert "::debug::detail" in loud
    assert GitHubSyntax().line("trace", "x") == "::debug::[TRACE]x"


@pytest.mark.parametrize(
    ("env", "is_ci"), [({"GITLAB_CI": "true"}, True), ({}, False), ({"CI": "true"}, False)]
)
def test_the_provider_chooses_the_reporter(env: dict[str, str], *, is_ci: bool) -> None:
    assert isinstance(make_reporter(App(env, Path())), CiReporter) == is_ci
