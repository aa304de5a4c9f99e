"""Names by address: beside pyelftools, on ties and gaps; and the kernel's list."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from codspeed_native import elf
from codspeed_native.kernel_symbols import KernelSymbols
from codspeed_native.symbol_table import SymbolTable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads ELF files of the system")

SOURCE = """
int sized(int x) { return x + 1; }
__asm__(".text\\n.type bare, @function\\nbare:\\n nop\\n nop\\n ret\\n"
        ".globl alias\\n.type alias, @function\\n.size alias, 1\\nalias:\\n ret\\n");
int main(void) { return sized(1); }
"""


def _oracle(path: Path) -> dict[int, set[str]]:
    names: dict[int, set[str]] = {}
    with path.open("rb") as stream:
        for section in ELFFile(stream).iter_sections():
            if isinstance(section, SymbolTableSection):
                for symbol in section.iter_symbols():
                    is_function = symbol["st_info"]["type"] in {"STT_FUNC", "STT_LOOS"}
                    if is_function and symbol["st_shndx"] != "SHN_UNDEF":
                        names.setdefault(symbol["st_value"], set()).add(symbol.name)
    return names


def test_every_function_is_found_where_pyelftools_has_it() -> None:
    path = Path(sys.executable).resolve()
    table = SymbolTable.of(elf.read(path))

    oracle = _oracle(path)
    assert oracle
    assert {address for address in oracle if table.name_of(address) not in oracle[address]} == set()


@pytest.mark.tool
def test_functions_without_a_size_reach_to_the_next_and_others_do_not(tmp_path: Path) -> None:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed")
    (tmp_path / "source.c").write_text(SOURCE)
    subprocess.run([compiler, "source.c", "-o", "program"], cwd=tmp_path, check=True)
    read = elf.read(tmp_path / "program")
    table = SymbolTable.of(read)
    at = {symbol.name: symbol.address for symbol in read.functions()}

    assert table.find(at["bare"] + 2) == (at["bare"], "bare")
    assert table.find(at["alias"]) == (at["alias"], "alias")
    assert table.name_of(at["sized"] + 1) == "sized"
    text = read.section(".text")
    assert text is not None
    assert table.name_of(text.address + text.size + 0x1000) is None
    assert table.name_of(0) is None


LIST = b"""ffffffff81000000 T _text
ffffffff81000010 t one
ffffffff81000010 T alias
ffffffff81000040 D data
ffffffffc0000100 t second\t[module_b]
ffffffffc0000000 t first\t[module_a]
"""


@pytest.mark.parametrize(
    ("address", "names"),
    [
        (0xFFFFFFFF80FFFFFF, {None}),
        (0xFFFFFFFF81000000, {"_text"}),
        (0xFFFFFFFF8100000F, {"_text"}),
        (0xFFFFFFFF81000011, {"one", "alias"}),
        (0xFFFFFFFFA0000000, {"data"}),
        (0xFFFFFFFFC0000050, {"first"}),
        (0xFFFFFFFFC0000100, {"second"}),
    ],
)
def test_the_kernels_list_is_searched(address: int, names: set[str | None]) -> None:
    assert KernelSymbols(LIST).name_of(address) in names


def test_hidden_addresses_and_missing_lists_have_no_names(tmp_path: Path) -> None:
    hidden = b"0000000000000000 T _text\n0000000000000000 t one\n"

    assert KernelSymbols(hidden).name_of(0xFFFFFFFF81000000) is None
    assert KernelSymbols(b"").name_of(0xFFFFFFFF81000000) is None
    assert KernelSymbols.read(tmp_path / "none").name_of(1) is None
