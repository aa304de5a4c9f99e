"""Analyse a recording without the C helper: its oracle, and what is left where nothing compiles.

Uprobes need no compiler, so neither must what is made of their events. All of them are in memory
here, and it takes thirty times as long.
"""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from codspeed.errors import ToolError
from codspeed_memory import artifact, raw
from codspeed_memory.live import LiveSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codspeed_memory.artifact import FrameWriter
    from codspeed_memory.clock import Clock
    from codspeed_memory.usage import Fate, Usage


def analyse(
    data: bytes,
    clock: Clock,
    starts_ns: Mapping[int, int],
    frames: FrameWriter,
    fates: dict[int, dict[int, Fate]],
) -> dict[int, Usage]:
    """Write all events, and return what each window used; see `recording.Recording.analysed`.

    Raises:
        ToolError: If the recording is damaged.
        OSError: If the artifact can't be written.
    """
    try:
        events = raw.merged(data, clock)
    except ValueError as failure:
        raise ToolError(str(failure), hint="measure again") from failure
    usages = {}
    for window, inside in groupby(events, key=attrgetter("window")):
        mine = list(inside)
        live = LiveSet(starts_ns.get(window, mine[0].ns))
        live.feed(mine)
        for encoded in filter(None, map(artifact.encode, mine)):
            frames.add(encoded, 1)
        fates[window] = live.fates()
        usages[window] = live.finish()
    return usages
