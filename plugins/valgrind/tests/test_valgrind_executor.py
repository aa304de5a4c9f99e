"""The executor with a Valgrind that only records how it was called."""

from __future__ import annotations

import json
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from codspeed.errors import BenchmarkFailedError, ResultsError, ToolError, UsageError
from codspeed.model import BenchmarkResult, Compat, Kind, Launch, Metric, Outcome, Sharing
from codspeed.testing import make_part, session
from codspeed_native import runtimes
from codspeed_valgrind import guard, record, wrapper
from codspeed_valgrind import results as reader
from codspeed_valgrind.descriptor import ValgrindOptions
from codspeed_valgrind.executor import ValgrindExecutor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from codspeed.model import RunPart

pytestmark = pytest.mark.process

FORK = ("3.26.0.codspeed6", "--obj-skip", "--cycle-estimation")
# spec/executors.md 2.1, word for word; the objects of 2.2 and the folder are put in.
REFERENCE = """
-q --trace-children=yes --cache-sim=yes --I1=32768,8,64 --D1=32768,8,64 --LL=8388608,16,64
--instr-atstart=no --collect-systime=nsec --read-inline-info=yes --cycle-estimation=yes
--tool=callgrind --compress-strings=no --combine-dumps=yes --dump-line=no
--trace-children-skip=*esbuild,*.rustup-wrapped {objects}
--callgrind-out-file={folder}/%p.out --log-file={folder}/valgrind.%p.log
"""


def executor(**options: Any) -> ValgrindExecutor:
    return ValgrindExecutor(ValgrindOptions(**options))


def part_of(tmp_path: Path, *argv: str, **fields: Any) -> RunPart:
    return make_part(tmp_path / "profile", argv, executor="valgrind", mode="simulation", **fields)


def measured(part: RunPart, under: ValgrindExecutor) -> Outcome:
    return under.measure(part, session(part, under, runner_mode="instrumentation"))


def recorded(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# --- Compat: the reference to the letter ---


def test_compat_calls_the_fork_as_the_reference_does(
    tmp_path: Path, stand_in: Callable[..., Path]
) -> None:
    calls = stand_in(*FORK)
    part = part_of(tmp_path, "bash", "-c", "echo a  'b'; exit 7", compat=Compat.CODSPEED)
    outcome = measured(part, executor())

    ((words, environment),) = recorded(calls)
    objects = " ".join(f"--obj-skip={path}" for path in runtimes.ignored_objects())
    expected = REFERENCE.format(objects=objects, folder=part.folder).split()
    assert words[:-3] == expected
    assert words[-3].endswith(".sh")
    assert words[-2] == "echo a  'b'; exit 7"
    assert outcome.status == 7
    assert {
        name: environment.get(name)
        for name in (
            "PYTHONHASHSEED", "PYTHON_PERF_JIT_SUPPORT", "CODSPEED_ENV", "CODSPEED_RUNNER_MODE",
            "CODSPEED_PROFILE_FOLDER", "PYTHONMALLOC",
        )
    } == {
        "PYTHONHASHSEED": "0",
        "PYTHON_PERF_JIT_SUPPORT": "0",
        "CODSPEED_ENV": "runner",
        "CODSPEED_RUNNER_MODE": "instrumentation",
        "CODSPEED_PROFILE_FOLDER": str(part.folder),
        "PYTHONMALLOC": "malloc",
    }  # fmt: skip


def test_compat_starts_exec_targets_as_the_reference_does(
    tmp_path: Path, stand_in: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = stand_in(*FORK)
    monkeypatch.setattr("codspeed_valgrind.target.marker_library", lambda: tmp_path / "marker.so")
    part = part_of(tmp_path, harnessed=True, compat=Compat.CODSPEED)
    launch = executor().target_launch(part, Launch(("true", "x")), "exec_harness::true x")
    status = os.spawnvpe(os.P_WAIT, launch.argv[0], launch.argv, {**os.environ, **launch.env})

    ((words, environment),) = recorded(calls)
    objects = " ".join(f"--obj-skip={path}" for path in runtimes.ignored_objects())
    assert status == 0
    assert words[:-2] == REFERENCE.format(objects=objects, folder=part.folder).split()
    assert words[-2:] == ["true", "x"]
    assert environment["CODSPEED_BENCH_URI"] == "exec_harness::true x"
    assert environment["PYTHONPERFSUPPORT"] == "1"
    assert environment["LD_PRELOAD"].startswith(str(tmp_path / "marker.so"))


def test_the_statuses_of_valgrind_and_the_benchmark_are_told_apart(tmp_path: Path) -> None:
    behind_false = wrapper.scripted(Launch(("true",)), ("false",), temp=tmp_path)

    with behind_false as scripted, pytest.raises(BenchmarkFailedError) as caught:
        scripted.outcome(Outcome(1))

    assert caught.value.problem == "failed to execute valgrind"


def test_a_lost_status_is_an_error(tmp_path: Path) -> None:
    with (
        wrapper.scripted(Launch(("true",)), ("true",), temp=tmp_path) as scripted,
        pytest.raises(BenchmarkFailedError) as caught,
    ):
        scripted.outcome(Outcome(0))

    assert caught.value.problem == "unable to retrieve the program exit code."


def test_nothing_is_left_of_the_wrapper(tmp_path: Path) -> None:
    with wrapper.scripted(Launch(("a b", "c")), ("valgrind",), temp=tmp_path) as scripted:
        assert scripted.launch.argv[-2] == shlex.join(("a b", "c"))

    assert list(tmp_path.iterdir()) == []


def test_compat_on_stock_says_what_to_expect(tmp_path: Path, stand_in: Callable[..., Path]) -> None:
    calls = stand_in("3.19.0")
    part = part_of(tmp_path, "true", compat=Compat.CODSPEED)
    under = executor()
    noting = _Noting(session(part, under, runner_mode="instrumentation"))
    under.measure(part, noting)

    ((words, _),) = recorded(calls)
    assert not any(word.startswith(("--cycle-est", "--obj-skip")) for word in words)
    assert "3.26.0.codspeed6" in noting.notes[0]
    assert "Expect a step" in noting.notes[0]


class _Noting:
    """A session that keeps the notes."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


# --- Native ---


def test_native_starts_the_command_without_a_shell(
    tmp_path: Path, stand_in: Callable[..., Path]
) -> None:
    calls = stand_in("3.19.0")
    part = part_of(tmp_path, "sh", "-c", "exit 3", "a b")
    outcome = measured(part, executor())

    ((words, environment),) = recorded(calls)
    assert words[-4:] == ["sh", "-c", "exit 3", "a b"]
    assert outcome.status == 3
    assert environment["PYTHONMALLOC"] == "pymalloc"


@pytest.mark.parametrize("names_frames", [True, False])
def test_native_hides_an_interpreter_whose_python_functions_have_frames(
    tmp_path: Path,
    stand_in: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    *,
    names_frames: bool,
) -> None:
    """Where they have none (CPython 3.11), the interpreter's own are all there is to see."""
    calls = stand_in("3.19.0")
    own = runtimes.ask_python(sys.executable)
    assert own is not None
    python = attrs.evolve(own, names_frames=names_frames)
    monkeypatch.setattr(runtimes, "ask_python", lambda *_: python)
    part = part_of(tmp_path, sys.executable, "-c", "pass")
    measured(part, executor())

    ((words, _),) = recorded(calls)
    assert ("--fn-skip=PyObject_Call" in words) is names_frames
    assert record.read(part.folder).runtime_objects == ((python.runtime,) if names_frames else ())


def test_a_target_s_arguments_are_short_for_any_harness(
    tmp_path: Path, stand_in: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux limits one argument to 128 KiB, and a harness may put all of a target in one."""
    stand_in("3.19.0")
    monkeypatch.setattr("codspeed_valgrind.target.marker_library", lambda: tmp_path / "marker.so")
    part = part_of(tmp_path, harnessed=True)
    launch = executor().target_launch(part, Launch((sys.executable, "-c", "pass")), "uri")

    assert sum(map(len, launch.argv)) < 4096


def test_other_preload_libraries_stay(
    tmp_path: Path, stand_in: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in("3.19.0")
    monkeypatch.setattr("codspeed_valgrind.target.marker_library", lambda: tmp_path / "marker.so")
    part = part_of(tmp_path, harnessed=True)
    target = Launch(("true",), env={"LD_PRELOAD": "/theirs.so"})
    launch = executor().target_launch(part, target, "uri")

    assert launch.env["LD_PRELOAD"] == f"{tmp_path / 'marker.so'}:/theirs.so"


# --- Python's allocator ---


@pytest.mark.parametrize(
    ("compat", "option", "variables"),
    [
        (Compat.NATIVE, "auto", {"PYTHONMALLOC": "pymalloc"}),
        (Compat.NATIVE, "malloc", {"PYTHONMALLOC": "malloc"}),
        (Compat.NATIVE, "default", {}),
        (Compat.CODSPEED, "auto", {"PYTHONMALLOC": "malloc"}),
        (Compat.CODSPEED, "pymalloc", {"PYTHONMALLOC": "pymalloc"}),
    ],
)
def test_the_allocator_follows_compat_and_option(
    tmp_path: Path, compat: Compat, option: str, variables: dict[str, str]
) -> None:
    under = executor(python_allocator=option)

    assert under.environment(part_of(tmp_path, compat=compat)) == variables


def test_a_free_threaded_python_keeps_its_own_allocator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = runtimes.Python(sys.executable, "", is_free_threaded=True)
    monkeypatch.setattr(runtimes, "ask_python", lambda *_: free)

    assert executor().environment(part_of(tmp_path, compat=Compat.CODSPEED)) == {}


# --- Before, after and again ---


def test_nothing_starts_while_there_are_uprobes(
    tmp_path: Path, stand_in: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = stand_in("3.19.0")
    monkeypatch.setattr(guard, "probed", lambda *_, **__: ["malloc"])

    with pytest.raises(ToolError):
        measured(part_of(tmp_path, "true"), executor())

    assert not calls.exists()


def test_uprobes_are_kept_away() -> None:
    assert executor().resources(None) == {"libc-probes": Sharing.SHARED}  # type: ignore[arg-type]  # the part is not looked at


def test_a_command_that_a_breakpoint_ends_is_explained(
    tmp_path: Path, stand_in: Callable[..., Path]
) -> None:
    stand_in("3.19.0")

    with pytest.raises(BenchmarkFailedError) as caught:
        measured(part_of(tmp_path, "sh", "-c", "kill -TRAP $$"), executor())

    assert "uprobe" in (caught.value.hint or "")


def test_a_file_that_was_cut_off_is_an_error(tmp_path: Path, stand_in: Callable[..., Path]) -> None:
    stand_in("3.19.0")
    part = part_of(tmp_path, "sh", "-c", "echo fn=x > $CODSPEED_PROFILE_FOLDER/7.out")

    with pytest.raises(ResultsError) as caught:
        measured(part, executor())

    assert "7.out" in caught.value.problem


def test_a_tool_that_valgrind_lacks_is_an_error(
    tmp_path: Path, stand_in: Callable[..., Path]
) -> None:
    stand_in("3.19.0")

    with pytest.raises(ToolError) as caught:
        measured(part_of(tmp_path, "true"), executor(simulation_tool="tracegrind"))

    assert "tracegrind" in caught.value.problem


def test_repeats_tell_what_is_not_deterministic(
    tmp_path: Path, stand_in: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = stand_in("3.19.0")

    def read(_part: RunPart, **_: Any) -> tuple[BenchmarkResult, ...]:
        runs = len(recorded(calls))
        return tuple(
            BenchmarkResult(uri, uri, (Metric("ir", value, "count", kind=Kind.EXACT),))
            for uri, value in (("steady", 5), ("moving", 100 * runs))
        )

    monkeypatch.setattr(reader, "read_results", read)
    part = part_of(tmp_path, "true")
    under = executor(repeat=3)
    outcome = measured(part, under)

    assert len(recorded(calls)) == 3
    (note,) = outcome.notes
    assert note.startswith("moving: not deterministic over 3 runs: ir 100 to 300")
    assert [len(result.notes) for result in under.results(part)] == [0, 1]


def test_no_repeat_at_all_is_refused() -> None:
    with pytest.raises(UsageError):
        executor(repeat=0)


# --- What it says of the numbers ---


@pytest.mark.parametrize(
    ("version", "options", "model"),
    [
        (("3.19.0",), {}, "callgrind-3.19.0-stock/l1-5-35@v1/native/pymalloc"),
        (("3.19.0",), {"cycle_model": "ir"}, "callgrind-3.19.0-stock/ir@v1/native/pymalloc"),
        (FORK, {}, "callgrind-3.26.0.codspeed6/l1-5-35@v1+ct/native/pymalloc"),
        (
            FORK,
            {"cycle_estimation": False, "python_allocator": "malloc"},
            "callgrind-3.26.0.codspeed6/l1-5-35@v1/native/malloc",
        ),
    ],
)
def test_the_model_names_what_moves_the_numbers(
    tmp_path: Path,
    stand_in: Callable[..., Path],
    version: tuple[str, ...],
    options: dict[str, Any],
    model: str,
) -> None:
    stand_in(*version)
    part = part_of(tmp_path, "true")
    under = executor(valgrind_flavour="codspeed" if version == FORK else "stock", **options)
    outcome = measured(part, under)

    assert under.measurement_model(attrs.evolve(part, outcome=outcome), outcome) == model
