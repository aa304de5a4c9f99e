"""The tools of simulation: Valgrind, the C library's debug symbols, and how they come here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codspeed.errors import ToolError
from codspeed.model import Privileges, Tool
from codspeed_valgrind import capabilities, package, venv
from codspeed_valgrind.plan import FORK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codspeed.model import System
    from codspeed_valgrind.capabilities import Capabilities

PRIVILEGES: Final = Privileges(purpose="")
REMEDY: Final = "install it: `apt-get install valgrind libc6-dbg` on Debian and Ubuntu"
FORK_REMEDY: Final = (
    "install CodSpeed's build: `codspeed setup --mode simulation --valgrind-flavour codspeed`"
)
VALGRIND: Final = "valgrind"
FORK_TOOL: Final = "valgrind-codspeed"
DEBUG_SYMBOLS: Final = "libc6-dbg"
VENV: Final = "libpython link"
# Debian 12's, the oldest that our numbers were checked with.
_OLDEST: Final = (3, 19)
# spec/executors.md 2.5, compared as a tuple; a missing iteration counts as 0.
_OLDEST_FORK: Final = (3, 26, 0, 6)
_FORK_VERSION: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)\.codspeed(\d*)")
_DPKG: Final = Path("/var/lib/dpkg/info")


def tools(system: System, flavour: str) -> list[Tool]:
    """Return what is needed, found or not.

    Args:
        system: This machine.
        flavour: "stock" or "codspeed".
    """
    found = capabilities.find(flavour, system.env.get("PATH"))
    needed = [_valgrind(found)]
    if flavour == "codspeed":
        needed.append(_fork(found))
    if system.distribution in package.APT_SYSTEMS:
        needed.append(_debug_symbols())
    return [*needed, *map(_link, venv.missing_links())]


def fork_problem(version: str) -> str:
    """Return why a Valgrind is not the build the reference asks for; empty if it is."""
    if capabilities.FORK_MARK not in version:
        return "not a CodSpeed build"
    match = _FORK_VERSION.fullmatch(version)
    if match is None:
        return "could not parse version"
    found = tuple(int(number or 0) for number in match.groups())
    return "" if found >= _OLDEST_FORK else f"version too old, expecting {FORK} or higher"


def _valgrind(found: Capabilities | None) -> Tool:
    if found is None:
        return Tool(VALGRIND, None, remedy=REMEDY)
    numbers = tuple(int(number) for number in re.findall(r"\d+", found.version)[:2])
    problem = "" if numbers >= _OLDEST else f"version {found.version} is too old"
    return Tool(VALGRIND, found.path, found.version, problem, REMEDY)


def _fork(found: Capabilities | None) -> Tool:
    if found is None:
        return Tool(FORK_TOOL, None, remedy=FORK_REMEDY, required=False)
    problem = fork_problem(found.version)
    return Tool(FORK_TOOL, found.path, found.version, problem, FORK_REMEDY, required=False)


def _debug_symbols() -> Tool:
    listed = next(_DPKG.glob(f"{DEBUG_SYMBOLS}*.list"), None)
    remedy = "`apt-get install libc6-dbg` gives names to the C library's functions"
    return Tool(DEBUG_SYMBOLS, listed, remedy=remedy, required=False)


def _link(link: venv.Link) -> Tool:
    problem = f"Valgrind would not find {link.target.name}"
    remedy = f"ln -s {link.target} {link.path}"
    return Tool(VENV, link.path, problem=problem, remedy=remedy, required=False)


def setup(missing: Sequence[Tool], system: System | None, cache: Path | None) -> None:
    """Bring what is missing.

    Args:
        missing: From `tools`.
        system: This machine; None if it was never asked about.
        cache: Folder for packages; None for none.

    Raises:
        ToolError: If what is required can't be had.
    """
    names = {tool.name for tool in missing}
    if VENV in names:
        _make_links()
    if system is None or system.distribution not in package.APT_SYSTEMS:
        if VALGRIND in names:
            problem = "Package installation is not supported on this system"
            msg = f"{problem}, please install necessary packages manually"
            raise ToolError(msg, hint=REMEDY)
        return
    if FORK_TOOL in names and _has_fork(system, cache):
        return
    wanted = [name for name in (VALGRIND, DEBUG_SYMBOLS) if name in names]
    if wanted:
        _install(wanted, system, cache, is_required=VALGRIND in names)


def _make_links() -> None:
    for link in venv.missing_links():
        try:
            link.make()
        except OSError as failure:
            problem = f"Failed to symlink libpython: {link.path}: {failure.strerror}"
            raise ToolError(problem, hint=f"ln -s {link.target} {link.path}") from failure


def _has_fork(system: System, cache: Path | None) -> bool:
    """Try to install the fork; without it the stock Valgrind measures, and core says so."""

    def is_there() -> bool:
        found = capabilities.find("codspeed", system.env.get("PATH"))
        return found is not None and not fork_problem(found.version)

    try:
        package.install_fork(system, cache=cache, is_there=is_there)
    except ToolError:
        return False
    return is_there()


def _install(
    wanted: Sequence[str], system: System, cache: Path | None, *, is_required: bool
) -> None:
    def is_there() -> bool:
        here = [tool.name for tool in tools(system, "stock") if tool.is_usable]
        return set(wanted) <= set(here)

    try:
        package.install(wanted, cache=cache, is_there=is_there)
    except ToolError:
        if is_required:
            raise
