"""Walk from a sample's registers and stack to the root of its thread.

What an address means for the walk is worked out once (`cfi`) and kept: per file, so that short
processes that run the same program share it, and per space. A step then is a look-up and two reads.
No file but those that were mapped is read; no process is looked at.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from codspeed_native import architecture as known
from codspeed_native import cfi
from codspeed_native.cfi import CfiError, Row
from codspeed_native.cfi_expression import evaluate
from codspeed_native.elf import ElfError
from codspeed_native.known_path import NEW, Tail
from codspeed_native.perf_records import CONTEXT_KERNEL, CONTEXT_MAX, CONTEXT_USER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from codspeed_native.address_space import AddressSpaces, Space
    from codspeed_native.architecture import Architecture
    from codspeed_native.known_path import Step as PathStep
    from codspeed_native.perf_records import Sample

LIMIT: Final = 1_024  # frames; pytest's stacks have up to 500

_MASK: Final = 2**64 - 1
_KERNEL: Final = 1 << 63

# Kinds of steps: CFA from the stack pointer, from the frame pointer, from anything else; the
# outermost frame; no information.
_FROM_SP: Final = 0
_FROM_FP: Final = 1
_SLOW: Final = 2
_OUTERMOST: Final = 3
_UNKNOWN: Final = 4

# kind, CFA's offset, where the frame pointer was saved (None: it was not), the return address
# likewise (None: it is in the link register), the row this was made of.
_Step = tuple[int, int, int | None, int | None, Row | None]
_NO_STEP: Final[_Step] = (_UNKNOWN, 0, None, None, None)


class End(enum.Enum):
    """Why a chain ends.

    ROOT: at the start of the thread. CUT: the dump of the stack ends. LOST: nobody says how to go
    on from there. LIMIT: it is too long.
    """

    ROOT = "root"
    CUT = "cut"
    LOST = "lost"
    LIMIT = "limit"

    # That of enum is in Python; chains are counted by the thousand.
    __hash__ = object.__hash__


class Chain(NamedTuple):
    """Addresses from the leaf to the root, kernel first; callers' are those of their calls."""

    space: Space
    addresses: tuple[int, ...]
    end: End


class _Full(NamedTuple):
    """All registers that are known in one frame, by DWARF number."""

    address: int
    registers: dict[int, int]


class Unwinder:
    """Makes chains of samples.

    Args:
        spaces: Fed by the caller, in order of time with the samples.
        architecture: Of the recording; this machine's by default.
        registers_mask: sample_regs_user of the recording; all registers by default.
    """

    def __init__(
        self,
        spaces: AddressSpaces,
        architecture: Architecture | None = None,
        registers_mask: int | None = None,
    ) -> None:
        self._spaces = spaces
        self._arch = arch = architecture or known.own()
        mask = arch.mask if registers_mask is None else registers_mask
        self._positions = arch.positions(mask)
        self._steps: dict[int, _Step] = {}  # by identity of the row, which the step keeps alive
        below = (1 << arch.program_counter) - 1
        self._pc_at = (mask & below).bit_count()
        self._sp_at = self._positions[arch.stack_pointer]
        self._fp_at = self._positions[arch.frame_pointer]
        self._has_link = arch.link
        self._link_at = self._positions[arch.return_address] if arch.link else self._sp_at
        self._address_mask = arch.address_mask
        self._frame_pointer_row = _frame_pointer_row(arch)

    def chain(self, sample: Sample) -> Chain:
        """Return the chain of a sample, in the space its process has now.

        Without a copy of the stack, the chain that the kernel found is taken.
        """
        space = self._spaces.space(sample.pid)
        if sample.abi == 2 and len(sample.stack) >= 8:
            outside, end = self.walk(space, sample.registers, sample.stack)
            inside = _split(sample)[0] if sample.ip & _KERNEL else ()
        else:
            inside, outside = _split(sample)
            end = End.ROOT if outside or not sample.abi else End.CUT
            if not outside and sample.abi == 2:
                outside = (sample.registers[self._pc_at],)
        return Chain(space, inside + outside if inside else outside, end)

    # One long function: it makes a million steps a second, a call for each would halve that.
    def walk(  # noqa: C901, PLR0912, PLR0915 - the hot loop: a call per frame would double it
        self, space: Space, registers: Sequence[int], stack: memoryview
    ) -> tuple[tuple[int, ...], End]:
        """Return user addresses from leaf to root, and why they end.

        Args:
            registers: In the order of the mask.
            stack: Bytes from the stack pointer upwards.
        """
        words = (stack[: len(stack) & ~7] if len(stack) & 7 else stack).cast("Q")
        size = len(words) * 8
        base = sp = registers[self._sp_at]
        fp = registers[self._fp_at]
        link = registers[self._link_at] if self._has_link else None
        address_mask = self._address_mask
        pc = registers[self._pc_at]
        addresses = [pc]
        steps: dict[int, _Step] = space.rules
        paths = space.paths
        states = paths.states
        path: list[PathStep] = []  # without the leaf, whose state is hardly ever met again
        full: _Full | None = None
        full_at = 0  # the frame that `full` is of
        end = End.LIMIT
        while len(addresses) < LIMIT:
            known = states.get(sp << 16 ^ pc, NEW)
            if known:
                tail = known if known.__class__ is Tail else paths.tail(sp << 16 ^ pc)
                if (
                    tail is not None
                    and tail.pc == pc
                    and tail.sp == sp
                    and (tail.fp is None or tail.fp == fp)
                    and not (sp - base) & 7
                ):
                    above = words[(sp - base) >> 3 :]
                    try:
                        picked = tail.pick(above)
                    except IndexError:  # less of the stack was copied this time
                        picked = ()
                    if picked == tail.expected:
                        addresses += tail.addresses
                        if path:
                            path += tail.steps[:-1]
                        pc, sp, saved_at = tail.last
                        if saved_at is not None:
                            fp = above[saved_at]
                        if len(addresses) >= LIMIT:
                            del addresses[LIMIT:]
                            break
                        if not pc:
                            end = End.ROOT
                            break
                        continue
                    if picked:
                        paths.fork(tail, picked)
            step = steps.get(pc)
            if step is None:
                step = self._step(space, pc)
            kind, cfa_offset, fp_offset, ra_offset, row = step
            is_known = True  # whether the step will be the same, if what it reads is
            if kind == _UNKNOWN:
                row = self._guess(space, pc, (sp, fp, base), words)
                if row is None:
                    end = End.LOST
                    break
                is_known = row is _TRAMPOLINE or not space.is_python
                kind, cfa_offset, fp_offset, ra_offset, row = self._known(row)
            if kind == _FROM_SP:
                cfa = sp + cfa_offset
            elif kind == _FROM_FP:
                cfa = fp + cfa_offset
            elif kind == _OUTERMOST:
                end = End.ROOT
                path.append((pc, sp, fp, 0, 0, 0, 0, False))
                pc = 0
                break
            else:
                # Needs registers that are not followed here: follow all of them up to this frame.
                if full is None:
                    values = {d: registers[i] for d, i in self._positions.items()}
                    full = _Full(addresses[0], values)
                full = self._replay(space, full, addresses[full_at:], words, base)
                if full is None or row is None:
                    end = End.LOST
                    break
                caller, end = self._full_step(row, full, words, base)
                if caller is None:
                    break
                if path:
                    paths.finish(path, (pc, sp, fp))
                    path = []
                end = End.LIMIT
                full, full_at = caller, len(addresses)
                pc = full.address
                sp = full.registers[self._arch.stack_pointer]
                fp = full.registers.get(self._arch.frame_pointer, 0)
                link = full.registers.get(self._arch.return_address)
                addresses.append(pc)
                continue
            if cfa <= sp and (cfa < sp or len(addresses) > 1):
                end = End.LOST
                break
            needs_fp = kind == _FROM_FP or row is _TRAMPOLINE
            return_at = saved_at = saved = 0
            if ra_offset is None:
                # Only the innermost function can have it in a register still.
                if link is None:
                    end = End.LOST
                    break
                word, link, is_known = link, None, False
            else:
                return_at = cfa + ra_offset
                offset = return_at - base
                if offset & 7 or not 0 <= offset < size:
                    end = End.CUT if offset >= size else End.LOST
                    break
                word = words[offset >> 3]
                link = None
            target = word & address_mask
            if not target:
                end = End.ROOT
                if is_known:
                    path.append((pc, sp, fp, return_at, word, 0, 0, needs_fp))
                    pc = 0
                break
            caller_fp = fp
            if fp_offset is not None:
                offset = cfa + fp_offset
                # Below the stack pointer it has been restored already: the function is returning.
                if offset >= sp:
                    saved_at = offset
                    offset -= base
                    if offset < size and not offset & 7:
                        caller_fp = saved = words[offset >> 3]
                    else:
                        is_known = False
            if len(addresses) > 1:
                if is_known and known is NEW:
                    states[sp << 16 ^ pc] = path, len(path)
                    path.append((pc, sp, fp, return_at, word, saved_at, saved, needs_fp))
                elif path:
                    paths.finish(path, (pc, sp, fp))
                    path = []
            sp, fp = cfa, caller_fp
            pc = target - 1
            addresses.append(pc)
        if path:
            paths.finish(path, (pc, sp, fp))
        return tuple(addresses), end

    # --- Steps ---

    def _step(self, space: Space, pc: int) -> _Step:
        """Work out the step from an address, or take it from the file's."""
        place = space.locate(pc)
        if place is None:
            return _NO_STEP  # not kept: something may yet be mapped there
        image, linked = place
        step: Any = image.rules.get(linked)
        if step is None:
            try:
                row = image.row(linked) if image.elf.machine == self._arch.machine else None
            except (CfiError, ElfError) as failure:
                space.images.faults.setdefault(image.name, failure.problem)
                row = None
            step = image.rules[linked] = _NO_STEP if row is None else self._known(row)
        space.rules[pc] = step
        return step  # type: ignore[no-any-return] # an image keeps it without knowing what it is

    def _known(self, row: Row) -> _Step:
        """Return the quick form of a row that a file keeps: many addresses have the same one."""
        step = self._steps.get(id(row))
        if step is None:
            step = self._steps[id(row)] = self._compiled(row)
        return step

    def _compiled(self, row: Row) -> _Step:
        """Return the quick form of a row, if it has one."""
        arch = self._arch
        ra_kind, ra = row.rules.get(row.return_register, (cfi.SAME, 0))
        if ra_kind == cfi.UNDEFINED:
            return (_OUTERMOST, 0, None, None, row)
        fp_kind, fp = row.rules.get(arch.frame_pointer, (cfi.SAME, 0))
        is_quick = (
            not row.is_signal
            and row.return_register == arch.return_address
            and row.cfa_register in {arch.stack_pointer, arch.frame_pointer}
            and fp_kind in {cfi.OFFSET, cfi.SAME}
            and (ra_kind == cfi.OFFSET or (ra_kind == cfi.SAME and arch.link))
            and row.rules.get(arch.stack_pointer, (cfi.SAME, 0))[0] == cfi.SAME
            and isinstance(row.cfa, int)
        )
        if not is_quick:
            return (_SLOW, 0, None, None, row)
        kind = _FROM_SP if row.cfa_register == arch.stack_pointer else _FROM_FP
        fp_offset = int(fp) if fp_kind == cfi.OFFSET else None
        ra_offset = int(ra) if ra_kind == cfi.OFFSET else None
        return (kind, int(row.cfa), fp_offset, ra_offset, row)

    def _guess(
        self, space: Space, pc: int, state: tuple[int, int, int], words: memoryview
    ) -> Row | None:
        """Return how to leave code that nobody describes: made at run time, or assembler.

        What is guessed has to lead into executable memory. CPython's trampolines (3.12 to 3.14 on
        x86-64) keep 8 bytes on the stack and no frame pointer; everything else that makes code -
        V8, later CPython, the JVM with its option - keeps frame pointers.
        """
        sp, fp, base = state
        arch = self._arch
        is_made = space.locate(pc) is None
        guesses = []
        if is_made and space.is_python and not arch.link and fp != sp:
            guesses.append(_TRAMPOLINE)
        guesses.append(self._frame_pointer_row)
        for row in guesses:
            cfa = (sp if row.cfa_register == arch.stack_pointer else fp) + int(row.cfa)
            offset = cfa + int(row.rules[row.return_register][1]) - base
            if cfa <= sp or offset & 7 or not 0 <= offset < len(words) * 8:
                continue
            target = words[offset >> 3] & arch.address_mask
            if target and space.find(target) is not None:
                return row
        return None

    # --- All registers ---

    def _replay(
        self, space: Space, full: _Full, addresses: list[int], words: memoryview, base: int
    ) -> _Full | None:
        """Follow all registers from the first to the last of these frames."""
        for pc in addresses[:-1]:
            row = (space.rules.get(pc) or self._step(space, pc))[4]
            if row is None:
                arch = self._arch
                sp = full.registers[arch.stack_pointer]
                fp = full.registers.get(arch.frame_pointer, 0)
                row = self._guess(space, pc, (sp, fp, base), words)
            caller = None if row is None else self._full_step(row, full, words, base)[0]
            if caller is None:
                return None
            full = caller
        return full

    def _full_step(
        self, row: Row, frame: _Full, words: memoryview, base: int
    ) -> tuple[_Full | None, End]:
        """Return the caller's frame, or why there is none."""
        arch = self._arch
        registers = frame.registers
        sp = registers[arch.stack_pointer]

        def memory(address: int) -> int | None:
            offset = address - base
            return words[offset >> 3] if not offset & 7 and 0 <= offset < len(words) * 8 else None

        cfa = _cfa(row, registers, memory)
        if cfa is None or cfa < sp:
            return None, End.LOST
        values = dict(registers)
        for register, rule in row.rules.items():
            if rule[0] == cfi.OFFSET and cfa + int(rule[1]) < sp and not arch.link:
                continue  # has been restored already: the function is returning
            if rule[0] == cfi.SAME:
                continue
            value = _value(rule, cfa, registers, memory)
            if value is None:
                values.pop(register, None)
            else:
                values[register] = value
        target = values.get(row.return_register, 0) & arch.address_mask
        if not target:
            is_outside = row.return_register not in values and cfa - base >= len(words) * 8
            return None, End.CUT if is_outside else End.ROOT
        if arch.stack_pointer not in row.rules:
            values[arch.stack_pointer] = cfa
        return _Full(target if row.is_signal else target - 1, values), End.ROOT


_TRAMPOLINE: Final = Row(7, 16, {16: (cfi.OFFSET, -8)}, 16, is_signal=False)


def _frame_pointer_row(arch: Architecture) -> Row:
    """Return the row of `push fp; mov sp, fp`: both architectures store the pair alike."""
    rules: dict[int, cfi.Rule] = {
        arch.frame_pointer: (cfi.OFFSET, -16),
        arch.return_address: (cfi.OFFSET, -8),
    }
    return Row(arch.frame_pointer, 16, rules, arch.return_address, is_signal=False)


def _cfa(row: Row, registers: dict[int, int], memory: Callable[[int], int | None]) -> int | None:
    if isinstance(row.cfa, bytes):
        try:
            return evaluate(row.cfa, registers, memory)
        except CfiError:
            return None
    start = registers.get(row.cfa_register)
    return None if start is None else (start + row.cfa) & _MASK


def _value(
    rule: cfi.Rule, cfa: int, registers: dict[int, int], memory: Callable[[int], int | None]
) -> int | None:
    kind, operand = rule
    if isinstance(operand, bytes):
        try:
            found = evaluate(operand, registers, memory, (cfa,))
        except CfiError:
            return None
        return memory(found) if kind == cfi.EXPRESSION and found is not None else found
    if kind == cfi.OFFSET:
        return memory(cfa + operand)
    if kind == cfi.VALUE_OFFSET:
        return (cfa + operand) & _MASK
    return registers.get(operand) if kind == cfi.REGISTER else None


def _split(sample: Sample) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the kernel's and the user's part of the chain that the kernel found."""
    inside: list[int] = []
    outside: list[int] = []
    current = outside
    for value in sample.callchain:
        if value >= CONTEXT_MAX:
            current = {CONTEXT_KERNEL: inside, CONTEXT_USER: outside}.get(value, [])
        else:
            current.append(value - 1 if current else value)
    if not inside and sample.ip & _KERNEL:
        inside.append(sample.ip)
    return tuple(inside), tuple(outside)
