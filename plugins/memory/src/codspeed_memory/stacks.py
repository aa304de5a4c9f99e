"""From stacks that were taken to call trees: who asked for memory, held it at the peak, leaked it.

Each block of which a stack was taken stands for its kind: it counts for its size divided by the
probability that a block of this size is taken (native/stack.h), so the sum of a tree estimates the
exact figure of its window. That figure is known, so the tree is scaled to it.
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import attrs

from codspeed.errors import BundleError
from codspeed_memory.raw import Kind, Note
from codspeed_native import fold, jit_names, profile_file
from codspeed_native.address_space import AddressSpaces
from codspeed_native.architecture import AARCH64, X86_64
from codspeed_native.benchmark_tree import benchmark_tree
from codspeed_native.perf_records import Comm
from codspeed_native.profile_file import Profiles
from codspeed_native.symbolize import Symbolizer
from codspeed_native.unwind import Chain, End, Unwinder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from codspeed.model import CallTree, Frame
    from codspeed_memory.raw import Stack
    from codspeed_memory.recording import Recording
    from codspeed_memory.summary import Measured
    from codspeed_memory.usage import Fate

UNIT: Final = "bytes"
# What trees there are, each a file. The first is the one that is shown unasked.
VIEWS: Final = ("allocated", "peak", "leaked")

_Costs = dict[Chain, float]


def weight(size: int, interval: int) -> float:
    """Return the bytes that a block stands for if each byte had the chance 1 / interval."""
    return size / -math.expm1(-size / interval)


def chains(
    recording: Recording, fates: Mapping[int, Mapping[int, Fate]]
) -> dict[int, dict[str, _Costs]]:
    """Follow all stacks; return window -> view -> bytes by chain."""
    found: dict[int, dict[str, _Costs]] = defaultdict(
        lambda: {view: defaultdict(float) for view in VIEWS}
    )
    walker = _Walker()
    for each in recording.stacks():
        if isinstance(each, Note):
            walker.note(each)
            continue
        chain, bytes_ = walker.chain(each), weight(each.size, each.interval)
        fate = fates.get(each.window, {}).get(each.order)
        found[each.window]["allocated"][chain] += bytes_
        if fate is not None and fate.at_peak:
            found[each.window]["peak"][chain] += bytes_
        if fate is not None and fate.is_leaked:
            found[each.window]["leaked"][chain] += bytes_
    return found


class _Walker:
    """Follows stacks, given in order of time and among them the notes about code."""

    def __init__(self) -> None:
        self._spaces = AddressSpaces()
        self._unwinders: dict[int, tuple[Unwinder, int]] = {}  # by mask; and the stack pointer
        self._last: dict[tuple[int, int], tuple[int, bytes]] = {}  # by thread; likewise

    def note(self, note: Note) -> None:
        """Learn where code is."""
        if note.kind is Kind.CODE:
            self._spaces.take(note.pid, note.text)
        elif note.text:  # not by probes; another program, whatever this process was before
            self._spaces.feed(Comm(note.stamp, note.pid, note.pid, note.text, is_exec=True))

    def chain(self, each: Stack) -> Chain:
        """Return the chain of a stack."""
        unwinder, pointer_at = self._unwinder(each.mask)
        stack = self._whole(each, each.registers[pointer_at])
        space = self._spaces.space(each.pid)
        return Chain(space, *unwinder.walk(space, each.registers, memoryview(stack)))

    def _unwinder(self, mask: int) -> tuple[Unwinder, int]:
        if mask not in self._unwinders:
            architecture = AARCH64 if mask.bit_length() > 32 else X86_64
            unwinder = Unwinder(self._spaces, architecture, mask)
            pointer_at = architecture.positions(mask)[architecture.stack_pointer]
            self._unwinders[mask] = unwinder, pointer_at
        return self._unwinders[mask]

    def _whole(self, each: Stack, pointer: int) -> bytes:
        """Return what was new in the copy of a stack, and what was as before."""
        thread, stack = (each.pid, each.tid), each.stack
        if each.same:
            before, last = self._last.get(thread, (pointer, b""))
            begin = pointer + len(stack) - before
            stack += last[begin : begin + each.same]
        self._last[thread] = pointer, stack
        return stack


def save(made: Mapping[str, Profiles], folder: Path) -> None:
    """Write a file for each view; raises BundleError if that fails."""
    for view, profiles in made.items():
        path = _path(folder, view)
        try:
            path.write_bytes(profile_file.dump(profiles))
        except OSError as failure:
            problem = f"{path} can't be written: {failure.strerror}"
            raise BundleError(problem, hint="free space there") from failure


def trees(
    recording: Recording,
    windows: Mapping[int, Measured],
    fates: Mapping[int, Mapping[int, Fate]],
    *,
    since_ns: int,
    is_scaled: bool = True,
) -> dict[str, Profiles]:
    """Make the trees of all benchmarks, by view.

    Args:
        windows: By number, with their figures.
        since_ns: When the run began, by the wall clock: names of generated code are not older.
        is_scaled: Whether stacks were taken wherever the figures come from.
    """
    found = chains(recording, fates)
    symbolizer = Symbolizer(jit_names=lambda pid: jit_names.read(pid, since_ns=since_ns))
    named = functools.cache(lambda chain: _without_shim(symbolizer.stack(chain)))
    made = {}
    for view in VIEWS:
        stacks = {
            uri: [(named(chain), chain.end, bytes_) for chain, bytes_ in costs.items()]
            for uri, costs in _by_uri(found, windows, view).items()
        }
        made[view] = Profiles(
            {
                uri: _tree(stacks[uri], _exact(windows, uri, view) if is_scaled else None)
                for uri in stacks
            },
            inside=sum(len(each) for each in stacks.values()),
            truncated=sum(end is not End.ROOT for each in stacks.values() for _, end, _ in each),
            unit=UNIT,
        )
    return made


def _by_uri(
    found: Mapping[int, Mapping[str, _Costs]], windows: Mapping[int, Measured], view: str
) -> dict[str, _Costs]:
    """Add up the windows of a benchmark; of several peaks the highest one counts."""
    costs: dict[str, _Costs] = {}
    highest: dict[str, int] = {}
    for number, window in windows.items():
        if window.uri is None or number not in found:
            continue
        if view == "peak":
            if window.usage.peak <= highest.get(window.uri, -1):
                continue
            highest[window.uri] = window.usage.peak
            costs[window.uri] = {}
        of_uri = costs.setdefault(window.uri, {})
        for chain, bytes_ in found[number][view].items():
            of_uri[chain] = of_uri.get(chain, 0) + bytes_
    return costs


def _without_shim(stack: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """Leave out the frames of the library that took the stack: the innermost ones."""
    depth = len(stack)
    while depth > 1 and stack[depth - 1].module == stack[-1].module:
        depth -= 1
    return stack[:depth]


def _exact(windows: Mapping[int, Measured], uri: str, view: str) -> int:
    """Return the figure that a tree estimates."""
    usages = [window.usage for window in windows.values() if window.uri == uri]
    if view == "peak":
        return max(usage.peak for usage in usages)
    return sum(usage.leaked if view == "leaked" else usage.total for usage in usages)


def _tree(stacks: Iterable[tuple[tuple[Frame, ...], End, float]], exact: int | None) -> CallTree:
    tree = benchmark_tree(UNIT, stacks)
    factor = 1.0 if exact is None else exact / (fold.cost(tree) or 1)
    scaled = {stack: float(round(cost * factor)) for stack, cost in tree.stacks.items()}
    return attrs.evolve(tree, stacks=scaled)


def read(folder: Path, uri: str, view: str = VIEWS[0]) -> CallTree | None:
    """Return a benchmark's tree; None if no stacks were taken.

    Raises:
        ResultsError: If it can't be understood.
    """
    profiles = profile_file.read(_path(folder, view))
    return None if profiles is None else profiles.trees.get(uri)


def _path(folder: Path, view: str) -> Path:
    return folder / f"{view}{profile_file.SUFFIX}"


__all__ = ["UNIT", "VIEWS", "chains", "read", "save", "trees", "weight"]
