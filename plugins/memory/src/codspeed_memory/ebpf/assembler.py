"""An assembler for BPF: registers, labels, jumps forward, calls of helpers. No I/O here.

Only what our programs need. The kernel's verifier follows every path, so the programs are kept
straight: all jumps go forward. Source of the encoding: Documentation/bpf/standardization.
"""

from __future__ import annotations

import struct
from typing import Final

_INSTRUCTION: Final = struct.Struct("<BBhi")
_SIZES: Final = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
_JUMPS: Final = {"==": 0x10, ">": 0x20, ">=": 0x30, "&": 0x40, "!=": 0x50, "<": 0xA0, "<=": 0xB0}
_ARITHMETIC: Final = {
    "+": 0x00, "-": 0x10, "*": 0x20, "|": 0x40, "&": 0x50, "<<": 0x60, ">>": 0x70,
}  # fmt: skip
_PSEUDO_MAP_FD, _PSEUDO_MAP_VALUE, _PSEUDO_KERNEL_CALL = 1, 2, 2

R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, FRAME = range(11)


class Helper:
    """Numbers of the kernel's helpers (linux/bpf.h, ___BPF_FUNC_MAPPER)."""

    LOOKUP: Final = 1
    UPDATE: Final = 2
    DELETE: Final = 3
    TIME_NS: Final = 5
    PID_TGID: Final = 14
    CURRENT_TASK: Final = 35
    SEND_SIGNAL: Final = 109
    READ_USER: Final = 112
    READ_KERNEL: Final = 113
    RING_OUTPUT: Final = 130
    RING_QUERY: Final = 134
    ATTACH_COOKIE: Final = 174


class Program:
    """Instructions so far; each method adds some."""

    def __init__(self) -> None:
        self._code: list[list[int]] = []
        self._labels: dict[str, int] = {}
        self._jumps: list[tuple[int, str]] = []
        self._names = 0

    def label(self, name: str) -> None:
        """Name the next instruction."""
        assert name not in self._labels, name
        self._labels[name] = len(self._code)

    def fresh(self, name: str) -> str:
        """Return a label that nobody has."""
        self._names += 1
        return f"{name} {self._names}"

    def assembled(self) -> bytes:
        """Return the program; raises KeyError for a jump to nowhere."""
        for at, name in self._jumps:
            distance = self._labels[name] - at - 1
            assert distance >= 0, f"{name} lies behind"
            self._code[at][2] = distance
        return b"".join(
            _INSTRUCTION.pack(operation, target | source << 4, offset, value)
            for operation, (target, source), offset, value in (
                (code[0], (code[1] & 15, code[1] >> 4), code[2], code[3]) for code in self._code
            )
        )

    def _add(self, operation: int, target: int, source: int, offset: int, value: int) -> None:
        self._code.append([operation, target | source << 4, offset, value])

    # --- Values ---

    def set(self, target: int, value: int) -> None:
        """Give a register a constant that 32 bits with a sign can hold."""
        self._add(0xB7, target, 0, 0, value)

    def copy(self, target: int, source: int) -> None:
        """Copy a register."""
        self._add(0xBF, target, source, 0, 0)

    def change(self, target: int, operator: str, value: int) -> None:
        """Compute with a constant."""
        self._add(0x07 | _ARITHMETIC[operator], target, 0, 0, value)

    def change_by(self, target: int, operator: str, source: int) -> None:
        """Compute with a register."""
        self._add(0x0F | _ARITHMETIC[operator], target, source, 0, 0)

    def map(self, target: int, fd: int) -> None:
        """Give a register a map."""
        self._wide(target, _PSEUDO_MAP_FD, fd, 0)

    def value_of(self, target: int, fd: int, offset: int = 0) -> None:
        """Give a register the address of the only value of an array, or of a part of it."""
        self._wide(target, _PSEUDO_MAP_VALUE, fd, offset)

    def _wide(self, target: int, source: int, low: int, high: int) -> None:
        self._add(0x18, target, source, 0, low)
        self._add(0, 0, 0, 0, high)

    # --- Memory ---

    def load(self, target: int, source: int, offset: int, size: int = 8) -> None:
        """Read memory at a register plus `offset`."""
        self._add(0x61 | _SIZES[size], target, source, offset, 0)

    def store(self, target: int, offset: int, source: int, size: int = 8) -> None:
        """Write a register to memory."""
        self._add(0x63 | _SIZES[size], target, source, offset, 0)

    def store_value(self, target: int, offset: int, value: int, size: int = 8) -> None:
        """Write a constant to memory."""
        self._add(0x62 | _SIZES[size], target, 0, offset, value)

    def count(self, target: int, offset: int, source: int) -> None:
        """Add a register to 8 bytes of memory, whoever else does so too."""
        self._add(0xDB, target, source, offset, 0)

    # --- Where it goes on ---

    def jump(self, label: str) -> None:
        """Go on at a label."""
        self._jumps.append((len(self._code), label))
        self._add(0x05, 0, 0, 0, 0)

    def jump_if(self, target: int, operator: str, value: int, label: str) -> None:
        """Go on at a label if the register compares so with a constant; without a sign."""
        self._jumps.append((len(self._code), label))
        self._add(0x05 | _JUMPS[operator], target, 0, 0, value)

    def jump_if_register(self, target: int, operator: str, source: int, label: str) -> None:
        """Go on at a label if two registers compare so; without a sign."""
        self._jumps.append((len(self._code), label))
        self._add(0x0D | _JUMPS[operator], target, source, 0, 0)

    def call(self, helper: int) -> None:
        """Call a helper: arguments are in R1 to R5, the result in R0; R6 to R9 stay."""
        self._add(0x85, 0, 0, 0, helper)

    def call_kernel(self, type_id: int) -> None:
        """Call a function of the kernel by its BTF id."""
        self._add(0x85, 0, _PSEUDO_KERNEL_CALL, 0, type_id)

    def exit(self, status: int) -> None:
        """Return a constant."""
        self.set(R0, status)
        self.exit_with_result()

    def exit_with_result(self) -> None:
        """Return R0."""
        self._add(0x95, 0, 0, 0, 0)
