"""Keep the names that JITs left in a folder that everybody shares, before others remove them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# Fixed names, whatever TMPDIR says: tools/perf/Documentation/jit-interface.txt; CPython and V8
# write them, and a jitdump (jitdump-specification.txt) lies beside them.
_SHARED: Final = Path("/tmp")  # noqa: S108 - the interface fixes it
_NAMES: Final = ("perf-{}.map", "jit-{}.dump")
_NUMBERED: Final = re.compile(r"(?:perf-(\d+)\.map|jit-(\d+)\.dump)")


def recent_pids(*, since_ns: int, shared: Path = _SHARED) -> frozenset[int]:
    """Return processes of ours that left names since then, whoever started them.

    For profilers that do not tell which processes there were.

    Args:
        since_ns: As of `keep_jit_names`.
    """
    found = set()
    with contextlib.suppress(OSError), os.scandir(shared) as entries:
        for entry in entries:
            match = _NUMBERED.fullmatch(entry.name)
            if match is not None:
                status = entry.stat(follow_symlinks=False)
                if status.st_uid == os.geteuid() and status.st_mtime_ns >= since_ns:
                    found.add(int(match[1] or match[2]))
    return frozenset(found)


def keep_jit_names(
    folder: Path, pids: Iterable[int], *, since_ns: int, shared: Path = _SHARED
) -> None:
    """Copy the maps of processes into `folder`; what can't be copied is only missing.

    Args:
        since_ns: Seconds of the wall clock in nanoseconds; older files are of earlier processes
            that had the same number.
    """
    for pid in pids:
        for name in (name.format(pid) for name in _NAMES):
            source = shared / name
            with contextlib.suppress(OSError):
                if source.is_symlink() or source.stat().st_mtime_ns < since_ns:
                    continue
                shutil.copyfile(source, folder / name)
