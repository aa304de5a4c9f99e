"""Where in a function its entry probe goes: on the first instruction that costs little.

A probe on an instruction that the kernel can't emulate is single-stepped: ten times the price
(measured: 9.4 to 10.4 us beside 0.7). So the probe moves along the straight line from the entry to
the first one that it can, as long as all that the probe reads is still in some register, and the
stack pointer as it was: it shows a return probe its return address. No I/O here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from codspeed_memory.ebpf.instructions import Step, decode
from codspeed_memory.ebpf.opcodes import RSP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codspeed_memory.ebpf.instructions import Instruction

_NEAR: Final = re.compile(rb"[\x70-\x7f\xe0-\xe3\xeb](?=(.))", re.DOTALL)
_FAR: Final = re.compile(rb"(?:\x0f[\x80-\x8f]|\xe8|\xe9)(?=(....))", re.DOTALL)
_NEAR_REACH: Final = 128 + 2


class Placement(NamedTuple):
    """An instruction to probe.

    Attributes:
        distance: Of its first byte from the function's entry.
        registers: What holds there the arguments that were asked for, in that order.
    """

    distance: int
    registers: tuple[int, ...]


def placed(code: bytes, arguments: tuple[int, ...]) -> Placement:
    """Return the best instruction of a function to probe; its first if none is better.

    Args:
        code: All bytes of the function: a jump back, wherever in it, would count twice.
        arguments: The registers that hold at its entry what the probe reads, by their numbers.
    """
    entry = Placement(0, arguments)
    chosen = _first_cheap(code, entry)
    jumped_to = any(0 < target <= chosen.distance for target in _targets(code, chosen.distance))
    return entry if jumped_to else chosen


def _first_cheap(code: bytes, entry: Placement) -> Placement:
    at, newer = 0, entry
    holders = [frozenset({register}) for register in entry.registers]
    while (found := decode(code, at)) is not None:
        if found.step is not Step.STEPPED:
            here = Placement(at, tuple(map(_preferred, entry.registers, holders)))
            if found.step is Step.EMULATED:
                return here
            newer = newer if newer.distance else here
        holders = [_after(found, registers) for registers in holders]
        # A store may already be what the function is for: a free must be seen before it happens.
        if found.leaves or found.stores or RSP in found.writes or not all(holders):
            break
        at += found.length
    return newer


def _after(step: Instruction, registers: frozenset[int]) -> frozenset[int]:
    """Return which registers hold an argument after an instruction, given those before."""
    copied = {step.copies[1]} if step.copies and step.copies[0] in registers else set()
    return registers - step.writes | copied


def _preferred(original: int, holders: frozenset[int]) -> int:
    return original if original in holders else min(holders)


def _targets(code: bytes, chosen: int) -> Iterator[int]:
    """Yield where direct jumps go, and more: bytes that might be one count as one."""
    if not chosen:
        return
    for jump in _FAR.finditer(code):
        yield _target(jump)
    # One byte reaches not far. Where two do for a jump, many bytes look like one: decode.
    at, reach = 0, code[: chosen + _NEAR_REACH]
    while at < len(reach) and (found := decode(code, at)) is not None:
        decoded = _NEAR.match(code, at)
        if decoded is not None and found.leaves:
            yield _target(decoded)
        at += found.length
    for jump in _NEAR.finditer(reach, at):
        yield _target(jump)


def _target(jump: re.Match[bytes]) -> int:
    return jump.end() + len(jump[1]) + int.from_bytes(jump[1], "little", signed=True)
