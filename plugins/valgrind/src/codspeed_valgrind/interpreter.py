"""Which interpreters a command runs, and which of their functions hide the benchmark's own.

What they say of themselves is in `codspeed_native.runtimes`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codspeed_native import elf, runtimes
from codspeed_valgrind.reader.allocator import is_allocator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from codspeed.model import Launch

_PYTHON: Final = re.compile(r"(?:python|pypy)[0-9.]*t?")
_NODE_TOOLS: Final = frozenset({"node", "npm", "npx", "pnpm", "tsx", "vitest", "yarn"})
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]*=.*", re.DOTALL)
_SHEBANG_BYTES: Final = 256
# Where debug packages put the symbols of stripped files; Valgrind reads them too.
_DEBUG_FOLDER: Final = Path("/usr/lib/debug/.build-id")


def of_command(launch: Launch, environment: Mapping[str, str]) -> tuple[runtimes.Python, ...]:
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
            python = runtimes.ask_python(program, search_path)
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


def node_of(launch: Launch) -> tuple[str, ...]:
    """Return the path of Node.js if a command names it or a tool that is run by it."""
    names = {Path(word).name for word in _words(launch.argv)}
    path = runtimes.ask_node() if names & _NODE_TOOLS else ""
    return (os.path.realpath(path),) if path else ()


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
