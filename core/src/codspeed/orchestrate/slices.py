"""Split one command into slices that can be measured apart from each other. No I/O here.

A slice is a `Launch` like any other, so whoever has slices may run them side by side on this
machine (`codspeed.orchestrate.parallel`) or send them elsewhere; the results are merged by URI.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import attrs

from codspeed.model import Launch, Rounds
from codspeed.protocols import Harness, Target

_Item = TypeVar("_Item")


@attrs.frozen
class Slices:
    """What became of a command.

    Attributes:
        launches: The slices; the command itself if it could not be split.
        shares_process: Benchmarks of a slice run in one process, so that what ran before one of
            them, and with it its counters, depends on the split.
        why_whole: Why the command was not split; empty if it was.
    """

    launches: tuple[Launch, ...]
    shares_process: bool = False
    why_whole: str = ""

    @property
    def model_suffix(self) -> str:
        """Return what the split adds to the measurement-model id."""
        return f"/jobs={len(self.launches)}" if self.shares_process else ""


class Slicer(Protocol):
    """Knows how one kind of command is split."""

    def slices(self, launch: Launch, count: int) -> Slices:
        """Return at most `count` slices that together do what `launch` does.

        The same suite and count give the same slices, on any machine.
        """


def whole(launch: Launch, why: str) -> Slices:
    """Return the command as its only slice."""
    return Slices((launch,), why_whole=why)


def deal(items: Sequence[_Item], count: int) -> list[list[_Item]]:
    """Deal items out one by one, as cards: neighbours, which often cost the same, are spread."""
    return [list(items[first::count]) for first in range(min(count, len(items)))]


@attrs.frozen
class TargetSlicer:
    """Splits the targets of a harness; each of them has a process of its own anyway."""

    harness: Harness
    targets: Sequence[Target]
    rounds: Rounds

    def slices(self, launch: Launch, count: int) -> Slices:
        """Return one harness process per hand of targets."""
        if len(self.targets) < 2:
            return whole(launch, "there is one command only")
        hands = deal(self.targets, count)
        return Slices(tuple(self.harness.command(hand, self.rounds) for hand in hands))
