"""Call trees of all benchmarks of a part, as one file in its profile folder.

The trees are made soon after the run, because the programs that give addresses their names may be
built anew. Version 1: a table of frames, and per URI the stacks as positions in it, root first,
each with its cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs
import msgpack

from codspeed.errors import ResultsError
from codspeed.model import CallTree, Frame

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX: Final = ".folded.msgpack"
_VERSION: Final = 1


@attrs.frozen
class Profiles:
    """What sampling found.

    Attributes:
        trees: By URI.
        inside: Samples inside of a benchmark's rounds, or its window if it has none.
        truncated: Those of them whose stack could not be followed to its root.
        lost: Records that there was no room for.
        unit: Of the costs.
    """

    trees: Mapping[str, CallTree] = attrs.field(factory=dict)
    inside: int = 0
    truncated: int = 0
    lost: int = 0
    unit: str = "samples"


def dump(profiles: Profiles) -> bytes:
    """Return the file's bytes."""
    positions: dict[Frame, int] = {}
    trees = {
        uri: [
            [[positions.setdefault(frame, len(positions)) for frame in stack], cost]
            for stack, cost in tree.stacks.items()
        ]
        for uri, tree in profiles.trees.items()
    }
    document = {
        "version": _VERSION,
        "unit": profiles.unit,
        "counts": [profiles.inside, profiles.truncated, profiles.lost],
        "frames": [list(attrs.astuple(frame)) for frame in positions],
        "trees": trees,
    }
    packed: bytes = msgpack.packb(document)
    return packed


def load(data: bytes, *, where: str) -> Profiles:
    """Read `dump`'s form.

    Raises:
        ResultsError: If it is something else, or damaged.
    """
    try:
        return _parsed(msgpack.unpackb(data))
    except (ValueError, TypeError, KeyError, IndexError, msgpack.UnpackException) as failure:
        problem = f"{where} holds no profiles that we can read"
        raise ResultsError(problem, hint="measure again") from failure


def read(path: Path) -> Profiles | None:
    """Return the profiles of a part; None if they were not made.

    Raises:
        ResultsError: As `load`.
    """
    try:
        return load(path.read_bytes(), where=str(path))
    except OSError:
        return None


def _parsed(document: Any) -> Profiles:
    if document["version"] != _VERSION:
        msg = "another version"
        raise ValueError(msg)
    frames = [Frame(*map(str, words)) for words in document["frames"]]
    unit = str(document["unit"])
    trees = {
        str(uri): CallTree(
            unit, {tuple(frames[each] for each in stack): cost for stack, cost in stacks}
        )
        for uri, stacks in document["trees"].items()
    }
    inside, truncated, lost = map(int, document["counts"])
    return Profiles(trees, inside, truncated, lost, unit)
