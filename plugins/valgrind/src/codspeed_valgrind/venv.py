"""Virtual environments in which Valgrind does not find libpython (spec/executors.md 2.4).

Valgrind starts `venv/bin/python` by that name, and a search path relative to the program then
leads to `venv/lib`, where libpython is not. A symbolic link helps.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from codspeed_native import elf

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMEOUT_S: Final = 30
_MARK: Final = "pyvenv.cfg"


@attrs.frozen
class Link:
    """A symbolic link that is missing."""

    path: Path
    target: Path

    def make(self) -> None:
        """Make it.

        Raises:
            OSError: If the folder can't be written.
        """
        self.path.parent.mkdir(exist_ok=True)
        self.path.symlink_to(self.target)


def missing_links() -> list[Link]:
    """Return the links that the Pythons in use lack: uv's, and `python3` on PATH."""
    found = {link.path: link for python in _pythons() if (link := _missing(python)) is not None}
    return list(found.values())


def _pythons() -> Iterator[Path]:
    if shutil.which("uv") is not None and (python := _line(("uv", "python", "find"))):
        yield Path(python)
    python = shutil.which("python3") or ""
    # Here only if it is needed: this may be a Python that is nobody's environment.
    if _in_venv(Path(python)) and "not found" in _line(("ldd", python), "libpython"):
        yield Path(python)


def _in_venv(python: Path) -> bool:
    return (python.parent.parent / _MARK).is_file()


def _missing(python: Path) -> Link | None:
    if not _in_venv(python):
        return None
    real = python.resolve()
    try:
        needed = elf.read(real).needed
    except elf.ElfError:
        return None
    library = next((name for name in needed if name.startswith("libpython")), "")
    target = real.parent.parent / "lib" / library
    path = python.parent.parent / "lib" / library
    if not library or path.exists() or not target.is_file():
        return None
    return Link(path, target)


def _line(argv: tuple[str, ...], mark: str = "") -> str:
    """Return the first line of a program's output that has `mark` in it; empty without one."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return next((line for line in done.stdout.splitlines() if mark in line), "").strip()
