"""What the shim can't see, and which programs of a run that were: found by looking at files.

A run proves its coverage by itself: each program that loads the shim says so (ATTACH), and each
that is started from a covered one is announced (EXEC, SPAWN). What was announced and never said so
is uncovered, and named with the reason.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codspeed_memory.raw import FOREIGN, OWN_MALLOC, Kind, Note
from codspeed_native import elf

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from codspeed.model import Launch

# Defined by the program itself, each wins over a preloaded function of that name, or bypasses it.
_OWN: Final = frozenset({
    "malloc", "_rjem_malloc", "je_malloc", "je_malloc_default", "mallocx", "mi_malloc",
    "mi_malloc_aligned", "tc_malloc", "tc_version",
})  # fmt: skip
# Libraries that define operator new themselves, so that it never reaches our malloc.
_FAMILIES: Final = re.compile(r"lib(jemalloc|mimalloc|tcmalloc)")
# What only such builds export (attach.h asks for it too), and the library that they may be in.
_FREE_THREADED: Final = "_Py_DecRefShared"
_FREE_THREADED_LIBRARY: Final = re.compile(r"libpython3\.\d+td?\.so")
_SHEBANG_BYTES: Final = 256
_LIST_S: Final = 10.0

STATIC: Final = "it is statically linked, so nothing can be preloaded"
BRINGS_OWN: Final = "it brings its own allocator"
PRIVILEGED: Final = "it runs with raised rights, so the loader ignores LD_PRELOAD"
FOREIGN_FORMAT: Final = "it is no 64-bit program of this machine"
NAMELESS: Final = "it brings its own allocator, and has no symbols to find it by"
UNKNOWN: Final = "it did not load the recorder"


def unseen(launch: Launch) -> str | None:
    """Return why a command's own program can't be seen; None if it can, or if nobody knows."""
    environment = {**os.environ, **launch.env}
    path = _found(launch.argv[0], environment.get("PATH"), launch.cwd)
    return None if path is None else reason(path)


def reason(path: Path) -> str | None:
    """Return why the shim can't see this program; None if it can, or if nobody knows."""
    path = interpreter_of(path)
    try:
        if _head(path, 4) != b"\x7fELF":
            return None
        return PRIVILEGED if _is_privileged(path) else _reason_in(elf.read(path))
    except elf.ElfError:
        return FOREIGN_FORMAT
    except OSError:
        return None


def unprobed(launch: Launch) -> str | None:
    """Return why uprobes can't see a command's own program either; None if it can, or may be."""
    from codspeed_memory.ebpf.functions import allocator_of  # noqa: PLC0415 - few runs need it

    environment = {**os.environ, **launch.env}
    path = _found(launch.argv[0], environment.get("PATH"), launch.cwd)
    try:
        program = None if path is None else elf.read(interpreter_of(path))
        if program is None or not program.is_static:
            return None
        return None if allocator_of(program) else NAMELESS
    except elf.ElfError:
        return FOREIGN_FORMAT


def _reason_in(program: elf.Elf) -> str | None:
    if program.is_static:
        return STATIC
    brings_own = any(symbol.name in _OWN for symbol in program.functions())
    return BRINGS_OWN if brings_own else None


def is_free_threaded(launch: Launch) -> bool:
    """Return whether a command is a CPython with an allocator inside, or a script of one."""
    environment = {**os.environ, **launch.env}
    path = _found(launch.argv[0], environment.get("PATH"), launch.cwd)
    try:
        program = None if path is None else elf.read(interpreter_of(path))
        if program is None:
            return False
        names = (symbol.name for symbol in program.functions())
        return _FREE_THREADED in names or any(map(_FREE_THREADED_LIBRARY.match, program.needed))
    except elf.ElfError:
        return False


def needs_families(launch: Launch, environment: Mapping[str, str]) -> bool:
    """Return whether the program links an allocator whose C++ operators bypass malloc."""
    if _FAMILIES.search(environment.get("LD_PRELOAD", "")):
        return True
    path = _found(launch.argv[0], environment.get("PATH"), launch.cwd)
    if path is None:
        return False
    try:
        found = elf.read(interpreter_of(path))
    except elf.ElfError:
        return False
    if not found.interpreter:
        return False
    listed = _libraries(found, environment)
    return bool(_FAMILIES.search(listed))


def _libraries(found: elf.Elf, environment: Mapping[str, str]) -> str:
    """Ask the loader, which knows about rpaths and caches; the program does not run."""
    try:
        done = subprocess.run(
            [found.interpreter, "--list", str(found.path)],
            env=dict(environment),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_LIST_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return " ".join(found.needed)
    return done.stdout.decode(errors="replace")


def interpreter_of(path: Path) -> Path:
    """Return the program that runs a script; the path itself if it is none."""
    for _ in range(4):  # the kernel's limit
        head = _head(path, _SHEBANG_BYTES)
        if not head.startswith(b"#!"):
            break
        words = head[2:].split(b"\n", 1)[0].split(None, 1)
        if not words:
            break
        path = Path(os.fsdecode(words[0]))
        if path.name == "env" and len(words) > 1:
            named = shutil.which(os.fsdecode(words[1].split()[-1]))
            path = Path(named) if named else path
    return path


def _head(path: Path, size: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.read(descriptor, size)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _is_privileged(path: Path) -> bool:
    """Whether the loader will distrust its environment."""
    status = path.stat()
    changes_user = status.st_mode & stat.S_ISUID and status.st_uid != os.geteuid()
    changes_group = status.st_mode & stat.S_ISGID and status.st_gid != os.getegid()
    if changes_user or changes_group:
        return True
    try:
        return bool(os.getxattr(path, "security.capability")) and os.geteuid() != 0
    except OSError:
        return False


def _found(program: str, search_path: str | None, cwd: Path | None) -> Path | None:
    if os.sep in program:
        path = Path(cwd or ".", program)
        return path if path.is_file() else None
    found = shutil.which(program, path=search_path)
    return None if found is None else Path(found)


# --- After the run --------------------------------------------------------------------------------


def gaps(notes: Iterable[Note]) -> dict[int, tuple[str, ...]]:
    """Return, for each window, sentences about programs of which nothing was seen."""
    ordered = sorted(notes, key=lambda note: note.stamp)
    attached = {note.pid for note in ordered if note.kind is Kind.ATTACH}
    announced: dict[int, Note] = {}
    found: dict[int, dict[str, None]] = {}
    for note in ordered:
        if note.kind is Kind.EXEC_FAILED:
            announced.pop(note.pid, None)
        elif note.kind is Kind.EXEC:
            announced[note.pid] = note
        elif note.kind is Kind.ATTACH:
            announced.pop(note.pid, None)
            if note.flags & (OWN_MALLOC | FOREIGN):
                found.setdefault(note.window, {})[_sentence(note)] = None
        elif note.kind is Kind.SPAWN and note.pid not in attached:
            announced[note.pid] = note
    for note in announced.values():
        found.setdefault(note.window, {})[_sentence(note)] = None
    return {window: tuple(sentences) for window, sentences in found.items()}


def _sentence(note: Note) -> str:
    if note.kind is Kind.ATTACH and note.flags & OWN_MALLOC:
        return f"allocations of {note.text} are not counted: {BRINGS_OWN}"
    if note.kind is Kind.ATTACH:
        return f"{note.text} ran in another pid namespace: its process ids are not ours"
    path = _found(note.text, os.environ.get("PATH"), None)
    why = (reason(path) if path is not None else None) or UNKNOWN
    return f"allocations of {note.text} are not counted: {why}"
