"""What one x86-64 instruction does, as far as a uprobe may be moved past it or put upon it.

The opcodes that compilers put into the first bytes of functions are known; any other is refused,
and whoever asks must then stop. Sources: Intel SDM volume 2, appendix A (opcode maps), and the
kernel's arch/x86/kernel/uprobes.c (branch_setup_xol_ops, push_setup_xol_ops: what it emulates; all
else it single-steps, at ten times the price). No I/O here.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

RAX: Final = 0
RCX: Final = 1
RDX: Final = 2
RSP: Final = 4
RSI: Final = 6
RDI: Final = 7

_RBP: Final = 5
_LEGACY: Final = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3")
_OPERAND_SIZE: Final = 0x66
_REPEAT: Final = frozenset({0xF2, 0xF3})
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


class _Form(NamedTuple):
    """What an opcode is followed by, and what it changes.

    Attributes:
        modrm: A ModRM byte follows.
        immediate: "b" one byte, "z" two or four, "v" two, four or eight, "d" always four.
        changes: "E" the operand of ModRM, "G" its register, "O" the register of the opcode.
        fixed: Registers that it changes whatever its operands are.
        is_byte: Its operands are bytes: four numbers mean other registers then.
        leaves: See `Instruction`.
    """

    modrm: bool = False
    immediate: str = ""
    changes: str = ""
    fixed: tuple[int, ...] = ()
    is_byte: bool = False
    leaves: bool = False


_E: Final = _Form(modrm=True, changes="E")
_G: Final = _Form(modrm=True, changes="G")
_EG: Final = _Form(modrm=True, changes="EG")
_READS: Final = _Form(modrm=True)
_READS_B: Final = _Form(modrm=True, immediate="b")
_EXCHANGE: Final = _Form(changes="O", fixed=(RAX,))
_JUMP_B: Final = _Form(immediate="b", leaves=True)
_JUMP_D: Final = _Form(immediate="d", leaves=True)


def _arithmetic() -> Iterator[tuple[int, _Form]]:
    """Yield add, or, adc, sbb, and, sub, xor and cmp, which differ in that it changes nothing."""
    for first in range(0x00, 0x40, 8):
        is_compare = first == 0x38
        to_operand, to_register = ("", "") if is_compare else ("E", "G")
        accumulator = () if is_compare else (RAX,)
        yield first, _Form(modrm=True, changes=to_operand, is_byte=True)
        yield first + 1, _Form(modrm=True, changes=to_operand)
        yield first + 2, _Form(modrm=True, changes=to_register, is_byte=True)
        yield first + 3, _Form(modrm=True, changes=to_register)
        yield first + 4, _Form(immediate="b", fixed=accumulator)
        yield first + 5, _Form(immediate="z", fixed=accumulator)


_PUSH: Final = range(0x50, 0x58)
_NOP: Final = 0x90
_ONE_BYTE: Final[dict[int, _Form]] = {
    **dict(_arithmetic()),
    **dict.fromkeys(_PUSH, _Form(fixed=(RSP,))),
    **dict.fromkeys(range(0x58, 0x60), _Form(changes="O", fixed=(RSP,))),
    0x63: _G,  # movsxd
    0x68: _Form(immediate="z", fixed=(RSP,)),
    0x69: _G._replace(immediate="z"),
    0x6A: _Form(immediate="b", fixed=(RSP,)),
    0x6B: _G._replace(immediate="b"),
    **dict.fromkeys(range(0x70, 0x80), _JUMP_B),
    0x84: _Form(modrm=True, is_byte=True),
    0x85: _READS,
    0x86: _EG._replace(is_byte=True),
    0x87: _EG,
    0x88: _E._replace(is_byte=True),
    0x89: _E,
    0x8A: _G._replace(is_byte=True),
    0x8B: _G,
    0x8D: _G,  # lea
    _NOP: _Form(),
    **dict.fromkeys(range(0x91, 0x98), _EXCHANGE),
    0x98: _Form(fixed=(RAX,)),
    0x99: _Form(fixed=(RDX,)),
    0xA8: _Form(immediate="b"),
    0xA9: _Form(immediate="z"),
    **dict.fromkeys(range(0xB0, 0xB8), _Form(immediate="b", changes="O", is_byte=True)),
    **dict.fromkeys(range(0xB8, 0xC0), _Form(immediate="v", changes="O")),
    0xC0: _E._replace(immediate="b", is_byte=True),
    0xC1: _E._replace(immediate="b"),
    0xC3: _Form(leaves=True),
    0xC9: _Form(fixed=(RSP, _RBP)),
    0xCC: _Form(leaves=True),
    0xD0: _E._replace(is_byte=True),
    0xD1: _E,
    0xD2: _E._replace(is_byte=True),
    0xD3: _E,
    0xE8: _JUMP_D,
    0xE9: _JUMP_D,
    0xEB: _JUMP_B,
    0xF4: _Form(leaves=True),
}

# Opcodes whose ModRM selects the operation: (opcode, number in its middle bits).
_IMMEDIATES: Final = {0x80: "b", 0x81: "z", 0x83: "b"}
_GROUPS: Final[dict[tuple[int, int], _Form]] = {
    **{
        (opcode, number): _Form(
            modrm=True,
            immediate=immediate,
            changes="" if number == 7 else "E",
            is_byte=opcode == 0x80,
        )
        for opcode, immediate in _IMMEDIATES.items()
        for number in range(8)
    },
    (0xC6, 0): _E._replace(immediate="b", is_byte=True),
    (0xC7, 0): _E._replace(immediate="z"),
    (0xF6, 0): _READS_B._replace(is_byte=True),
    (0xF7, 0): _READS._replace(immediate="z"),
    **{(0xF6, number): _E._replace(is_byte=True) for number in (2, 3)},
    **{(0xF7, number): _E for number in (2, 3)},
    **{(0xF6, number): _READS._replace(fixed=(RAX,), is_byte=True) for number in range(4, 8)},
    **{(0xF7, number): _READS._replace(fixed=(RAX, RDX)) for number in range(4, 8)},
    **{(0xFE, number): _E._replace(is_byte=True) for number in (0, 1)},
    **{(0xFF, number): _E for number in (0, 1)},
    **{(0xFF, number): _READS._replace(leaves=True) for number in (2, 4)},
    (0xFF, 6): _READS._replace(fixed=(RSP,)),
    (0x0FBA, 4): _READS_B,
    **{(0x0FBA, number): _E._replace(immediate="b") for number in (5, 6, 7)},
    (0x0F1E, 7): _READS,  # endbr64; another number reads the shadow stack
}

# Second byte after 0F. Of SSE: moves and what only changes vector registers.
_VECTOR: Final = (
    *(0x10, 0x12, 0x14, 0x15, 0x16, 0x28, 0x2A, 0x2E, 0x2F),
    *range(0x51, 0x70),
    *range(0x74, 0x77),
    *range(0xD1, 0xD6),
    *range(0xD8, 0xE7),
    *range(0xE8, 0xF0),
    *range(0xF1, 0xF7),
    *range(0xF8, 0xFF),
)
_TWO_BYTES: Final[dict[int, _Form]] = {
    0x05: _Form(fixed=(RAX, RCX, 11), leaves=True),
    0x0B: _Form(leaves=True),
    **dict.fromkeys((0x0D, 0x18), _READS),  # prefetches
    0x1F: _READS,
    **dict.fromkeys(_VECTOR, _READS),
    **dict.fromkeys((0x11, 0x13, 0x17, 0x29, 0x2B, 0x7F, 0xD6, 0xE7), _Form(modrm=True)),
    **dict.fromkeys((0x2C, 0x2D, 0x50, 0xD7), _G),
    **dict.fromkeys(range(0x40, 0x50), _G),  # cmov
    **dict.fromkeys((0x70, 0xC2, 0xC4, 0xC6), _READS_B),
    0x7E: _E,
    **dict.fromkeys(range(0x80, 0x90), _JUMP_D),
    **dict.fromkeys(range(0x90, 0xA0), _E._replace(is_byte=True)),  # setcc
    0xA2: _Form(fixed=(RAX, RCX, RDX, 3)),
    0xA3: _READS,
    **dict.fromkeys((0xAB, 0xB3, 0xBB, 0xA5, 0xAD), _E),
    **dict.fromkeys((0xA4, 0xAC), _E._replace(immediate="b")),
    0xAF: _G,
    0xB0: _E._replace(fixed=(RAX,), is_byte=True),
    0xB1: _E._replace(fixed=(RAX,)),
    **dict.fromkeys((0xB6, 0xB7, 0xB8, 0xBC, 0xBD, 0xBE, 0xBF), _G),
    0xC0: _EG._replace(is_byte=True),
    0xC1: _EG,
    0xC5: _G._replace(immediate="b"),
    **dict.fromkeys(range(0xC8, 0xD0), _Form(changes="O")),  # bswap
}
_VECTOR_STORES: Final = frozenset({0x11, 0x13, 0x17, 0x29, 0x2B, 0x7E, 0x7F, 0xD6, 0xE7})


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
    form = _form(opcode, code[at] if at < len(code) else 0)
    if opcode == _NOP and prefixes.rex & 1:
        form = _EXCHANGE
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


def _form(opcode: int, following: int) -> _Form | None:
    group = _GROUPS.get((opcode, following >> 3 & 7))
    if group is not None:
        return group
    return _TWO_BYTES.get(opcode & 0xFF) if opcode >> 8 else _ONE_BYTE.get(opcode)


def _operand_bytes(code: bytes, at: int, form: _Form) -> int:
    """Return the size of ModRM, SIB and displacement (SDM volume 2, table 2-2)."""
    if not form.modrm:
        return 0
    mode, operand = code[at] >> 6, code[at] & 7
    if mode == 3:
        return 1
    has_sib = operand == RSP
    base = code[at + 1] & 7 if has_sib else operand
    if mode == 0:
        return 1 + has_sib + (4 if base == _RBP else 0)
    return 1 + has_sib + (1 if mode == 1 else 4)


def _immediate_bytes(form: _Form, prefixes: _Prefixes) -> int:
    if form.immediate == "v" and prefixes.is_wide:
        return 8
    if form.immediate in {"v", "z"}:
        return 2 if _OPERAND_SIZE in prefixes.legacy and not prefixes.is_wide else 4
    return {"": 0, "b": 1, "d": 4}[form.immediate]


def _written(form: _Form, prefixes: _Prefixes, opcode: int, modrm: int) -> Iterator[int]:
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
    if opcode not in {0x89, 0x8B} or modrm < 0xC0 or not prefixes.is_wide:
        return None
    register = modrm >> 3 & 7 | (prefixes.rex & 4) << 1
    operand = modrm & 7 | (prefixes.rex & 1) << 3
    return (register, operand) if opcode == 0x89 else (operand, register)


def _is_store(form: _Form, opcode: int, modrm: int) -> bool:
    if opcode in _PUSH or opcode in {0x68, 0x6A, 0xE8} or (opcode == 0xFF and form.fixed):
        return True
    in_memory = form.modrm and modrm < 0xC0
    is_vector = opcode >> 8 != 0 and opcode & 0xFF in _VECTOR_STORES
    return in_memory and ("E" in form.changes or is_vector)


def _step(code: bytes, prefixes: _Prefixes, opcode: int) -> Step:
    if opcode in _PUSH:
        plain = len(code) == 1 or (len(code) == 2 and prefixes.rex == 0x41)
        return Step.EMULATED if plain else Step.STEPPED
    if opcode == _NOP and not prefixes.rex:
        return Step.EMULATED if set(prefixes.legacy) <= {_OPERAND_SIZE} else Step.STEPPED
    is_near = opcode in {0xE8, 0xE9, 0xEB} or opcode in range(0x70, 0x80)
    if is_near or opcode in range(0x0F80, 0x0F90):
        # With other prefixes the kernel refuses the probe (uprobe_init_insn, is_prefix_bad).
        return Step.EMULATED if set(prefixes.legacy) <= _REPEAT else Step.STEPPED
    return Step.NEWER if code in _LONG_NOPS else Step.STEPPED
