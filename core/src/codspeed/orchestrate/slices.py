"""Split one command into slices that can be measured apart, and read what they left as one.

A slice is a `Launch` like any other with a profile folder of its own, so whoever has slices may
measure them side by side on this machine (`codspeed.orchestrate.parallel`) or send them elsewhere,
and an executor need not know of them: it measures and reads pieces (`RunPart.pieces`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

import attrs

from codspeed.model import ExecTarget, Launch

if TYPE_CHECKING:
    from codspeed.model import BenchmarkResult, CallTree, RunPart, Timeline
    from codspeed.protocols import Executor

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
    """Splits the targets of a harness; each of them has a process of its own anyway.

    Attributes:
        targets: In the order of the user.
        command: Returns the harness process that measures some of them; also gets the number of
            the slice, from 0.
    """

    targets: Sequence[ExecTarget]
    command: Callable[[int, Sequence[ExecTarget]], Launch]

    def slices(self, launch: Launch, count: int) -> Slices:
        """Return one harness process per hand of targets."""
        same: dict[object, list[ExecTarget]] = {}  # one benchmark's results stay together
        for target in self.targets:
            same.setdefault(target.name or target.argv, []).append(target)
        if len(same) < 2:
            return whole(launch, "there is one command only")
        hands = deal(list(same.values()), count)
        dealt = [[target for targets in hand for target in targets] for hand in hands]
        return Slices(tuple(self.command(number, hand) for number, hand in enumerate(dealt)))


def results_of(executor: Executor, part: RunPart) -> Sequence[BenchmarkResult]:
    """Return the benchmarks of all pieces of a part, each URI once.

    Raises:
        CodspeedError: What `Executor.results` raises.
    """
    if not part.slices:
        return executor.results(part)
    found: dict[str, BenchmarkResult] = {}
    rounds = itertools.zip_longest(*(executor.results(piece) for piece in part.pieces))
    for result in filter(None, itertools.chain.from_iterable(rounds)):  # as they were dealt
        if result.uri not in found:
            found[result.uri] = result
            continue
        first = found[result.uri]
        note = "measured in several slices; this is the first"
        found[result.uri] = attrs.evolve(first, notes=(*first.notes, note))
    return tuple(found.values())


def profile_of(executor: Executor, part: RunPart, uri: str) -> CallTree | None:
    """Return where a benchmark of any piece spent its cost; None if that was not recorded."""
    trees = (executor.profile(piece, uri) for piece in part.pieces)
    return next((tree for tree in trees if tree is not None), None)


def profiles_of(executor: Executor, part: RunPart, uri: str) -> Mapping[str, CallTree]:
    """Return the profiles of any piece by name; an executor need not have such."""
    read = getattr(executor, "profiles", None)
    every = (read(piece, uri) for piece in part.pieces) if read is not None else ()
    return next((trees for trees in every if trees), {})


def timeline_of(executor: Executor, part: RunPart, uri: str) -> Timeline | None:
    """Return the course over time of a benchmark of any piece; None if that was not recorded."""
    lines = (executor.timeline(piece, uri) for piece in part.pieces)
    return next((line for line in lines if line is not None), None)
