"""Which functions of a file allocate, and where each gets its one probe.

The families, how they are told and what is probed are the reference's (docs/design.md names the
differences): one probe for each address, whatever number of names it has, and none where a function
only hands on to another that is probed anyway.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

import attrs

from codspeed_memory.ebpf.forward import calls, jumps_to
from codspeed_memory.ebpf.opcodes import RDI, RDX, RSI
from codspeed_memory.ebpf.placement import placed
from codspeed_native.elf import Section

if TYPE_CHECKING:
    from codspeed_native.elf import Elf, Symbol

_X86_64: Final = 62
_PT_LOAD: Final = 1
_EXECUTABLE: Final = 1
_PROGBITS: Final = 1
# Past this a jump back into the first instructions is not looked for.
_MOST_CODE: Final = 1 << 16
_DYNAMIC_SYMBOL: Final = struct.Struct("<IBBHQQ")


class Role(enum.Enum):
    """What a function does with its arguments; sizes in bytes.

    MALLOC: takes the size first.
    CALLOC: takes count and size.
    ZALLOC: takes the size first, and zeroes: a calloc of one argument.
    REALLOC: takes the old block and the size.
    ALIGNED: takes the alignment and the size.
    POSIX_MEMALIGN: takes where the address goes, the alignment and the size; returns a status.
    FREE: takes the block.
    """

    MALLOC = "malloc"
    CALLOC = "calloc"
    ZALLOC = "zalloc"
    REALLOC = "realloc"
    ALIGNED = "aligned"
    POSIX_MEMALIGN = "posix_memalign"
    FREE = "free"


# Where each argument that a role reads is at the entry: System V ABI, and AAPCS64.
_ARGUMENTS: Final[Mapping[Role, tuple[int, ...]]] = {
    Role.MALLOC: (0,),
    Role.CALLOC: (0, 1),
    Role.ZALLOC: (0,),
    Role.REALLOC: (0, 1),
    Role.ALIGNED: (1,),
    Role.POSIX_MEMALIGN: (0, 2),
    Role.FREE: (0,),
}
_X86_64_REGISTERS: Final = (RDI, RSI, RDX)


@attrs.frozen
class Probe:
    """One function to probe: its entry, and its return unless it is a `Role.FREE`.

    Attributes:
        offset: Of the instruction to probe, in the file.
        names: All that the file calls it, in order.
        registers: What holds there the arguments that the role reads, in their order: (0, 1) is
            x0, x1 on aarch64, and RAX, RCX on x86-64, where the instruction set numbers them.
        is_leaf: None of the functions that its code calls is probed. Not told on aarch64.
    """

    role: Role
    offset: int
    names: tuple[str, ...]
    registers: tuple[int, ...]
    is_leaf: bool = False


@attrs.frozen
class Allocator:
    """What a file has to probe.

    Attributes:
        family: "libc", "libc++", "jemalloc", "mimalloc" or "tcmalloc".
        probes: By offset.
    """

    family: str
    probes: tuple[Probe, ...]


def _roles(**names: str) -> dict[str, Role]:
    return {name: Role(role) for role, listed in names.items() for name in listed.split()}


_STANDARD: Final = _roles(
    malloc="malloc valloc pvalloc",
    calloc="calloc",
    realloc="realloc",
    aligned="aligned_alloc memalign",
    posix_memalign="posix_memalign",
    free="free free_sized free_aligned_sized cfree",
)
_OPERATORS: Final = _roles(
    malloc="_Znwm _Znam _ZnwmSt11align_val_t _ZnamSt11align_val_t"
    " _ZnwmRKSt9nothrow_t _ZnamRKSt9nothrow_t"
    " _ZnwmSt11align_val_tRKSt9nothrow_t _ZnamSt11align_val_tRKSt9nothrow_t",
    free="_ZdlPv _ZdaPv _ZdlPvm _ZdaPvm _ZdlPvSt11align_val_t _ZdaPvSt11align_val_t"
    " _ZdlPvmSt11align_val_t _ZdaPvmSt11align_val_t _ZdlPvRKSt9nothrow_t _ZdaPvRKSt9nothrow_t"
    " _ZdlPvSt11align_val_tRKSt9nothrow_t _ZdaPvSt11align_val_tRKSt9nothrow_t",
)


def _prefixed(prefix: str, roles: Mapping[str, Role]) -> dict[str, Role]:
    return {prefix + name: role for name, role in roles.items()}


_EXTENDED: Final = _roles(malloc="mallocx", realloc="rallocx", free="dallocx sdallocx")
_JEMALLOC: Final = {
    name: role
    for prefix in ("", "je_", "_rjem_")
    for name, role in _prefixed(prefix, {**_STANDARD, **_EXTENDED}).items()
}
_MIMALLOC: Final = _prefixed("mi_", _STANDARD) | _roles(
    malloc="mi_malloc_aligned mi_malloc_small mi_new mi_new_nothrow mi_new_aligned"
    " mi_new_aligned_nothrow",
    zalloc="mi_zalloc mi_zalloc_aligned mi_zalloc_small",
    realloc="mi_realloc_aligned",
    free="mi_free_size mi_free_size_aligned mi_free_aligned",
)
_TCMALLOC: Final = _prefixed("tc_", _STANDARD) | _roles(free="sdallocx tc_sdallocx")


@attrs.frozen
class _Family:
    """How a family is told, and what of it is probed."""

    name: str
    marks: frozenset[str]
    roles: Mapping[str, Role]


# The first of which a file has any mark is the one.
_FAMILIES: Final = (
    _Family(
        "jemalloc",
        frozenset({"_rjem_malloc", "je_malloc", "je_malloc_default", "mallocx"}),
        _STANDARD | _OPERATORS | _JEMALLOC,
    ),
    _Family(
        "mimalloc",
        frozenset({"mi_malloc_aligned", "mi_malloc", "mi_free"}),
        _STANDARD | _OPERATORS | _MIMALLOC,
    ),
    _Family(
        "tcmalloc",
        frozenset({"tc_malloc", "tc_free", "tc_version"}),
        _STANDARD | _OPERATORS | _TCMALLOC,
    ),
    _Family("libc++", frozenset({"_Znwm", "_Znam", "_ZdlPv", "_ZdaPv"}), _OPERATORS),
    _Family("libc", frozenset({"malloc", "free"}), _STANDARD),
)


def allocator_of(file: Elf) -> Allocator | None:
    """Return what to probe in a file; None if nothing.

    Raises:
        codspeed_native.elf.ElfError: If it is damaged, or is gone meanwhile.
    """
    found = _named(file)
    family = next((family for family in _FAMILIES if not family.marks.isdisjoint(found)), None)
    if family is None:
        return None
    roles = family.roles
    if family.roles is _OPERATORS:
        # They hand on to malloc: the file's own, or that of another file, which has its probes.
        if not found.keys().isdisjoint({"malloc", "free"}):
            roles = _STANDARD
        elif _imports(file, "malloc"):
            return None
    probes = _probes(file, found, roles)
    return Allocator(family.name, probes) if probes else None


def _named(file: Elf) -> dict[str, Symbol]:
    """Return the functions that a file defines, by name without version."""
    return {symbol.name.partition("@")[0]: symbol for symbol in file.functions()}


def _imports(file: Elf, name: str) -> bool:
    symbols, strings = file.contents(".dynsym"), file.contents(".dynstr")
    whole = len(symbols) // _DYNAMIC_SYMBOL.size * _DYNAMIC_SYMBOL.size
    wanted = name.encode() + b"\0"
    return any(
        not section and strings.startswith(wanted, at)
        for at, _, _, section, _, _ in _DYNAMIC_SYMBOL.iter_unpack(symbols[:whole])
    )


def _probes(file: Elf, found: Mapping[str, Symbol], roles: Mapping[str, Role]) -> tuple[Probe, ...]:
    by_address: dict[int, list[str]] = {}
    for name in roles:
        if name in found:
            by_address.setdefault(found[name].address, []).append(name)
    known = _Known({address: roles[names[0]] for address, names in by_address.items()}, roles)
    probes = (
        _probe(file, found[names[0]], known, names)
        for names in by_address.values()
        if not _hands_on(file, found[names[0]], known)
    )
    return tuple(sorted(filter(None, probes), key=lambda probe: probe.offset))


@attrs.frozen
class _Known:
    """The roles of functions, by their address in the file and by name."""

    by_address: Mapping[int, Role]
    by_name: Mapping[str, Role]

    def role(self, function: int | str | None) -> Role | None:
        if isinstance(function, str):
            return self.by_name.get(function)
        return None if function is None else self.by_address.get(function)


def _hands_on(file: Elf, function: Symbol, known: _Known) -> bool:
    """Return whether all it does is jump to a function of the same role, which has the probe."""
    if file.machine != _X86_64:
        return False
    target = jumps_to(file, function.address, partial(_code, file))
    return known.role(target) is known.role(function.address)


def _probe(file: Elf, function: Symbol, known: _Known, names: list[str]) -> Probe | None:
    """Return the probe of a function; None if the file does not hold its code."""
    offset = _offset(file, function.address)
    if offset is None:
        return None
    role = known.by_address[function.address]
    if file.machine != _X86_64:
        return Probe(role, offset, tuple(names), _ARGUMENTS[role])
    code = _code(file, function.address, min(function.size, _MOST_CODE))
    best = placed(code, tuple(_X86_64_REGISTERS[i] for i in _ARGUMENTS[role]))
    called = calls(file, function.address, code, partial(_code, file))
    is_leaf = not any(target != function.address and known.role(target) for target in called)
    return Probe(role, offset + best.distance, tuple(names), best.registers, is_leaf=is_leaf)


def _code(file: Elf, address: int, most: int) -> bytes:
    """Return bytes of code from an address on; fewer where the segment ends, or none."""
    offset = _offset(file, address)
    segment = None if offset is None else file.segment_of(offset)
    if offset is None or segment is None:
        return b""
    size = min(most, segment.offset + segment.file_size - offset)
    return file.data(Section("code", _PROGBITS, address, offset, size, 0))


def _offset(file: Elf, address: int) -> int | None:
    """Return where in the file the code of an address is."""
    for segment in file.segments:
        is_code = segment.kind == _PT_LOAD and segment.flags & _EXECUTABLE
        if is_code and 0 <= address - segment.address < segment.file_size:
            return segment.offset + address - segment.address
    return None
