"""What one x86-64 instruction does, as far as a uprobe may be moved past it or put upon it.

The opcodes that compilers put into the first bytes of functions are known; any other is refused,
and whoever asks must then stop. Sources: Intel SDM volume 2, appendix A (opcode maps), and the
kernel's arch/x86/kernel/uprobes.c (branch_setup_xol_ops, push_setup_xol_ops: what it emulates; all
else it single-steps, at ten times the price). No I/O here.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, NamedTuple

from codspeed_memory.ebpf.opcodes import (
    CALL,
    EXCHANGE,
    JUMPS,
    MOVES,
    NOP,
    PUSH,
    PUSH_IMMEDIATE,
    PUSH_OPERAND,
    RBP,
    RSP,
    VECTOR_STORES,
    form_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codspeed_memory.ebpf.opcodes import Form

_LEGACY: Final = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3")
_OPERAND_SIZE: Final = 0x66
_REPEAT: Final = frozenset({0xF2, 0xF3})
_ESCAPE: Final = 0x0F
_REGISTER: Final = 0xC0  # ModRM from here on: a register, below: memory
_LONGEST: Final = 15

# x86_nops of arch/x86/include/asm/nops.h: emulated by newer kernels (6.18) only.
_LONG_NOPS: Final = frozenset(
    bytes.fromhex(code)
    for code in (
        "0f1f00",
        "0f1f4000",
        "0f1f440000",
        "660f1f440000",
        "0f1f8000000000",
        "0f1f840000000000",
        "660f1f840000000000",
    )
)


class Step(enum.Enum):
    """How the kernel gets past an instruction that carries a probe.

    EMULATED: in software, by every kernel that has uprobes worth using.
    NEWER: so by newer kernels, single-stepped by the others.
    STEPPED: executed out of line, with a trap after it.
    """

    EMULATED = enum.auto()
    NEWER = enum.auto()
    STEPPED = enum.auto()


class Instruction(NamedTuple):
    """One instruction.

    Attributes:
        length: In bytes, 1 to 15.
        writes: General registers that it changes, in any of their parts.
        stores: It may change memory.
        step: What a probe on it costs.
        leaves: Control may go elsewhere than to the next instruction, or not come back from it
            with registers as they were.
        copies: From which register it copies all 64 bits to which, if that is what it does.
    """

    length: int
    writes: frozenset[int]
    stores: bool
    step: Step
    leaves: bool
    copies: tuple[int, int] | None


class _Prefixes(NamedTuple):
    """What stands before the opcode: legacy bytes, then the bits of REX (0 without one)."""

    legacy: bytes
    rex: int
    length: int

    @property
    def is_wide(self) -> bool:
        return bool(self.rex & 8)


def decode(code: bytes, at: int = 0) -> Instruction | None:
    """Return the instruction at an index of `code`; None if it is not known, or cut off."""
    code = code[at : at + _LONGEST]
    try:
        return _decoded(code)
    except IndexError:
        return None


def _decoded(code: bytes) -> Instruction | None:
    prefixes = _prefixes(code)
    at = prefixes.length
    opcode = code[at]
    at += 1
    if opcode == 0x0F:
        opcode = 0x0F00 | code[at]
        at += 1
    form = form_of(opcode, code[at] if at < len(code) else 0)
    if opcode == NOP and prefixes.rex & 1:
        form = EXCHANGE
    if form is None:
        return None
    modrm = code[at] if form.modrm else 0
    length = at + _operand_bytes(code, at, form) + _immediate_bytes(form, prefixes)
    if length > len(code):
        return None
    return Instruction(
        length,
        frozenset(_written(form, prefixes, opcode, modrm)),
        stores=_is_store(form, opcode, modrm),
        step=_step(code[:length], prefixes, opcode),
        leaves=form.leaves,
        copies=_copies(prefixes, opcode, modrm),
    )


def _prefixes(code: bytes) -> _Prefixes:
    at = 0
    while code[at] in _LEGACY:
        at += 1
    rex = code[at] if code[at] & 0xF0 == 0x40 else 0
    return _Prefixes(code[:at], rex, at + bool(rex))


def _operand_bytes(code: bytes, at: int, form: Form) -> int:
    """Return the size of ModRM, SIB and displacement (SDM volume 2, table 2-2)."""
    if not form.modrm:
        return 0
    mode, operand = code[at] >> 6, code[at] & 7
    if mode == 3:
        return 1
    has_sib = operand == RSP
    base = code[at + 1] & 7 if has_sib else operand
    if mode == 0:
        return 1 + has_sib + (4 if base == RBP else 0)
    return 1 + has_sib + (1 if mode == 1 else 4)


def _immediate_bytes(form: Form, prefixes: _Prefixes) -> int:
    if form.immediate == "v" and prefixes.is_wide:
        return 8
    if form.immediate in {"v", "z"}:
        return 2 if _OPERAND_SIZE in prefixes.legacy and not prefixes.is_wide else 4
    return {"": 0, "b": 1, "d": 4}[form.immediate]


def _written(form: Form, prefixes: _Prefixes, opcode: int, modrm: int) -> Iterator[int]:
    yield from form.fixed
    extended = (prefixes.rex & 1) << 3
    chosen = {
        "O": (opcode & 7, extended),
        "G": (modrm >> 3 & 7, (prefixes.rex & 4) << 1),
        "E": (modrm & 7, extended),
    }
    for change in form.changes:
        number, high = chosen[change]
        if change == "E" and modrm < 0xC0:
            continue
        # Without REX the bytes 4 to 7 are AH, CH, DH, BH.
        yield number & 3 if form.is_byte and not prefixes.rex else number | high


def _copies(prefixes: _Prefixes, opcode: int, modrm: int) -> tuple[int, int] | None:
    if opcode not in MOVES or modrm < _REGISTER or not prefixes.is_wide:
        return None
    register = modrm >> 3 & 7 | (prefixes.rex & 4) << 1
    operand = modrm & 7 | (prefixes.rex & 1) << 3
    return (register, operand) if "E" in MOVES[opcode] else (operand, register)


def _is_store(form: Form, opcode: int, modrm: int) -> bool:
    if opcode in PUSH or opcode in PUSH_IMMEDIATE or opcode == CALL or form == PUSH_OPERAND:
        return True
    in_memory = form.modrm and modrm < _REGISTER
    return in_memory and ("E" in form.changes or opcode in VECTOR_STORES)


def _step(code: bytes, prefixes: _Prefixes, opcode: int) -> Step:
    legacy = set(prefixes.legacy)
    if opcode in PUSH:
        is_plain = code[:-1] in {b"", b"\x41"}
        return Step.EMULATED if is_plain else Step.STEPPED
    if opcode == NOP and not prefixes.rex:
        return Step.EMULATED if legacy <= {_OPERAND_SIZE} else Step.STEPPED
    if opcode in JUMPS:
        # With other prefixes the kernel refuses the probe (uprobe_init_insn, is_prefix_bad).
        return Step.EMULATED if legacy <= _REPEAT else Step.STEPPED
    return Step.NEWER if code in _LONG_NOPS else Step.STEPPED
