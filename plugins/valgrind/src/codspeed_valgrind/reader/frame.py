"""From a function of a callgrind file to the frame that a person sees. No I/O here."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from codspeed.model import Frame
from codspeed_valgrind.reader.body import is_address

if TYPE_CHECKING:
    from codspeed_native.perf_map import PerfMap
    from codspeed_valgrind.reader.body import Function

# The integrations wrap the measured call in a function of this name, whatever their language.
ROOT_NAME: Final = "__codspeed_root_frame__"
ROOT: Final = Frame(ROOT_NAME, kind="harness")
OUTSIDE: Final = Frame("[outside of the benchmark]", kind="harness")
TRUNCATED: Final = Frame("[truncated]", kind="harness")
NO_CALLERS: Final = Frame("[callers not recorded]", kind="harness")

# Kinds whose functions are what the user wrote, where an interpreter's are not.
MANAGED: Final = frozenset({"python", "javascript"})

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


def frame_of(function: Function, names: PerfMap, *, base: str = "") -> Frame:
    """Return the frame for a function.

    Args:
        names: Of the process that the file is about.
        base: Paths of Python and JavaScript files below this folder are shown relative to it.
    """
    if is_generated(function):
        name = name_of(function, names)
        return Frame(function.name, kind="jit") if name is None else _generated(name, base)
    kind = "interpreter" if is_runtime(function.object) else "native"
    place = "" if function.file == function.object else function.file
    return Frame(function.name, module=function.object, kind=kind, location=place)


def is_root(frame: Frame) -> bool:
    """Whether the benchmark begins in this function."""
    return ROOT_NAME in frame.function


def is_runtime(module: str) -> bool:
    """Whether an object file is an interpreter: its functions are not what the user wrote."""
    return _RUNTIME.fullmatch(PurePath(module).name) is not None


def is_generated(function: Function) -> bool:
    """Whether its code is in no file: made at run time, or not known to callgrind."""
    return is_address(function.name) and not function.object


def name_of(function: Function, names: PerfMap) -> str | None:
    """Return the name that the process gave to generated code; None if it gave none."""
    try:
        return names.name_of(int(function.name, 16))
    except ValueError:
        return None


def _generated(name: str, base: str) -> Frame:
    """Return the frame for a line of a perf map."""
    if python := _PYTHON.fullmatch(name):
        return Frame(python["function"], kind="python", location=_relative(python["file"], base))
    if script := _JAVASCRIPT.fullmatch(name):
        place = _relative(script["place"].removeprefix("file://"), base) + (script["line"] or "")
        function = script["function"] or "(anonymous)"
        return Frame(function, kind="javascript", location=place)
    return Frame(name, kind="jit")


def _relative(file: str, base: str) -> str:
    return file.removeprefix(f"{base.rstrip('/')}/") if base else file
