"""Compile our small C sources with the system's compiler, once per machine and user.

Wheels stay pure: the sources are package data, and the results live in the user's cache folder
under a name that is made of everything they depend on.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codspeed.errors import ToolError
from codspeed_native.cache import cache_folder, is_ours

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from importlib.resources.abc import Traversable

# In this order. $CC is not asked: it is often a cross compiler, and the result must run here.
COMPILERS: Final = ("cc", "gcc", "clang")
_COMMON: Final = ("-O2", "-std=gnu11")
_SHARED: Final = ("-shared", "-fPIC")
_TIMEOUT_S: Final = 120
_SHOWN_LINES: Final = 8
_INSTALL: Final = (
    "install a C compiler: `apt-get install gcc libc6-dev` on Debian and Ubuntu, "
    "`dnf install gcc glibc-devel` on Fedora"
)


def compiled(
    source: Traversable,
    *,
    name: str,
    shared: bool,
    flags: Sequence[str] = (),
    headers: Iterable[Traversable] = (),
    cache: Path | None = None,
) -> Path:
    """Return the program or shared library made of `source`; compiles it if it is not cached.

    Args:
        source: One C file.
        name: Begins the file's name; shared libraries end in `.so`.
        shared: A shared library, not a program.
        flags: Behind ours, so `-l` works and ours can be overruled.
        headers: What it includes with quotes; copied beside it.
        cache: Folder for results; the user's by default.

    Raises:
        ToolError: If there is no compiler, it refuses the source, or there is no safe folder for
            the result; says what to install or do.
    """
    compiler = _compiler()
    arguments = (*_COMMON, *(_SHARED if shared else ()), *flags)
    files = {file.name: file.read_bytes() for file in (source, *headers)}
    folder = cache_folder(cache)
    key = _key(files, compiler, arguments)
    target = folder / f"{name}-{key}{'.so' if shared else ''}"
    if not is_ours(target):
        _compile(files, source.name, compiler, arguments, target)
    return target


def _compiler() -> Path:
    found = next(filter(None, map(shutil.which, COMPILERS)), None)
    if found is None:
        problem = f"no C compiler is on PATH (looked for {', '.join(COMPILERS)})"
        raise ToolError(problem, hint=_INSTALL)
    return Path(found)


def _key(files: dict[str, bytes], compiler: Path, arguments: tuple[str, ...]) -> str:
    """Hash what the result depends on. Starts no process: this is on the path of every run."""
    actual = compiler.resolve()
    status = actual.stat()
    facts: list[object] = [actual, status.st_size, status.st_mtime_ns, platform.machine(), _libc()]
    digest = hashlib.sha256(repr((*facts, arguments)).encode())
    for file, data in sorted(files.items()):
        digest.update(f"\0{file}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:16]


def _libc() -> str:
    """Return the C library's version: a home folder may be shared by machines that differ in it."""
    with contextlib.suppress(ValueError, OSError, AttributeError):
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    return ""


# --- The compiler ---------------------------------------------------------------------------------


def _compile(
    files: dict[str, bytes], source: str, compiler: Path, arguments: tuple[str, ...], target: Path
) -> None:
    with _work_folder(target) as work:
        for name, data in files.items():
            (work / name).write_bytes(data)
        # The source before the flags: linkers take `-l` only behind what needs it.
        command = [str(compiler), "-o", "result", source, *arguments]
        _run(command, work)
        result = work / "result"
        result.chmod(0o755)
        result.replace(target)  # atomic: two runs may compile at once


@contextlib.contextmanager
def _work_folder(target: Path) -> Iterator[Path]:
    """Yield a folder on the same file system as `target`, removed afterwards."""
    try:
        with tempfile.TemporaryDirectory(prefix=".compile-", dir=target.parent) as work:
            yield Path(work)
    except OSError as failure:
        problem = f"{target} can't be written: {failure.strerror or failure}"
        raise ToolError(problem, hint="free space there, or set XDG_CACHE_HOME") from failure


def _run(command: list[str], work: Path) -> None:
    env = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command,
            cwd=work,
            env=env,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as failure:
        problem = f"{command[0]} could not be run: {failure}"
        raise ToolError(problem, hint=_INSTALL) from failure
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()[:_SHOWN_LINES]
        problem = f"{' '.join(command)} failed with status {done.returncode}:\n" + "\n".join(said)
        raise ToolError(problem, hint=_INSTALL)
