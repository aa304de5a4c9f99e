"""Read what matters to a profiler from ELF files: symbols, segments, build id, linking.

64-bit little-endian files only, which is what our platforms have. Speed is why this is not
pyelftools: its symbol tables take 45 to 87 times as long. Source of the layout: elf(5).
"""

from __future__ import annotations

import functools
import os
import struct
import zlib
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, NoReturn, Self

import attrs

from codspeed.errors import CodspeedError

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_DYNAMIC: Final = struct.Struct("<qQ")
_NOTE: Final = struct.Struct("<III")
_COMPRESSION: Final = struct.Struct("<IIQQ")

_ET_EXEC: Final = 2
_PT_LOAD: Final = 1
_PT_DYNAMIC: Final = 2
_PT_INTERP: Final = 3
_PT_NOTE: Final = 4
_SHT_SYMTAB: Final = 2
_SHT_NOBITS: Final = 8
_SHT_DYNSYM: Final = 11
_SHF_COMPRESSED: Final = 1 << 11
_ELFCOMPRESS_ZLIB: Final = 1
_SHN_XINDEX: Final = 0xFFFF
_PN_XNUM: Final = 0xFFFF
_DT_NEEDED: Final = 1
_DT_STRTAB: Final = 5
_DT_STRSZ: Final = 10
_DT_FLAGS_1: Final = 0x6FFFFFFB
_DF_1_PIE: Final = 0x08000000
_NT_GNU_BUILD_ID: Final = 3
# STT_FUNC and STT_GNU_IFUNC: what a program counter can be in.
_FUNCTIONS: Final = frozenset({2, 10})
_CACHED_FILES: Final = 64


class ElfError(CodspeedError):
    """A file is no ELF file that we can read, or it is damaged."""

    slug: ClassVar[str] = "elf"


class Section(NamedTuple):
    """One section header; `address`, `offset` and `size` in bytes, `kind` is its sh_type."""

    name: str
    kind: int
    address: int
    offset: int
    size: int
    link: int
    flags: int = 0


class Segment(NamedTuple):
    """One program header; sizes in bytes, `kind` is its p_type."""

    kind: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int


class Symbol(NamedTuple):
    """One function: its address as linked, its size in bytes (0 if unknown), its name."""

    address: int
    size: int
    name: str


@attrs.frozen(eq=False)
class Elf:
    """The headers of one file; symbols are read when they are asked for.

    Attributes:
        machine: e_machine; 62 is x86-64, 183 aarch64.
        build_id: GNU build id in hex; empty if there is none.
        interpreter: The dynamic loader (PT_INTERP); empty if there is none.
        needed: Libraries it is linked with, as it names them.
        is_static: A program that runs without a dynamic loader, so LD_PRELOAD can't reach it.
    """

    path: Path
    machine: int
    sections: tuple[Section, ...]
    segments: tuple[Segment, ...]
    build_id: str
    interpreter: str
    needed: tuple[str, ...]
    is_static: bool
    _image: bytes | None = attrs.field(default=None, repr=False)

    def section(self, name: str) -> Section | None:
        """Return the first section of this name."""
        return next((section for section in self.sections if section.name == name), None)

    def address_of(self, offset: int) -> int | None:
        """Return the address, as linked, of a byte of the file; None if it is not loaded."""
        segment = self.segment_of(offset)
        return None if segment is None else segment.address + offset - segment.offset

    def segment_of(self, offset: int) -> Segment | None:
        """Return the segment that loads a byte of the file."""
        for segment in self.segments:
            if segment.kind == _PT_LOAD and 0 <= offset - segment.offset < segment.file_size:
                return segment
        return None

    def contents(self, name: str) -> bytes:
        """Return the bytes of the first section of this name; none if the file does not hold it.

        Raises:
            ElfError: If it is damaged, or the file is gone or was replaced meanwhile.
        """
        section = self.section(name)
        return b"" if section is None else self.data(section)

    def data(self, section: Section) -> bytes:
        """Return the bytes of a section; none if the file does not hold it. Raises likewise."""
        if section.kind == _SHT_NOBITS:
            return b""
        with _opened(self) as file:
            data = file.bytes_at(section.offset, section.size, section.name)
            return _inflated(file, section, data) if section.flags & _SHF_COMPRESSED else data

    def functions(self) -> tuple[Symbol, ...]:
        """Return the functions of `.symtab` and `.dynsym`, sorted by address, each once.

        A function of unknown size reaches to the next one.

        Raises:
            ElfError: If a table is damaged, or the file is gone or was replaced meanwhile.
        """
        return _functions(self)


def read(path: Path) -> Elf:
    """Read the headers of `path`; cached as long as its size and time of change stay.

    Raises:
        ElfError: If it can't be read, is no 64-bit little-endian ELF file, or is damaged.
    """
    try:
        status = path.stat()
    except OSError as failure:
        problem = f"{path} can't be read: {failure.strerror}"
        raise ElfError(problem) from failure
    return _read(path, status.st_mtime_ns, status.st_size)


def parse(image: bytes, name: str) -> Elf:
    """Read the headers of a file that is in memory, such as the kernel's vdso.

    Args:
        name: What messages call it.

    Raises:
        ElfError: If it is no 64-bit little-endian ELF file, or is damaged.
    """
    with _Image(Path(name), image) as file:
        return attrs.evolve(_parse(file), image=image)


@functools.lru_cache(maxsize=_CACHED_FILES)
def _read(path: Path, _mtime_ns: int, _size: int) -> Elf:
    with _File(path) as file:
        return _parse(file)


@functools.lru_cache(maxsize=_CACHED_FILES)
def _functions(elf: Elf) -> tuple[Symbol, ...]:
    found: dict[tuple[int, int, str], None] = {}  # in order: aliases come in that of the tables
    with _opened(elf) as file:
        for section in elf.sections:
            if section.kind in {_SHT_SYMTAB, _SHT_DYNSYM}:
                found |= dict.fromkeys(_symbols(file, elf.sections, section))
    ordered = sorted(found, key=itemgetter(0))  # a third of the time of comparing names too
    return tuple(map(Symbol._make, _extended(ordered)))


class _File:
    """A file of which only existing bytes are read: sizes in a damaged header cost nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        try:
            # O_NONBLOCK: a FIFO of that name must not hang us; it has no effect on files.
            self._fd = os.open(self.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            self.size = os.fstat(self._fd).st_size
        except OSError as failure:
            problem = f"{self.path} can't be read: {failure.strerror}"
            raise ElfError(problem) from failure
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def bytes_at(self, offset: int, size: int, what: str) -> bytes:
        """Return exactly `size` bytes, or raise."""
        if offset < 0 or size < 0 or offset + size > self.size:
            self.fail(f"{what} lies outside of the file")
        try:
            data = os.pread(self._fd, size, offset)
        except OSError as failure:
            self.fail(f"{what} can't be read: {failure.strerror}", failure)
        if len(data) != size:
            self.fail(f"{what} is cut off")
        return data

    def fail(self, why: str, cause: Exception | None = None) -> NoReturn:
        """Raise the error that says what is damaged."""
        problem = f"{self.path} is damaged: {why}"
        raise ElfError(problem, hint="build or install it again") from cause


class _Image(_File):
    """The same, of bytes in memory."""

    def __init__(self, path: Path, image: bytes) -> None:
        super().__init__(path)
        self._image = image

    def __enter__(self) -> Self:
        self.size = len(self._image)
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def bytes_at(self, offset: int, size: int, what: str) -> bytes:
        if offset < 0 or size < 0 or offset + size > self.size:
            self.fail(f"{what} lies outside of the file")
        return self._image[offset : offset + size]


def _inflated(file: _File, section: Section, data: bytes) -> bytes:
    """Return what a compressed section holds: debug files of distributions have such."""
    if len(data) < _COMPRESSION.size:
        file.fail(f"{section.name} is cut off")
    kind, _, size, _ = _COMPRESSION.unpack_from(data)
    if kind != _ELFCOMPRESS_ZLIB:
        file.fail(f"{section.name} is compressed in a way that is not known ({kind})")
    try:
        return zlib.decompressobj().decompress(data[_COMPRESSION.size :], max(1, size))
    except zlib.error as failure:
        file.fail(f"{section.name} can't be decompressed: {failure}", failure)


def _opened(elf: Elf) -> _File:
    return _File(elf.path) if elf._image is None else _Image(elf.path, elf._image)  # noqa: SLF001 - of this module


def _parse(file: _File) -> Elf:
    if file.size < _HEADER.size or file.bytes_at(0, 6, "header") != b"\x7fELF\x02\x01":
        problem = f"{file.path} is no 64-bit little-endian ELF file"
        raise ElfError(problem)
    header = _HEADER.unpack(file.bytes_at(0, _HEADER.size, "header"))
    _, kind, machine, _, _, segments_at, sections_at, _, _, _, segment_count, _, _, _ = header
    sections = _sections(file, sections_at, count=header[12], names=header[13])
    if segment_count == _PN_XNUM and sections:
        segment_count = _first_section(file, sections_at)[7]  # sh_info, elf(5) PN_XNUM
    segments = _segments(file, segments_at, segment_count)
    needed, is_pie = _dynamic(file, segments)
    interpreter = _interpreter(file, segments)
    return Elf(
        path=file.path,
        machine=machine,
        sections=sections,
        segments=segments,
        build_id=_build_id(file, segments),
        interpreter=interpreter,
        needed=needed,
        is_static=not interpreter and not needed and (kind == _ET_EXEC or is_pie),
    )


def _first_section(file: _File, at: int) -> tuple[int, ...]:
    return _SECTION.unpack(file.bytes_at(at, _SECTION.size, "section header 0"))


def _sections(file: _File, at: int, *, count: int, names: int) -> tuple[Section, ...]:
    if not at:
        return ()
    first = _first_section(file, at)
    count = count or first[5]  # more than 65,279 sections: sh_size of the first tells
    names = first[6] if names == _SHN_XINDEX else names
    data = file.bytes_at(at, count * _SECTION.size, "section header table")
    rows = list(_SECTION.iter_unpack(data))
    if not rows:
        return ()
    if names >= len(rows):
        file.fail("section names are in no section")
    strings = file.bytes_at(rows[names][4], rows[names][5], "section names") if names else b""
    return tuple(
        Section(_text(strings, row[0]), row[1], row[3], row[4], row[5], row[6], row[2])
        for row in rows
    )


def _segments(file: _File, at: int, count: int) -> tuple[Segment, ...]:
    data = file.bytes_at(at, count * _SEGMENT.size, "program header table")
    return tuple(
        Segment(kind, flags, offset, address, file_size, memory_size)
        for kind, flags, offset, address, _, file_size, memory_size, _ in _SEGMENT.iter_unpack(data)
    )


def _contents(file: _File, segments: tuple[Segment, ...], kind: int) -> Iterator[bytes]:
    for segment in segments:
        # A separate debug file keeps the headers of segments whose bytes it left out.
        if segment.kind == kind and segment.offset + segment.file_size <= file.size:
            yield file.bytes_at(segment.offset, segment.file_size, f"segment of type {kind}")


def _interpreter(file: _File, segments: tuple[Segment, ...]) -> str:
    return next((_text(data, 0) for data in _contents(file, segments, _PT_INTERP)), "")


def _build_id(file: _File, segments: tuple[Segment, ...]) -> str:
    for notes in _contents(file, segments, _PT_NOTE):
        at = 0
        while at + _NOTE.size <= len(notes):
            name_size, size, kind = _NOTE.unpack_from(notes, at)
            name_at = at + _NOTE.size
            value_at = name_at + -(-name_size // 4) * 4
            if kind == _NT_GNU_BUILD_ID and notes[name_at : name_at + name_size] == b"GNU\0":
                return notes[value_at : value_at + size].hex()
            at = value_at + -(-size // 4) * 4
    return ""


def _dynamic(file: _File, segments: tuple[Segment, ...]) -> tuple[tuple[str, ...], bool]:
    """Return the needed libraries and whether it is marked as a program (DF_1_PIE)."""
    entries = [
        entry
        for data in _contents(file, segments, _PT_DYNAMIC)
        for entry in _DYNAMIC.iter_unpack(data[: len(data) // _DYNAMIC.size * _DYNAMIC.size])
    ]
    last = next((i for i, (tag, _) in enumerate(entries) if tag == 0), len(entries))
    tags = dict(reversed(entries[:last]))
    is_pie = bool(tags.get(_DT_FLAGS_1, 0) & _DF_1_PIE)
    wanted = [value for tag, value in entries[:last] if tag == _DT_NEEDED]
    if not wanted:
        return (), is_pie
    strings = _dynamic_strings(file, segments, tags)
    return tuple(_text(strings, value) for value in wanted), is_pie


def _dynamic_strings(file: _File, segments: tuple[Segment, ...], tags: dict[int, int]) -> bytes:
    address, size = tags.get(_DT_STRTAB, 0), tags.get(_DT_STRSZ, 0)
    found = [
        segment.offset + address - segment.address
        for segment in segments
        if segment.kind == _PT_LOAD and 0 <= address - segment.address < segment.file_size
    ]
    if not found:
        file.fail("the dynamic string table is in no segment")
    return file.bytes_at(found[0], size, "dynamic string table")


def _symbols(
    file: _File, sections: tuple[Section, ...], table: Section
) -> list[tuple[int, int, str]]:
    if not table.size:
        return []
    if table.link >= len(sections):
        file.fail(f"{table.name} has no string table")
    data = file.bytes_at(table.offset, table.size // _SYMBOL.size * _SYMBOL.size, table.name)
    names = sections[table.link]
    strings = file.bytes_at(names.offset, names.size, names.name)
    find = strings.find
    return [
        (address, size, strings[name : find(b"\0", name)].decode("utf-8", "surrogateescape"))
        for name, kind, _, section, address, size in _SYMBOL.iter_unpack(data)
        if kind & 15 in _FUNCTIONS and section  # section 0: undefined, another file has it
    ]


def _extended(ordered: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Give functions of unknown size (assembler) the room up to the next address."""
    following = current = 0
    for index in range(len(ordered) - 1, -1, -1):
        address, size, name = ordered[index]
        if address != current:
            following, current = current, address
        if not size and following:
            ordered[index] = (address, following - address, name)
    return ordered


def _text(strings: bytes, at: int) -> str:
    end = strings.find(b"\0", at)
    return strings[at : end if end >= 0 else None].decode("utf-8", "surrogateescape")
