"""How much profiles may take: results are kept for ever, profiles of the oldest runs go first."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from codspeed import bundle as bundles
from codspeed.errors import UsageError
from codspeed_report.failure import explained

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_BYTES: Final = 2 * 1024**3
MARKER: Final = "profiles-removed.json"
# History: 1 first version.
MARKER_SCHEMA: Final = 1
_LEFTOVER: Final = ".profiles-removed"  # a removal that was cut short; not counted, goes next time
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)I?B?", re.IGNORECASE)
_KIBI: Final = 1024


@attrs.frozen
class Profiles:
    """The profiles of one bundle and what they take."""

    bundle: Path
    size: int


def parse_bytes(text: str) -> int:
    """Return the bytes that `text` means: `2GB`, `500 MB`, `1.5G`, `0`; units of 1024.

    Raises:
        UsageError: If it is no size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        problem = f"{text!r} is no size"
        raise UsageError(problem, hint="write a number and B, KB, MB, GB or TB: --keep-bytes 2GB")
    exponent = "KMGTP".find(found[2].upper()) + 1 if found[2] else 0
    return int(float(found[1]) * _KIBI**exponent)


def folder_bytes(folder: Path) -> int:
    """Return the sizes of all files below `folder`; 0 if it does not exist."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(Path(place, name)).st_size
            except FileNotFoundError:  # removed meanwhile
                continue
    return total


def measure(folder: Path) -> tuple[Profiles, ...]:
    """Return the bundles in `folder` that have profiles, oldest first.

    Raises:
        BundleError: If the folder can't be listed.
    """
    found = [Profiles(path, folder_bytes(path / bundles.PROFILES)) for path in bundles.find(folder)]
    return tuple(profiles for profiles in found if profiles.size)


def choose(profiles: Sequence[Profiles], keep_bytes: int) -> tuple[Profiles, ...]:
    """Return which profiles go so that the rest fits into `keep_bytes`; `profiles` oldest first."""
    excess = sum(each.size for each in profiles) - keep_bytes
    chosen = []
    for each in profiles:
        if excess <= 0:
            break
        chosen.append(each)
        excess -= each.size
    return tuple(chosen)


def remove(profiles: Profiles, *, now_ns: int) -> None:
    """Remove the profiles of one bundle and leave the marker; results and manifest stay.

    Args:
        now_ns: For the marker, nanoseconds since the epoch.

    Raises:
        StoreError: If they can't be removed.
    """
    leftover = profiles.bundle / _LEFTOVER
    marker = {"schema": MARKER_SCHEMA, "removed_ns": now_ns, "bytes": profiles.size}
    with explained(profiles.bundle):
        _delete(leftover)
        # At once, so that no reader sees a part of a profile; then the slow deletion.
        (profiles.bundle / bundles.PROFILES).rename(leftover)
        (profiles.bundle / MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")
        _delete(leftover)


def are_removed(bundle: Path) -> bool:
    """Whether `remove` took the profiles of this bundle."""
    return (bundle / MARKER).is_file()


def _delete(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
