"""Folders that the reference's runner left: artifact and timestamps, no summary of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codspeed import wire
from codspeed.errors import BundleError
from codspeed.model import MarkerKind, Timestamps
from codspeed_memory import artifact
from codspeed_memory.live import LiveSet
from codspeed_memory.raw import Event, Kind
from codspeed_memory.summary import Measured, Summary

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_TIMESTAMPS: Final = "ExecutionTimestamps"


def summarised(folder: Path) -> Summary:
    """Return what the events in a results folder amount to; empty if there are none."""
    timestamps = _timestamps(folder)
    events = sorted(
        (
            event
            for path in sorted(folder.glob(f"*{artifact.SUFFIX}"))
            for event in artifact.read(path)
        ),
        key=lambda event: event.ns,
    )
    windows = tuple(_measured(uri, start, end, events) for uri, start, end in _windows(timestamps))
    return Summary(backend="memtrack", allocator="default", windows=windows)


def _timestamps(folder: Path) -> list[Timestamps]:
    """Read all there are; those that can't be read are skipped, as the reference does."""
    found = []
    for path in sorted(folder.glob(f"*{_TIMESTAMPS}*")):
        try:
            found.append(wire.load_timestamps(path.read_bytes(), where=str(path)))
        except (BundleError, OSError):
            continue
    return found


def _windows(all_timestamps: Iterable[Timestamps]) -> list[tuple[str, int, int]]:
    """Pair each URI with the window that ended last before it was named."""
    found = []
    for timestamps in all_timestamps:
        spans, start = [], None
        for kind, at in timestamps.markers:
            if kind is MarkerKind.SAMPLE_START:
                start = at
            elif kind is MarkerKind.SAMPLE_END and start is not None:
                spans.append((start, at))
                start = None
        for named, uri in timestamps.uri_by_ts:
            before = [span for span in spans if span[1] <= named]
            if before:
                found.append((uri, *before[-1]))
    return found


def _measured(uri: str, start: int, end: int, events: list[Event]) -> Measured:
    live = LiveSet(start)
    inside = (event for event in events if start <= event.ns <= end)
    live.feed(_in_two_steps(_without_repeats(inside)))
    return Measured(uri, start, end, live.finish())


def _without_repeats(events: Iterable[Event]) -> Iterable[Event]:
    """Collapse what the reference's probes report twice (spec/executors.md 4.5)."""
    last = None
    for event in events:
        if last is None or (event.address, event.kind, event.pid) != last:
            yield event
        last = (event.address, event.kind, event.pid)


def _in_two_steps(events: Iterable[Event]) -> Iterable[Event]:
    """Give up the old block of a realloc before the new one: the reference has one event."""
    for event in events:
        if event.kind == Kind.REALLOC and event.aux:
            yield event._replace(kind=Kind.REALLOC_BEGIN, address=event.aux, aux=0)
        yield event
