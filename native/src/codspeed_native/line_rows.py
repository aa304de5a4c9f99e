"""Run line programs without a step in Python for each instruction.

A program is cut into its instructions by one pattern; how far each moves address and line is looked
up and summed in C. Only instructions at wanted addresses are looked at. Source: DWARF 5, 6.2.5.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import operator
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from codspeed_native.cfi import sleb, uleb

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# How many operands each standard instruction has (versions 2 to 5); later ones may be added.
_STANDARD: Final = bytes((0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1))
_FEWEST: Final = 9  # of version 2
_COPY: Final = 1
_ADVANCE_PC: Final = 2
_ADVANCE_LINE: Final = 3
_SET_FILE: Final = 4
_CONST_ADD_PC: Final = 8
_FIXED_ADVANCE_PC: Final = 9
_EXTENDED: Final = re.compile(rb"\x00")
_END_SEQUENCE: Final = b"\0\1\1"
_SET_ADDRESS: Final = b"\0\x09\x02"
_LONGEST_EXTENDED_BYTES: Final = 40
_NUMBER: Final = rb"[\x80-\xff]*[\x00-\x7f]"


class Steps(NamedTuple):
    """What decides about instructions; see the head of a unit.

    Attributes:
        operands: How many each standard instruction has.
    """

    operands: bytes
    minimum_length: int
    line_base: int
    line_range: int

    @property
    def first_special(self) -> int:
        """The first of the instructions that make a row and have no operands."""
        return len(self.operands) + 1


class Row(NamedTuple):
    """Code that begins at an address comes from a line of a file, by its number in the unit."""

    address: int
    file: int
    line: int


class _Advances(dict[bytes, int]):
    """How far an instruction moves the address."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self._steps = steps

    def __missing__(self, instruction: bytes) -> int:
        value = self[instruction] = self._value(instruction)
        return value

    def _value(self, instruction: bytes) -> int:
        steps, first = self._steps, self._steps.first_special
        code = instruction[0]
        if code >= first:
            return (code - first) // steps.line_range * steps.minimum_length
        if code == _CONST_ADD_PC:
            return (255 - first) // steps.line_range * steps.minimum_length
        if code == _ADVANCE_PC:
            return uleb(instruction, 1)[0] * steps.minimum_length
        if code == _FIXED_ADVANCE_PC:
            return int.from_bytes(instruction[1:3], "little")
        return 0


class _Changes(dict[bytes, int]):
    """How far an instruction moves the line."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self._steps = steps

    def __missing__(self, instruction: bytes) -> int:
        steps, code = self._steps, instruction[0]
        value = 0
        if code >= steps.first_special:
            value = steps.line_base + (code - steps.first_special) % steps.line_range
        elif code == _ADVANCE_LINE:
            value = sleb(instruction, 1)[0]
        self[instruction] = value
        return value


@functools.cache
def _tables(steps: Steps) -> tuple[_Advances, _Changes]:
    return _Advances(steps), _Changes(steps)


@functools.cache
def _pattern(operands: bytes) -> re.Pattern[bytes]:
    """Return what matches any one instruction."""

    def one_of(codes: Sequence[int]) -> bytes:
        return b"[" + b"".join(b"\\x%02x" % code for code in codes) + b"]"

    choices = [one_of(range(len(operands) + 1, 256))]
    standard = [code for code in range(1, len(operands) + 1) if code != _FIXED_ADVANCE_PC]
    for count in sorted(set(operands)):
        codes = [code for code in standard if operands[code - 1] == count]
        if codes:
            choices.append(one_of(codes) + b"(?:" + _NUMBER + b"){%d}" % count)
    if len(operands) >= _FIXED_ADVANCE_PC:
        choices.append(b"\\x09..")
    lengths = range(1, _LONGEST_EXTENDED_BYTES + 1)
    choices += [b"\\x00\\x%02x.{%d}" % (length, length) for length in lengths]
    return re.compile(b"|".join(choices), re.DOTALL)


class Run:
    """Instructions between a set_address and the next one, or the end of the sequence.

    Attributes:
        sequence: Number of the sequence in its program.
        start: Address, file and line before the first one.
        until: Where the next one starts; None: the sequence ends behind the last instruction.
    """

    def __init__(
        self, sequence: int, start: Row, part: list[bytes], until: int | None, steps: Steps
    ) -> None:
        self.sequence = sequence
        self.start = start
        self.until = until
        self._part = part
        self._steps = steps

    def rows(self, wanted: Sequence[int]) -> Iterator[tuple[int, Row]]:
        """Yield wanted addresses and the row that covers each: the first one of its address.

        Args:
            wanted: Sorted.
        """
        first = bisect.bisect_left(wanted, self.start.address)
        if first == len(wanted) or not self._part or self._is_before(wanted[first]):
            return
        reached, changes = self._reached, _tables(self._steps)[1]
        end = reached[-1] if self.until is None else max(reached[-1] + 1, self.until)
        done, file, line = 0, self.start.file, self.start.line
        for address in wanted[first : bisect.bisect_left(wanted, end, first)]:
            index = self._row_of(address)
            if index is not None:
                passed = self._part[done : index + 1]
                done = index + 1
                file = file_after(passed, file)
                line += sum(map(changes.__getitem__, passed))
                yield address, Row(reached[index], file, line)

    def _is_before(self, address: int) -> bool:
        return self.until is not None and self.start.address <= self.until < address

    @functools.cached_property
    def _reached(self) -> list[int]:
        """The address behind each instruction."""
        moved = map(_tables(self._steps)[0].__getitem__, self._part)
        sums = itertools.accumulate(moved, initial=self.start.address)
        return list(itertools.islice(sums, 1, None))

    def _row_of(self, address: int) -> int | None:
        """Return the instruction that made the row that covers an address."""
        reached = self._reached
        index = bisect.bisect_right(reached, address) - 1
        while index >= 0 and not self._makes_row(index):
            index -= 1
        if index < 0:
            return None
        begins = bisect.bisect_left(reached, reached[index])
        return next(each for each in range(begins, index + 1) if self._makes_row(each))

    def _makes_row(self, index: int) -> bool:
        code = self._part[index][0]
        return code >= self._steps.first_special or code == _COPY


def runs(program: bytes, steps: Steps) -> Iterator[Run]:
    """Yield the parts of a program in which addresses only grow; none if it is damaged."""
    known = steps.operands[: len(_STANDARD)]
    if len(known) < _FEWEST or known != _STANDARD[: len(known)]:
        return
    instructions = _pattern(steps.operands).findall(program)
    if sum(map(len, instructions)) != len(program):
        return
    changes = _tables(steps)[1]
    # By the first bytes as one text: a look at each instruction takes as long as finding them.
    first_bytes = bytes(map(operator.itemgetter(0), instructions))
    extended = [found.start() for found in _EXTENDED.finditer(first_bytes)]
    borders = [index for index in extended if _is_border(instructions[index])]
    sequence, has_address, start = 0, False, Row(0, 1, 1)
    for begin, end in itertools.pairwise([-1, *borders]):
        part, border = instructions[begin + 1 : end], instructions[end]
        until = None if border == _END_SEQUENCE else int.from_bytes(border[3:], "little")
        if has_address:  # before it there is code of no known place
            yield Run(sequence, start, part, until, steps)
        if until is None:
            sequence, has_address, start = sequence + 1, False, Row(0, 1, 1)
        else:
            line = start.line + sum(map(changes.__getitem__, part))
            has_address = True
            start = Row(until, file_after(part, start.file), line)


def _is_border(instruction: bytes) -> bool:
    return instruction == _END_SEQUENCE or instruction.startswith(_SET_ADDRESS)


def file_after(part: Sequence[bytes], before: int) -> int:
    """Return the file behind the last of some instructions."""
    for instruction in reversed(part):
        if instruction[0] == _SET_FILE:
            return uleb(instruction, 1)[0]
    return before
