"""Jobs of CI providers as the program meets them: variables, an event file, a checkout.

What GitHub sets is told at "Variables reference" in its documentation.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_KEPT: Final = ("PATH", "HOME", "TMPDIR")


def commit_all(folder: Path) -> None:
    """Make a repository of a folder: one commit on main, with what is in there, if anything."""
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for words in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run([*git, *words], check=True)


def github_push(
    checkout: Path, home: Path, *, event: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Return the environment of a push to main of a public repository, which needs no token.

    Args:
        checkout: The repository, as actions/checkout leaves it.
        home: Where the event file, and what the program keeps, may lie.
        event: More of the event than that the repository is public.
    """
    path = home / "event.json"
    path.write_text(json.dumps({"repository": {"private": False}, **(event or {})}))
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_REPOSITORY": "acme/widgets",
        "GITHUB_EVENT_PATH": str(path),
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_BASE_REF": "",
        "GITHUB_JOB": "bench",
        "GITHUB_RUN_ID": "18",
        "GITHUB_ACTOR": "ada",
        "GITHUB_ACTOR_ID": "1",
        "GITHUB_WORKSPACE": str(checkout),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "NO_PROXY": "127.0.0.1",
    }
