"""Which interpreters a command runs, and which of their functions hide the benchmark's own.

Source: spec/executors.md 2.2 and 2.4 for what the reference asks of `python` and `node`.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from codspeed_native import elf
from codspeed_valgrind.reader.allocator import is_allocator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from codspeed.model import Launch

_TIMEOUT_S: Final = 30
_ASK_PYTHON: Final = (
    "import sys, sysconfig\n"
    "print(sys.executable)\n"
    "print('/'.join(sysconfig.get_config_vars('LIBDIR', 'INSTSONAME')))\n"
    "print(sysconfig.get_config_var('Py_GIL_DISABLED') or 0)\n"
    "print(sysconfig.get_config_var('PY_HAVE_PERF_TRAMPOLINE') or 0)\n"
)
_ASK_NODE: Final = "console.log(process.execPath);"
_PYTHON: Final = re.compile(r"(?:python|pypy)[0-9.]*t?")
_NODE_TOOLS: Final = frozenset({"node", "npm", "npx", "pnpm", "tsx", "vitest", "yarn"})
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]*=.*", re.DOTALL)
_SHEBANG_BYTES: Final = 256
# Where debug packages put the symbols of stripped files; Valgrind reads them too.
_DEBUG_FOLDER: Final = Path("/usr/lib/debug/.build-id")


@attrs.frozen
class Python:
    """One CPython.

    Attributes:
        executable: The program.
        library: Its libpython as it says; the file need not exist (a static build).
        is_free_threaded: Built without a global lock: it has its own allocator.
        names_frames: It can give each Python function a frame of its own (3.12 and newer).
    """

    executable: str
    library: str
    is_free_threaded: bool
    names_frames: bool = True

    @property
    def runtime(self) -> str:
        """The file that holds the interpreter's functions.

        The library may be there and yet not be used: Debian's python3 has everything in itself.
        """
        program, library = Path(self.executable), Path(self.library)
        try:
            is_used = library.name in elf.read(program).needed
        except elf.ElfError:
            is_used = False
        return str((library if is_used and library.is_file() else program).resolve())


def of_command(launch: Launch, environment: Mapping[str, str]) -> tuple[Python, ...]:
    """Return the Pythons that the words of a command name, each once.

    Args:
        launch: A command; of `bash -c TEXT` the words of the text count.
        environment: What it will see.
    """
    search_path = {**environment, **launch.env}.get("PATH")
    found = {}
    for word in _words(launch.argv):
        program = interpreter_of(word, search_path=search_path, cwd=launch.cwd)
        if program and _PYTHON.fullmatch(Path(program).name):
            python = ask_python(program, search_path)
            if python is not None:
                found[python.runtime] = python
    return tuple(found.values())


def interpreter_of(word: str, *, search_path: str | None, cwd: Path | None) -> str | None:
    """Return the program that the kernel would start for `word`: of a script, its interpreter."""
    found = str((cwd or Path()) / word) if os.sep in word else shutil.which(word, path=search_path)
    if found is None:
        return None
    try:
        with Path(found).open("rb") as file:
            head = file.read(_SHEBANG_BYTES)
    except (OSError, ValueError):
        return None
    if not head.startswith(b"#!"):
        return found
    words = os.fsdecode(head[2:].split(b"\n")[0]).split()
    if words and Path(words[0]).name == "env":
        rest = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        return shutil.which(rest[0], path=search_path) if rest else words[0]
    return words[0] if words else None


def _words(argv: Sequence[str]) -> Iterator[str]:
    """Yield what may be a program in a command: its first word, or the words of shell text."""
    if tuple(argv[:2]) != ("bash", "-c") or len(argv) != 3:
        yield from argv[:1]
        return
    try:
        words = shlex.split(argv[2], comments=True)
    except ValueError:  # a quote that only bash understands
        words = argv[2].split()
    yield from (word for word in words if not _ASSIGNMENT.fullmatch(word))


@functools.cache
def ask_python(program: str, search_path: str | None = None) -> Python | None:
    """Return what a Python says of itself; None if it does not run. -S: it need not look around."""
    lines = _answer((program, "-S", "-c", _ASK_PYTHON), search_path).splitlines()
    if len(lines) != 4:
        return None
    executable, library, gil_disabled, trampoline = lines
    return Python(
        executable,
        library.strip(),
        is_free_threaded=gil_disabled == "1",
        names_frames=trampoline == "1",
    )


@functools.cache
def ask_node(search_path: str | None = None) -> str:
    """Return the path of Node.js; empty if it does not run."""
    return _answer(("node", "-e", _ASK_NODE), search_path).strip()


def node_of(launch: Launch) -> tuple[str, ...]:
    """Return the path of Node.js if a command names it or a tool that is run by it."""
    names = {Path(word).name for word in _words(launch.argv)}
    path = ask_node() if names & _NODE_TOOLS else ""
    return (os.path.realpath(path),) if path else ()


def _answer(argv: Sequence[str], search_path: str | None) -> str:
    program = shutil.which(argv[0], path=search_path)
    if program is None:
        return ""
    environment = os.environ if search_path is None else {**os.environ, "PATH": search_path}
    try:
        done = subprocess.run(
            (program, *argv[1:]),
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return os.fsdecode(done.stdout) if done.returncode == 0 else ""


def ignored_objects() -> tuple[str, ...]:
    """Return the reference's list: libpython and Node.js, of the runner's own PATH."""
    python = ask_python("python")
    found = [python.library] if python is not None and python.library else []
    found += [ask_node()]
    return tuple(os.path.realpath(path) for path in found if path)


def runtime_symbols(path: str) -> list[str]:
    """Return the names of all functions in a file and in its debug file, sorted; none on damage.

    Its allocator's stay out: what they cost is reported apart.
    """
    names: set[str] = set()
    try:
        file = elf.read(Path(path))
        names.update(symbol.name for symbol in file.functions())
        debug = _DEBUG_FOLDER / file.build_id[:2] / f"{file.build_id[2:]}.debug"
        if file.build_id and debug.is_file():
            names.update(symbol.name for symbol in elf.read(debug).functions())
    except elf.ElfError:
        pass
    # Callgrind takes names as patterns and cuts nothing off; without a name there is no function.
    return sorted(
        name for name in names if name and not set(name) & set("*?") and not is_allocator(name)
    )
