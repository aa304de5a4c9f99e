"""What the shim can't see is named with the reason; nothing is lost in silence."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codspeed.model import Launch
from codspeed_memory import coverage
from codspeed_memory.raw import FOREIGN, OWN_MALLOC, Kind, Note

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(sys.executable).resolve()


def note(kind: Kind, pid: int, stamp: int, text: str = "/bin/prog", flags: int = 0) -> Note:
    return Note(kind, pid, 1, stamp, flags, text)


def test_a_program_that_attached_is_covered() -> None:
    notes = [note(Kind.EXEC, 7, 1), note(Kind.ATTACH, 7, 2), note(Kind.ATTACH, 8, 3)]

    assert coverage.gaps([*notes, note(Kind.SPAWN, 8, 4)]) == {}


def test_an_exec_that_failed_needs_no_cover() -> None:
    assert coverage.gaps([note(Kind.EXEC, 7, 1), note(Kind.EXEC_FAILED, 7, 2)]) == {}


@pytest.mark.parametrize("kind", [Kind.EXEC, Kind.SPAWN])
def test_a_program_that_did_not_attach_is_named(kind: Kind) -> None:
    notes = [note(Kind.ATTACH, 7, 1), note(kind, 9, 2, "/no/such")]

    assert coverage.gaps(notes) == {
        1: ("allocations of /no/such are not counted: it did not load the recorder",)
    }


@pytest.mark.parametrize(("flag", "said"), [(OWN_MALLOC, "own allocator"), (FOREIGN, "namespace")])
def test_what_a_program_says_of_itself_is_told(flag: int, said: str) -> None:
    ((sentence,),) = coverage.gaps([note(Kind.ATTACH, 7, 1, flags=flag)]).values()

    assert "/bin/prog" in sentence
    assert said in sentence


def test_scripts_are_judged_by_their_interpreter(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/usr/bin/env -S sh\n")

    assert coverage.interpreter_of(script) == Path(shutil.which("sh") or "")
    assert coverage.reason(script) is None


def test_a_damaged_program_is_of_no_known_format(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"\x7fELF\x01\x01 32 bits")

    assert coverage.reason(tmp_path / "old") == coverage.FOREIGN_FORMAT


def test_a_program_that_is_not_there_is_left_to_the_run() -> None:
    assert coverage.unseen(Launch(("/no/such/program",))) is None


@pytest.mark.process
def test_programs_are_classified(program: Callable[..., Path]) -> None:
    assert coverage.reason(program("behaviours")) is None
    assert coverage.reason(program("behaviours", "-static")) == coverage.STATIC
    assert coverage.reason(program("own_malloc")) == coverage.BRINGS_OWN


@pytest.mark.process
def test_raised_rights_are_noticed(program: Callable[..., Path], tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    raised = tmp_path / "raised"
    shutil.copy(program("behaviours"), raised)
    os.chown(raised, 65534, 65534)
    raised.chmod(0o755 | stat.S_ISUID)

    assert coverage.reason(raised) == coverage.PRIVILEGED


@pytest.mark.process
@pytest.mark.parametrize("flags", [(), ("-no-pie", "-fno-pic")], ids=["pie", "old style"])
def test_the_shim_notices_another_malloc(
    record: Callable[..., Any], program: Callable[..., Path], flags: tuple[str, ...]
) -> None:
    recorded = record(program("own_malloc", *flags))
    (sentences,) = coverage.gaps(recorded.notes).values()

    assert recorded.status == 0
    assert any("own allocator" in sentence for sentence in sentences)


@pytest.mark.process
def test_no_other_program_is_accused(
    record: Callable[..., Any], program: Callable[..., Path]
) -> None:
    """An old-style executable takes the address of malloc: the stub's, not ours."""
    recorded = record(program("edges", "-no-pie", "-fno-pic"), "leaf")

    assert coverage.gaps(recorded.notes) == {}


@pytest.mark.process
@pytest.mark.parametrize("how", ["exec {}", "{}; true", "env -i {}"])
def test_a_static_program_within_a_run_is_named(
    record: Callable[..., Any], program: Callable[..., Path], how: str
) -> None:
    static = program("behaviours", "-static")
    command = how.format(f"{static} malloc_free")
    recorded = record("bash", "-c", command)
    ((sentence,),) = coverage.gaps(recorded.notes).values()

    assert recorded.status == 0
    assert sentence == f"allocations of {static} are not counted: {coverage.STATIC}"


@pytest.mark.process
def test_a_program_whose_environment_was_cleared_is_named(
    record: Callable[..., Any], program: Callable[..., Path]
) -> None:
    dynamic = program("behaviours")
    recorded = record("env", "-i", dynamic, "malloc_free")

    assert coverage.gaps(recorded.notes) == {
        1: (f"allocations of {dynamic} are not counted: {coverage.UNKNOWN}",)
    }


@pytest.mark.tool
@pytest.mark.process
@pytest.mark.parametrize("library", ["jemalloc", "tcmalloc", "mimalloc"])
def test_allocators_with_their_own_operators_need_the_second_shim(
    record: Callable[..., Any], program: Callable[..., Path], tmp_path: Path, library: str
) -> None:
    """Spec 4.7's C++ workload; mimalloc is not counted twice as the reference does."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler: apt-get install g++")
    target = tmp_path / "workload"
    source = Path(__file__).with_name("programs") / "operators.cpp"
    # as-needed is the default of some: the program calls nothing of it by name.
    flags = ["-O1", "-Wl,--no-as-needed", f"-l{library}"]
    done = subprocess.run(
        [compiler, str(source), "-o", str(target), *flags], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no lib{library}: apt-get install lib{library}-dev (google-perftools)")
    recorded = record(target)
    marks = [i for i, event in enumerate(recorded.events) if event.size == 0xC0D59EED]
    events = [
        (Kind(event.kind).name, event.size) for event in recorded.events[marks[0] + 2 : marks[1]]
    ]

    assert events == [
        *(("MALLOC", 44_444), ("FREE", 0), ("MALLOC", 8), ("FREE", 0)),
        *(("MALLOC", 88_888), ("ALIGNED", 32_768), ("FREE", 0)),
        *(("ALIGNED", 16_384), ("FREE", 0)),
    ]
