"""samply as a profiler, if the user has it: it records the whole command.

Source: spec/executors.md 3.3.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, ClassVar, Final

import attrs

from codspeed_walltime.profiler import SAMPLY_PROFILE, Profiler

if TYPE_CHECKING:
    from pathlib import Path

    from codspeed.model import Launch

_SYMBOL_SERVERS: Final = "https://symbols.mozilla.org/,https://symbols.electronjs.org/"
_ENVIRONMENT: Final = {
    "SAMPLY_DISABLE_JIT_CLASSIFICATION": "1",
    "SAMPLY_USE_DEBUGINFOD": "1",
    "SAMPLY_BREAKPAD_SYMBOL_SERVER": _SYMBOL_SERVERS,
}
# The reference's own build calls it by the first name, released ones by the second.
_PRESYMBOLICATE: Final = ("--presymbolicate", "--unstable-presymbolicate")


class Samply(Profiler):
    """Leaves samply's own file, which its viewer and the service read; we have no tree of it."""

    kind: ClassVar[str] = "samply"

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def wrap(self, launch: Launch, folder: Path) -> Launch:
        """Start the command under samply."""
        argv = (
            self._program, "record", *self._presymbolicate(), "--no-open", "--save-only",
            "--rate", "997", "-o", str(folder / SAMPLY_PROFILE), "--", *launch.argv,
        )  # fmt: skip
        return attrs.evolve(launch, argv=argv, env={**launch.env, **_ENVIRONMENT})

    def _presymbolicate(self) -> tuple[str, ...]:
        asked = subprocess.run(
            [self._program, "record", "--help"], capture_output=True, text=True, check=False
        )
        known = set(asked.stdout.replace("=", " ").split())
        return tuple(flag for flag in _PRESYMBOLICATE if flag in known)[:1]
