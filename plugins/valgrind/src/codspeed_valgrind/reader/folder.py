"""The callgrind files of a profile folder, and which parts in them belong to which benchmark.

Processes write `<pid>.out`, `<pid>.out.N` for part N where parts are not combined, and `-TT` behind
that for thread TT where threads are separated. A whole process counts for a benchmark where
`targets.json` in the folder says so: {"<pid, or beginning of the file's name>": "<uri>"}.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from codspeed import wire
from codspeed.errors import ResultsError
from codspeed_native import perf_map
from codspeed_valgrind.reader import body as bodies
from codspeed_valgrind.reader.totals import CallgrindError, Part, PartKind, TruncatedError, scan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from codspeed_native.perf_map import PerfMap

TARGETS: Final = "targets.json"
_NAME: Final = re.compile(r"(?P<stem>.+)\.out(?:\.(?P<number>\d+))?(?:-(?P<thread>\d+))?")


@attrs.frozen
class Measured:
    """One part that counts for a benchmark."""

    path: Path
    part: Part
    uri: str

    def body(self) -> bodies.Body:
        """Read what is between header and totals.

        Raises:
            CallgrindError: If it can't be understood, or the file is gone.
        """
        return bodies.read(_bytes(self.path), self.part, where=str(self.path))

    def names(self) -> PerfMap:
        """Return the names of code that the process made at run time."""
        return perf_map.read(self.path.parent / f"perf-{self.part.pid}.map")


@attrs.frozen
class Folder:
    """What the files of a folder say.

    Attributes:
        measured: In the order in which it was written, process by process.
        faults: Files that could not be read to their end, or not at all.
        total_bytes: Size of all files.
    """

    measured: tuple[Measured, ...] = ()
    faults: tuple[CallgrindError, ...] = ()
    total_bytes: int = 0

    def of(self, uri: str) -> tuple[Measured, ...]:
        """Return the parts that count for one benchmark: see `counted`."""
        return counted(each for each in self.measured if each.uri == uri)


def read(folder: Path) -> Folder:
    """Read the totals of every file.

    Raises:
        ResultsError: If `targets.json` is there and can't be understood.
    """
    targets = _targets(folder)
    measured: list[Measured] = []
    faults: list[CallgrindError] = []
    total_bytes = 0
    for path in _files(folder):
        parts: tuple[Part, ...] = ()
        try:
            data = _bytes(path)
            total_bytes += len(data)
            parts = scan(data, where=str(path))
        except TruncatedError as fault:
            faults.append(fault)
            parts = fault.parts
        except CallgrindError as fault:
            faults.append(fault)
        for part in parts:
            uri = _uri(part, path, targets)
            if uri is not None:
                measured.append(Measured(path, part, uri))
    return Folder(tuple(measured), tuple(faults), total_bytes)


def counted(measured: Iterator[Measured]) -> tuple[Measured, ...]:
    """Return what counts of a benchmark's parts: all processes and threads, each process's last.

    A process that measured a benchmark again (a retry) replaced its result; two processes that
    measured it each did a share of it.
    """
    last: dict[int, int] = {}
    every = list(measured)
    for each in every:
        last[each.part.pid] = max(last.get(each.part.pid, 0), each.part.number)
    return tuple(each for each in every if each.part.number == last[each.part.pid])


def _uri(part: Part, path: Path, targets: Mapping[str, str]) -> str | None:
    if part.kind is PartKind.BENCHMARK:
        return part.trigger
    if part.kind is not PartKind.TERMINATION or not any(part.counters):
        return None
    for key, uri in targets.items():
        if str(part.pid) == key or path.name.startswith((f"{key}.", f"{key}-")):
            return uri
    return None


def _files(folder: Path) -> list[Path]:
    try:
        names = {path: _NAME.fullmatch(path.name) for path in folder.iterdir()}
    except OSError:
        return []
    return [
        path for _, path in sorted((_order(match), path) for path, match in names.items() if match)
    ]


def _order(match: re.Match[str]) -> tuple[int, str, float, int]:
    """Sort by process, then by part: without a number it is the last one, of the termination."""
    stem, number, thread = match.group("stem", "number", "thread")
    part = float("inf") if number is None else int(number)
    return int(stem) if stem.isdigit() else 0, stem, part, int(thread or 0)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as failure:
        problem = f"{path} can't be read: {failure.strerror}"
        raise CallgrindError(problem) from failure


def _targets(folder: Path) -> Mapping[str, str]:
    path = folder / TARGETS
    with contextlib.suppress(FileNotFoundError):
        document = wire.load_json(path.read_bytes(), where=str(path), error=ResultsError)
        if isinstance(document, dict) and all(isinstance(uri, str) for uri in document.values()):
            return document
        problem = f"{path} is no table of processes and the benchmarks they are"
        raise ResultsError(problem)
    return {}
