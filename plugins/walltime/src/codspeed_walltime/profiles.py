"""Where the call trees of a part are kept: see `codspeed_native.profile_file`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codspeed_native import profile_file
from codspeed_native.profile_file import Profiles, dump, load

if TYPE_CHECKING:
    from pathlib import Path

FOLDED: Final = f"profiles{profile_file.SUFFIX}"
UNIT: Final = "samples"


def read(folder: Path) -> Profiles | None:
    """Return the profiles of a part; None if they were not made.

    Raises:
        ResultsError: If they can't be understood.
    """
    return profile_file.read(folder / FOLDED)


__all__ = ["FOLDED", "UNIT", "Profiles", "dump", "load", "read"]
