"""What the executor leaves in the profile folder for whoever reads the counters later.

`simulation.json` and, for exec targets, `targets.json`; both are described in the plugin's README.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from codspeed import wire
from codspeed.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NAME: Final = "simulation.json"
TARGETS: Final = "targets.json"
# History: 1 first version.
SCHEMA: Final = 1


@attrs.frozen
class Record:
    """One simulated part.

    Attributes:
        schema: See `SCHEMA`.
        tool: "callgrind" or "tracegrind".
        valgrind: Its version, as it prints it.
        flavour: "stock" or "codspeed".
        allocator: CPython's: "pymalloc", "malloc" or "default".
        cycle_estimation: The counters Ct and Cl are there.
        runtime_objects: Files whose functions are an interpreter's; those that Valgrind could not
            skip are for the reader to collapse.
        whole: URIs of programs that can't say when they begin: measured from start to end.
        unsteady: What differed between repeats: URI -> a sentence.
    """

    schema: int = SCHEMA
    tool: str = "callgrind"
    valgrind: str = ""
    flavour: str = "stock"
    allocator: str = "default"
    cycle_estimation: bool = False
    runtime_objects: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    unsteady: dict[str, str] = attrs.field(factory=dict)


def read(folder: Path) -> Record:
    """Return the record of a profile folder; an empty one if there is none.

    Raises:
        ResultsError: If it can't be understood.
    """
    path = folder / NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Record()
    except OSError as failure:
        problem = f"{path} can't be read: {failure.strerror}"
        raise ResultsError(problem) from failure
    plain = wire.load_json(data, where=str(path), error=ResultsError)
    schema = plain.get("schema") if isinstance(plain, dict) else None
    if schema != SCHEMA:
        problem = f"{path} has schema {schema}, this plugin reads {SCHEMA}"
        raise ResultsError(problem, hint="upgrade codspeed-valgrind, or measure again")
    return wire.from_plain(plain, Record, where=str(path), error=ResultsError)


def write(folder: Path, record: Record) -> None:
    """Write the record of a profile folder."""
    (folder / NAME).write_bytes(wire.dump_json(record))


def write_targets(folder: Path, uris: Mapping[str, str]) -> None:
    """Write which output files belong to which exec target.

    Args:
        folder: The profile folder.
        uris: Beginning of the files' names, up to a dot -> URI.
    """
    (folder / TARGETS).write_bytes(wire.dump_json(dict(uris)))
