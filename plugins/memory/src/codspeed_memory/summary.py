"""`memory.json` in the profile folder: what each window used, so that no event is read twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from codspeed import wire
from codspeed.errors import BundleError, ResultsError
from codspeed_memory.usage import Usage

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "memory.json"
# History: 1 first version.
SCHEMA: Final = 1


@attrs.frozen
class Measured:
    """One window.

    Attributes:
        uri: None if it was never named.
        start_ns: CLOCK_MONOTONIC.
        end_ns: CLOCK_MONOTONIC.
        usage: What was recorded in it.
        gaps: What was not, a sentence each.
    """

    uri: str | None
    start_ns: int
    end_ns: int
    usage: Usage = attrs.field(factory=Usage)
    gaps: tuple[str, ...] = ()


@attrs.frozen
class Summary:
    """One run part.

    Attributes:
        backend: What recorded.
        allocator: CPython's, see `python_target`.
        dropped: Events that were lost.
        waits: How often a thread waited for room.
    """

    backend: str
    allocator: str
    windows: tuple[Measured, ...] = ()
    dropped: int = 0
    waits: int = 0
    schema: int = SCHEMA


def save(summary: Summary, folder: Path) -> None:
    """Write the summary; raises BundleError if it can't be written."""
    path = folder / FILE
    try:
        path.write_bytes(wire.dump_json(summary))
    except OSError as failure:
        problem = f"{path} can't be written: {failure.strerror}"
        hint = "free space there or name another folder with --profile-folder"
        raise BundleError(problem, hint=hint) from failure


def load(folder: Path) -> Summary | None:
    """Return the summary; None if there is none.

    Raises:
        ResultsError: If it can't be understood.
    """
    path = folder / FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as failure:
        problem = f"{path} can't be read: {failure.strerror}"
        raise ResultsError(problem) from failure
    plain = wire.load_json(data, where=str(path), error=ResultsError)
    return wire.from_plain(plain, Summary, where=str(path), error=ResultsError)
