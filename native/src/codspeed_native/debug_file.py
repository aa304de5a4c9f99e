"""Find the file that holds what was stripped from a program or library.

Source of the rules: spec/executors.md 3.8, and "Debugging Information in Separate Files" of gdb's
manual.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codspeed_native import elf as elf_files
from codspeed_native.elf import ElfError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from codspeed_native.elf import Elf

ROOTS: Final = (Path("/usr/lib/debug"), Path("/run/current-system/sw/lib/debug"))

_CRC_BYTES: Final = 4


def find(elf: Elf, roots: Sequence[Path] = ROOTS) -> Elf | None:
    """Return the debug file of a program or library; None if there is none that can be read.

    By build id first, then the name in `.gnu_debuglink`, if the checksum is right. As in the
    reference, nothing is searched on a machine that has none of `roots`.

    Raises:
        ElfError: If the file itself is damaged.
    """
    there = [root for root in roots if root.is_dir()]
    for root in there:
        if len(elf.build_id) > 2:
            named = root / ".build-id" / elf.build_id[:2] / f"{elf.build_id[2:]}.debug"
            found = _read(named)
            if found is not None:
                return found
        for candidate, checksum in _linked(elf, root):
            if _checksum(candidate) == checksum:
                found = _read(candidate)
                if found is not None:
                    return found
    return None


def _linked(elf: Elf, root: Path) -> Iterator[tuple[Path, int]]:
    """Yield where `.gnu_debuglink` may lead, with the checksum (CRC-32) of the right file."""
    link = elf.contents(".gnu_debuglink")
    name, zero, _ = link.partition(b"\0")
    if not name or not zero or len(link) < _CRC_BYTES:
        return
    checksum = int.from_bytes(link[-_CRC_BYTES:], "little")
    file = name.decode("utf-8", "surrogateescape")
    folder = elf.path.parent
    below = root / folder.relative_to("/") if folder.is_absolute() else root / folder
    for place in (folder, folder / ".debug", below):
        yield place / file, checksum


def _checksum(path: Path) -> int | None:
    try:
        return zlib.crc32(path.read_bytes()) if path.is_file() else None
    except OSError:
        return None


def _read(path: Path) -> Elf | None:
    try:
        return elf_files.read(path) if path.is_file() else None
    except (ElfError, OSError):
        return None
