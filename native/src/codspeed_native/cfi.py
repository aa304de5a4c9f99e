"""DWARF call frame information: how to get from a function to its caller, for each address.

No I/O here. A table is read lazily: the binary search table of `.eh_frame_hdr` finds the one
description (FDE) that is needed, and its program is run up to the address. Source: DWARF 5, 6.4;
Linux Standard Base Core 5.0, 10.6 (`.eh_frame`, `.eh_frame_hdr`).
"""

from __future__ import annotations

import array
import bisect
import struct
import sys
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, NoReturn

import attrs

from codspeed.errors import CodspeedError

if TYPE_CHECKING:
    from collections.abc import Iterator

# How a register of the caller is found.
SAME: Final = 0
UNDEFINED: Final = 1
OFFSET: Final = 2  # in memory at CFA + value
VALUE_OFFSET: Final = 3  # is CFA + value
REGISTER: Final = 4  # is in another register
EXPRESSION: Final = 5  # in memory at what the expression gives
VALUE_EXPRESSION: Final = 6  # is what the expression gives

_MASK: Final = 2**64 - 1
_MOST_BITS: Final = 77  # of a number of variable length; more come from damaged files only
_MOST_STATES: Final = 64  # nested DW_CFA_remember_state; compilers use one or two

# Pointer encodings (DW_EH_PE_*): format in the lower half, meaning in the upper.
_OMIT: Final = 0xFF
_PC_RELATIVE: Final = 0x10
_DATA_RELATIVE: Final = 0x30
_FIXED: Final = {
    0x0: struct.Struct("<Q"),
    0x2: struct.Struct("<H"),
    0x3: struct.Struct("<I"),
    0x4: struct.Struct("<Q"),
    0xA: struct.Struct("<h"),
    0xB: struct.Struct("<i"),
    0xC: struct.Struct("<q"),
}
_ULEB: Final = 0x1
_SLEB: Final = 0x9
# Version 1, udata4 count, table of pairs of sdata4 relative to the header: all linkers write this.
_USUAL_HEADER: Final = (1, 0x03, 0x3B)
_EXTENDED_LENGTH: Final = 0xFFFFFFFF

Rule = tuple[int, int | bytes]


class CfiError(CodspeedError):
    """Call frame information is damaged, or of a kind that compilers do not write."""

    slug: ClassVar[str] = "cfi"


class Row(NamedTuple):
    """How to find the caller's registers at one address.

    Attributes:
        cfa_register: DWARF number of the register that the CFA (the caller's stack pointer) is
            relative to; -1 if an expression gives it.
        cfa: Offset from that register in bytes, or the expression.
        rules: By DWARF number of the register; what is not there stays the same.
        return_register: Column of the return address.
        is_signal: The caller was interrupted at its address; it did not call.
    """

    cfa_register: int
    cfa: int | bytes
    rules: dict[int, Rule]
    return_register: int
    is_signal: bool


class _Cie(NamedTuple):
    code_factor: int
    data_factor: int
    return_register: int
    encoding: int
    has_augmentation: bool
    is_signal: bool
    start: int
    end: int


class _Fde(NamedTuple):
    cie: _Cie
    first: int
    last: int
    start: int
    end: int


class _Function(NamedTuple):
    first: int
    last: int
    starts: list[int]  # of the rows, ascending
    rows: list[Row]


@attrs.define
class _State:
    cfa_register: int = -1
    cfa: int | bytes = 0
    rules: dict[int, Rule] = attrs.Factory(dict)


class UnwindTable:
    """The `.eh_frame` of one file; addresses are as linked.

    Args:
        frames: Bytes of `.eh_frame`.
        frames_address: Where they are.
        header: Bytes of `.eh_frame_hdr`; empty if there is none.
    """

    def __init__(
        self, frames: bytes, frames_address: int, header: bytes = b"", header_address: int = 0
    ) -> None:
        self._data = frames
        self._address = frames_address
        self._header = header
        self._header_address = header_address
        self._cies: dict[int, _Cie] = {}
        self._initial: dict[int, _State] = {}  # by where the program of the CIE begins
        self._functions: dict[int, _Function] = {}  # by where the FDE begins
        self._index: tuple[array.array[int], array.array[int], int] | None = None

    def row(self, address: int) -> Row | None:
        """Return the row of an address; None if no function is described there.

        Raises:
            CfiError: If the description is damaged.
        """
        try:
            return self._find(address)
        except (IndexError, struct.error, OverflowError) as failure:
            problem = f"call frame information of {address:#x} is cut off"
            raise CfiError(problem) from failure

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield first address and end of each function that is described, in the file's order.

        Raises:
            CfiError: If it is damaged.
        """
        try:
            for at in self._descriptions():
                fde = self._fde(at)
                yield fde.first, fde.last
        except (IndexError, struct.error, OverflowError) as failure:
            problem = "call frame information is cut off"
            raise CfiError(problem) from failure

    # --- Finding ---

    def _find(self, address: int) -> Row | None:
        if self._index is None:
            self._index = self._searchable() or self._built()
        starts, places, base = self._index
        position = bisect.bisect_right(starts, address - base) - 1
        if position < 0:
            return None
        place = places[position]
        function = self._functions.get(place)
        if function is None:
            function = self._functions[place] = self._run(self._fde(place))
        if not function.first <= address < function.last:
            return None
        return function.rows[bisect.bisect_right(function.starts, address) - 1]

    def _searchable(self) -> tuple[array.array[int], array.array[int], int] | None:
        """Take the linker's table, if it is of the usual form."""
        head = self._header
        is_usual = len(head) >= 12 and (head[0], head[2], head[3]) == _USUAL_HEADER
        if not is_usual or head[1] & 0xF not in {0x3, 0xB} or sys.byteorder != "little":
            return None
        count = min(int.from_bytes(head[8:12], "little"), (len(head) - 12) // 8)
        if not count:
            return None
        words = array.array("i", head[12 : 12 + 8 * count])
        # Relative to the header, wanted from the beginning of the frames.
        shift = self._header_address - self._address
        places = array.array("q", [word + shift for word in words[1::2]])
        return words[0::2], places, self._header_address

    def _built(self) -> tuple[array.array[int], array.array[int], int]:
        found = sorted((self._fde(at).first, at) for at in self._descriptions())
        starts = array.array("Q", [first for first, _ in found])
        return starts, array.array("q", [at for _, at in found]), 0

    def _descriptions(self) -> Iterator[int]:
        """Yield the offsets of all FDEs."""
        at = 0
        while at + 4 <= len(self._data):
            body, end, pointer = self._entry(at)
            if body == end:
                return  # a length of 0 ends the section
            if pointer:
                yield at
            at = end

    def _entry(self, at: int) -> tuple[int, int, int]:
        """Return where an entry's content begins and ends, and its first word: 0 for a CIE."""
        data = self._data
        if at < 0:
            _fail(at, "an entry before the section")
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
        if length == _EXTENDED_LENGTH:
            (length,) = struct.unpack_from("<Q", data, at)
            at += 8
        if not length:
            return at, at, 0
        if length < 4 or at + length > len(data):
            _fail(at, f"an entry of {length} bytes")
        (pointer,) = struct.unpack_from("<I", data, at)
        return at, at + length, pointer

    # --- Parsing ---

    def _fde(self, at: int) -> _Fde:
        body, end, pointer = self._entry(at)
        if not pointer:
            _fail(at, "no description of a function")
        cie = self._cie(body - pointer)
        first, here = self._pointer(body + 4, cie.encoding)
        size, here = self._pointer(here, cie.encoding & 0x0F)
        if cie.has_augmentation:
            length, here = uleb(self._data, here)
            here += length
        return _Fde(cie, first, first + size, here, end)

    def _cie(self, at: int) -> _Cie:
        known = self._cies.get(at)
        if known is None:
            known = self._cies[at] = self._parsed_cie(at)
        return known

    def _parsed_cie(self, at: int) -> _Cie:
        data = self._data
        body, end, pointer = self._entry(at)
        if pointer or body == end:
            _fail(at, "no common entry")
        version = data[body + 4]
        terminator = data.index(b"\0", body + 5) if 0 in data[body + 5 : end] else end
        augmentation = data[body + 5 : terminator]
        here = terminator + 1 + (2 if version == 4 else 0)  # DWARF 4: sizes of address, segment
        code_factor, here = uleb(data, here)
        data_factor, here = sleb(data, here)
        if version == 1:
            return_register, here = data[here], here + 1
        else:
            return_register, here = uleb(data, here)
        encoding = 0
        if augmentation[:1] == b"z":
            length, here = uleb(data, here)
            encoding = self._augmentation(augmentation[1:], here)
            here += length
        elif augmentation:
            _fail(at, f"unknown augmentation {augmentation!r}")
        is_signal = b"S" in augmentation
        has_more = augmentation[:1] == b"z"
        return _Cie(
            code_factor, data_factor, return_register, encoding, has_more, is_signal, here, end
        )

    def _augmentation(self, letters: bytes, here: int) -> int:
        """Return the encoding of addresses in the descriptions."""
        encoding = 0
        for letter in letters:
            if letter == ord("R"):
                encoding, here = self._data[here], here + 1
            elif letter == ord("L"):
                here += 1
            elif letter == ord("P"):
                _, here = self._pointer(here + 1, self._data[here])
            elif letter not in b"SB":  # no data; B: which key signs return addresses (AArch64)
                break
        return encoding

    def _pointer(self, at: int, encoding: int) -> tuple[int, int]:
        if encoding == _OMIT:
            return 0, at
        form = encoding & 0x0F
        if form == _ULEB:
            value, end = uleb(self._data, at)
        elif form == _SLEB:
            value, end = sleb(self._data, at)
        elif form in _FIXED:
            reader = _FIXED[form]
            (value,) = reader.unpack_from(self._data, at)
            end = at + reader.size
        else:
            _fail(at, f"unknown encoding {encoding:#x} of a pointer")
        meaning = encoding & 0x70
        if meaning == _PC_RELATIVE:
            value += self._address + at
        elif meaning == _DATA_RELATIVE:
            value += self._header_address
        elif meaning:
            _fail(at, f"unknown encoding {encoding:#x} of a pointer")
        return value & _MASK, end

    # --- Running ---

    def _run(self, fde: _Fde) -> _Function:
        """Work out all rows of a function: where one address was sampled, others will be."""
        cie = fde.cie
        known = self._initial.get(cie.start)
        if known is None:
            known = self._initial[cie.start] = _State()
            self._execute(known, cie, (cie.start, cie.end), 0)
        state = _State(known.cfa_register, known.cfa, dict(known.rules))
        passed = self._execute(state, cie, (fde.start, fde.end), fde.first, known.rules)
        passed.append((2**64, state.cfa_register, state.cfa, state.rules))
        starts = [fde.first, *(until for until, *_ in passed[:-1])]
        column, is_signal = cie.return_register, cie.is_signal
        rows = [Row(register, cfa, rules, column, is_signal) for _, register, cfa, rules in passed]
        return _Function(fde.first, fde.last, starts, rows)

    # One long function: an interpreter, and most of the time of a cold start.
    def _execute(  # noqa: C901, PLR0912, PLR0915 - one branch per DWARF instruction
        self,
        state: _State,
        cie: _Cie,
        program: tuple[int, int],
        location: int,
        initial: dict[int, Rule] | None = None,
    ) -> list[tuple[int, int, int | bytes, dict[int, Rule]]]:
        """Run instructions (DWARF 5, 6.4.2); return each state that was left, and until where."""
        data = self._data
        at, end = program
        rules = state.rules
        passed: list[tuple[int, int, int | bytes, dict[int, Rule]]] = []
        stack: list[tuple[int, int | bytes, dict[int, Rule]]] = []
        while at < end:
            code = data[at]
            at += 1
            low = code & 0x3F
            high = code & 0xC0
            if high == 0x40:  # advance_loc
                location += low * cie.code_factor
                passed.append((location, state.cfa_register, state.cfa, rules.copy()))
            elif high == 0x80:  # offset
                value, at = uleb(data, at)
                rules[low] = (OFFSET, value * cie.data_factor)
            elif high == 0xC0 or code == 0x06:  # restore, restore_extended
                if code == 0x06:
                    low, at = uleb(data, at)
                if initial and low in initial:
                    rules[low] = initial[low]
                else:
                    rules.pop(low, None)
            elif code in {0x00, 0x2D}:  # nop; AARCH64_negate_ra_state: addresses are masked anyway
                pass
            elif code in _ADVANCES:
                size = _ADVANCES[code]
                location += int.from_bytes(data[at : at + size], "little") * cie.code_factor
                at += size
                passed.append((location, state.cfa_register, state.cfa, rules.copy()))
            elif code == 0x0E:  # def_cfa_offset
                state.cfa, at = uleb(data, at)
            elif code == 0x0C:  # def_cfa
                state.cfa_register, at = uleb(data, at)
                state.cfa, at = uleb(data, at)
            elif code == 0x0D:  # def_cfa_register
                state.cfa_register, at = uleb(data, at)
            elif code == 0x0A:  # remember_state
                if len(stack) >= _MOST_STATES:
                    _fail(at, "too many remembered states")
                stack.append((state.cfa_register, state.cfa, dict(rules)))
            elif code == 0x0B:  # restore_state
                if not stack:
                    _fail(at, "no state to restore")
                state.cfa_register, state.cfa, rules = stack.pop()
                state.rules = rules
            elif code == 0x0F:  # def_cfa_expression
                state.cfa_register = -1
                state.cfa, at = self._block(at)
            elif code in _EXPRESSIONS:
                register, at = uleb(data, at)
                block, at = self._block(at)
                rules[register] = (_EXPRESSIONS[code], block)
            elif code == 0x12:  # def_cfa_sf
                state.cfa_register, at = uleb(data, at)
                value, at = sleb(data, at)
                state.cfa = value * cie.data_factor
            elif code == 0x13:  # def_cfa_offset_sf
                value, at = sleb(data, at)
                state.cfa = value * cie.data_factor
            elif code in _WITH_REGISTER:
                kind, is_signed, factor = _WITH_REGISTER[code]
                register, at = uleb(data, at)
                value, at = sleb(data, at) if is_signed else uleb(data, at)
                rules[register] = (kind, value * factor * cie.data_factor if factor else value)
            elif code in {0x07, 0x08}:  # undefined, same_value
                register, at = uleb(data, at)
                rules[register] = (UNDEFINED if code == 0x07 else SAME, 0)
            elif code == 0x01:  # set_loc
                location, at = self._pointer(at, cie.encoding)
                passed.append((location, state.cfa_register, state.cfa, rules.copy()))
            elif code == 0x2E:  # GNU_args_size
                _, at = uleb(data, at)
            else:
                _fail(at, f"unknown instruction {code:#x}")
        return passed

    def _block(self, at: int) -> tuple[bytes, int]:
        length, at = uleb(self._data, at)
        if at + length > len(self._data):
            _fail(at, "an expression is cut off")
        return self._data[at : at + length], at + length


# DW_CFA_advance_loc1, 2, 4 and MIPS_advance_loc8: size of the operand in bytes.
_ADVANCES: Final = {0x02: 1, 0x03: 2, 0x04: 4, 0x1D: 8}
# DW_CFA_expression, val_expression.
_EXPRESSIONS: Final = {0x10: EXPRESSION, 0x16: VALUE_EXPRESSION}
# What has a register and a number: kind, whether the number is signed, and how it is scaled: by 1
# (0), by the data alignment factor (1), by its negative (-1).
_WITH_REGISTER: Final = {
    0x05: (OFFSET, False, 1),  # offset_extended
    0x09: (REGISTER, False, 0),
    0x11: (OFFSET, True, 1),  # offset_extended_sf
    0x14: (VALUE_OFFSET, False, 1),
    0x15: (VALUE_OFFSET, True, 1),  # val_offset_sf
    0x2F: (OFFSET, False, -1),  # GNU_negative_offset_extended
}


def uleb(data: bytes, at: int) -> tuple[int, int]:
    """Return an unsigned number of variable length and where it ends; IndexError if cut off."""
    value = data[at]
    at += 1
    if value < 0x80:
        return value, at
    value &= 0x7F
    shift = 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80 or shift > _MOST_BITS:
            return value & _MASK, at
        shift += 7


def sleb(data: bytes, at: int) -> tuple[int, int]:
    """Return a signed number of variable length and where it ends; IndexError if cut off."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80 or shift > _MOST_BITS:
            break
    return (value - (1 << shift) if byte & 0x40 else value), at


def _fail(at: int, why: str) -> NoReturn:
    problem = f"call frame information is damaged at byte {at}: {why}"
    raise CfiError(problem, hint="build or install the file again")
