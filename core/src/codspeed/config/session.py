"""What a shell session remembers: modes (`codspeed use`) and a profile (`codspeed profile use`).

The place and format are the reference's: one file per shell, named by its process id, found from
any process below it. Two things are stricter: a file older than the process it is named after
belonged to another process with that id, and outside XDG_RUNTIME_DIR a folder of another user is
not believed.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from codspeed.config.file import write_private
from codspeed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MODES: Final = "codspeed_use_mode"
PROFILE: Final = "codspeed_profile"

_MAX_DEPTH: Final = 64  # a chain of parents is short; a loop must still end
_SLACK_SECONDS: Final = 2.0  # start times are rounded to clock ticks, and boot times to seconds


def remember(kind: str, value: Any, env: Mapping[str, str]) -> None:
    """Store a value for the shell that started us.

    Raises:
        ConfigError: If it can't be written.
    """
    import json  # noqa: PLC0415 - most runs store and find nothing

    folder = _root(env) / kind
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(folder):
            problem = f"{folder} belongs to another user"
            raise ConfigError(problem, hint="set XDG_RUNTIME_DIR")
        write_private(folder / str(os.getppid()), json.dumps(value, separators=(",", ":")))
    except OSError as error:
        problem = f"can't remember this in {folder}: {error.strerror}"
        raise ConfigError(problem) from error


def recall(kind: str, env: Mapping[str, str]) -> Any:
    """Return what the nearest shell above us stored; None if nothing was."""
    folder = _root(env) / kind
    if not folder.is_dir() or not _is_ours(folder):
        return None
    import json  # noqa: PLC0415 - most runs find nothing

    for pid in _ancestors():
        try:
            path = folder / str(pid)
            if _is_current(path, pid):
                return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
    return None


def modes(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the modes that this shell session uses; empty if none were set."""
    stored = recall(MODES, env)
    return tuple(str(mode) for mode in stored) if isinstance(stored, list) else ()


def profile(env: Mapping[str, str]) -> str | None:
    """Return the profile that this shell session uses."""
    stored = recall(PROFILE, env)
    return stored if isinstance(stored, str) else None


def _root(env: Mapping[str, str]) -> Path:
    return Path(env.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())


def _is_ours(folder: Path) -> bool:
    return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()


def _ancestors() -> Iterator[int]:
    """Yield our parent, its parent and so on; only the parent where there is no /proc."""
    pid = os.getppid()
    for _ in range(_MAX_DEPTH):
        if pid <= 0:
            return
        yield pid
        fields = _stat(pid)
        if len(fields) < 2:
            return
        pid = int(fields[1])


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on (proc(5)); empty if there are none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _is_current(path: Path, pid: int) -> bool:
    """Whether the process called `pid` already lived when the file was written."""
    written = path.stat().st_mtime
    fields = _stat(pid)
    if len(fields) < 20:
        return True
    boot = next(
        (
            float(line.split()[1])
            for line in Path("/proc/stat").read_text(encoding="utf-8").splitlines()
            if line.startswith("btime ")
        ),
        0.0,
    )
    started = boot + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return written >= started - _SLACK_SECONDS
