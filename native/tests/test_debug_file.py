"""Separate debug files, load biases, and all symbols by the reference's rules."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from codspeed_native import debug_file, elf, symbol_rules
from codspeed_native.elf import Segment
from codspeed_native.load_bias import base_address, load_bias
from codspeed_native.symbol_rules import symbols

SOURCE = (
    "static int inner(int x) { return x + 1; }\nint main(int c, char **v) { return inner(c); }\n"
)


@pytest.fixture
def stripped(tmp_path: Path) -> Path:
    """A program; beside it `program.debug`, which it links to by name and checksum."""
    for tool in ("gcc", "objcopy"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    (tmp_path / "source.c").write_text(SOURCE)
    for command in (
        "gcc -O0 -g -Wl,--build-id source.c -o program",
        "objcopy --only-keep-debug program program.debug",
        "objcopy --strip-all --add-gnu-debuglink=program.debug program",
    ):
        subprocess.run(command.split(), cwd=tmp_path, check=True)
    return tmp_path / "program"


def _names(found: elf.Elf | None) -> set[str]:
    return set() if found is None else {function.name for function in found.functions()}


@pytest.mark.tool
@pytest.mark.parametrize("place", [".", ".debug", "root"])
def test_a_debug_file_is_found_by_name_and_checksum(stripped: Path, place: str) -> None:
    folder, root = stripped.parent, stripped.parent / "roots"
    below = root / folder.relative_to("/") if place == "root" else folder / place
    root.mkdir()
    below.mkdir(parents=True, exist_ok=True)
    if place != ".":
        (folder / "program.debug").rename(below / "program.debug")

    found = debug_file.find(elf.read(stripped), [root])

    assert "inner" not in _names(elf.read(stripped))
    assert "inner" in _names(found)


@pytest.mark.tool
def test_a_debug_file_is_found_by_build_id_first(stripped: Path) -> None:
    root = stripped.parent / "roots"
    build_id = elf.read(stripped).build_id
    named = root / ".build-id" / build_id[:2] / f"{build_id[2:]}.debug"
    named.parent.mkdir(parents=True)
    (stripped.parent / "program.debug").rename(named)

    found = debug_file.find(elf.read(stripped), [root])

    assert found is not None
    assert found.path == named


@pytest.mark.tool
def test_a_file_with_another_checksum_is_not_taken(stripped: Path) -> None:
    with (stripped.parent / "program.debug").open("ab") as file:
        file.write(b"x")

    assert debug_file.find(elf.read(stripped), [stripped.parent]) is None


@pytest.mark.tool
def test_without_any_debug_folder_nothing_is_searched(stripped: Path) -> None:
    assert debug_file.find(elf.read(stripped), [stripped.parent / "none"]) is None


# --- Load bias: vectors of spec/executors.md 3.5 --------------------------------------------------


def _segment(offset: int, address: int, size: int, kind: int = 1) -> Segment:
    return Segment(kind, 5, offset, address, size, size)


@pytest.mark.parametrize(
    ("segments", "start", "end", "offset", "bias"),
    [
        pytest.param(
            [_segment(0, 0, 0x4D26C), _segment(0x4D26C, 0x4E26C, 0xEF9C4)],
            0x5555555A2000, 0x555555692000, 0x4D000, 0x555555554000, id="PIE",
        ),
        pytest.param(
            [_segment(0, 0x400000, 0x1000), _segment(0x2000, 0x402000, 0x10CF51)],
            0x402000, 0x50F000, 0x2000, 0, id="Go, no PIE",
        ),
        pytest.param([_segment(0x1000, 0x5000, 0x1000)], 0x2000, 0x3000, 0x1000, 2**64 - 0x3000,
            id="modulo 2^64"),
        pytest.param([_segment(0x9000, 0, 0x1000)], 0x2000, 0x3000, 0x1000, None, id="none"),
        pytest.param([_segment(0, 0, 0x9000, kind=2)], 0x2000, 0x3000, 0, None, id="not loaded"),
    ],
)  # fmt: skip
def test_load_bias(
    segments: list[Segment], start: int, end: int, offset: int, bias: int | None
) -> None:
    assert load_bias(tuple(segments), start=start, end=end, offset=offset) == bias


def test_base_address_is_that_of_the_first_loaded_segment() -> None:
    assert base_address((_segment(0, 9, 1, kind=6), _segment(0, 0x400000, 1))) == 0x400000
    assert base_address(()) is None


# --- Symbols by the reference's rules -------------------------------------------------------------


def _oracle(path: Path) -> list[symbol_rules.Row]:
    with path.open("rb") as stream:
        tables = [
            section
            for section in ELFFile(stream).iter_sections()
            if isinstance(section, SymbolTableSection)
        ]
        tables.sort(key=lambda table: table["sh_type"] == "SHT_DYNSYM")
        return [
            (symbol["st_value"], symbol["st_size"], symbol.name.encode())
            for table in tables
            for symbol in table.iter_symbols()
            if symbol.name and symbol["st_size"]
        ]


@pytest.mark.skipif(sys.platform != "linux", reason="it reads an ELF file of the system")
def test_symbols_that_have_a_size_are_those_of_pyelftools_with_duplicates() -> None:
    path = Path(sys.executable).resolve()
    found = symbols(elf.read(path))

    oracle = _oracle(path)
    sized = {(address, name) for address, _, name in oracle}
    assert sorted(each for each in found if (each[0], each[2]) in sized) == sorted(oracle)
    assert [each[0] for each in found] == sorted(each[0] for each in found)


def test_symbols_without_a_size_reach_to_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several at 0 one remains; the last reaches to the end of the page behind it."""
    entries = [(0, b"a"), (0, b"phantom"), (0x1010, b"f"), (0x1010, b"g"), (0x2008, b"end")]
    listed = [(address, 0, name) for address, name in entries]
    listed += [(0x1000, 4, name) for name in (b"", b"$x", b"$d.1", b"$a")]
    listed += [(0x1000, 4, b"$data"), (0x1000, 4, b"$t1")]
    monkeypatch.setattr(symbol_rules, "_tables", lambda _elf: listed)
    if sys.platform != "linux":
        pytest.skip("there is no ELF file to begin with")

    assert symbols(elf.read(Path(sys.executable))) == [
        (0, 0x1000, b"phantom"),
        (0x1000, 4, b"$data"),
        (0x1000, 4, b"$t1"),
        (0x1010, 0xFF8, b"g"),
        (0x2008, 0x1FF8, b"end"),
    ]


def test_names_that_are_no_text_are_left_out() -> None:
    entries = struct.pack("<I4xQQ", 1, 0x10, 4) + struct.pack("<I4xQQ", 4, 0x20, 4)

    assert symbol_rules._entries(entries, b"\0ok\0\xff\xfe\0") == [(0x10, 4, b"ok")]


@pytest.mark.tool
def test_a_debug_file_adds_what_is_new(stripped: Path) -> None:
    debug = elf.read(stripped.parent / "program.debug")
    found = symbols(elf.read(stripped), debug)

    assert b"inner" in {name for _, _, name in found}
    pairs = [(address, name) for address, _, name in found]
    assert len(pairs) == len(set(pairs))
