"""Whether the files that Valgrind left can be used. Their contents are for the reader."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from codspeed.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_TAIL_BYTES: Final = 4096
_HEAD_BYTES: Final = 4096
_TOTALS: Final = re.compile(rb"^totals: [0-9 ]*\n\s*\Z", re.MULTILINE)
_METADATA: Final = b"desc: Trigger: Client Request: Metadata: "


def require_whole(folder: Path) -> None:
    """Check that no output file of a profile folder was cut off.

    Raises:
        ResultsError: Names the files; the parts before the cut can still be read.
    """
    cut = [path.name for path in sorted(folder.glob("*.out")) if not _is_whole(path)]
    if cut:
        problem = f"Valgrind did not finish writing {', '.join(cut)} in {folder}"
        hint = "is the disk full, or was the process killed? The parts that are whole are kept"
        raise ResultsError(problem, hint=hint)


def drop_unmarked(folder: Path, prefixes: Mapping[str, str]) -> Iterator[str]:
    """Remove the files of processes that never said that they are measured.

    Such is a child made by vfork whose exec failed: what it wrote is a copy of what its parent had
    counted. Others, such as a static child, have counted nothing.

    Args:
        folder: The profile folder.
        prefixes: Beginning of the files' names, up to a dot -> URI; of targets that mark what is
            measured.

    Yields:
        A sentence for each target of which no process said so; its files stay.
    """
    for prefix, uri in prefixes.items():
        files = sorted(folder.glob(f"{prefix}.*.out"))
        unmarked = [path for path in files if _METADATA not in _read(path, 0, _HEAD_BYTES)]
        if files and len(unmarked) == len(files):
            yield (
                f"{uri}: nothing was measured; the program loads no preload libraries "
                "(is it set-user-id, or does it clear LD_PRELOAD?)"
            )
        else:
            for path in unmarked:
                path.unlink()


def _is_whole(path: Path) -> bool:
    size = path.stat().st_size
    return bool(_TOTALS.search(_read(path, max(0, size - _TAIL_BYTES), _TAIL_BYTES)))


def _read(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset, os.SEEK_SET)
        return file.read(size)
