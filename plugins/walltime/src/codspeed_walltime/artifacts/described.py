"""What the files say of one module: its symbols, and where they begin in their sources.

Reading that from a large library takes up to seconds, and libraries rarely change. So it is kept in
the user's cache folder, under a name made of all it depends on; the least recently used go first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgpack

from codspeed.errors import ToolError
from codspeed_native import symbol_rules
from codspeed_native.cache import cache_folder, is_ours
from codspeed_native.elf import ElfError
from codspeed_native.line_table import LineTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codspeed_native.elf import Elf
    from codspeed_native.symbol_rules import Row

# Raised when anything below changes what it returns.
_VERSION: Final = 1
_FOLDER: Final = "modules"
# What is quickly read again is not kept: without lines, up to a thousand symbols or so.
_SMALLEST_KEPT_BYTES: Final = 64 << 10
_LARGEST_CACHE_BYTES: Final = 256 << 20


@attrs.frozen
class Described:
    """Of one module.

    Attributes:
        first: Lowest address of a symbol, as linked.
        end: Where the last one ends; 0 if there is no symbol.
        symbols: Content of its symbols map; empty if there is no symbol.
        debug: Its entry in `debug_info`, as JSON; empty if no symbol has a file.
    """

    first: int = 0
    end: int = 0
    symbols: bytes = b""
    debug: bytes = b""


def own_cache() -> Path | None:
    """Return the user's folder for descriptions; None if there is no safe one."""
    try:
        folder = cache_folder() / _FOLDER
        folder.mkdir(mode=0o755, exist_ok=True)
    except (ToolError, OSError):
        return None
    return folder


def describe(path: str, file: Elf, debug: Elf | None, *, cache: Path | None) -> Described:
    """Return what is told of a module; from the cache if it was told before.

    Args:
        path: As the kernel names it.
        debug: Its separate debug file.
        cache: Folder that only the user can write to; None: nothing is kept.

    Raises:
        ElfError: If a file is damaged, or was replaced meanwhile.
    """
    kept = None if cache is None else cache / _name(path, file, debug)
    known = None if kept is None else _restored(kept)
    if known is not None:
        return known
    found = _described(path, file, debug)
    if kept is not None and (found.debug or len(found.symbols) >= _SMALLEST_KEPT_BYTES):
        _keep(kept, found)
    return found


def symbols_map(symbols: Sequence[Row]) -> bytes:
    """Return the lines of a symbols map: address, size, name, numbers in hex."""
    return b"".join([b"%x %x %s\n" % row for row in symbols])


def _described(path: str, file: Elf, debug: Elf | None) -> Described:
    symbols = symbol_rules.symbols(file, debug)
    if not symbols:
        return Described()
    lines = _lines(file, debug, symbols)
    return Described(
        first=symbols[0][0],
        end=max(address + size for address, size, _ in symbols),
        symbols=symbols_map(symbols),
        debug=debug_entry(path, lines) if lines else b"",
    )


def debug_entry(path: str, lines: Sequence[dict[str, Any]]) -> bytes:
    """Return an entry of `debug_info` (3.12); `lines` by address, and not empty."""
    entry = {
        "object_path": path,
        "addr_bounds": [lines[0]["addr"], max(line["addr"] + line["size"] for line in lines)],
        "load_bias": 0,
        "debug_infos": lines,
    }
    # Paths may be no text; JSON has to be.
    text = json.dumps(entry, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "replace")


def _lines(file: Elf, debug: Elf | None, symbols: Sequence[Row]) -> list[dict[str, Any]]:
    """Return where symbols begin in their sources, those for which that is known (3.9)."""
    source = file if file.section(".debug_info") is not None else debug
    try:
        table = None if source is None else LineTable(source)
    except ElfError:
        table = None
    if not table:
        return []
    lines = table.find_all(sorted({address for address, _, _ in symbols}))
    return [
        {
            "addr": address,
            "size": size,
            "name": name.decode(),
            "file": lines[address].file,
            "line": lines[address].line,
        }
        for address, size, name in symbols
        if address in lines
    ]


# --- The cache ------------------------------------------------------------------------------------


def _name(path: str, file: Elf, debug: Elf | None) -> str:
    facts = [_VERSION, path, _identity(file), None if debug is None else _identity(debug)]
    return hashlib.sha256(repr(facts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _identity(file: Elf) -> tuple[object, ...]:
    """Return what changes with the content of a file.

    Images of containers give all files one time, so the build id counts too; without one, the time
    at which the file came to this machine.
    """
    try:
        status = file.path.stat()
    except OSError:
        return (os.urandom(16),)
    distinct = file.build_id or status.st_ctime_ns
    return (str(file.path), status.st_size, status.st_mtime_ns, distinct)


def _restored(kept: Path) -> Described | None:
    if not is_ours(kept):
        return None
    try:
        first, end, symbols, debug = msgpack.unpackb(kept.read_bytes())
        os.utime(kept)  # it was used: it stays longer
    except (OSError, ValueError, TypeError, msgpack.UnpackException):
        return None
    kinds = [type(each) for each in (first, end, symbols, debug)]
    return Described(first, end, symbols, debug) if kinds == [int, int, bytes, bytes] else None


def _keep(kept: Path, found: Described) -> None:
    """Write atomically: two runs may do so at once. What can't be kept is only read again."""
    with contextlib.suppress(OSError):
        with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(msgpack.packb(attrs.astuple(found)))
                file.flush()
                temporary.replace(kept)
            except OSError:
                temporary.unlink(missing_ok=True)
                return
        _evict(kept.parent)


def _evict(folder: Path) -> None:
    """Keep the folder within its bounds."""
    with os.scandir(folder) as entries:
        files = [(entry.stat().st_mtime_ns, entry.stat().st_size, entry.path) for entry in entries]
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= _LARGEST_CACHE_BYTES:
            break
        with contextlib.suppress(OSError):
            Path(path).unlink()
        total -= size
