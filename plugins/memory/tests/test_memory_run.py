"""`codspeed -m memory` as a user runs it: real clients, the fixed FIFO paths, exact figures."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codspeed import wire
from codspeed.testing.fifo import fifo_lock
from codspeed.testing.parts import make_part
from codspeed_memory import artifact
from codspeed_memory.ebpf import rights
from codspeed_memory.executor import MemoryExecutor
from codspeed_memory.raw import Kind
from codspeed_native import fold

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

_CODSPEED = (sys.executable, "-m", "codspeed.cli")


class Run:
    """One finished run: `folder` is its profile folder."""

    def __init__(self, done: subprocess.CompletedProcess[str], folder: Path, bundles: Path) -> None:
        self.status = done.returncode
        self.said = done.stderr + done.stdout
        self.folder = folder
        self._bundles = bundles

    def results(self) -> dict[str, dict[str, float]]:
        """Return the metrics of each benchmark, by name."""
        (path,) = self._bundles.glob("*/results.json")
        (part,) = json.loads(path.read_text())["parts"]
        return {
            benchmark["name"]: {m["name"]: m["value"] for m in benchmark["metrics"]}
            for benchmark in part["benchmarks"]
        }

    def model(self) -> str:
        (path,) = self._bundles.glob("*/results.json")
        (part,) = json.loads(path.read_text())["parts"]
        return str(part["model"])

    def notes(self) -> list[str]:
        (path,) = self._bundles.glob("*/results.json")
        (part,) = json.loads(path.read_text())["parts"]
        return [note for benchmark in part["benchmarks"] for note in benchmark["notes"]]


@pytest.fixture
def codspeed(tmp_path: Path, compiler: str) -> Callable[..., Run]:
    def run(
        *words: str | Path, env: dict[str, str] | None = None, wrapper: tuple[str, ...] = ()
    ) -> Run:
        folder, bundles = tmp_path / "profile", tmp_path / "bundles"
        options = ["-m", "memory", "--profile-folder", folder, "--bundle-dir", bundles]
        verb, *rest = words
        argv = [*wrapper, *_CODSPEED, verb, *options, "--no-store", "--compat", "native", *rest]
        with fifo_lock(timeout=90):
            done = subprocess.run(
                list(map(str, argv)),
                cwd=tmp_path,
                env={**os.environ, **(env or {})},
                capture_output=True,
                text=True,
                check=False,
            )
        return Run(done, folder, bundles)

    return run


def test_exec_gives_exact_figures_and_the_references_files(
    codspeed: Callable[..., Run], program: Callable[..., Path]
) -> None:
    run = codspeed("exec", "--name", "many", "--", program("behaviours"), "many_allocs")

    assert run.status == 0, run.said
    figures = run.results()["many"]
    assert figures["peak_memory"] == figures["total_allocated"] == 800 + 100 * 64
    assert (figures["allocations"], figures["frees"], figures["leaked"]) == (101, 101, 0)
    (path,) = (run.folder / "results").glob("*.MemtrackArtifact.msgpack")
    events = list(artifact.read(path))
    assert [event.kind for event in events] == [Kind.MALLOC] * 101 + [Kind.FREE] * 101
    data = (run.folder / "results" / "ExecutionTimestamps.msgpack").read_bytes()
    timestamps = wire.load_timestamps(data, where="test")
    (_, start), (_, end) = timestamps.markers
    assert [uri for _at, uri in timestamps.uri_by_ts] == ["exec_harness::many"]
    assert all(start <= event.ns <= end for event in events)


def test_a_folder_without_our_summary_gives_the_same_figures(
    codspeed: Callable[..., Run], program: Callable[..., Path], tmp_path: Path
) -> None:
    """What the reference's runner leaves is read from its own two files."""
    before = codspeed("exec", "--name", "one", "--", program("behaviours"), "realloc_test")
    (before.folder / "memory.json").unlink()
    figures = before.results()["one"]
    shutil.rmtree(tmp_path / "bundles")

    again = codspeed("exec", "--skip-run", "--", "true")

    after = again.results()["one"]
    same = ("peak_memory", "total_allocated", "allocations", "frees", "leaked")
    assert [after[name] for name in same] == [figures[name] for name in same]


def test_the_user_and_the_place_reach_the_target(
    codspeed: Callable[..., Run], tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    script = 'test "$(basename "$PWD")" = sub && test "$LD_LIBRARY_PATH" = "/a b" && test "$X" = 1'
    env = {"LD_LIBRARY_PATH": "/a b", "X": "1"}

    run = codspeed("exec", "--working-directory", "sub", "--", "sh", "-c", script, env=env)

    assert run.status == 0, run.said


def test_an_uncovered_program_is_named_in_the_result(
    codspeed: Callable[..., Run], program: Callable[..., Path]
) -> None:
    static = program("behaviours", "-static")

    run = codspeed("exec", "--name", "x", "--", "sh", "-c", f"{static} malloc_free; true")

    assert run.status == 0
    (note,) = run.notes()
    assert str(static) in note
    assert "statically linked" in note
    assert note in run.said


def test_nothing_to_see_is_an_error_before_the_run(
    codspeed: Callable[..., Run], program: Callable[..., Path]
) -> None:
    static = program("behaviours", "-static")

    run = codspeed("exec", "--memory-backend", "shim", "--", static, "malloc_free")

    assert run.status == 1
    assert "statically linked" in run.said
    assert "Executing" not in run.said


def test_a_failing_benchmark_keeps_the_others(
    codspeed: Callable[..., Run], program: Callable[..., Path]
) -> None:
    run = codspeed("exec", "--", program("edges"), "kill")

    assert run.status == 4
    assert "SIGKILL" in run.said


def test_two_runs_at_once_are_both_right(
    program: Callable[..., Path], tmp_path: Path, compiler: str
) -> None:
    command = [*_CODSPEED, "exec", "-m", "memory", "--no-store", "--name", "x", "--bundle-dir"]
    target = ["--", str(program("pairs")), "300000"]
    with fifo_lock(timeout=90):
        runs = [
            subprocess.Popen(
                [*command, str(tmp_path / str(number)), *target],
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
            )
            for number in range(2)
        ]
        said = [run.communicate()[1] for run in runs]
    peaks = set()
    for number, run in enumerate(runs):
        assert run.returncode == 0, said
        (path,) = (tmp_path / str(number)).glob("*/results.json")
        ((benchmark,),) = (part["benchmarks"] for part in json.loads(path.read_text())["parts"])
        peaks.add(tuple(m["value"] for m in benchmark["metrics"] if m["kind"] == "exact"))
    assert len(peaks) == 1
    assert sum("waiting for" in text for text in said) == 1


@pytest.mark.parametrize(
    ("backend", "helper"), [("shim", "memory-drain"), ("ebpf", "codspeed_memory.ebpf.worker")]
)
def test_a_killed_run_leaves_no_process_and_no_file(
    program: Callable[..., Path],
    tmp_path: Path,
    compiler: str,
    private_libc: Path,
    backend: str,
    helper: str,
) -> None:
    if backend == "ebpf":
        _require_probes()
    argv = [*_CODSPEED, "exec", "-m", "memory", "--no-store", "--bundle-dir", str(tmp_path / "b")]
    argv += ["--memory-backend", backend, "--profile-folder", str(tmp_path / "p")]
    argv += ["--", str(program("pairs")), "30000000"]
    env = {**os.environ, "LD_LIBRARY_PATH": str(private_libc.parent)}
    with fifo_lock(timeout=90):
        with subprocess.Popen(
            argv, env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        ) as run:
            drainer = _await_child(run.pid, helper)
            harness = _await_child(run.pid, "codspeed_exec_harness")
            run.send_signal(signal.SIGKILL)
        try:
            assert _ends(drainer)
            left = [path.name for path in (tmp_path / "p").rglob("*") if path.is_file()]
        finally:
            os.killpg(harness, signal.SIGKILL)  # the benchmark itself goes on: not ours to end
            assert _ends(harness)
    assert left == []


def _ends(pid: int) -> bool:
    """Whether the process is gone, or only waits to be reaped, within half a minute."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return True
        if stat.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


def _await_child(parent: int, name: str) -> int:
    """Return the parent's child of this name, as soon as it is there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                is_it = name.encode() in path.read_bytes()
                stat = path.with_name("stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if is_it and int(stat[1]) == parent:
                return int(path.parent.name)
        time.sleep(0.02)
    pytest.fail(f"no {name} in time")


def test_exec_tells_who_allocates_and_who_leaks(
    codspeed: Callable[..., Run], program: Callable[..., Path], tmp_path: Path
) -> None:
    run = codspeed("exec", "--memory-stacks", "--name", "x", "--", program("sites"), "split")

    assert run.status == 0, run.said
    part, executor = make_part(run.folder), MemoryExecutor()
    tree = executor.profile(part, "exec_harness::x")
    assert tree is not None
    total = {row.frame.function: row.total_cost for row in fold.table(tree)}
    assert tree.unit == "bytes"
    assert fold.cost(tree) == pytest.approx(run.results()["x"]["total_allocated"], abs=9)
    assert 100 * total["large"] / total["split"] == pytest.approx(70, abs=5)
    assert executor.profiles(part, "exec_harness::x").keys() == {"allocated", "peak", "leaked"}


# --- With uprobes ---


def _require_probes() -> None:
    refused = rights.lacking()
    if refused is not None:
        pytest.skip(refused.problem)


@pytest.mark.parametrize(
    ("backend", "flags", "measured_by"),
    [("ebpf", (), "ebpf"), ("auto", ("-static",), "shim+ebpf"), ("auto", (), "shim")],
)
def test_a_program_has_its_own_figures_by_whatever_sees_it(
    codspeed: Callable[..., Run],
    program: Callable[..., Path],
    backend: str,
    flags: tuple[str, ...],
    measured_by: str,
) -> None:
    """The harness, which is Python, allocates in the window too: that is not the target's."""
    _require_probes()
    words = ["--memory-backend", backend, "--name", "one", "--", program("behaviours", *flags)]

    run = codspeed("exec", *words, "many_allocs")

    assert run.status == 0, run.said
    figures = run.results()["one"]
    own = 5 if flags else 0  # glibc's, before main of a static program
    assert (figures["allocations"], figures["frees"]) == (101 + own, 101)
    assert figures["peak_memory"] == 800 + 100 * 64 + bool(own) * (figures["leaked"])
    assert figures["processes"] == 1
    assert run.model().split("/")[2] == measured_by
    assert run.notes() == []


def test_probes_and_shim_share_a_run(
    codspeed: Callable[..., Run], program: Callable[..., Path]
) -> None:
    """A program with its own malloc becomes one that the shim sees: both count, none twice."""
    _require_probes()
    words = ["--memory-backend", "auto", "--name", "both", "--"]

    run = codspeed("exec", *words, program("own_malloc"), program("behaviours"), "many_allocs")

    assert run.status == 0, run.said
    figures = run.results()["both"]
    assert figures["leaked"] == 100
    assert figures["allocations"] == 1 + 101
    assert figures["total_allocated"] == 100 + 800 + 100 * 64
    assert run.notes() == []


@pytest.mark.tool
def test_in_a_pid_namespace_ids_are_those_of_the_namespace(
    codspeed: Callable[..., Run], program: Callable[..., Path]
) -> None:
    """As in a container: the kernel has other ids for these processes."""
    _require_probes()
    inside = ("unshare", "--pid", "--fork", "--mount-proc")
    if shutil.which("unshare") is None or subprocess.run([*inside, "true"], check=False).returncode:
        pytest.skip("no pid namespace can be made here")
    words = ["--memory-backend", "ebpf", "--name", "one", "--", program("behaviours")]

    run = codspeed("exec", *words, "fork_test", wrapper=inside)

    assert run.status == 0, run.said
    figures = run.results()["one"]
    assert (figures["allocations"], figures["frees"], figures["processes"]) == (2, 2, 2)
    (path,) = (run.folder / "results").glob("*.MemtrackArtifact.msgpack")
    assert int(path.name.partition(".")[0]) < 100
    assert {event.pid < 100 and event.tid < 100 for event in artifact.read(path)} == {True}


_WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


@pytest.mark.tool
@pytest.mark.parametrize(
    ("backend", "flags"), [("ebpf", ()), ("auto", ("-static",))], ids=["ebpf", "auto"]
)
def test_without_rights_it_says_before_the_run_what_is_lacking(
    codspeed: Callable[..., Run],
    program: Callable[..., Path],
    backend: str,
    flags: tuple[str, ...],
) -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is missing: apt-get install util-linux")
    words = ["--memory-backend", backend, "--", program("behaviours", *flags), "malloc_free"]

    run = codspeed("exec", *words, wrapper=_WITHOUT_RIGHTS)

    assert run.status == 1
    assert "CAP_BPF and CAP_PERFMON" in run.said
    assert "Executing" not in run.said
