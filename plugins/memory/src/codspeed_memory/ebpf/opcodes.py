"""Opcodes of x86-64 that compilers put into the first bytes of functions, and what each changes.

Source: Intel SDM volume 2, appendix A (opcode maps). What is not here is not known: no X87, no VEX.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

RAX: Final = 0
RCX: Final = 1
RDX: Final = 2
RBX: Final = 3
RSP: Final = 4
RBP: Final = 5
RSI: Final = 6
RDI: Final = 7

PUSH: Final = range(0x50, 0x58)
PUSH_IMMEDIATE: Final = frozenset({0x68, 0x6A})
NOP: Final = 0x90
CALL: Final = 0xE8
# Those that say where to, with a condition or without.
JUMPS: Final = frozenset({CALL, 0xE9, 0xEB, *range(0x70, 0x80), *range(0x0F80, 0x0F90)})
# Of whole registers; what of ModRM gets the other's value, as `Form.changes` has it.
MOVES: Final = {0x89: "E", 0x8B: "G"}


class Form(NamedTuple):
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


_E: Final = Form(modrm=True, changes="E")
_G: Final = Form(modrm=True, changes="G")
_EG: Final = Form(modrm=True, changes="EG")
_READS: Final = Form(modrm=True)
_READS_B: Final = Form(modrm=True, immediate="b")
EXCHANGE: Final = Form(changes="O", fixed=(RAX,))
PUSH_OPERAND: Final = Form(modrm=True, fixed=(RSP,))
_JUMP_B: Final = Form(immediate="b", leaves=True)
_JUMP_D: Final = Form(immediate="d", leaves=True)


def _arithmetic() -> Iterator[tuple[int, Form]]:
    """Yield add, or, adc, sbb, and, sub, xor and cmp, which differ in that it changes nothing."""
    for first in range(0x00, 0x40, 8):
        is_compare = first == 0x38
        to_operand, to_register = ("", "") if is_compare else ("E", "G")
        accumulator = () if is_compare else (RAX,)
        yield first, Form(modrm=True, changes=to_operand, is_byte=True)
        yield first + 1, Form(modrm=True, changes=to_operand)
        yield first + 2, Form(modrm=True, changes=to_register, is_byte=True)
        yield first + 3, Form(modrm=True, changes=to_register)
        yield first + 4, Form(immediate="b", fixed=accumulator)
        yield first + 5, Form(immediate="z", fixed=accumulator)


_ONE_BYTE: Final[dict[int, Form]] = {
    **dict(_arithmetic()),
    **dict.fromkeys(PUSH, Form(fixed=(RSP,))),
    **dict.fromkeys(range(0x58, 0x60), Form(changes="O", fixed=(RSP,))),
    0x63: _G,  # movsxd
    0x68: Form(immediate="z", fixed=(RSP,)),
    0x69: _G._replace(immediate="z"),
    0x6A: Form(immediate="b", fixed=(RSP,)),
    0x6B: _G._replace(immediate="b"),
    **dict.fromkeys(range(0x70, 0x80), _JUMP_B),
    0x84: Form(modrm=True, is_byte=True),
    0x85: _READS,
    0x86: _EG._replace(is_byte=True),
    0x87: _EG,
    0x88: _E._replace(is_byte=True),
    0x89: _E,
    0x8A: _G._replace(is_byte=True),
    0x8B: _G,
    0x8D: _G,  # lea
    NOP: Form(),
    **dict.fromkeys(range(0x91, 0x98), EXCHANGE),
    0x98: Form(fixed=(RAX,)),
    0x99: Form(fixed=(RDX,)),
    0xA8: Form(immediate="b"),
    0xA9: Form(immediate="z"),
    **dict.fromkeys(range(0xB0, 0xB8), Form(immediate="b", changes="O", is_byte=True)),
    **dict.fromkeys(range(0xB8, 0xC0), Form(immediate="v", changes="O")),
    0xC0: _E._replace(immediate="b", is_byte=True),
    0xC1: _E._replace(immediate="b"),
    0xC3: Form(leaves=True),
    0xC9: Form(fixed=(RSP, RBP)),
    0xCC: Form(leaves=True),
    0xD0: _E._replace(is_byte=True),
    0xD1: _E,
    0xD2: _E._replace(is_byte=True),
    0xD3: _E,
    CALL: _JUMP_D,
    0xE9: _JUMP_D,
    0xEB: _JUMP_B,
    0xF4: Form(leaves=True),
}

# Opcodes whose ModRM selects the operation: (opcode, number in its middle bits).
_IMMEDIATES: Final = {0x80: "b", 0x81: "z", 0x83: "b"}
_GROUPS: Final[dict[tuple[int, int], Form]] = {
    **{
        (opcode, number): Form(
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
    (0xFF, 6): PUSH_OPERAND,
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
_TWO_BYTES: Final[dict[int, Form]] = {
    0x05: Form(fixed=(RAX, RCX, 11), leaves=True),
    0x0B: Form(leaves=True),
    **dict.fromkeys((0x0D, 0x18), _READS),  # prefetches
    0x1F: _READS,
    **dict.fromkeys(_VECTOR, _READS),
    **dict.fromkeys((0x11, 0x13, 0x17, 0x29, 0x2B, 0x7F, 0xD6, 0xE7), Form(modrm=True)),
    **dict.fromkeys((0x2C, 0x2D, 0x50, 0xD7), _G),
    **dict.fromkeys(range(0x40, 0x50), _G),  # cmov
    **dict.fromkeys((0x70, 0xC2, 0xC4, 0xC6), _READS_B),
    0x7E: _E,
    **dict.fromkeys(range(0x80, 0x90), _JUMP_D),
    **dict.fromkeys(range(0x90, 0xA0), _E._replace(is_byte=True)),  # setcc
    0xA2: Form(fixed=(RAX, RCX, RDX, RBX)),
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
    **dict.fromkeys(range(0xC8, 0xD0), Form(changes="O")),  # bswap
}
VECTOR_STORES: Final = frozenset(
    0x0F00 | second for second in (0x11, 0x13, 0x17, 0x29, 0x2B, 0x7E, 0x7F, 0xD6, 0xE7)
)


def form_of(opcode: int, following: int) -> Form | None:
    """Return the form of an opcode; None if it is not known.

    Args:
        opcode: One byte; or two, the first of them 0F.
        following: The byte after it, by whose middle bits some opcodes differ.
    """
    group = _GROUPS.get((opcode, following >> 3 & 7))
    if group is not None:
        return group
    return _TWO_BYTES.get(opcode & 0xFF) if opcode >> 8 else _ONE_BYTE.get(opcode)
