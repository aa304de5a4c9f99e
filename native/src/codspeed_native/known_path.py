"""Paths that were walked before: checked as a whole, instead of walked again.

Frames far from the leaf hardly change from sample to sample. A step depends on nothing but its
address, the stack pointer, in some functions the frame pointer, and the one or two words of the
stack that it reads. So a state that was met before leads to the same frames if the words that
decide are what they were. They are gathered by one call and compared by another, both at the speed
of C: a tenth of what the steps take.
"""

from __future__ import annotations

import itertools
import operator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# A state (address, stack pointer, frame pointer), then what the step from it read of the stack: the
# return address, where it was and what; the caller's frame pointer likewise, 0 if it was not read;
# whether the step used the frame pointer. Plain, there are many. The last one of a path is only a
# state; its address is 0 if the one before is the root.
Step = tuple[int, int, int, int, int, int, int, bool]

NEW: Final = ()  # a state that was not met before
FORK: Final = None  # one that more than one way leads on from

_LONGEST: Final = 64  # steps of a tail
_MOST_STATES: Final = 20_000
_MOST_WORDS: Final = 200_000  # that all tails compare; 15 MB


class Tail:
    """The rest of a path, from one of its states on. Attributes are for the walk, which is hurried.

    Attributes:
        pc: The state; likewise `sp`, and `fp`, which is None if it decides nothing.
        pick: Gathers the words that decide, of the stack from this stack pointer on.
        expected: What they have to be.
        addresses: Of the frames behind the state.
        last: The state at the end: address (0: the root was reached), stack pointer, and where the
            frame pointer is, as an index of words (None: it is still the one it was).
    """

    __slots__ = ("_read_by", "addresses", "expected", "fp", "last", "pc", "pick", "sp", "steps")

    def __init__(self, steps: list[Step]) -> None:
        """Keep the steps; at least one of them has to read something."""
        self.steps = steps
        self.pc, self.sp, fp = steps[0][:3]
        reads, is_needed = _deciding(steps)
        self.fp = fp if is_needed else None
        if len(reads) == 1:
            reads *= 2  # of a single place itemgetter would return no tuple
        self._read_by = [index for index, _, _ in reads]
        places = [(at - self.sp) >> 3 for _, at, _ in reads]
        self.pick: Callable[[memoryview], Any] = operator.itemgetter(*places)
        self.expected = tuple(word for _, _, word in reads)
        self.addresses = [step[0] for step in steps[1:] if step[0]]
        saved = [(step[5] - self.sp) >> 3 for step in steps[:-1] if step[5]]
        self.last = (*steps[-1][:2], saved[-1] if saved else None)

    def common(self, found: tuple[int, ...]) -> list[Step]:
        """Return the states up to the one from which these words lead to another one."""
        same = map(operator.eq, found, self.expected)
        return self.steps[: self._read_by[sum(itertools.takewhile(bool, same))] + 1]


class Paths:
    """All paths of one space.

    Attributes:
        states: For the walk: what leads on from a state, by `sp << 16 ^ pc` (which is quicker than
            a tuple, but may be that of another state too): a tail; FORK; or the path that has the
            state, and its place there.
    """

    __slots__ = ("_words", "states")

    def __init__(self) -> None:
        self.states: dict[int, Tail | tuple[list[Step], int] | None] = {}
        self._words = 0

    def tail(self, key: int) -> Tail | None:
        """Return the tail of a state that is met again, and remember it; None if there is none."""
        found = self.states[key]
        if not isinstance(found, tuple):
            return found
        path, place = found
        steps = path[place : place + _LONGEST + 1]
        for index, step in enumerate(steps[1:-1], 1):
            if self.states.get(step[1] << 16 ^ step[0], NEW) is FORK:
                del steps[index + 1 :]
        return self._put(key, steps)

    def fork(self, tail: Tail, found: tuple[int, ...]) -> None:
        """Note that other words were found on the way: this tail ends there, as others will."""
        steps = tail.common(found)
        self._put(tail.sp << 16 ^ tail.pc, steps)
        self.states[steps[-1][1] << 16 ^ steps[-1][0]] = FORK

    def finish(self, path: list[Step], state: tuple[int, int, int]) -> None:
        """Add the state that a path ends with."""
        path.append((*state, 0, 0, 0, 0, False))
        if len(self.states) > _MOST_STATES or self._words > _MOST_WORDS:
            self.forget()

    def forget(self) -> None:
        """Begin anew: what was mapped decides what a step is."""
        self.states.clear()
        self._words = 0

    def _put(self, key: int, steps: list[Step]) -> Tail | None:
        is_empty = not any(step[3] for step in steps[:-1])
        tail = self.states[key] = FORK if is_empty else Tail(steps)
        self._words += 0 if tail is None else len(tail.expected)
        return tail


def _deciding(steps: list[Step]) -> tuple[list[tuple[int, int, int]], bool]:
    """Return what decides where a path goes.

    A saved frame pointer counts only if a later step uses it: code without frame pointers keeps
    anything in that register.

    Returns:
        Which step reads it, its address and the word, in order; and whether the first step's frame
        pointer decides.
    """
    reads = []
    is_needed = False
    for index in range(len(steps) - 2, -1, -1):
        _, _, _, return_at, return_word, saved_at, saved_word, uses = steps[index]
        if saved_at and is_needed:
            reads.append((index, saved_at, saved_word))
        if return_at:
            reads.append((index, return_at, return_word))
        is_needed = uses or (is_needed and not saved_at)
    return reads[::-1], is_needed
