"""Which functions of real and of made files get a probe, and where."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed_memory.ebpf.functions import Role, allocator_of
from codspeed_memory.ebpf.instructions import Step, decode
from codspeed_native import elf

if TYPE_CHECKING:
    from collections.abc import Callable

    from codspeed_memory.ebpf.functions import Allocator

LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
PACKAGES = {
    "libjemalloc.so.2": "libjemalloc2",
    "libmimalloc.so.2": "libmimalloc2.0",
    "libtcmalloc_minimal.so.4": "libtcmalloc-minimal4",
    "libstdc++.so.6": "libstdc++6",
    "libc.so.6": "libc6",
}


def library(name: str) -> elf.Elf:
    path = LIBRARIES / name
    if not path.exists():
        pytest.skip(f"no {name}: apt-get install {PACKAGES[name]}")
    return elf.read(path.resolve())


@pytest.fixture
def make(compiler: str, tmp_path: Path) -> Callable[..., elf.Elf]:
    """Return a function that makes a shared library of what C source defines."""

    def made(source: str, *flags: str) -> elf.Elf:
        (tmp_path / "made.c").write_text(source)
        target = tmp_path / "made.so"
        command = [compiler, "-O1", "-fno-builtin", "-shared", "-fPIC", "-nostdlib", "made.c"]
        subprocess.run([*command, "-o", target, *flags], cwd=tmp_path, check=True)
        return elf.read(target)

    return made


def roles(allocator: Allocator | None) -> dict[str, Role]:
    assert allocator is not None
    return {name: probe.role for probe in allocator.probes for name in probe.names}


def defined(*names: str) -> str:
    return "".join(
        f"void *{name}(void *p) {{ return (char *)p + {i}; }}\n" for i, name in enumerate(names)
    )


# --- Families -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("libc.so.6", "libc"),
        ("libjemalloc.so.2", "jemalloc"),
        ("libmimalloc.so.2", "mimalloc"),
        ("libtcmalloc_minimal.so.4", "tcmalloc"),
    ],
)
def test_system_libraries_are_told_apart(name: str, family: str) -> None:
    allocator = allocator_of(library(name))

    assert allocator is not None
    assert allocator.family == family


@pytest.mark.process
@pytest.mark.parametrize(
    ("names", "family"),
    [
        (["malloc", "free", "_Znwm", "tc_malloc", "mi_free", "je_malloc"], "jemalloc"),
        (["malloc", "free", "_Znwm", "tc_malloc", "mi_free"], "mimalloc"),
        (["malloc", "free", "_Znwm", "tc_malloc"], "tcmalloc"),
        (["malloc", "free", "_Znwm"], "libc++"),
        (["malloc"], "libc"),
        (["_rjem_malloc"], "jemalloc"),
        (["mallocx"], "jemalloc"),
    ],
)
def test_first_family_with_any_mark_is_the_one(
    make: Callable[..., elf.Elf], names: list[str], family: str
) -> None:
    allocator = allocator_of(make(defined(*names)))

    assert allocator is not None
    assert allocator.family == family


@pytest.mark.process
def test_file_without_an_allocator_has_none(make: Callable[..., elf.Elf]) -> None:
    assert allocator_of(make(defined("mallocate", "__libc_mallopt"))) is None


def test_operators_that_hand_on_to_another_file_are_left_out() -> None:
    assert allocator_of(library("libstdc++.so.6")) is None


@pytest.mark.process
def test_operators_beside_their_malloc_are_left_out(make: Callable[..., elf.Elf]) -> None:
    found = roles(allocator_of(make(defined("_Znwm", "_ZdlPv", "malloc", "free"))))

    assert found == {"malloc": Role.MALLOC, "free": Role.FREE}


@pytest.mark.process
def test_operators_on_their_own_are_probed_nothrow_forms_too(make: Callable[..., elf.Elf]) -> None:
    found = roles(allocator_of(make(defined("_Znwm", "_ZdlPv", "_ZnwmRKSt9nothrow_t"))))

    assert found == {
        "_Znwm": Role.MALLOC,
        "_ZnwmRKSt9nothrow_t": Role.MALLOC,
        "_ZdlPv": Role.FREE,
    }


@pytest.mark.process
def test_family_adds_its_own_names_to_the_common_ones(make: Callable[..., elf.Elf]) -> None:
    names = ["mi_malloc", "mi_zalloc", "mi_zalloc_aligned", "mi_realloc_aligned", "_Znwm", "calloc"]
    found = roles(allocator_of(make(defined(*names))))

    assert found == {
        "mi_malloc": Role.MALLOC,
        "mi_zalloc": Role.ZALLOC,
        "mi_zalloc_aligned": Role.ZALLOC,
        "mi_realloc_aligned": Role.REALLOC,
        "_Znwm": Role.MALLOC,
        "calloc": Role.CALLOC,
    }


@pytest.mark.process
def test_names_of_rust_jemalloc_are_known(make: Callable[..., elf.Elf]) -> None:
    names = ["malloc", "calloc", "mallocx", "rallocx", "sdallocx", "posix_memalign"]
    found = roles(allocator_of(make(defined(*(f"_rjem_{name}" for name in names)))))

    assert [found[f"_rjem_{name}"].value for name in names] == [
        "malloc", "calloc", "malloc", "realloc", "free", "posix_memalign",
    ]  # fmt: skip


@pytest.mark.process
def test_debug_file_without_code_has_nothing_to_probe(
    make: Callable[..., elf.Elf], tmp_path: Path
) -> None:
    file = make(defined("malloc", "free"))
    debug = tmp_path / "made.debug"
    subprocess.run(["objcopy", "--only-keep-debug", file.path, debug], check=True)

    assert allocator_of(elf.read(debug)) is None


# --- One probe for each address -------------------------------------------------------------------


def test_aliases_of_the_c_library_share_one_probe() -> None:
    allocator = allocator_of(library("libc.so.6"))

    assert allocator is not None
    offsets = [probe.offset for probe in allocator.probes]
    assert len(offsets) == len(set(offsets))
    assert roles(allocator) == {
        "malloc": Role.MALLOC,
        "valloc": Role.MALLOC,
        "pvalloc": Role.MALLOC,
        "calloc": Role.CALLOC,
        "realloc": Role.REALLOC,
        "memalign": Role.ALIGNED,
        "aligned_alloc": Role.ALIGNED,
        "posix_memalign": Role.POSIX_MEMALIGN,
        "free": Role.FREE,
        **({"cfree": Role.FREE} if "cfree" in roles(allocator) else {}),
    }


@pytest.mark.process
def test_alias_is_one_probe_with_both_names(make: Callable[..., elf.Elf]) -> None:
    source = 'void free(void *p) {}\nvoid tc_free(void *p) __attribute__((alias("free")));\n'
    allocator = allocator_of(make(source))

    assert allocator is not None
    assert [probe.names for probe in allocator.probes] == [("free", "tc_free")]


@pytest.mark.process
@pytest.mark.parametrize(
    "flags",
    [
        pytest.param((), id="linkage table"),
        pytest.param(("-fcf-protection",), id="linkage table for indirect branch tracking"),
        pytest.param(("-fno-plt",), id="slot"),
        pytest.param(("-Wl,-Bsymbolic",), id="linkage table inside of the file"),
        pytest.param(("-fvisibility=hidden", "-Wl,-Bsymbolic"), id="direct"),
    ],
)
@pytest.mark.skipif(platform.machine() != "x86_64", reason="a matter of x86-64")
def test_function_that_only_jumps_to_a_probed_one_has_no_probe(
    make: Callable[..., elf.Elf], flags: tuple[str, ...]
) -> None:
    source = """
    __attribute__((noinline)) void free(void *block) { __asm__ volatile("" ::: "memory"); }
    void _ZdlPv(void *block) { free(block); }
    void _ZdaPv(void *block) { _ZdlPv(block); }
    void _ZdlPvm(void *block) { free((char *)block - 16); }
    void tc_free(void *block) { __asm__ volatile("nop"); }
    """
    found = roles(allocator_of(make(source, "-O2", *flags)))

    assert sorted(found) == ["_ZdlPvm", "free", "tc_free"]


@pytest.mark.process
@pytest.mark.skipif(platform.machine() != "x86_64", reason="a matter of x86-64")
def test_function_that_jumps_to_another_role_keeps_its_probe(make: Callable[..., elf.Elf]) -> None:
    source = """
    __attribute__((noinline)) void *mi_malloc(long size) { __asm__ volatile("nop"); return 0; }
    void *mi_zalloc(long size) { return mi_malloc(size); }
    """
    found = roles(allocator_of(make(source, "-O2")))

    assert found == {"mi_malloc": Role.MALLOC, "mi_zalloc": Role.ZALLOC}


@pytest.fixture(scope="module")
def image(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("image")
    (folder / "made.c").write_text(
        defined("malloc", "_ZdlPv") + "void free(void *p) { _ZdlPv(p); }"
    )
    command = [compiler, "-O2", "-fno-builtin", "-shared", "-fPIC", "-nostdlib", "-w", "made.c"]
    subprocess.run([*command, "-o", "made.so"], cwd=folder, check=True)
    return (folder / "made.so").read_bytes()


@pytest.mark.process
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=20))
def test_damaged_file_is_read_or_refused(image: bytes, damage: list[tuple[float, int]]) -> None:
    damaged = bytearray(image)
    for at, byte in damage:
        damaged[int(at * len(damaged))] = byte
    try:
        allocator = allocator_of(elf.parse(bytes(damaged), "damaged"))
    except elf.ElfError:
        return

    probes = () if allocator is None else allocator.probes
    assert all(0 <= probe.offset < len(damaged) for probe in probes)


@pytest.mark.process
@pytest.mark.parametrize("flags", [(), ("-Wl,-Bsymbolic",)], ids=["linkage table", "direct"])
@pytest.mark.skipif(platform.machine() != "x86_64", reason="a matter of x86-64")
def test_function_that_calls_a_probed_one_is_no_leaf(
    make: Callable[..., elf.Elf], flags: tuple[str, ...]
) -> None:
    source = """
    void nothing(void *block) { __asm__ volatile("nop"); }
    void *malloc(long size) { nothing(0); return size ? malloc(size - 1) : 0; }
    void *calloc(long count, long size) { nothing(0); return (char *)malloc(size) + 1; }
    """
    allocator = allocator_of(make(source, "-O2", *flags))

    assert allocator is not None
    assert {probe.names[0]: probe.is_leaf for probe in allocator.probes} == {
        "malloc": True,
        "calloc": False,
    }


# --- Where ----------------------------------------------------------------------------------------


@pytest.mark.process
def test_offset_is_that_of_the_file_whatever_the_address_is(
    make: Callable[..., elf.Elf],
) -> None:
    source = '__asm__(".globl malloc; .type malloc, @function; malloc: push %rbp; pop %rbp; ret");'
    file = make(source, "-Wl,-Ttext-segment=0x7000000")
    allocator = allocator_of(file)

    assert allocator is not None
    (probe,) = allocator.probes
    assert file.path.read_bytes()[probe.offset : probe.offset + 3] == b"\x55\x5d\xc3"


@pytest.mark.parametrize("name", sorted(PACKAGES.keys() - {"libstdc++.so.6"}))
def test_probes_of_the_system_are_on_instructions_that_are_cheap(name: str) -> None:
    allocator = allocator_of(library(name))
    assert allocator is not None
    code = library(name).path.read_bytes()
    steps = [
        (probe.names[0], found.step if (found := decode(code, probe.offset)) else None)
        for probe in allocator.probes
    ]

    # All of them on Debian 12; elsewhere at least what nearly every event comes from.
    dear = {name for name, step in steps if step is not Step.EMULATED}
    assert dear.isdisjoint({"malloc", "calloc", "realloc", "free", "_Znwm"})


@pytest.mark.process
@pytest.mark.tool
def test_functions_of_aarch64_are_probed_at_their_entry(tmp_path: Path) -> None:
    compiler = shutil.which("aarch64-linux-gnu-gcc")
    if compiler is None:
        pytest.skip("no aarch64: apt-get install gcc-aarch64-linux-gnu")
    (tmp_path / "made.c").write_text(
        "int posix_memalign(void *p) { return p != 0; }\n" + defined("malloc")
    )
    command = [compiler, "-shared", "-nostdlib", "-fno-builtin", "made.c", "-o", "made.so"]
    subprocess.run(command, cwd=tmp_path, check=True)
    file = elf.read(tmp_path / "made.so")
    allocator = allocator_of(file)

    assert allocator is not None
    assert {probe.role: probe.registers for probe in allocator.probes} == {
        Role.POSIX_MEMALIGN: (0, 2),
        Role.MALLOC: (0,),
    }
    entries = {file.address_of(probe.offset) for probe in allocator.probes}
    assert entries <= {symbol.address for symbol in file.functions()}
