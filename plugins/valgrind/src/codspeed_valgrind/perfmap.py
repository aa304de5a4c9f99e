"""Names of functions that a just-in-time compiler made: perf maps, kept beside the counters."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# Fixed by perf's convention, whatever TMPDIR says (spec/executors.md 2.7).
MAP_FOLDER: Final = Path("/tmp")  # noqa: S108 - see above
_OUTPUT: Final = re.compile(r"(?:target-[0-9]+\.)?([0-9]+)\.(?:out|tgtrace)")


def process_ids(folder: Path) -> Iterator[int]:
    """Yield the ids of the processes whose counters are in a profile folder."""
    for path in sorted(folder.iterdir()):
        match = _OUTPUT.fullmatch(path.name)
        if match:
            yield int(match[1])


def harvest(folder: Path, *, since_ns: int, maps: Path = MAP_FOLDER) -> None:
    """Copy the maps of measured processes into the profile folder.

    Args:
        folder: The profile folder.
        since_ns: When the command was started, nanoseconds since the epoch. What is older belongs
            to another process that had the same id; so does what is not ours.
        maps: Where programs leave their maps.

    Raises:
        OSError: If a map can't be copied.
    """
    for pid in set(process_ids(folder)):
        name = f"perf-{pid}.map"
        data = _read_own(maps / name, since_ns)
        if data is not None:
            (folder / name).write_bytes(data)


def _read_own(path: Path, since_ns: int) -> bytes | None:
    """Return a map's content; the folder is everybody's, so only a plain file of ours counts."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        is_ours = stat.S_ISREG(status.st_mode) and status.st_uid in {os.geteuid(), os.getuid()}
        if not is_ours or status.st_mtime_ns < since_ns:
            return None
        return file.read()
