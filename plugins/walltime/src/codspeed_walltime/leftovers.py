"""Keep the names that JITs left in a folder that everybody shares, before others remove them."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# Fixed names, whatever TMPDIR says: tools/perf/Documentation/jit-interface.txt; CPython and V8
# write them, and a jitdump (jitdump-specification.txt) lies beside them.
_SHARED: Final = Path("/tmp")  # noqa: S108 - the interface fixes it
_NAMES: Final = ("perf-{}.map", "jit-{}.dump")


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
