"""Evaluate the DWARF expressions that stand in call frame information.

Few functions have one: entries of a PLT, signal returns, functions that align their stack. Source:
DWARF 5, 2.5 and 6.4.2; what needs more than registers and the stack is refused.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Final

from codspeed_native.cfi import CfiError, sleb, uleb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MASK: Final = 2**64 - 1
_DEEPEST: Final = 64  # elements on the stack
_MOST_STEPS: Final = 1_000  # branches may go back

# DW_OP_const1u ... const8s: size in bytes, whether signed.
_CONSTANTS: Final = {
    0x08: (1, False),
    0x09: (1, True),
    0x0A: (2, False),
    0x0B: (2, True),
    0x0C: (4, False),
    0x0D: (4, True),
    0x0E: (8, False),
    0x0F: (8, True),
}


def _signed(value: int) -> int:
    return value - 2**64 if value >> 63 else value


def _divide(a: int, b: int) -> int:
    quotient = abs(_signed(a)) // abs(_signed(b))
    return quotient if (_signed(a) < 0) == (_signed(b) < 0) else -quotient


_BINARY: Final[dict[int, Callable[[int, int], int]]] = {
    0x1A: operator.and_,
    0x1B: _divide,
    0x1C: operator.sub,
    0x1D: operator.mod,
    0x1E: operator.mul,
    0x21: operator.or_,
    0x22: operator.add,
    0x24: lambda a, b: a << min(b, 64),
    0x25: lambda a, b: a >> min(b, 64),
    0x26: lambda a, b: _signed(a) >> min(b, 64),
    0x27: operator.xor,
    0x29: operator.eq,
    0x2A: lambda a, b: _signed(a) >= _signed(b),
    0x2B: lambda a, b: _signed(a) > _signed(b),
    0x2C: lambda a, b: _signed(a) <= _signed(b),
    0x2D: lambda a, b: _signed(a) < _signed(b),
    0x2E: operator.ne,
}
_UNARY: Final[dict[int, Callable[[int], int]]] = {
    0x19: lambda a: abs(_signed(a)),
    0x1F: operator.neg,
    0x20: operator.invert,
}


def evaluate(
    expression: bytes,
    registers: Mapping[int, int],
    memory: Callable[[int], int | None],
    initial: tuple[int, ...] = (),
) -> int | None:
    """Return the value of an expression.

    Args:
        registers: By DWARF number; those that are not known are not there.
        memory: Reads 8 bytes at an address; None if they are not known.
        initial: What lies on the stack at first: the CFA for rules of registers.

    Returns:
        None if a register or memory is needed that is not known.

    Raises:
        CfiError: If the expression is damaged or does what call frames can't do.
    """
    try:
        return _Machine(expression, registers, memory, list(initial)).run()
    except (IndexError, ZeroDivisionError) as failure:
        problem = f"the expression {expression.hex()} is damaged"
        raise CfiError(problem) from failure
    except _UnknownError:
        return None


class _UnknownError(Exception):
    """A value that is not known."""


class _Machine:
    def __init__(
        self,
        code: bytes,
        registers: Mapping[int, int],
        memory: Callable[[int], int | None],
        stack: list[int],
    ) -> None:
        self.code = code
        self.registers = registers
        self.memory = memory
        self.stack = stack
        self.at = 0

    def run(self) -> int:
        for _ in range(_MOST_STEPS):
            if not 0 <= self.at < len(self.code):
                return self.stack[-1]
            if len(self.stack) > _DEEPEST:
                break
            self._step(self._take(1))
        problem = f"the expression {self.code.hex()} does not end"
        raise CfiError(problem)

    def _take(self, size: int, *, is_signed: bool = False) -> int:
        end = self.at + size
        if end > len(self.code):
            raise IndexError
        value = int.from_bytes(self.code[self.at : end], "little", signed=is_signed)
        self.at = end
        return value

    def _step(self, code: int) -> None:
        stack = self.stack
        if code in _BINARY:
            second = stack.pop()
            stack[-1] = int(_BINARY[code](stack[-1], second)) & _MASK
        elif code in _UNARY:
            stack[-1] = _UNARY[code](stack[-1]) & _MASK
        elif 0x30 <= code <= 0x4F:  # lit0 to lit31
            stack.append(code - 0x30)
        elif 0x70 <= code <= 0x8F:  # breg0 to breg31
            self._register(code - 0x70)
        elif code in _CONSTANTS:
            size, is_signed = _CONSTANTS[code]
            stack.append(self._take(size, is_signed=is_signed) & _MASK)
        else:
            self._rare(code)

    def _register(self, number: int) -> None:
        offset, self.at = sleb(self.code, self.at)
        value = self.registers.get(number)
        if value is None:
            raise _UnknownError
        self.stack.append((value + offset) & _MASK)

    def _rare(self, code: int) -> None:  # noqa: C901, PLR0912 - a table of small cases
        stack = self.stack
        if code == 0x06:  # deref
            value = self.memory(stack.pop())
            if value is None:
                raise _UnknownError
            stack.append(value)
        elif code == 0x12:  # dup
            stack.append(stack[-1])
        elif code == 0x13:  # drop
            stack.pop()
        elif code == 0x14:  # over
            stack.append(stack[-2])
        elif code == 0x15:  # pick
            stack.append(stack[-1 - self._take(1)])
        elif code == 0x16:  # swap
            stack[-1], stack[-2] = stack[-2], stack[-1]
        elif code == 0x17:  # rot
            stack[-1], stack[-2], stack[-3] = stack[-2], stack[-3], stack[-1]
        elif code in {0x10, 0x23}:  # constu, plus_uconst
            value, self.at = uleb(self.code, self.at)
            stack.append(value if code == 0x10 else (stack.pop() + value) & _MASK)
        elif code == 0x11:  # consts
            value, self.at = sleb(self.code, self.at)
            stack.append(value & _MASK)
        elif code in {0x28, 0x2F}:  # bra, skip
            distance = self._take(2, is_signed=True)
            if code == 0x2F or stack.pop():
                self.at += distance
        elif code == 0x92:  # bregx
            number, self.at = uleb(self.code, self.at)
            self._register(number)
        elif code != 0x96:  # nop
            problem = f"the operation {code:#x} has no place in call frame information"
            raise CfiError(problem)
