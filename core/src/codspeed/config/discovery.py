"""Where codspeed.yml is found. Imports nothing heavy: every run looks, most find nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

# In order of priority within one folder.
FILE_NAMES: Final = ("codspeed.yaml", "codspeed.yml", ".codspeed.yaml", ".codspeed.yml")


def find(cwd: Path) -> Path | None:
    """Return the project's configuration file; None if there is none.

    Folders are tried from `cwd` up to the root of the git work tree; outside of one only `cwd`. The
    reference goes on above the root when it starts in it; that is not copied.
    """
    folders = [cwd, *cwd.parents]
    root = next((index for index, folder in enumerate(folders) if (folder / ".git").exists()), 0)
    for folder in folders[: root + 1]:
        for name in FILE_NAMES:
            if (folder / name).is_file():
                return folder / name
    return None
