from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from codspeed.errors import UploadError
from codspeed.model import Bundle, Launch, Manifest, Outcome, RunContext, Window
from codspeed.protocols import Hooks
from codspeed.testing import FakeExecutor, FakeReporter, FakeSession, FakeUploader
from codspeed.testing.fakes import FakeOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from codspeed.model import RunPart, System


class Noting(Hooks):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def spawned(self, pid: int) -> None:
        self.seen.append("spawned")

    def started(self) -> None:
        self.seen.append("started")

    def stopped(self) -> None:
        self.seen.append("stopped")

    def benchmark(self, pid: int, uri: str) -> None:
        self.seen.append(uri)


def bundle(folder: Path) -> Bundle:
    context = RunContext("local", "tool", "tool-01", folder)
    return Bundle(folder, Manifest(1, "id", 0, "0.1.0", {}, context, {}, {}, ()), ())


@pytest.mark.process
def test_the_session_runs_the_command(tmp_path: Path) -> None:
    code = "import os, sys; sys.exit(int(sys.stdin.read()) + int(os.environ['MORE']))"
    launch = Launch((sys.executable, "-c", code), {"MORE": "3"}, tmp_path, b"4")

    outcome = FakeSession().run(launch)

    assert outcome.status == 7
    assert outcome.rusage.max_rss_bytes > 1_000_000


def test_a_played_outcome_runs_nothing_and_tells_its_windows() -> None:
    windows = (Window("a", (1,), 0, 1), Window(None, (), 1, 2))
    session = FakeSession(Outcome(0, windows=windows))
    hooks = Noting()

    outcome = session.run(Launch(("/does/not/exist",)), hooks)

    assert outcome.windows == windows
    assert hooks.seen == ["spawned", "started", "stopped", "a", "started", "stopped"]


def test_the_value_of_the_executor_depends_on_the_uri_alone(
    part_factory: Callable[..., RunPart],
) -> None:
    windows = (Window("a", (), 0, 1), Window("b", (), 0, 1))
    part = part_factory("true", outcome=Outcome(0, windows=windows))

    once = [r.metrics[0].value for r in FakeExecutor().results(part)]
    thrice = [r.metrics[0].value for r in FakeExecutor(FakeOptions(3)).results(part)]

    assert once[0] != once[1]
    assert thrice == [3 * value for value in once]


def test_the_uploader_remembers_what_it_took(tmp_path: Path) -> None:
    uploader = FakeUploader()

    receipt = uploader.upload(bundle(tmp_path))

    assert uploader.uploaded == [bundle(tmp_path)]
    assert receipt.url == f"fake://{tmp_path.name}"


def test_an_uploader_that_is_to_fail_takes_nothing(tmp_path: Path) -> None:
    uploader = FakeUploader(error=UploadError("no network"))

    with pytest.raises(UploadError):
        uploader.upload(bundle(tmp_path))

    assert uploader.uploaded == []


def test_the_reporter_remembers_in_order() -> None:
    reporter = FakeReporter()
    reporter.info("one")
    reporter.output(b"two ", stream="stdout")
    reporter.output(b"three", stream="stderr")

    assert reporter.events[0] == ("info", "one")
    assert reporter.text == "two three"


def test_each_part_has_a_folder_of_its_own(part_factory: Callable[..., RunPart]) -> None:
    first, second = part_factory("a"), part_factory("b", mode="walltime")

    assert first.folder != second.folder
    assert (second.index, second.mode, second.launch.argv) == (1, "walltime", ("b",))


def test_the_system_is_this_one(system: System) -> None:
    assert system.temp.is_dir()
