"""Registers of the processors that we unwind: their order in samples, their DWARF numbers.

Sources: the kernel's arch/x86/include/uapi/asm/perf_regs.h and arch/arm64's; System V ABI for
x86-64, figure 3.36; DWARF for the Arm 64-bit architecture, 4.1.
"""

from __future__ import annotations

import platform
from typing import Final

import attrs


@attrs.frozen
class Architecture:
    """One processor.

    Attributes:
        machine: e_machine of its ELF files.
        mask: sample_regs_user for all registers.
        dwarf: DWARF numbers by bit of the mask; -1 where there is none.
        program_counter: Bit of the mask.
        stack_pointer: DWARF number; likewise frame_pointer, return_address.
        link: Whether a call leaves the return address in a register, not on the stack.
        address_mask: What of a return address is an address; the rest may be a signature.
    """

    name: str
    machine: int
    mask: int
    dwarf: tuple[int, ...]
    program_counter: int
    stack_pointer: int
    frame_pointer: int
    return_address: int
    link: bool
    address_mask: int

    def positions(self, mask: int) -> dict[int, int]:
        """Return DWARF number -> index among the registers of samples with this mask."""
        bits = [bit for bit in range(len(self.dwarf)) if mask >> bit & 1]
        return {self.dwarf[bit]: i for i, bit in enumerate(bits) if self.dwarf[bit] >= 0}


X86_64: Final = Architecture(
    name="x86_64",
    machine=62,
    mask=0xFF0FFF,
    # ax bx cx dx si di bp sp ip flags cs ss ds es fs gs r8 to r15
    dwarf=(0, 3, 2, 1, 4, 5, 6, 7, 16, *[-1] * 7, *range(8, 16)),
    program_counter=8,
    stack_pointer=7,
    frame_pointer=6,
    return_address=16,
    link=False,
    address_mask=2**64 - 1,
)
AARCH64: Final = Architecture(
    name="aarch64",
    machine=183,
    mask=2**33 - 1,
    # x0 to x29, lr, sp, pc; 32 stands for the program counter, which has no number of its own
    dwarf=(*range(32), 32),
    program_counter=32,
    stack_pointer=31,
    frame_pointer=29,
    return_address=30,
    link=True,
    # Pointer authentication signs the bits above the 48 of an address of user space.
    address_mask=2**48 - 1,
)


def own() -> Architecture:
    """Return the architecture of this machine; x86-64 where it is none of ours."""
    return AARCH64 if platform.machine() in {"aarch64", "arm64"} else X86_64
