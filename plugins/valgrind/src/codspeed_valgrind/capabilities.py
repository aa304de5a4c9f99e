"""Which Valgrind there is and what it can do: asked of its `--help`, never deduced from a version.

Source of the differences: CodSpeed's Valgrind lists `--obj-skip` and `--cycle-estimation`, others
refuse to start with them. `--compress-mangled` and `--dump-line` work everywhere, listed or not.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Valgrind loads its tool before it prints; 2 ms on an idle machine.
_TIMEOUT_S: Final = 30
# spec/executors.md 2.5: `valgrind-3.26.0.codspeed6`; the prefix and the iteration may be missing.
_VERSION: Final = re.compile(r"(?:valgrind-)?(\d+(?:\.\d+)*)(.*)")
FORK_MARK: Final = ".codspeed"


@attrs.frozen
class Capabilities:
    """One Valgrind.

    Attributes:
        path: The program.
        version: As it prints it, without the prefix: "3.19.0" or "3.26.0.codspeed6".
        obj_skip: Can leave the functions of a whole object out.
        cycle_estimation: Can estimate the cycles of instructions.
        tracegrind: Has the tool of that name.
    """

    path: Path
    version: str
    obj_skip: bool = False
    cycle_estimation: bool = False
    tracegrind: bool = False

    @property
    def is_fork(self) -> bool:
        """Whether this is CodSpeed's Valgrind."""
        return FORK_MARK in self.version

    @property
    def flavour(self) -> str:
        """The word of --valgrind-flavour for it."""
        return "codspeed" if self.is_fork else "stock"


def find(flavour: str, search_path: str | None = None) -> Capabilities | None:
    """Return the Valgrind to use; None if there is none.

    Args:
        flavour: "stock" or "codspeed": the first of this kind, or else the first at all. What is
            missing then is for the caller to tell.
        search_path: As PATH; the process's own by default.
    """
    found = tuple(_all(search_path))
    return next((item for item in found if item.flavour == flavour), next(iter(found), None))


@functools.cache
def probe(program: Path) -> Capabilities | None:
    """Ask one program what it can do; None if it does not run. Asked once in our life."""
    version = _answer((str(program), "--version"))
    match = _VERSION.fullmatch(version.strip())
    if match is None:
        return None
    options = _answer((str(program), "--tool=callgrind", "--help"))
    is_fork = FORK_MARK in match[2]
    return Capabilities(
        path=program,
        version=match[1] + match[2],
        obj_skip="--obj-skip" in options,
        cycle_estimation="--cycle-estimation" in options,
        tracegrind=is_fork
        and "--tracegrind-out-file" in _answer((str(program), "--tool=tracegrind", "--help")),
    )


def _all(search_path: str | None) -> Iterator[Capabilities]:
    """Yield every Valgrind on PATH, each file once."""
    seen = set()
    for folder in (os.environ.get("PATH", "") if search_path is None else search_path).split(
        os.pathsep
    ):
        program = shutil.which("valgrind", path=folder or ".")
        if program is None or (real := Path(program).resolve()) in seen:
            continue
        seen.add(real)
        if (found := probe(Path(program).absolute())) is not None:
            yield found


def _answer(argv: Sequence[str]) -> str:
    """Return what a program prints; empty if it fails."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""
