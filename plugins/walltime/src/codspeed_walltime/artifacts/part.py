"""When a measured part gets the service's files, from what, and what happens if that fails.

Only under compat "codspeed", which the service asks for: natively nobody reads them. A run that
failed has none, since it is not uploaded. What can't be written costs the service's flame graph and
never the measurement; only a full disk is an error, for the results would have no room either.
"""

from __future__ import annotations

import errno
import functools
import os
import shutil
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from codspeed.errors import BundleError, CodspeedError
from codspeed.model import Compat
from codspeed_native import perf_data, runtimes
from codspeed_native.perf_decoder import Attribute, Decoder, Event
from codspeed_walltime.artifacts.described import own_cache
from codspeed_walltime.artifacts.metadata import Metadata
from codspeed_walltime.artifacts.writer import write, write_metadata
from codspeed_walltime.leftovers import keep_jit_names
from codspeed_walltime.profiler import PIPEDATA, SAMPLY_PROFILE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from codspeed.model import Integration, Outcome, RunPart
    from codspeed_native.perf_records import Record
    from codspeed_walltime.profiler import Profiler

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_wanted(part: RunPart, outcome: Outcome, profiler: Profiler) -> bool:
    """Whether the service could get this part, with a profile."""
    is_whole = outcome.status == 0 and not outcome.interrupted
    return part.compat is Compat.CODSPEED and is_whole and profiler.is_on


def write_files(folder: Path, outcome: Outcome, profiler: Profiler, *, since_ns: int) -> str:
    """Write them beside the recording.

    Args:
        folder: The profile folder.
        since_ns: When the run began, by the wall clock.

    Returns:
        What is missing and why; empty if nothing is.

    Raises:
        BundleError: If the disk is full.
    """
    if outcome.integration is None:
        return ""  # no benchmark: that is said elsewhere
    try:
        _write(folder, outcome, outcome.integration, profiler, since_ns=since_ns)
    except (CodspeedError, OSError) as failure:
        if isinstance(failure, OSError) and failure.errno in _FULL:
            problem = f"the files of the profile can't be written to {folder}: {failure.strerror}"
            hint = "free space there or name another folder with --profile-folder"
            raise BundleError(problem, hint=hint) from failure
        return f"an upload has no flame graph: {failure}"
    return ""


def _write(
    folder: Path, outcome: Outcome, integration: Integration, profiler: Profiler, *, since_ns: int
) -> None:
    if (folder / SAMPLY_PROFILE).is_file():  # it has everything else itself (3.3)
        write_metadata(folder, Metadata(integration, outcome.timestamps))
    elif (folder / PIPEDATA).is_file():
        write(
            folder,
            _records(folder, profiler),
            integration=integration,
            timestamps=outcome.timestamps,
            pids={pid for window in outcome.windows for pid in window.pids},
            interpreters=_interpreters,
            keep_names=functools.partial(_keep_names, folder, profiler, since_ns),
            cache=own_cache(),
        )


def _records(folder: Path, profiler: Profiler) -> Iterable[Record]:
    """Return what was mapped where, in order of time; without samples where that is quicker."""
    if profiler.side_band is None:
        return perf_data.read(folder / PIPEDATA)
    records, attribute = profiler.side_band
    decoder = Decoder([Event(Attribute.parse(attribute), ())])
    return sorted(decoder.decode(records), key=lambda record: record.time)


def _keep_names(folder: Path, profiler: Profiler, since_ns: int, pids: Collection[int]) -> None:
    """Keep the names of processes that the profiler did not tell of when it stopped."""
    keep_jit_names(folder, set(pids) - profiler.pids, since_ns=since_ns)


def _interpreters(paths: Collection[str]) -> Collection[str]:
    """Return the reference's list of interpreters; asks only for what may be among the modules.

    The answers are a libpython and the program behind `node`: where neither is loaded, nothing in
    the files depends on them, and asking takes as long as all the rest.
    """
    names = {PurePath(path).name for path in paths}
    node = shutil.which("node")
    found: list[str] = []
    if any(name.startswith("libpython") for name in names):
        found += runtimes.python_objects()
    if (node and os.path.realpath(node) in paths) or any("node" in name for name in names):
        found += runtimes.node_objects()
    return found
