"""Run parts for tests: ready to be measured, and as they come back from a bundle."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import attrs

from codspeed import wire
from codspeed.model import Launch, RunPart

if TYPE_CHECKING:
    from pathlib import Path


def make_part(folder: Path, argv: tuple[str, ...] = (), **fields: Any) -> RunPart:
    """Return a part that runs `argv`; its folder is made.

    Args:
        folder: The profile folder.
        argv: The command; empty if the part is only read.
        fields: Of `RunPart`, in place of the defaults.
    """
    folder.mkdir(parents=True, exist_ok=True)
    defaults: dict[str, Any] = {
        "index": 0,
        "executor": "test",
        "mode": "test",
        "label": " ".join(argv),
        "launch": Launch(argv),
        "folder": folder,
    }
    return RunPart(**(defaults | fields))


def restored(part: RunPart, folder: Path) -> RunPart:
    """Return a measured part as `codspeed.bundle` restores it: elsewhere, and from files.

    The profile folder is copied to `folder`, so the original can still be read.
    """
    shutil.copytree(part.folder, folder, symlinks=True)
    outcome = part.outcome
    if outcome is not None:
        outcome = wire.load_outcome(wire.dump_outcome(outcome), where="outcome")
    launch = Launch(part.launch.argv, cwd=part.launch.cwd)
    return attrs.evolve(part, folder=folder, launch=launch, outcome=outcome)
