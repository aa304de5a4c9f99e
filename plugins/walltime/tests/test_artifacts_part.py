"""Which parts get the service's files, from what, and what a failure costs."""

from __future__ import annotations

import errno
import json
import struct
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from codspeed.errors import BundleError
from codspeed.model import Compat, Integration, MarkerKind, Outcome, Timestamps, Window
from codspeed.testing import FakeSession, make_part
from codspeed_native import elf, perf_event, runtimes
from codspeed_native.perf_event import CPU_CLOCK, Sampling
from codspeed_walltime.artifacts import part as artifacts
from codspeed_walltime.artifacts.part import ServiceFiles, is_wanted
from codspeed_walltime.descriptor import WalltimeOptions
from codspeed_walltime.executor import WalltimeExecutor
from codspeed_walltime.profiler import PIPEDATA, SAMPLY_PROFILE, Choice, Profiler

SAMPLING = Sampling(CPU_CLOCK, has_kernel=False)
MEASURED = Outcome(
    status=0,
    integration=Integration("x", "1.0.0"),
    windows=(Window("u", (7,), 1, 9),),
    timestamps=Timestamps(((5, "u"),), ((MarkerKind.SAMPLE_START, 1),)),
)


class On(Profiler):
    kind = "perf"


# --- Which ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compat", "outcome", "profiler", "expected"),
    [
        pytest.param(Compat.CODSPEED, MEASURED, On(), True, id="for the service"),
        pytest.param(Compat.NATIVE, MEASURED, On(), False, id="nobody reads them"),
        pytest.param(Compat.CODSPEED, MEASURED, Profiler(), False, id="no profile"),
        pytest.param(
            Compat.CODSPEED, attrs.evolve(MEASURED, status=1), On(), False, id="not uploaded"
        ),
        pytest.param(
            Compat.CODSPEED, attrs.evolve(MEASURED, interrupted=True), On(), False, id="not whole"
        ),
    ],
)
def test_only_what_may_be_uploaded_with_a_profile_has_them(
    tmp_path: Path, compat: Compat, outcome: Outcome, profiler: Profiler, *, expected: bool
) -> None:
    part = make_part(tmp_path, ("true",), compat=compat)

    assert is_wanted(part, outcome, profiler) == expected


# --- From what ------------------------------------------------------------------------------------


def test_samply_has_all_but_the_names_of_the_benchmarks_in_its_own_file(tmp_path: Path) -> None:
    (tmp_path / SAMPLY_PROFILE).touch()
    missing = ServiceFiles(tmp_path, MEASURED, On(), since_ns=0).write()

    assert missing == ""
    assert (tmp_path / "walltime.metadata").read_bytes() == (
        b'{"version":1,"integration":["x","1.0.0"],"uri_by_ts":[[5,"u"]],"ignored_modules":[],'
        b'"markers":[{"SampleStart":1}]}'
    )


def _mapped(path: str) -> bytes:
    """Return the record of a process 7 that maps the code of a program, as the kernel writes it."""
    text = next(each for each in elf.read(Path(path)).segments if each.flags & 1)
    name = path.encode() + b"\0"
    name += bytes(-len(name) % 8)
    start, size = 0x5000_0000_0000 + text.address, -(-text.file_size // 4096) * 4096
    body = struct.pack("<IIQQQ24sII", 7, 7, start, size, text.offset, bytes(24), 5, 2)
    body += name + struct.pack("<IIQIIQ", 7, 7, 1, 0, 0, 1)  # the trailer: ids and time
    return struct.pack("<IHH", 10, 2, 8 + len(body)) + body


@pytest.mark.skipif(sys.platform != "linux", reason="it reads an ELF file of the system")
def test_what_was_mapped_is_known_without_reading_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "own_cache", lambda: None)
    program = str(Path(sys.executable).resolve())
    (tmp_path / PIPEDATA).touch()  # which can't be read
    profiler = On()
    profiler.side_band = _mapped(program), SAMPLING.attribute()
    missing = ServiceFiles(tmp_path, MEASURED, profiler, since_ns=0).write()
    document = json.loads((tmp_path / "walltime.metadata").read_bytes())

    assert missing == ""
    assert list(document["path_key_to_path"].values()) == [program]
    assert list(document["mapped_process_module_symbols"]) == ["7"]


def test_interpreters_are_asked_only_where_they_may_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ask(name: str) -> Any:
        def objects() -> tuple[str, ...]:
            asked.append(name)
            return (f"/lib/{name}",)

        return objects

    monkeypatch.setattr(runtimes, "python_objects", ask("libpython3.so"))
    monkeypatch.setattr(runtimes, "node_objects", ask("nodejs"))
    node = tmp_path / "node"
    node.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    files = ServiceFiles(tmp_path, MEASURED, On(), since_ns=0)
    found = [
        files._interpreters([path])
        for path in ("/bin/x", "/lib/libpython3.so", "/opt/nodejs", str(node.resolve()))
    ]

    assert found == [[], ["/lib/libpython3.so"], ["/lib/nodejs"], [str(node.resolve())]]
    assert asked == ["libpython3.so", "nodejs"]


# --- Failures -------------------------------------------------------------------------------------


def _executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Outcome, Path]:
    """Measure with a profiler that leaves a recording which nobody can understand."""

    class Broken(On):
        def prepare(self, _session: Any, folder: Path) -> None:
            (folder / PIPEDATA).write_bytes(b"nonsense")

    monkeypatch.setattr(perf_event, "choose", lambda: SAMPLING)
    made = WalltimeExecutor(WalltimeOptions())
    part = make_part(tmp_path, ("true",), compat=Compat.CODSPEED)
    made.environment(part)
    made._choice = Choice(Broken)
    return made.measure(part, FakeSession(MEASURED)), tmp_path


def test_what_can_t_be_described_costs_the_flame_graph_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome, folder = _executed(tmp_path, monkeypatch)
    (note,) = [note for note in outcome.notes if note.startswith("an upload has no flame graph")]

    assert "no recording of perf" in note
    assert outcome.windows == MEASURED.windows
    assert not (folder / "walltime.metadata").exists()


def test_a_full_disk_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artifacts, "write_metadata", full)
    (tmp_path / SAMPLY_PROFILE).touch()
    with pytest.raises(BundleError, match="No space left on device") as caught:
        ServiceFiles(tmp_path, MEASURED, On(), since_ns=0).write()

    assert caught.value.hint == "free space there or name another folder with --profile-folder"
