"""Compiling C sources into a cache that only its owner can write to."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from codspeed.errors import ToolError
from codspeed_native import build

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.tool


@pytest.fixture(autouse=True)
def _needs_a_compiler() -> None:
    if not any(map(shutil.which, build.COMPILERS)):
        pytest.skip("no C compiler is installed")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "answer.c"
    path.write_text("int answer(void) { return 42; }\nint main(void) { return answer(); }\n")
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_a_program_is_compiled_and_runs(source: Path, cache: Path) -> None:
    program = build.compiled(source, name="answer", shared=False, cache=cache)

    assert program.parent == cache
    assert program.name.startswith("answer-")
    assert subprocess.run([program], check=False).returncode == 42


def test_a_library_is_compiled_and_loads(source: Path, cache: Path) -> None:
    library = build.compiled(source, name="answer", shared=True, cache=cache)

    assert library.suffix == ".so"
    assert ctypes.CDLL(str(library)).answer() == 42


def test_it_is_compiled_once_for_the_same_source_and_flags(source: Path, cache: Path) -> None:
    def make(*flags: str) -> Path:
        return build.compiled(source, name="answer", shared=True, flags=flags, cache=cache)

    first = make()
    written = first.stat().st_mtime_ns

    assert make() == first
    assert first.stat().st_mtime_ns == written
    assert make("-DX=1") != first
    source.write_text("int answer(void) { return 43; }\n")
    assert ctypes.CDLL(str(make())).answer() == 43


def test_headers_lie_beside_the_source_and_count(source: Path, cache: Path, tmp_path: Path) -> None:
    header = tmp_path / "elsewhere" / "number.h"
    header.parent.mkdir()
    header.write_text("#define NUMBER 7\n")
    source.write_text('#include "number.h"\nint answer(void) { return NUMBER; }\n')

    def make() -> Path:
        return build.compiled(source, name="a", shared=True, headers=[header], cache=cache)

    first = make()
    header.write_text("#define NUMBER 8\n")

    assert ctypes.CDLL(str(first)).answer() == 7
    assert ctypes.CDLL(str(make())).answer() == 8


def test_flags_stand_behind_the_source(cache: Path, source: Path) -> None:
    source.write_text("double sqrt(double);\ndouble answer(double x) { return sqrt(x); }\n")

    library = build.compiled(
        source, name="m", shared=True, flags=["-Wl,-z,defs", "-lm"], cache=cache
    )

    assert library.is_file()


def test_a_refused_source_is_an_error_with_what_the_compiler_said(
    source: Path, cache: Path
) -> None:
    source.write_text("int answer(void) { return nothing; }\n")

    with pytest.raises(ToolError, match="failed with status 1") as caught:
        build.compiled(source, name="answer", shared=True, cache=cache)

    assert "nothing" in caught.value.problem
    assert list(cache.iterdir()) == []


def test_without_a_compiler_the_package_is_named(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(ToolError, match="no C compiler is on PATH") as caught:
        build.compiled(source, name="answer", shared=True, cache=cache)

    assert "apt-get install gcc libc6-dev" in (caught.value.hint or "")


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757])
def test_a_folder_that_others_may_write_to_is_not_used(
    source: Path, cache: Path, mode: int
) -> None:
    cache.mkdir()
    cache.chmod(mode)

    with pytest.raises(ToolError, match="others may write to it"):
        build.compiled(source, name="answer", shared=True, cache=cache)


def test_a_link_is_no_folder(source: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    cache.symlink_to(tmp_path / "real")

    with pytest.raises(ToolError, match="it is no folder"):
        build.compiled(source, name="answer", shared=True, cache=cache)


def test_a_result_that_others_may_write_to_is_made_again(source: Path, cache: Path) -> None:
    library = build.compiled(source, name="answer", shared=True, cache=cache)
    library.write_bytes(b"planted")
    library.chmod(0o777)

    again = build.compiled(source, name="answer", shared=True, cache=cache)

    assert again == library
    assert ctypes.CDLL(str(again)).answer() == 42


def test_the_users_cache_comes_first(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))

    library = build.compiled(source, name="answer", shared=True)

    assert library.is_relative_to(tmp_path / "xdg" / "codspeed")


def test_a_cache_that_cannot_be_made_is_replaced_by_the_temporary_folder(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "temp").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temp"))

    library = build.compiled(source, name="answer", shared=True)

    assert library.is_relative_to(tmp_path / "temp")
