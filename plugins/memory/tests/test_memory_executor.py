"""The executor as core uses it: the contract, and what it says and refuses before a run."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from codspeed.errors import ResultsError, ToolError
from codspeed.model import Compat, Kind, Launch, Outcome, Sharing, Window
from codspeed.testing.contract import ExecutorContract
from codspeed.testing.parts import make_part
from codspeed_memory import summary
from codspeed_memory.descriptor import MemoryOptions, descriptor
from codspeed_memory.ebpf import rights
from codspeed_memory.ebpf.syscalls import ProbesRefusedError
from codspeed_memory.executor import MemoryExecutor
from codspeed_memory.recording import Recording
from codspeed_memory.summary import Measured, Summary
from codspeed_memory.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from codspeed.model import RunPart, System
    from codspeed.protocols import ExecutorDescriptor, Hooks

OUTCOME = Outcome(0)


class TestMemoryExecutor(ExecutorContract):
    pytestmark = pytest.mark.process

    @pytest.fixture
    def descriptor(self) -> ExecutorDescriptor:
        return descriptor

    @pytest.fixture
    def executor(self) -> MemoryExecutor:
        return MemoryExecutor(MemoryOptions())


def left(folder: Path, *windows: Measured, dropped: int = 0) -> Summary:
    done = Summary("shim", "malloc", windows=windows, dropped=dropped)
    summary.save(done, folder)
    return done


def window(uri: str | None = "a::b", *, gaps: tuple[str, ...] = (), **figures: Any) -> Measured:
    return Measured(uri, 1, 2, attrs.evolve(Usage(), **figures), gaps)


def test_the_table_shows_four_figures(tmp_path: Path) -> None:
    left(tmp_path, window(peak=10, total=30, allocations=3, leaked=4))

    (result,) = MemoryExecutor().results(make_part(tmp_path))

    shown = {metric.label: metric.value for metric in result.metrics if metric.label}
    assert shown == {"Peak memory": 10, "Total allocated": 30, "Allocations": 3, "Leaked": 4}
    assert result.headline is not None
    assert (result.headline.name, result.headline.kind) == ("peak_memory", Kind.EXACT)


def test_windows_of_one_benchmark_are_summed_but_for_the_peak(tmp_path: Path) -> None:
    left(tmp_path, window(peak=10, total=30), window(None, peak=99), window(peak=20, total=5))

    (result,) = MemoryExecutor().results(make_part(tmp_path))

    values = {metric.name: metric.value for metric in result.metrics}
    assert (values["peak_memory"], values["total_allocated"]) == (20, 35)
    assert "2 windows" in result.notes[0]


def test_what_was_not_seen_is_said(tmp_path: Path) -> None:
    left(tmp_path, window(gaps=("allocations of x are not counted: why",)), dropped=3)

    (result,) = MemoryExecutor().results(make_part(tmp_path))

    assert result.notes == (
        "3 allocation events of this run were lost: the figures are too low",
        "allocations of x are not counted: why",
    )


def test_a_summary_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / summary.FILE).write_text('{"backend": 7}')

    with pytest.raises(ResultsError):
        MemoryExecutor().results(make_part(tmp_path))


@pytest.mark.parametrize(
    ("option", "compat", "expected"),
    [
        ("auto", Compat.NATIVE, "memory/1/shim/native/malloc"),
        ("auto", Compat.CODSPEED, "memory/1/shim/codspeed/default"),
        ("pymalloc", Compat.NATIVE, "memory/1/shim/native/pymalloc"),
    ],
)
def test_the_model_names_the_allocator(
    tmp_path: Path, option: str, compat: Compat, expected: str
) -> None:
    executor = MemoryExecutor(MemoryOptions(python_allocator=option))

    assert executor.measurement_model(make_part(tmp_path, compat=compat), OUTCOME) == expected


@pytest.mark.parametrize(
    ("compat", "expected"), [(Compat.NATIVE, {"PYTHONMALLOC": "malloc"}), (Compat.CODSPEED, {})]
)
def test_the_reference_leaves_pythons_allocator_alone(
    tmp_path: Path, compat: Compat, expected: dict[str, str]
) -> None:
    assert MemoryExecutor().environment(make_part(tmp_path, compat=compat)) == expected


@pytest.mark.process
def test_only_the_target_is_recorded_not_its_harness(
    tmp_path: Path, compiler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_PRELOAD", "")
    part = make_part(tmp_path, harnessed=True)
    executor = MemoryExecutor()

    launch = executor.target_launch(part, Launch(("true",), env={"PYTHONMALLOC": "x"}), "uri")

    assert executor.environment(part) == {}
    assert launch.env["PYTHONMALLOC"] == "x", "the user's own wins"
    assert Path(launch.env["LD_PRELOAD"]).name.startswith("memory-shim")


@pytest.mark.process
def test_what_the_user_preloads_stays(
    tmp_path: Path, compiler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_PRELOAD", "libtheirs.so")

    launch = MemoryExecutor().target_launch(make_part(tmp_path), Launch(("true",)), "uri")

    assert launch.env["LD_PRELOAD"].endswith(":libtheirs.so")


@pytest.mark.process
def test_a_static_program_is_refused_before_it_runs(
    tmp_path: Path, program: Callable[..., Path]
) -> None:
    static = program("behaviours", "-static")
    part = make_part(tmp_path, (str(static), "malloc_free"))
    executor = MemoryExecutor(MemoryOptions(memory_backend="shim"))

    with pytest.raises(ToolError, match="statically linked") as caught:
        executor.measure(part, None)  # type: ignore[arg-type] # it is not asked

    assert str(static) in caught.value.problem
    assert "--memory-backend auto" in str(caught.value)


@pytest.mark.process
@pytest.mark.parametrize("backend", ["auto", "ebpf"])
def test_a_static_program_without_symbols_is_refused_whatever_the_rights(
    tmp_path: Path, program: Callable[..., Path], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "lacking", lambda: None)
    stripped = program("behaviours", "-static", "-s")
    part = make_part(tmp_path, (str(stripped), "malloc_free"))
    executor = MemoryExecutor(MemoryOptions(memory_backend=backend))

    with pytest.raises(ToolError, match="no symbols"):
        executor.measure(part, None)  # type: ignore[arg-type] # it is not asked


@pytest.mark.process
@pytest.mark.parametrize("flags", [("behaviours", "-static"), ("own_malloc",)])
def test_auto_says_which_rights_would_show_a_program(
    tmp_path: Path,
    program: Callable[..., Path],
    flags: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rights, "lacking", lambda: ProbesRefusedError("it lacks CAP_BPF"))
    part = make_part(tmp_path, (str(program(*flags)),))

    with pytest.raises(ToolError, match="uprobes would see it, but it lacks CAP_BPF"):
        MemoryExecutor().measure(part, None)  # type: ignore[arg-type] # it is not asked


@pytest.mark.parametrize(("backend", "held"), [("ebpf", True), ("auto", False), ("shim", False)])
def test_only_probes_in_the_c_library_keep_valgrind_away(
    tmp_path: Path, backend: str, *, held: bool
) -> None:
    resources = MemoryExecutor(MemoryOptions(memory_backend=backend)).resources(make_part(tmp_path))

    assert resources.get("libc-probes") == (Sharing.EXCLUSIVE if held else None)


@pytest.mark.parametrize("backend", ["ebpf", "shim+ebpf"])
def test_the_model_names_what_recorded(tmp_path: Path, backend: str) -> None:
    summary.save(Summary(backend, "malloc"), tmp_path)

    model = MemoryExecutor().measurement_model(make_part(tmp_path), OUTCOME)

    assert model == f"memory/1/{backend}/native/malloc"


def test_other_systems_are_told_why(system: System) -> None:
    macos = descriptor.support(attrs.evolve(system, os="macos"))
    riscv = descriptor.support(attrs.evolve(system, arch="riscv64"))

    assert "Linux" in macos.reason
    assert "riscv64" in riscv.reason


class OtherBackend:
    """The seam for another way to record: here one that loses events."""

    name = "other"

    def __init__(self, file: Any) -> None:
        self._file = file

    def target_launch(self, target: Launch) -> Launch:
        return target

    def uncovered(self, launch: Launch) -> str | None:
        return None

    @contextlib.contextmanager
    def armed(self, part: RunPart, session: Any) -> Iterator[Launch]:
        yield part.launch

    def spawned(self, pid: int) -> None:
        assert pid == 77

    def enable(self, window: int) -> int:
        return 10 * window

    def disable(self) -> int:
        return 1 << 60

    def finish(self) -> Recording:
        return Recording(file=self._file, dropped=3)


class OneWindow:
    """A session whose command is one benchmark."""

    def run(self, launch: Launch, hooks: Hooks) -> Outcome:
        hooks.spawned(77)
        hooks.started()
        hooks.stopped()
        hooks.benchmark(77, "a::b")
        return Outcome(0, windows=(Window("a::b", (77,), 11, 12),))


@pytest.mark.process
@pytest.mark.parametrize("is_allowed", [False, True])
def test_a_run_that_lost_events_fails_unless_that_is_accepted(
    tmp_path: Path, compiler: str, *, is_allowed: bool
) -> None:
    part = make_part(tmp_path / "part", ("true",))
    executor = MemoryExecutor(MemoryOptions(allow_dropped=is_allowed))
    with tempfile.TemporaryFile() as file:
        executor._backends[part.index] = OtherBackend(file)
        failing: Any = contextlib.nullcontext() if is_allowed else pytest.raises(ToolError)
        with failing:
            executor.measure(part, OneWindow())  # type: ignore[arg-type]  # a fake with what is used

    (result,) = executor.results(part)
    assert "3 allocation events of this run were lost" in result.notes[0]
    assert (part.folder / "results" / "77.MemtrackArtifact.msgpack").exists()
