"""Call frame information beside readelf, on programs of both architectures, and damaged."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed_native import cfi, elf
from codspeed_native.architecture import AARCH64, X86_64
from codspeed_native.image import Image

SOURCE = """
#include <alloca.h>
#include <stdio.h>
int grow(int x) { char *p = alloca(x); p[0] = 1; return p[x / 2]; }
int many(int a, int b, int c, int d) { printf("%d", a); return a + b * c + d + grow(a + b + c); }
__attribute__((optimize("omit-frame-pointer"))) int plain(int x) { return x + many(x, x, 3, x); }
int main(void) { return plain(3) + many(1, 2, 3, 4); }
"""
X86_NAMES = ["rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp"]
X86_NAMES += [*(f"r{number}" for number in range(8, 16)), "ra"]
ARM_NAMES = [*(f"x{number}" for number in range(30)), "ra", "sp"]
ARM_NAMES += [*(f"r{number}" for number in range(32, 64)), *(f"v{n}" for n in range(32))]
KINDS = {cfi.EXPRESSION: "exp", cfi.VALUE_EXPRESSION: "vexp", cfi.SAME: "s"}

Rows = dict[int, tuple[str, dict[str, str]]]


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def _oracle(readelf: str, path: Path) -> Rows:
    """Address -> CFA and the cells of the other columns, as readelf interprets them."""
    command = [readelf, "--wide", "--debug-dump=frames-interp", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows: Rows = {}
    columns: list[str] = []
    is_function = False
    for line in re.sub(r"r\d+ \((\w+)\)", r"\1", done.stdout).splitlines():
        if "CIE" in line or "FDE" in line:
            is_function = "FDE" in line
        elif line.lstrip().startswith("LOC"):
            columns = line.split()[2:]
        elif is_function and re.match(r"[0-9a-f]{16} ", line):
            address, cfa, *cells = line.split()
            rows[int(address, 16)] = (cfa, dict(zip(columns, cells, strict=True)))
    assert rows, done.stderr
    return rows


def _shown(row: cfi.Row, names: list[str]) -> tuple[str, dict[str, str]]:
    """The same, of our row."""
    cfa = "exp" if row.cfa_register < 0 else f"{names[row.cfa_register]}{int(row.cfa):+d}"
    cells = {}
    for register, (kind, value) in row.rules.items():
        if kind == cfi.OFFSET:
            cells[names[register]] = f"c{int(value):+d}"
        elif kind == cfi.REGISTER:
            cells[names[register]] = names[int(value)]
        elif kind in KINDS:
            cells[names[register]] = KINDS[kind]
    return cfa, cells


def _differences(path: Path, readelf: str, names: list[str]) -> list[object]:
    image = Image(str(path), elf.read(path))
    found: list[object] = []
    for address, (cfa, cells) in _oracle(readelf, path).items():
        row = image.row(address)
        # A register that nobody speaks of stays the same; readelf shows it as it does undefined.
        expected = {name: cell for name, cell in cells.items() if cell != "u"}
        if row is None or _shown(row, names) != (cfa, expected):
            found.append((hex(address), cfa, expected, row))
    return found


@pytest.mark.tool
@pytest.mark.parametrize(
    ("prefix", "names", "machine"),
    [
        pytest.param("", X86_NAMES, X86_64.machine, id="this machine"),
        pytest.param("aarch64-linux-gnu-", ARM_NAMES, AARCH64.machine, id="aarch64"),
    ],
)
@pytest.mark.parametrize("flags", ["-O0", "-O2", "-O2 -fno-omit-frame-pointer -static"])
def test_every_row_of_a_program_is_the_one_that_readelf_shows(
    tmp_path: Path, prefix: str, names: list[str], machine: int, flags: str
) -> None:
    compiler, readelf = _tool(f"{prefix}gcc"), _tool(f"{prefix}readelf")
    (tmp_path / "program.c").write_text(SOURCE)
    command = [compiler, *flags.split(), "program.c", "-o", "program"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    program = tmp_path / "program"
    if elf.read(program).machine != machine:
        pytest.skip("the compiler is for another architecture")

    assert _differences(program, readelf, names) == []


@pytest.mark.tool
@pytest.mark.skipif(sys.platform != "linux", reason="it reads the C library of Linux")
def test_every_row_of_the_c_library_is_the_one_that_readelf_shows() -> None:
    readelf = _tool("readelf")
    mapped = Path("/proc/self/maps").read_text("utf-8")
    library = re.search(r"\S+/libc\.so\.6", mapped)
    if library is None or elf.read(Path(library[0])).machine != X86_64.machine:
        pytest.skip("there is no glibc for x86-64")

    assert _differences(Path(library[0]), readelf, X86_NAMES) == []


def _frames(program: bytes) -> bytes:
    """One CIE (code factor 1, data factor -8, return register 16) and one FDE at 0x1000."""
    body = b"\1zR\0\1\x78\x10\1\0" + bytes([0x0C, 7, 8, 0x90, 1])
    cie = b"\0\0\0\0" + body.ljust(-(-len(body) // 4) * 4, b"\0")
    first = len(cie).to_bytes(4, "little") + cie
    content = (0x1000).to_bytes(8, "little") + (0x100).to_bytes(8, "little") + b"\0" + program
    fde = (len(first) + 4).to_bytes(4, "little") + content
    return first + len(fde).to_bytes(4, "little") + fde


def _row(program: bytes, address: int) -> cfi.Row:
    row = cfi.UnwindTable(_frames(program), 0).row(address)
    assert row is not None
    return row


def test_instructions_hold_from_their_address_on() -> None:
    program = bytes([0x41, 0x0E, 16, 0x86, 2, 0x02, 0x20, 0x0D, 6])

    assert _row(program, 0x1000)[:3] == (7, 8, {16: (cfi.OFFSET, -8)})
    assert _row(program, 0x1001)[:3] == (7, 16, {16: (cfi.OFFSET, -8), 6: (cfi.OFFSET, -16)})
    assert _row(program, 0x1020).cfa_register == 7
    assert _row(program, 0x1021).cfa_register == 6


def test_a_remembered_state_comes_back_with_its_cfa() -> None:
    program = bytes([0x0A, 0x0E, 64, 0x83, 3, 0x41, 0x0B])

    assert _row(program, 0x1000)[:3] == (7, 64, {16: (cfi.OFFSET, -8), 3: (cfi.OFFSET, -24)})
    assert _row(program, 0x1001)[:3] == (7, 8, {16: (cfi.OFFSET, -8)})


def test_a_restored_register_is_what_the_common_entry_says() -> None:
    program = bytes([0x90, 4, 0x41, 0xD0, 0x41, 0x07, 16])

    assert _row(program, 0x1000).rules == {16: (cfi.OFFSET, -32)}
    assert _row(program, 0x1001).rules == {16: (cfi.OFFSET, -8)}
    assert _row(program, 0x1002).rules == {16: (cfi.UNDEFINED, 0)}


@pytest.mark.parametrize(
    ("instruction", "rule"),
    [
        (b"\x05\x03\x02", (cfi.OFFSET, -16)),
        (b"\x11\x03\x7e", (cfi.OFFSET, 16)),
        (b"\x2f\x03\x02", (cfi.OFFSET, 16)),
        (b"\x14\x03\x02", (cfi.VALUE_OFFSET, -16)),
        (b"\x15\x03\x7e", (cfi.VALUE_OFFSET, 16)),
        (b"\x09\x03\x05", (cfi.REGISTER, 5)),
        (b"\x08\x03", (cfi.SAME, 0)),
        (b"\x10\x03\x02\x77\x08", (cfi.EXPRESSION, b"\x77\x08")),
        (b"\x16\x03\x02\x77\x08", (cfi.VALUE_EXPRESSION, b"\x77\x08")),
    ],
)
def test_each_way_to_say_where_a_register_is(instruction: bytes, rule: cfi.Rule) -> None:
    assert _row(instruction, 0x1000).rules[3] == rule


def test_addresses_outside_of_every_function_have_no_row() -> None:
    table = cfi.UnwindTable(_frames(b""), 0)

    assert table.row(0xFFF) is None
    assert table.row(0x1100) is None
    assert list(table.ranges()) == [(0x1000, 0x1100)]
    assert cfi.UnwindTable(b"", 0).row(0x1000) is None


@given(data=st.data())
def test_garbage_raises_cfi_error_only(data: st.DataObject) -> None:
    program = data.draw(st.binary(max_size=40))
    damaged = bytearray(_frames(program))
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=4)):
        damaged[at] = data.draw(st.integers(0, 255))
    header = data.draw(st.binary(max_size=40))
    table = cfi.UnwindTable(bytes(damaged), 0, b"\1\x1b\3\x3b" + header, 0x2000)

    with contextlib.suppress(cfi.CfiError):
        table.row(0x1010)
    with contextlib.suppress(cfi.CfiError):
        list(table.ranges())
