"""Which profiler is chosen, what it leaves, and what is made of it; pure where it can be."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from codspeed.errors import ResultsError, ToolError
from codspeed.model import CallTree, Compat, Frame, Integration, Launch, Outcome, Window
from codspeed.testing import FakeSession, make_part
from codspeed_native import perf_event
from codspeed_native.perf_event import CPU_CLOCK, Sampling, SamplingRefusedError
from codspeed_walltime import folding, perf_record, profiler, profiles
from codspeed_walltime.builtin import Builtin
from codspeed_walltime.descriptor import WalltimeOptions
from codspeed_walltime.executor import WalltimeExecutor
from codspeed_walltime.leftovers import keep_jit_names, recent_pids
from codspeed_walltime.samply import Samply

if TYPE_CHECKING:
    from pathlib import Path

SAMPLING = Sampling(CPU_CLOCK, has_kernel=False)


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perf_event, "choose", lambda: SAMPLING)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def choose() -> Sampling:
        problem = "the kernel refuses to sample: no"
        raise SamplingRefusedError(problem, hint="sudo sysctl -w x=2")

    monkeypatch.setattr(perf_event, "choose", choose)
    monkeypatch.setattr(profiler, "can_elevate_without_prompt", lambda: False)


# --- The choice -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(
    ("options", "is_on"),
    [
        ({}, True),
        ({"walltime_profiler": "builtin"}, True),
        ({"walltime_profiler": "none"}, False),
        ({"enable_profiler": False}, False),
        ({"enable_profiler": False, "enable_perf": "true"}, True),
        ({"enable_profiler": True, "enable_perf": "false"}, False),
        ({"profile_pass": "off"}, False),
    ],
)
def test_the_old_option_is_stronger_and_each_can_switch_it_off(
    tmp_path: Path, options: dict[str, Any], *, is_on: bool
) -> None:
    choice = profiler.choose(WalltimeOptions(**options), make_part(tmp_path))

    assert choice.is_on == is_on
    assert choice.make().is_on == is_on


@pytest.mark.usefixtures("refused")
def test_a_kernel_that_refuses_costs_the_profile_and_is_explained(tmp_path: Path) -> None:
    made = WalltimeExecutor()
    part = make_part(tmp_path, ("true",))
    environment = made.environment(part)
    outcome = made.measure(part, FakeSession(Outcome(status=0)))

    assert environment["PYTHON_PERF_JIT_SUPPORT"] == "0"
    assert "no profile: the kernel refuses to sample: no; sudo sysctl -w x=2" in outcome.notes
    assert "profiler=none/trampoline=off" in made.measurement_model(part, outcome)


@pytest.mark.usefixtures("refused")
def test_with_root_at_hand_a_helper_opens_the_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiler, "can_elevate_without_prompt", lambda: True)
    monkeypatch.setattr(profiler, "is_root", lambda: False)
    choice = profiler.choose(WalltimeOptions(), make_part(tmp_path))

    assert choice.make().name == "builtin-cpu-clock:u"
    assert not choice.note


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(
    ("options", "compat", "value"),
    [
        ({}, Compat.NATIVE, "1"),
        ({"walltime_profiler": "none"}, Compat.NATIVE, "0"),
        ({"profile_pass": "separate"}, Compat.NATIVE, "0"),
        ({"walltime_profiler": "none"}, Compat.CODSPEED, "1"),
    ],
)
def test_python_s_trampoline_is_on_only_where_somebody_looks(
    tmp_path: Path, options: dict[str, Any], compat: Compat, value: str
) -> None:
    made = WalltimeExecutor(WalltimeOptions(**options))
    environment = made.environment(make_part(tmp_path, ("true",), compat=compat))

    assert environment["PYTHON_PERF_JIT_SUPPORT"] == value


def test_pytest_codspeed_has_the_trampoline_on_by_itself(tmp_path: Path) -> None:
    made = WalltimeExecutor(WalltimeOptions(walltime_profiler="none"))
    outcome = Outcome(status=0, integration=Integration("pytest-codspeed", "5.0.4"))

    assert "/trampoline=on/" in made.measurement_model(make_part(tmp_path), outcome)


@pytest.mark.parametrize("name", ["perf", "samply"])
def test_a_program_that_was_asked_for_and_is_missing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=f"there is no {name} on PATH"):
        profiler.choose(WalltimeOptions(walltime_profiler=name), make_part(tmp_path))


@pytest.mark.parametrize(
    ("command", "mode", "compat", "expected"),
    [
        (("x",), "fp", Compat.NATIVE, "fp"),
        (("pytest",), "dwarf", Compat.NATIVE, "dwarf,8192"),
        (("x",), "", Compat.NATIVE, "dwarf,32768"),
        (("x",), "", Compat.CODSPEED, "dwarf,8192"),
        (("bash", "-c", "cd a;/usr/bin/pytest b"), "", Compat.CODSPEED, "dwarf,32768"),
        (("bash", "-c", "mvn test"), "", Compat.CODSPEED, "fp"),
        (("cargo", "bench", "go"), "", Compat.CODSPEED, "dwarf,8192"),
        (("cargo-codspeed", "run"), "", Compat.CODSPEED, "dwarf,8192"),
        (("go", "test"), "", Compat.CODSPEED, "fp"),
    ],
)
def test_perf_walks_the_stack_as_fits_the_command(
    tmp_path: Path, command: tuple[str, ...], mode: str, compat: Compat, expected: str
) -> None:
    part = make_part(tmp_path, command, compat=compat)

    assert perf_record.call_graph(part, mode) == expected


@pytest.fixture
def fake_perf(tmp_path: Path) -> str:
    """A perf that knows the option about BPF programs, and was built with zstd."""
    program = tmp_path / "perf"
    program.write_text("#!/bin/sh\necho '  --no-bpf-event  x'; echo 'zstd: [ on  ]  # HAVE_ZSTD'\n")
    program.chmod(0o700)
    return str(program)


def test_perf_lingers_for_no_bpf_program_and_begins_switched_off(
    tmp_path: Path, fake_perf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CODSPEED_PERF_DISABLE_COMPRESSION", raising=False)
    made = perf_record.PerfRecord(fake_perf, "cpu-clock", "fp")
    argv = made.wrap(Launch(("true",)), tmp_path).argv
    made.stop()

    assert {"--no-bpf-event", "--compression-level=3", "--delay=-1"} <= set(argv)


def test_a_window_switches_the_event_that_samples_and_leaves_the_one_that_tells_of_maps(
    fake_perf: str,
) -> None:
    made = perf_record.PerfRecord(fake_perf, "cpu-clock", "fp")
    os.write(made._acknowledged, b"ack\n\0ack\n\0")
    made.enable()
    made.disable()
    told = os.read(made._control, 100)
    made.stop()

    assert told == b"enable cpu-clock\n\0disable cpu-clock\n\0"
    assert made.notes == ()


def test_samply_gets_the_flag_that_it_knows(tmp_path: Path) -> None:
    program = tmp_path / "samply"
    program.write_text("#!/bin/sh\necho '      --unstable-presymbolicate'\n")
    program.chmod(0o700)
    launch = Samply(str(program)).wrap(Launch(("true",)), tmp_path)

    assert launch.argv[:3] == (str(program), "record", "--unstable-presymbolicate")
    assert launch.argv[-2:] == ("--", "true")


# --- What goes wrong while it samples -------------------------------------------------------------


def test_a_refusal_after_the_start_is_noted_and_takes_only_the_profile(tmp_path: Path) -> None:
    def opener(pid: int, cpus: object, attributes: object) -> list[int]:
        problem = "no"
        raise SamplingRefusedError(problem)

    made = Builtin(SAMPLING, opener=opener)
    made.prepare(FakeSession(Outcome(status=0)), tmp_path)
    made.start(os.getpid())
    made.enable()
    made.disable()
    made.stop()

    assert made.notes == ("no profile: no",)
    assert not made.is_on


def test_a_full_disk_is_noted_and_takes_only_the_profile(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def write(self, _data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    made = Builtin(SAMPLING)
    made.prepare(FakeSession(Outcome(status=0)), tmp_path)
    assert made._writer is not None
    made._writer._file = Full()
    made._drain()
    made.stop()

    assert made.notes == ("no profile: perf.pipedata can't be written: No space left on device",)


# --- Names that JITs left -------------------------------------------------------------------------


def test_maps_of_this_run_are_copied_and_older_ones_of_the_same_number_are_not(
    tmp_path: Path,
) -> None:
    shared, folder = tmp_path / "shared", tmp_path / "folder"
    shared.mkdir()
    folder.mkdir()
    (shared / "perf-7.map").write_text("new")
    (shared / "jit-7.dump").write_text("dump")
    (shared / "perf-8.map").write_text("old")
    os.utime(shared / "perf-8.map", ns=(1, 1))
    keep_jit_names(folder, [7, 8, 9], since_ns=1000, shared=shared)

    assert sorted(path.name for path in folder.iterdir()) == ["jit-7.dump", "perf-7.map"]


def test_processes_of_ours_are_known_by_what_they_left_since(tmp_path: Path) -> None:
    for name in ("perf-7.map", "jit-8.dump", "perf-9.map", "perf-x.map", "perf-10.map.old"):
        (tmp_path / name).touch()
    os.utime(tmp_path / "perf-9.map", ns=(1, 1))
    (tmp_path / "perf-11.map").symlink_to(tmp_path / "perf-x.map")
    os.utime(tmp_path / "perf-11.map", ns=(1, 1), follow_symlinks=False)

    assert recent_pids(since_ns=1000, shared=tmp_path) == {7, 8}
    assert recent_pids(since_ns=1000, shared=tmp_path / "gone") == frozenset()


# --- Trees ----------------------------------------------------------------------------------------


def test_a_moment_belongs_to_the_round_it_lies_in_or_to_a_window_without_rounds() -> None:
    spans = folding._Spans([
        Window("a", (), 0, 100, ((10, 20), (30, 40))),
        Window("b", (), 200, 300),
        Window(None, (), 400, 500),
    ])  # fmt: skip
    found = [spans.uri_at(time) for time in (5, 10, 20, 25, 35, 99, 250, 450)]

    assert found == [None, "a", "a", None, "a", None, "b", None]


def test_profiles_come_back_as_they_were() -> None:
    leaf = Frame("f", "/lib/x.so", "python", "a.py:3")
    tree = CallTree("samples", {(Frame("main"), leaf): 3, (leaf,): 1})
    made = profiles.Profiles({"a::b": tree, "c": CallTree("samples", {})}, 4, 1, 2)

    assert profiles.load(profiles.dump(made), where="x") == made


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x01", b"\x81\xa7version\x09"])
def test_a_damaged_file_is_an_error_and_no_crash(tmp_path: Path, data: bytes) -> None:
    (tmp_path / profiles.FOLDED).write_bytes(data)
    with pytest.raises(ResultsError, match="holds no profiles"):
        profiles.read(tmp_path)


def test_without_a_recording_there_is_no_profile(tmp_path: Path) -> None:
    part = make_part(tmp_path, outcome=Outcome(status=0))

    assert WalltimeExecutor().profile(part, "a") is None


@pytest.mark.tool
@pytest.mark.parametrize("name", ["perf", "builtin"])
def test_the_command_keeps_its_standard_output(tmp_path: Path, name: str) -> None:
    if shutil.which("perf") is None:
        pytest.skip("perf is not on PATH")
    part = make_part(tmp_path, ("echo", "hello"))
    try:
        made = profiler.choose(WalltimeOptions(walltime_profiler=name), part).make()
    except ToolError as missing:
        pytest.skip(f"{missing}")
    launch = made.wrap(part.launch, tmp_path)
    done = subprocess.run(launch.argv, capture_output=True, text=True, check=False)
    made.stop()

    assert done.stdout == "hello\n"
