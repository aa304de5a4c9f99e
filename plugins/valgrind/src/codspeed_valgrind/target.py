"""How an exec target is started under Valgrind, so that its counters carry the benchmark's URI."""

from __future__ import annotations

import functools
import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codspeed_native import build, elf
from codspeed_valgrind.interpreter import interpreter_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codspeed.model import Launch

# The release of the reference's harness whose contract we speak (spec/executors.md 6.1).
HARNESS_VERSION: Final = "1.3.0"
URI_VARIABLE: Final = "CODSPEED_BENCH_URI"
_NAME: Final = "codspeed-marker"


@functools.cache
def marker_library() -> Path:
    """Return the preload library, compiled if need be.

    Raises:
        ToolError: If it can't be compiled; says what to install.
    """
    folder = resources.files("codspeed_valgrind") / "preload"
    return build.compiled(
        folder / "marker.c",
        name=_NAME,
        shared=True,
        flags=(f'-DCODSPEED_HARNESS_VERSION="{HARNESS_VERSION}"', "-pthread"),
        headers=(folder / "request.h",),
    )


def is_static(launch: Launch, environment: Mapping[str, str]) -> bool:
    """Whether the program, or the interpreter of a script, can't load a preload library."""
    search_path = {**environment, **launch.env}.get("PATH")
    program = interpreter_of(launch.argv[0], search_path=search_path, cwd=launch.cwd)
    if program is None:
        return False  # it will fail to start, and say so
    try:
        return elf.read(Path(program)).is_static
    except elf.ElfError:
        return False


def marked(environment: Mapping[str, str], uri: str) -> dict[str, str]:
    """Return the variables with which a target marks its counters (spec/executors.md 6.6).

    Other preload libraries stay, behind ours. (The reference drops them.)

    Raises:
        ToolError: If the preload library can't be compiled.
    """
    others = environment.get("LD_PRELOAD", "")
    library = str(marker_library())
    return {
        "LD_PRELOAD": f"{library}{os.pathsep}{others}" if others else library,
        # Names for Python's functions, from 3.12 on.
        "PYTHONPERFSUPPORT": "1",
        URI_VARIABLE: uri,
    }
