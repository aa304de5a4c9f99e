"""When a measured part gets the service's files, from what, and what happens if that fails.

Only under compat "codspeed", which the service asks for: natively nobody reads them. A run that
failed has none, since it is not uploaded. What can't be written costs the service's flame graph and
never the measurement; only a full disk is an error, for the results would have no room either.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
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

_LIBPYTHON: Final = "libpython"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_wanted(part: RunPart, outcome: Outcome, profiler: Profiler) -> bool:
    """Whether the service could get this part, with a profile."""
    is_whole = outcome.status == 0 and not outcome.interrupted
    return part.compat is Compat.CODSPEED and is_whole and profiler.is_on


class ServiceFiles:
    """The files of one part. What has to be asked of other programs is asked at once, aside.

    Args:
        folder: The profile folder.
        since_ns: When the run began, by the wall clock.
    """

    def __init__(
        self, folder: Path, outcome: Outcome, profiler: Profiler, *, since_ns: int
    ) -> None:
        self._folder = folder
        self._outcome = outcome
        self._profiler = profiler
        self._since_ns = since_ns
        self._asking: threading.Thread | None = None
        if profiler.side_band is not None and _LIBPYTHON.encode() in profiler.side_band[0]:
            self._asking = threading.Thread(target=runtimes.python_objects, daemon=True)
            self._asking.start()

    def write(self) -> str:
        """Write them beside the recording.

        Returns:
            What is missing and why; empty if nothing is.

        Raises:
            BundleError: If the disk is full.
        """
        integration = self._outcome.integration
        if integration is None:
            return ""  # no benchmark: that is said elsewhere
        try:
            self._write(integration)
        except (CodspeedError, OSError) as failure:
            if isinstance(failure, OSError) and failure.errno in _FULL:
                folder = self._folder
                problem = f"the profile can't be written to {folder}: {failure.strerror}"
                hint = "free space there or name another folder with --profile-folder"
                raise BundleError(problem, hint=hint) from failure
            return f"an upload has no flame graph: {failure}"
        return ""

    def _write(self, integration: Integration) -> None:
        folder, timestamps = self._folder, self._outcome.timestamps
        if (folder / SAMPLY_PROFILE).is_file():  # it has everything else itself (3.3)
            write_metadata(folder, Metadata(integration, timestamps))
        elif (folder / PIPEDATA).is_file():
            write(
                folder,
                self._records(),
                integration=integration,
                timestamps=timestamps,
                pids={pid for window in self._outcome.windows for pid in window.pids},
                interpreters=self._interpreters,
                keep_names=self._keep_names,
                cache=own_cache(),
            )

    def _records(self) -> Iterable[Record]:
        """Return what was mapped where, in order of time; without samples if that is quicker."""
        if self._profiler.side_band is None:
            return perf_data.read(self._folder / PIPEDATA)
        records, attribute = self._profiler.side_band
        decoder = Decoder([Event(Attribute.parse(attribute), ())])
        return sorted(decoder.decode(records), key=lambda record: record.time)

    def _keep_names(self, pids: Collection[int]) -> None:
        """Keep the names of processes that the profiler did not tell of when it stopped."""
        unknown = set(pids) - self._profiler.pids
        keep_jit_names(self._folder, unknown, since_ns=self._since_ns)

    def _interpreters(self, paths: Collection[str]) -> Collection[str]:
        """Return the reference's list of interpreters; asks only for what may be loaded.

        The answers are a libpython and the program behind `node`: where neither is loaded, nothing
        in the files depends on them, and asking takes as long as all the rest.
        """
        names = {PurePath(path).name for path in paths}
        found: list[str] = []
        if any(name.startswith(_LIBPYTHON) for name in names):
            if self._asking is not None:
                self._asking.join()
            found += runtimes.python_objects()
        node = os.path.realpath(shutil.which("node") or "")
        if node in paths:
            found.append(node)  # a program says its own path
        elif any("node" in name for name in names):
            found += runtimes.node_objects()
        return found
