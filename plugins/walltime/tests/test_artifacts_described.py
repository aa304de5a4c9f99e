"""What is told of a module is kept, and told anew as soon as the module could be another one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from codspeed_native import elf
from codspeed_walltime.artifacts import described
from codspeed_walltime.artifacts.described import Described, describe

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.tool

SOURCE = "int f(int x) { return x; }\nint main(void) { return f(0); }\n"


def _build(folder: Path, source: str = SOURCE, *flags: str) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    (folder / "source.c").write_text(source)
    subprocess.run(["gcc", "-g", *flags, "source.c", "-o", "program"], cwd=folder, check=True)
    return folder / "program"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def _told(program: Path, cache: Path | None) -> Described:
    return describe(str(program), elf.read(program), None, cache=cache)


def test_symbols_and_lines_of_a_program(tmp_path: Path) -> None:
    program = _build(tmp_path)
    told = _told(program, None)
    at = {each.name: each for each in elf.read(program).functions()}["f"]
    entry = json.loads(told.debug)

    assert f"{at.address:x} {at.size:x} f".encode() in told.symbols.splitlines()
    assert told.first <= at.address < told.end
    lines = {each["name"]: each["line"] for each in entry["debug_infos"]}
    assert (lines["f"], lines["main"]) == (1, 2)
    assert entry["object_path"] == str(program)


def test_a_program_without_symbols_has_nothing_to_tell(tmp_path: Path) -> None:
    program = _build(tmp_path, "void _start(void) {}", "-nostdlib", "-static", "-s")

    assert _told(program, None) == Described()


def test_what_was_told_is_not_read_again(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = _build(tmp_path)
    first = _told(program, cache)
    monkeypatch.setattr(described, "_described", lambda *_: pytest.fail("read again"))

    assert _told(program, cache) == first


def test_another_program_in_its_place_is_read_also_if_size_and_time_are_the_same(
    tmp_path: Path, cache: Path
) -> None:
    program = _build(tmp_path)
    _told(program, cache)
    before = program.stat()
    _build(tmp_path, SOURCE.replace("f(", "g("))
    os.utime(program, ns=(before.st_atime_ns, before.st_mtime_ns))
    elf._read.cache_clear()
    told = _told(program, cache)

    assert program.stat().st_size == before.st_size
    assert b" g\n" in told.symbols


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x94\x01\x02\x03\x04", b"\x07"]
)
def test_a_damaged_entry_is_made_anew(tmp_path: Path, cache: Path, data: bytes) -> None:
    program = _build(tmp_path)
    first = _told(program, cache)
    (kept,) = cache.iterdir()
    kept.write_bytes(data)

    assert _told(program, cache) == first
    assert kept.read_bytes() != data


def test_an_entry_that_others_could_write_is_not_believed(tmp_path: Path, cache: Path) -> None:
    program = _build(tmp_path)
    first = _told(program, cache)
    (kept,) = cache.iterdir()
    data = kept.read_bytes()
    kept.write_bytes(data.replace(b" main\n", b" evil\n"))
    kept.chmod(0o666)

    assert _told(program, cache) == first


def test_a_cache_that_can_t_be_written_costs_only_time(tmp_path: Path) -> None:
    program = _build(tmp_path)

    assert _told(program, tmp_path / "gone") == _told(program, None)


def test_what_was_used_least_recently_makes_room(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(3):
        (cache / f"old{index}").write_bytes(bytes(1000))
        os.utime(cache / f"old{index}", (index, index))
    monkeypatch.setattr(described, "_LARGEST_CACHE_BYTES", 2500)
    _told(_build(tmp_path), cache)
    old = sorted(path.name for path in cache.iterdir() if path.name.startswith("old"))

    assert old == ["old2"]
    assert len(list(cache.iterdir())) == 2


def test_the_user_s_cache_is_used_and_where_there_is_none_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = described.own_cache()
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))

    assert found == tmp_path / "codspeed" / f"native-{os.geteuid()}" / "modules"
    assert described.own_cache() is None
