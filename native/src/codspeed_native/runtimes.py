"""What the interpreters on PATH say of themselves: the reference's two questions.

Source: spec/executors.md 2.2 and 2.4.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from codspeed_native import elf

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIMEOUT_S: Final = 30
_ASK_PYTHON: Final = (
    "import sys, sysconfig\n"
    "print(sys.executable)\n"
    "print('/'.join(sysconfig.get_config_vars('LIBDIR', 'INSTSONAME')))\n"
    "print(sysconfig.get_config_var('Py_GIL_DISABLED') or 0)\n"
    "print(sysconfig.get_config_var('PY_HAVE_PERF_TRAMPOLINE') or 0)\n"
)
_ASK_NODE: Final = "console.log(process.execPath);"


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


def ignored_objects() -> tuple[str, ...]:
    """Return the reference's list: libpython and Node.js, of the runner's own PATH."""
    return (*python_objects(), *node_objects())


def python_objects() -> tuple[str, ...]:
    """Return the part of the list that Python tells."""
    python = ask_python("python")
    return (os.path.realpath(python.library),) if python is not None and python.library else ()


def node_objects() -> tuple[str, ...]:
    """Return the part of the list that Node.js tells."""
    node = ask_node()
    return (os.path.realpath(node),) if node else ()


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
