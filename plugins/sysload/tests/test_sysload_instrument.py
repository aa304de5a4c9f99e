"""The instrument: what it adds to results, when it is wanted, and a real program that disturbs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codspeed.model import (
    BenchmarkResult,
    Direction,
    Kind,
    Metric,
    Outcome,
    Rounds,
    SupportLevel,
    System,
    Window,
)
from codspeed.protocols import ExecutorDefaults
from codspeed.testing import FakeReporter, fifo_lock, make_part
from codspeed.testing.checks import check_results, check_support
from codspeed.testing.instrument_contract import InstrumentContract
from codspeed_sysload.descriptor import descriptor
from codspeed_sysload.instrument import Sysload
from codspeed_sysload.others import Others

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from codspeed.protocols import Hooks, InstrumentDescriptor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's files")

pytest_plugins = ["codspeed.testing.plugin"]

S = 1_000_000_000


def make_system(name: str = "linux") -> System:
    return System(name, "debian", "12", "x86_64", 0, Path("/tmp"), {})


@pytest.mark.process
class TestSysload(InstrumentContract):
    @pytest.fixture
    def descriptor(self) -> InstrumentDescriptor:
        return descriptor

    @pytest.fixture
    def instrument(self) -> Sysload:
        made: Sysload = descriptor.load()(descriptor.options())
        return made


# --- The descriptor -------------------------------------------------------------------------------


@pytest.mark.parametrize(("rounds", "is_wanted"), [(Rounds.TIMED, True), (Rounds.ONCE, False)])
def test_it_is_wanted_where_benchmarks_are_repeated(
    tmp_path: Path, rounds: Rounds, *, is_wanted: bool
) -> None:
    executor: Any = type("Executor", (ExecutorDefaults,), {"rounds": rounds})()
    reason = descriptor.wanted(make_part(tmp_path), executor, None)

    assert (reason is not None) is is_wanted


def test_it_works_on_linux_only() -> None:
    levels = [descriptor.support(make_system(name)).level for name in ("linux", "macos", "windows")]

    assert levels == [SupportLevel.OK, SupportLevel.UNSUPPORTED, SupportLevel.UNSUPPORTED]
    check_support(descriptor.support(make_system("macos")))


def test_status_says_what_is_missing() -> None:
    assert descriptor.status is not None
    lines = descriptor.status(make_system())

    assert [line.partition(":")[0] for line in lines] == ["sysload"] * len(lines)


# --- On a machine that is made of files -----------------------------------------------------------


class Bench:
    """A machine of files, an instrument that reads it, and windows one after the other."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.proc.mkdir()
        self.reporter = FakeReporter()
        self.sysload = Sysload(proc=self.proc, sys=folder / "sys")
        self.sysload.prepare(make_system(), self.reporter)
        self.part = make_part(folder / "profile")
        self.windows: list[Window] = []

    def set(self, **ticks: int) -> None:
        user, steal = ticks.get("user", 0), ticks.get("steal", 0)
        (self.proc / "stat").write_text(f"cpu  {user} 0 0 1000 0 0 0 {steal} 0 0\n")

    def window(self, hooks: Hooks, uri: str | None, **ticks: int) -> None:
        """Open a window, let the ticks pass, close and name it."""
        hooks.started()
        start = time.monotonic_ns()
        self.set(**ticks)
        hooks.stopped()
        self.windows.append(Window(uri, (1,), start, time.monotonic_ns()))
        if uri is not None:
            hooks.benchmark(1, uri)

    def annotated(self, *names: str, **metrics: float) -> list[BenchmarkResult]:
        own = tuple(
            Metric(name, value, "percent", Direction.NONE, Kind.INFO)
            for name, value in metrics.items()
        )
        wall = Metric("wall_time", 1.0, "ns", headline=True)
        results = [BenchmarkResult(name, f"name of {name}", (wall, *own)) for name in names]
        outcome = Outcome(status=0, windows=tuple(self.windows))
        return list(self.sysload.annotate(self.part, outcome, results))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.set()
    return made


def test_results_get_numbers_of_their_windows_and_notes_where_they_were_disturbed(
    bench: Bench,
) -> None:
    with bench.sysload.run(bench.part) as hooks:
        hooks.integration("x", "1")
        bench.window(hooks, "a", user=80, steal=20)
        bench.window(hooks, None, user=90, steal=90)
        bench.window(hooks, "b", user=190, steal=90)
    first, second, third = bench.annotated("a", "b", "c")
    numbers = [{each.name: each.value for each in result.metrics} for result in (first, second)]
    check_results([first, second, third])

    assert [each["machine_steal"] for each in numbers] == [20, 0]
    assert [each["machine_busy"] for each in numbers] == [80, 100]
    assert first.notes == (
        "the host of this virtual machine took 20 % of the CPU time for something else (steal)",
    )
    assert (second.notes, third.notes) == ((), ())
    assert [each.name for each in third.metrics] == ["wall_time"]


def test_no_metric_is_compared_shown_or_taken_twice(bench: Bench) -> None:
    with bench.sysload.run(bench.part) as hooks:
        bench.window(hooks, "a", user=10)
    (result,) = bench.annotated("a", machine_busy=7.0)
    added = result.metrics[2:]

    assert [each.value for each in result.metrics if each.name == "machine_busy"] == [7.0]
    assert {(each.kind, each.label) for each in added} == {(Kind.INFO, "")}


def test_waiting_is_the_executor_s_own_number(bench: Bench) -> None:
    with bench.sysload.run(bench.part) as hooks:
        bench.window(hooks, "a")
    (result,) = bench.annotated("a", queue_share=18.0)

    assert [note[:40] for note in result.notes] == ["wall time is 18 % waiting for a CPU; wha"]


@pytest.mark.parametrize(
    ("cpus", "policy", "used", "is_own"),
    [
        pytest.param({0, 1}, os.SCHED_OTHER, 150.0, False, id="it could have used more"),
        pytest.param({0, 1}, os.SCHED_OTHER, 195.0, True, id="it had all its CPUs"),
        pytest.param({0, 1}, os.SCHED_FIFO, 150.0, True, id="it runs before all others"),
    ],
)
def test_what_a_benchmark_had_decides_whom_it_waited_for(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    cpus: set[int],
    policy: int,
    used: float,
    *,
    is_own: bool,
) -> None:
    monkeypatch.setattr(os, "sched_getscheduler", lambda _pid: policy)
    with bench.sysload.run(bench.part) as hooks:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: cpus)
        bench.window(hooks, "a")
    (result,) = bench.annotated("a", queue_share=18.0, cpu_share=used)

    assert [note.endswith("its own threads run than it has CPUs") for note in result.notes] == [
        is_own
    ]


def test_warnings_are_shown_but_do_not_bury_the_table(bench: Bench) -> None:
    names = [f"b{number}" for number in range(8)]
    with bench.sysload.run(bench.part) as hooks:
        for number, name in enumerate(names):
            bench.window(hooks, name, user=100 * number, steal=100 + 100 * number)
    bench.annotated(*names)
    shown = bench.reporter.told("warning")

    assert [text.partition(":")[0] for text in shown] == [
        *(f"name of b{number}" for number in range(5)),
        "3 more benchmarks were disturbed; their results say by what",
    ]


def test_what_is_missing_is_named_once(bench: Bench) -> None:
    with bench.sysload.run(bench.part) as hooks:
        bench.window(hooks, "a")
        bench.window(hooks, "b")
    bench.annotated("a", "b")
    (said,) = bench.reporter.told("info")

    assert said == (
        "sysload: this kernel does not tell: cpu pressure; this kernel does not tell: memory "
        "pressure; this kernel does not tell: io pressure"
    )
    assert bench.reporter.told("warning") == []


def test_nothing_at_all_to_read_is_no_error(tmp_path: Path) -> None:
    sysload = Sysload(proc=tmp_path / "absent", sys=tmp_path / "absent")
    part = make_part(tmp_path / "profile")
    with sysload.run(part) as hooks:
        hooks.started()
        start = time.monotonic_ns()
        hooks.stopped()
        hooks.benchmark(1, "a")
    window = Window("a", (1,), start, time.monotonic_ns())
    result = BenchmarkResult("a", "a", (Metric("n", 1.0, "count"),))
    (annotated,) = sysload.annotate(part, Outcome(0, windows=(window,)), [result])

    assert annotated.notes == ()


def test_no_look_is_taken_while_a_window_is_open(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look takes milliseconds; JVM forks introduce themselves inside of windows."""
    looks: list[str] = []
    with bench.sysload.run(bench.part) as hooks:
        monkeypatch.setattr(Others, "look", lambda *_, **_how: looks.append("look"))
        hooks.integration("x", "1")
        hooks.started()
        hooks.integration("x", "1")
        hooks.stopped()
        before = list(looks)
        hooks.benchmark(1, "a")

    assert (before, looks[:2]) == (["look"], ["look", "look"])


def test_files_are_closed_also_when_the_run_fails(bench: Bench) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with contextlib.suppress(ZeroDivisionError), bench.sysload.run(bench.part):
        raise ZeroDivisionError

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_stop_without_a_start_is_no_window(bench: Bench) -> None:
    with bench.sysload.run(bench.part) as hooks:
        hooks.stopped()
        hooks.benchmark(1, "a")

    assert [each.notes for each in bench.annotated("a")] == [()]


# --- On this machine ------------------------------------------------------------------------------

# Pinned to the CPU of the benchmark, they are the busiest there however busy the machine is.
HOG = """
import ctypes, sys
ctypes.CDLL(None).prctl(15, b"planted-hog", 0, 0, 0)
print(flush=True)
while True:
    pass
"""


@pytest.fixture
def cpu() -> int:
    return max(os.sched_getaffinity(0))


@pytest.fixture
def hogs(cpu: int) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", HOG],
                    stdout=subprocess.PIPE,
                    start_new_session=True,  # where the kernel shares by session, each gets a share
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
            os.sched_setaffinity(process.pid, {cpu})
        yield


@pytest.fixture
def measured(
    tmp_path: Path, cpu: int
) -> Iterator[Callable[..., tuple[str, dict[str, Any], list[str]]]]:
    """Run codspeed in walltime mode; return what it said, its first result, who observed."""

    def run(*words: str) -> tuple[str, dict[str, Any], list[str]]:
        argv = [
            "taskset",
            "--cpu-list",
            str(cpu),
            sys.executable,
            "-m",
            "codspeed.cli",
            "exec",
            "--mode",
            "walltime",
            "--no-store",
        ]
        argv += ["--walltime-profiler", "none", "--bundle-dir", str(tmp_path / "bundles")]
        spin = "for _ in range(2_000_000): pass"
        argv += [
            "--warmup-time",
            "0",
            "--max-rounds",
            "8",
            *words,
            "--",
            sys.executable,
            "-c",
            spin,
        ]
        env = {**os.environ, "CODSPEED_SKIP_UPLOAD": "true"}
        env.pop("CI", None)
        done = subprocess.run(
            argv, env=env, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        (folder,) = (path for path in (tmp_path / "bundles").iterdir() if path.is_dir())
        results = json.loads((folder / "results.json").read_text())
        manifest = json.loads((folder / "manifest.json").read_text())
        return done.stderr, results["parts"][0]["benchmarks"][0], manifest["instruments"]

    with fifo_lock(timeout=90):
        yield run


@pytest.mark.process
@pytest.mark.timeout(120)  # it has a quarter of a CPU, and may have to wait for the lock
@pytest.mark.usefixtures("hogs")
def test_a_program_that_takes_the_cpus_is_named(
    measured: Callable[..., tuple[str, dict[str, Any], list[str]]],
) -> None:
    said, result, observers = measured()
    notes = [note for note in result["notes"] if "waiting for a CPU" in note]

    assert observers == ["sysload"]
    assert ["`planted-hog`" in note for note in notes] == [True], result
    assert "`planted-hog`" in said


@pytest.mark.process
@pytest.mark.timeout(120)  # it may have to wait for the lock
def test_none_leaves_it_out(
    measured: Callable[..., tuple[str, dict[str, Any], list[str]]],
) -> None:
    _said, result, observers = measured("--instruments", "none")
    names = {metric["name"] for metric in result["metrics"]}

    assert observers == []
    assert {"machine_busy", "pressure_cpu", "others_cpu"} & names == set()
