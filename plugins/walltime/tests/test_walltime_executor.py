"""The walltime executor under the rules for all executors, and as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codspeed import bundle, wire
from codspeed.errors import BundleError
from codspeed.model import Outcome
from codspeed.testing import FakeSession, fifo_lock, make_part
from codspeed.testing.contract import ExecutorContract
from codspeed_walltime.descriptor import descriptor as walltime
from codspeed_walltime.executor import TIMESTAMPS, WalltimeExecutor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from codspeed.protocols import ExecutorDescriptor

pytest_plugins = ["codspeed.testing.plugin"]


@pytest.mark.process
class TestWalltime(ExecutorContract):
    @pytest.fixture
    def descriptor(self) -> ExecutorDescriptor:
        return walltime

    @pytest.fixture
    def executor(self) -> WalltimeExecutor:
        made: WalltimeExecutor = walltime.load()(walltime.options())
        return made


@pytest.fixture
def made() -> WalltimeExecutor:
    return WalltimeExecutor(walltime.options())


def test_timestamps_are_kept_in_the_reference_s_form(
    tmp_path: Path, made: WalltimeExecutor
) -> None:
    part = make_part(tmp_path, ("true",))
    outcome = Outcome(status=0)
    made.measure(part, FakeSession(outcome))
    data = (tmp_path / TIMESTAMPS).read_bytes()

    assert wire.load_timestamps(data, where="x") == outcome.timestamps


def test_a_profile_folder_that_went_away_is_an_error_and_no_crash(
    tmp_path: Path, made: WalltimeExecutor
) -> None:
    part = make_part(tmp_path / "gone", ("true",))
    part.folder.rmdir()
    with pytest.raises(BundleError, match="can't be written"):
        made.measure(part, FakeSession(Outcome(status=0)))


# --- As a person runs it, on the paths that clients have compiled in ------------------------------


@pytest.fixture
def codspeed(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the program; its temporary files are below the test's folder."""
    temp = tmp_path / "temp"
    temp.mkdir()
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str, **how: Any) -> subprocess.Popen[bytes]:
        verb, *rest = words
        argv = [sys.executable, "-m", "codspeed.cli", verb, "--mode", "walltime", "--no-store"]
        argv += ["--bundle-dir", str(tmp_path / "bundles"), *rest]
        env = {**os.environ, "TMPDIR": str(temp), "CODSPEED_SKIP_UPLOAD": "true"}
        env.pop("CI", None)
        started.append(subprocess.Popen(argv, env=env, cwd=tmp_path, **how))
        return started[-1]

    with fifo_lock():
        yield start
        for process in started:
            process.terminate()  # not killed: it ends what it started
            process.wait()


def only_bundle(tmp_path: Path) -> Path:
    (found,) = bundle.find(tmp_path / "bundles")
    return found


@pytest.mark.process
def test_a_run_leaves_results_and_nothing_in_the_temporary_folder(
    codspeed: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    process = codspeed("exec", "--max-rounds", "2", "--", "true")
    status = process.wait()
    (part,) = bundle.read(only_bundle(tmp_path)).results
    left = [path.name for path in (tmp_path / "temp").iterdir() if path.suffix != ".lock"]

    assert status == 0
    assert [(each.uri, each.name) for each in part.benchmarks] == [("exec_harness::true", "true")]
    assert left == []
    assert not Path("/tmp/runner.ctl.fifo").exists()


@pytest.mark.process
def test_a_reader_of_our_output_that_goes_away_does_not_end_the_measurement(
    codspeed: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    reader, writer = os.pipe()
    command = "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2"
    process = codspeed(
        "exec", "--max-rounds", "2", "--", "sh", "-c", command, stdout=writer, stderr=writer
    )
    os.close(writer)
    os.close(reader)
    process.wait()
    (part,) = bundle.read(only_bundle(tmp_path)).results

    assert [len(each.metrics) > 0 for each in part.benchmarks] == [True]


@pytest.mark.process
def test_the_runner_forks_while_it_has_one_thread(
    codspeed: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    """The child looks at its parent as it is right after the fork."""
    threads = tmp_path / "threads"
    program = (
        f"import os; file = open({str(threads)!r}, 'w');"
        "file.write(str(len(os.listdir(f'/proc/{os.getppid()}/task'))))"
    )
    process = codspeed("run", "--allow-empty", "--", sys.executable, "-c", program)
    status = process.wait()

    assert status == 0
    assert threads.read_text() == "1"


@pytest.mark.process
def test_a_command_that_fails_still_gives_what_it_measured(
    codspeed: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    stats = ["min_ns", "max_ns", "mean_ns", "stdev_ns", "q1_ns", "median_ns", "q3_ns", "rounds"]
    stats += ["total_time", "iqr_outlier_rounds", "stdev_outlier_rounds"]
    stats += ["iter_per_round", "warmup_iters"]
    document = {
        "creator": {"name": "x", "version": "1", "pid": 1},
        "instrument": {"type": "walltime"},
        "benchmarks": [{"name": "a", "uri": "a", "config": {}, "stats": dict.fromkeys(stats, 1)}],
    }
    (tmp_path / "document.json").write_text(json.dumps(document))
    folder = "$CODSPEED_PROFILE_FOLDER/results"
    command = f"mkdir {folder}; cp document.json {folder}; exit 9"
    status = codspeed("run", "--", command).wait()
    found = bundle.read(only_bundle(tmp_path))

    assert status == 4
    assert [each.uri for each in found.results[0].benchmarks] == ["a"]
    assert found.manifest.parts[0].status == 9
