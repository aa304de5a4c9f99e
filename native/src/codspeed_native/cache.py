"""The user's cache folder: where it is, and what in it can be trusted.

A folder that somebody else could write to is never used: what is in it is loaded into the user's
programs, or sent on in his name.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from codspeed.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Iterator


def cache_folder(chosen: Path | None = None) -> Path:
    """Return a folder for what can be made again, which nobody but this user can write to.

    Args:
        chosen: The only one to try; the user's cache, else a temporary one, by default.

    Raises:
        ToolError: If there is none; says of each candidate why not.
    """
    candidates = list(_candidates()) if chosen is None else [chosen]
    faults = []
    for folder in candidates:
        fault = _fault(folder)
        if fault is None:
            return folder
        faults.append(f"{folder}: {fault}")
    problem = f"there is no safe folder for cached files ({'; '.join(faults)})"
    raise ToolError(problem, hint="set XDG_CACHE_HOME to a folder that belongs to you")


def is_ours(path: Path) -> bool:
    """Return whether this is a regular file that nobody else could have written."""
    try:
        status = path.lstat()
    except OSError:
        return False
    is_safe = not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and is_safe


def _candidates() -> Iterator[Path]:
    """Yield the user's cache, then a place that works when that belongs to another user (sudo)."""
    user = os.geteuid()
    yield platformdirs.user_cache_path("codspeed") / f"native-{user}"
    yield Path(tempfile.gettempdir()) / f"codspeed-native-{user}"


def _fault(folder: Path) -> str | None:
    """Make the folder; return why it can't be used."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o755)
        status = folder.lstat()
    except OSError as failure:
        return failure.strerror or str(failure)
    if not stat.S_ISDIR(status.st_mode):
        return "it is no folder"
    if status.st_uid != os.geteuid():
        return f"it belongs to user {status.st_uid}"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others may write to it"
    return None if os.access(folder, os.W_OK | os.X_OK) else "it can't be written to"
