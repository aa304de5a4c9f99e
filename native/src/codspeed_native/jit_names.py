"""Names of generated code: which file tells them for a process, and what frames they become."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import Final

from codspeed.model import Frame
from codspeed_native import jitdump, perf_map
from codspeed_native.perf_map import PerfMap, Range

# Program and library of CPython, also of free-threaded and debug builds, and of Node.
_RUNTIME: Final = re.compile(
    r"libpython\d[\w.]*\.so[\d.]*|python(?:\d+(?:\.\d+)?[a-z]*)?(?:-dbg)?"
    r"|libnode\.so[\d.]*|node(?:js)?"
)
# CPython's perf trampoline (Python/perf_trampoline.c): py::QUALNAME:FILE
_PYTHON: Final = re.compile(r"py::(?P<function>.*?):(?P<file>[^:]*)")
# V8's --perf-basic-prof (src/logging/log.cc): TAG:MARK NAME FILE:LINE:COLUMN
_JAVASCRIPT: Final = re.compile(
    r"(?:JS|LazyCompile|Function|Script|Eval):[~*^+]*(?P<function>\S*) (?P<place>.*?)"
    r"(?P<line>:\d+)?(?::\d+)?"
)

# Who writes maps knows no other place, whatever TMPDIR says.
_SHARED: Final = Path("/tmp")  # noqa: S108 - CPython writes its maps there


def read(pid: int, folder: Path | None = None, *, since_ns: int = 0) -> PerfMap:
    """Return the names of a process's generated code: of its perf map and of its jitdump.

    Args:
        folder: Where both lie; the shared temp folder by default.
        since_ns: Seconds of the wall clock in nanoseconds; older files are of earlier processes
            that had the same number.
    """
    where = folder if folder is not None else _SHARED
    written, dumped = where / f"perf-{pid}.map", where / f"jit-{pid}.dump"
    names = perf_map.read(written) if _is_from(written, since_ns) else PerfMap()
    if not _is_from(dumped, since_ns):
        return names
    try:
        loads = jitdump.read(dumped)
    except jitdump.JitdumpError:
        return names  # few processes have one; names are an extra
    made = [Range(load.address, load.address + load.size, load.name) for load in loads if load.size]
    return PerfMap.of([*names.ranges, *made])


def _is_from(path: Path, since_ns: int) -> bool:
    """Whether a file was written since then, and is none that somebody else put there as a link."""
    try:
        return not path.is_symlink() and path.stat().st_mtime_ns >= since_ns
    except OSError:
        return False


def frame(name: str, *, base: str = "") -> Frame:
    """Return the frame for a name of generated code.

    Args:
        base: Paths of Python and JavaScript files below this folder are shown relative to it.
    """
    if python := _PYTHON.fullmatch(name):
        return Frame(python["function"], kind="python", location=_relative(python["file"], base))
    if script := _JAVASCRIPT.fullmatch(name):
        place = _relative(script["place"].removeprefix("file://"), base) + (script["line"] or "")
        function = script["function"] or "(anonymous)"
        return Frame(function, kind="javascript", location=place)
    return Frame(name, kind="jit")


def is_runtime(module: str) -> bool:
    """Whether an object file is an interpreter: its functions are not what the user wrote."""
    return _RUNTIME.fullmatch(PurePath(module).name) is not None


def _relative(file: str, base: str) -> str:
    return file.removeprefix(f"{base.rstrip('/')}/") if base else file
