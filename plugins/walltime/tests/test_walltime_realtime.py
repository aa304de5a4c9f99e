"""--realtime: what it does with the rights there are, and what it says without."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codspeed.model import Outcome
from codspeed.testing import FakeSession, fifo_lock, make_part
from codspeed_walltime import realtime
from codspeed_walltime.descriptor import descriptor as walltime
from codspeed_walltime.realtime import Realtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codspeed_walltime.executor import WalltimeExecutor

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="SCHED_FIFO is Linux's"),
    pytest.mark.timeout(120),  # some may have to wait for the lock
]

pytest_plugins = ["codspeed.testing.plugin"]

_CAP_SYS_NICE = 23
_PR_CAPBSET_DROP = 24


class Kernel:
    """The calls that --realtime makes, noted and not made."""

    def __init__(self, cpus: set[int], refusal: OSError | None = None) -> None:
        self.cpus = cpus
        self.refusal = refusal
        self.affinity: list[tuple[int, set[int]]] = []
        self.policies: list[tuple[int, int]] = []

    def sched_setscheduler(self, pid: int, policy: int, param: os.sched_param) -> None:
        if self.refusal is not None:
            raise self.refusal
        assert param.sched_priority == 1
        self.policies.append((pid, policy))


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    (tmp_path / "sched_rt_runtime_us").write_text("950000\n")
    (tmp_path / "sched_rt_period_us").write_text("1000000\n")
    return tmp_path


def begun(
    monkeypatch: pytest.MonkeyPatch, settings: Path, kernel: Kernel
) -> tuple[Realtime, Kernel]:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: kernel.cpus)
    monkeypatch.setattr(
        os, "sched_setaffinity", lambda pid, cpus: kernel.affinity.append((pid, set(cpus)))
    )
    monkeypatch.setattr(os, "sched_setscheduler", kernel.sched_setscheduler)
    monkeypatch.setattr(realtime, "can_elevate_without_prompt", lambda: False)
    made = Realtime(settings=settings)
    made.begin(77)
    return made, kernel


def test_one_cpu_is_left_to_the_runner_which_gets_the_others_back(
    monkeypatch: pytest.MonkeyPatch, settings: Path
) -> None:
    made, kernel = begun(monkeypatch, settings, Kernel({2, 3, 4, 7}))
    made.end()
    made.end()

    assert kernel.policies == [(77, os.SCHED_FIFO)]
    assert kernel.affinity == [(77, {3, 4, 7}), (0, {2}), (0, {2, 3, 4, 7})]
    assert made.is_on
    assert made.note == (
        "real time: SCHED_FIFO 1, on CPU 3-4,7, with CPU 2 left to everything else; programs that "
        "wait for the same CPU still get 50 ms of each 1 s (kernel.sched_rt_runtime_us), so a few "
        "rounds are longer by that"
    )


def test_with_one_cpu_it_says_that_the_runner_stands_still(
    monkeypatch: pytest.MonkeyPatch, settings: Path
) -> None:
    made, kernel = begun(monkeypatch, settings, Kernel({0}))

    assert (made.is_on, kernel.affinity) == (True, [])
    assert "nothing else runs, the runner included" in made.note


def test_with_one_cpu_and_no_throttling_it_would_stop_the_machine(
    monkeypatch: pytest.MonkeyPatch, settings: Path
) -> None:
    (settings / "sched_rt_runtime_us").write_text("-1\n")
    made, kernel = begun(monkeypatch, settings, Kernel({0}))

    assert (made.is_on, kernel.policies) == (False, [])
    assert made.note.startswith("--realtime had no effect: with one CPU")


@pytest.mark.parametrize("errno", [1, 22])
def test_where_the_kernel_refuses_no_cpu_is_taken_away_either(
    monkeypatch: pytest.MonkeyPatch, settings: Path, errno: int
) -> None:
    refusal = OSError(errno, os.strerror(errno))
    made, kernel = begun(monkeypatch, settings, Kernel({0, 1}, refusal))

    assert (made.is_on, kernel.affinity) == (False, [])
    assert made.note.startswith(
        f"--realtime had no effect: the kernel refuses ({os.strerror(errno)}); it needs root, "
    )


# --- For real, as root ----------------------------------------------------------------------------


def may_run_in_real_time() -> bool:
    lines = Path("/proc/self/status").read_text().splitlines()
    (effective,) = (int(line.split()[1], 16) for line in lines if line.startswith("CapEff"))
    return bool(effective >> _CAP_SYS_NICE & 1)


needs_rights = pytest.mark.skipif(
    sys.platform == "linux" and not may_run_in_real_time(), reason="needs CAP_SYS_NICE"
)


@pytest.fixture
def lock() -> Iterator[None]:
    with fifo_lock(timeout=90):
        yield


def run(tmp_path: Path, *words: str, **how: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Run codspeed with --realtime; return what it said, its manifest and its first result."""
    verb, *rest = words
    argv = [sys.executable, "-m", "codspeed.cli", verb, "--mode", "walltime", "--no-store"]
    argv += ["--instruments", "none", "--walltime-profiler", "none", "--realtime"]
    argv += ["--bundle-dir", str(tmp_path / "bundles"), *rest]
    env = {**os.environ, "CODSPEED_SKIP_UPLOAD": "true"}
    env.pop("CI", None)
    done = subprocess.run(
        argv, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, **how
    )
    assert done.returncode == 0, done.stderr
    (folder,) = (path for path in (tmp_path / "bundles").iterdir() if path.is_dir())
    manifest = json.loads((folder / "manifest.json").read_text())
    results = json.loads((folder / "results.json").read_text())
    return done.stderr, manifest, (results["parts"][0]["benchmarks"] or [{}])[0]


def what_it_saw(path: Path) -> list[list[Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


LOOK = """
import json, os
with open("seen", "a") as file:
    print(json.dumps([os.sched_getscheduler(0), sorted(os.sched_getaffinity(0))]), file=file)
"""


@needs_rights
@pytest.mark.process
@pytest.mark.usefixtures("lock")
@pytest.mark.parametrize("verb", ["exec", "run"])
def test_the_benchmark_runs_in_real_time_on_all_cpus_but_one(tmp_path: Path, verb: str) -> None:
    (tmp_path / "look.py").write_text(LOOK)
    bounds = ["--warmup-time", "0", "--max-rounds", "2"] if verb == "exec" else ["--allow-empty"]
    said, manifest, _result = run(tmp_path, verb, *bounds, "--", sys.executable, "look.py")
    cpus = sorted(os.sched_getaffinity(0))

    expected = [os.SCHED_FIFO, cpus[1:] or cpus]
    assert what_it_saw(tmp_path / "seen") == [expected] * (2 if verb == "exec" else 1)
    assert manifest["parts"][0]["model"].endswith("isolation=realtime")
    assert "real time: SCHED_FIFO 1, on " in said


@needs_rights
@pytest.mark.process
@pytest.mark.usefixtures("lock")
def test_each_result_says_that_it_was_measured_in_real_time(tmp_path: Path) -> None:
    _said, _manifest, result = run(
        tmp_path, "exec", "--warmup-time", "0", "--max-rounds", "2", "--", "true"
    )

    assert [note.partition(":")[0] for note in result["notes"]] == ["real time"]


def _without_rights() -> None:
    ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, _CAP_SYS_NICE, 0, 0, 0)


@pytest.mark.process
@pytest.mark.usefixtures("lock")
def test_without_rights_the_run_goes_on_and_says_what_is_lacking(tmp_path: Path) -> None:
    (tmp_path / "look.py").write_text(LOOK)
    said, manifest, result = run(
        tmp_path, "exec", "--warmup-time", "0", "--max-rounds", "1",
        "--", sys.executable, "look.py", preexec_fn=_without_rights,
    )  # fmt: skip

    assert what_it_saw(tmp_path / "seen") == [[os.SCHED_OTHER, sorted(os.sched_getaffinity(0))]]
    assert manifest["parts"][0]["model"].endswith("isolation=none")
    assert "--realtime had no effect: the kernel refuses" in said
    assert [note.partition(":")[0] for note in result["notes"]] == ["--realtime had no effect"]


# --- The executor ---------------------------------------------------------------------------------


@pytest.fixture
def made() -> WalltimeExecutor:
    executor: WalltimeExecutor = walltime.load()(walltime.options(walltime_profiler="none"))
    return executor


def test_isolation_is_named_with_its_effect(tmp_path: Path, made: WalltimeExecutor) -> None:
    environment = {"CODSPEED_ISOLATION": "false"}
    fake = FakeSession(Outcome(status=0), environment=environment)
    outcome = made.measure(make_part(tmp_path, ("true",)), fake)

    assert (
        "isolation: none (CODSPEED_ISOLATION=false); other programs may run on the benchmark's CPUs"
    ) in outcome.notes


def test_without_the_option_nothing_is_said_of_real_time(
    tmp_path: Path, made: WalltimeExecutor
) -> None:
    outcome = made.measure(make_part(tmp_path, ("true",)), FakeSession(Outcome(status=0)))

    assert [note for note in outcome.notes if "real" in note] == []
