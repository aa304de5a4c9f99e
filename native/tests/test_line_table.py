"""Files and lines of functions, beside pyelftools, in each version of DWARF."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

from codspeed_native import elf
from codspeed_native.line_table import LineTable

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
#include "other.h"
static int inner(int x) { return twice(x) + 1; }

int shown(int x)
{
    return inner(x) * inner(x + 1);
}
int main(void) { return shown(3); }
"""
HEADER = "\n\n__attribute__((noinline)) static int twice(int x) { return x * 2; }\n"

pytestmark = pytest.mark.tool


def _run(*command: str, folder: Path) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    subprocess.run(command, cwd=folder, capture_output=True, check=True)


def _program(folder: Path, *flags: str) -> elf.Elf:
    (folder / "sub").mkdir()
    (folder / "sub" / "other.h").write_text(HEADER)
    (folder / "source.c").write_text(SOURCE)
    _run("gcc", "-Isub", *flags, "source.c", "-o", "program", folder=folder)
    return elf.read(folder / "program")


def _declared(path: Path) -> dict[str, tuple[str, int]]:
    """Function -> file and line of its declaration, as pyelftools reads them."""
    found = {}
    with path.open("rb") as stream:
        dwarf = ELFFile(stream).get_dwarf_info()
        for unit in dwarf.iter_CUs():
            program = dwarf.line_program_for_CU(unit)
            assert program is not None
            files = program["file_entry"]
            first = 0 if unit["version"] >= 5 else 1
            for entry in unit.iter_DIEs():
                if entry.tag == "DW_TAG_subprogram" and "DW_AT_decl_line" in entry.attributes:
                    values = {name: each.value for name, each in entry.attributes.items()}
                    file = files[values["DW_AT_decl_file"] - first].name.decode()
                    found[values["DW_AT_name"].decode()] = file, values["DW_AT_decl_line"]
    return found


@pytest.mark.parametrize("flags", ["-gdwarf-2", "-gdwarf-3", "-gdwarf-4", "-gdwarf-5"])
@pytest.mark.parametrize("more", ["-O0", "-O2", "-O2 -ffunction-sections", "-O2 -gz=zlib"])
def test_every_function_begins_where_it_is_declared(tmp_path: Path, flags: str, more: str) -> None:
    program = _program(tmp_path, flags, *more.split())
    functions = [each for each in program.functions() if each.name in {"shown", "main", "twice"}]
    table = LineTable(program)
    found = {each.name: table.find(each.address) for each in functions}

    declared = _declared(program.path)
    assert len(found) == 3
    for name, place in found.items():
        assert place is not None
        file, line = declared[name]
        assert place.file.endswith("sub/other.h" if name == "twice" else "source.c")
        assert place.file.endswith(file)
        assert place.line - line == (name == "shown"), "the line of the brace"


def test_without_debug_information_there_are_no_lines(tmp_path: Path) -> None:
    table = LineTable(_program(tmp_path, "-g0"))

    assert not table
    assert table.find(0x1000) is None


@given(st.data())
def test_damage_costs_lines_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    program = _shared(tmp_path_factory)
    section = program.section(".debug_line")
    assert section is not None
    raw = bytearray(program.path.read_bytes())
    for at in data.draw(st.lists(st.integers(0, section.size - 1), max_size=5)):
        raw[section.offset + at] = data.draw(st.integers(0, 255))
    damaged = elf.parse(bytes(raw), "damaged")

    with contextlib.suppress(elf.ElfError):
        table = LineTable(damaged)
        for function in damaged.functions():
            table.find(function.address)


_MADE: list[elf.Elf] = []


def _shared(factory: pytest.TempPathFactory) -> elf.Elf:
    if not _MADE:
        _MADE.append(_program(factory.mktemp("lines"), "-gdwarf-5", "-O1"))
    return _MADE[0]
