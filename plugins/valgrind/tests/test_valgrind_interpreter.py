from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from codspeed.model import Launch
from codspeed_native import elf, runtimes
from codspeed_valgrind import interpreter, venv

pytestmark = pytest.mark.process


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Return another name of this Python in a folder of its own."""
    path = tmp_path / "bin" / "python3.99"
    path.parent.mkdir()
    path.symlink_to(sys.executable)
    return path


def script(path: Path, shebang: str) -> Path:
    path.write_text(f"{shebang}\n")
    path.chmod(0o755)
    return path


# --- Which program runs ---


def test_the_interpreter_of_a_script_is_what_runs(tmp_path: Path, python: Path) -> None:
    word = str(script(tmp_path / "pytest", f"#!{python} -P"))

    assert interpreter.interpreter_of(word, search_path="", cwd=None) == str(python)


@pytest.mark.parametrize(
    "line", ["env python3.99", "env -S python3.99 -P", "env -S A=b python3.99"]
)
def test_env_in_a_script_is_looked_through(tmp_path: Path, python: Path, line: str) -> None:
    word = str(script(tmp_path / "tool", f"#!/usr/bin/{line}"))
    found = interpreter.interpreter_of(word, search_path=str(python.parent), cwd=None)

    assert found == str(python)


def test_a_relative_program_is_seen_from_the_working_folder(tmp_path: Path) -> None:
    script(tmp_path / "run", "#!/bin/sh")

    assert interpreter.interpreter_of("./run", search_path="", cwd=tmp_path) == "/bin/sh"


def test_a_program_that_does_not_exist_is_none(tmp_path: Path) -> None:
    assert interpreter.interpreter_of("./gone", search_path="", cwd=tmp_path) is None
    assert interpreter.interpreter_of("gone", search_path="", cwd=tmp_path) is None


# --- Which Pythons a command names ---


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(("{python}", "-m", "pytest"), id="program"),
        pytest.param(("bash", "-c", "cd x && A=b {python} -m pytest"), id="shell text"),
        pytest.param(("bash", "-c", "{python} -c 'an unclosed quote"), id="odd shell text"),
    ],
)
def test_the_python_of_a_command_is_found(python: Path, argv: tuple[str, ...]) -> None:
    words = tuple(word.format(python=python) for word in argv)
    (found,) = interpreter.of_command(Launch(words), os.environ)

    assert os.path.realpath(found.executable) == os.path.realpath(sys.executable)


def test_a_program_that_is_no_python_is_not_asked(tmp_path: Path) -> None:
    assert interpreter.of_command(Launch(("sh", "-c", "python3")), os.environ) == ()


def test_a_library_that_a_python_does_not_load_is_not_its_runtime(tmp_path: Path) -> None:
    """Debian's python3 has all functions in itself, and a libpython lies beside it."""
    (tmp_path / "libpython9.so").touch()
    true = shutil.which("true")
    assert true is not None

    found = runtimes.Python(true, str(tmp_path / "libpython9.so"), is_free_threaded=False)

    assert found.runtime == os.path.realpath(true)


def test_a_python_says_what_it_can_do(tmp_path: Path) -> None:
    answer = "/p/python\\n/l/libp.so\\n1\\n0"
    word = str(script(tmp_path / "python3t", f"#!/bin/sh\nprintf '{answer}'"))

    assert runtimes.ask_python(word) == runtimes.Python(
        "/p/python", "/l/libp.so", is_free_threaded=True, names_frames=False
    )


# --- Symbols ---


@pytest.mark.tool
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler: install gcc")
def test_all_functions_of_a_file_are_listed(tmp_path: Path) -> None:
    source = tmp_path / "x.c"
    source.write_text(
        "static int hidden(int a) { return a * a; }\n"
        "int shown(int a) { return hidden(a) + hidden(a + 1); }\nint number = 3;\n"
    )
    library = tmp_path / "x.so"
    subprocess.run(("cc", "-O0", "-shared", "-fPIC", "-o", library, source), check=True)

    names = interpreter.runtime_symbols(str(library))

    assert {"hidden", "shown"} <= set(names)
    assert "number" not in names
    assert names == sorted(set(names))


def test_a_file_that_is_no_program_has_no_functions(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("text")

    assert interpreter.runtime_symbols(str(tmp_path / "x")) == []
    assert interpreter.runtime_symbols(str(tmp_path / "gone")) == []


# --- Virtual environments ---


def test_a_venv_without_libpython_gets_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, own = tmp_path / "real", tmp_path / "venv"
    for folder in (real / "bin", real / "lib", own / "bin"):
        folder.mkdir(parents=True)
    (real / "bin/python").touch()
    (real / "lib/libpython9.so").touch()
    (own / "bin/python").symlink_to(real / "bin/python")
    (own / "pyvenv.cfg").touch()
    monkeypatch.setattr(venv, "_pythons", lambda: [own / "bin/python"])
    monkeypatch.setattr(
        elf, "read", lambda _path: type("Elf", (), {"needed": ("libc.so.6", "libpython9.so")})
    )

    (link,) = venv.missing_links()
    link.make()

    assert (own / "lib/libpython9.so").resolve() == real / "lib/libpython9.so"
    assert venv.missing_links() == []


def test_a_python_outside_of_a_venv_needs_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venv, "_pythons", lambda: [Path("/usr/bin/python3")])

    assert venv.missing_links() == []
