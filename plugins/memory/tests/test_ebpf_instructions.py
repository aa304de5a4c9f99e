"""Lengths and effects of instructions: single ones, and real code with objdump as the oracle."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed_memory.ebpf.instructions import Step, decode
from codspeed_memory.ebpf.opcodes import RAX, RCX, RDI, RDX, RSI, RSP
from codspeed_native import elf

LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
PROLOGUE_BYTES = 32
ALLOCATES = re.compile(
    r"(_rjem_|je_|mi_|tc_)?(malloc|calloc|realloc|free|memalign|aligned_alloc|posix_memalign"
    r"|valloc|pvalloc|mallocx|rallocx|sdallocx|zalloc)|_Zn[wa]|_Zd[la]"
)


@pytest.mark.parametrize(
    ("code", "writes", "memory", "step"),
    [
        pytest.param("55", {RSP}, "stores", Step.EMULATED, id="push rbp"),
        pytest.param("4154", {RSP}, "stores", Step.EMULATED, id="push r12"),
        pytest.param("6655", {RSP}, "stores", Step.STEPPED, id="push bp"),
        pytest.param("4855", {RSP}, "stores", Step.STEPPED, id="push rbp with a needless prefix"),
        pytest.param("5f", {RDI, RSP}, "", Step.STEPPED, id="pop rdi"),
        pytest.param("f30f1efa", set(), "", Step.STEPPED, id="endbr64"),
        pytest.param("90", set(), "", Step.EMULATED, id="nop"),
        pytest.param("6690", set(), "", Step.EMULATED, id="nop of two bytes"),
        pytest.param("4190", {RAX, 8}, "", Step.STEPPED, id="xchg r8, rax"),
        pytest.param("0f1f440000", set(), "", Step.NEWER, id="nop of five bytes"),
        pytest.param("0f1f440001", set(), "", Step.STEPPED, id="nop in no usual form"),
        pytest.param("4885ff", set(), "", Step.STEPPED, id="test rdi, rdi"),
        pytest.param("0f84bf000000", set(), "", Step.EMULATED, id="je"),
        pytest.param("742a", set(), "", Step.EMULATED, id="je, short"),
        pytest.param("2e742a", set(), "", Step.STEPPED, id="je with a hint: refused"),
        pytest.param("e900000000", set(), "", Step.EMULATED, id="jmp"),
        pytest.param("e800000000", set(), "stores", Step.EMULATED, id="call"),
        pytest.param("ff25daafac01", set(), "", Step.STEPPED, id="jmp through memory"),
        pytest.param("4881ff00100000", set(), "", Step.STEPPED, id="cmp rdi, 4096"),
        pytest.param("803d461b140000", set(), "", Step.STEPPED, id="cmp byte [rip], 0"),
        pytest.param("4889fb", {3}, "", Step.STEPPED, id="mov rbx, rdi"),
        pytest.param("40b701", {RDI}, "", Step.STEPPED, id="mov dil, 1"),
        pytest.param("b701", {3}, "", Step.STEPPED, id="mov bh, 1"),
        pytest.param("49bc0102030405060708", {12}, "", Step.STEPPED, id="mov r12, imm64"),
        pytest.param("66bf0102", {RDI}, "", Step.STEPPED, id="mov di, imm16"),
        pytest.param("48893d00000000", set(), "stores", Step.STEPPED, id="mov [rip], rdi"),
        pytest.param("64488b042528000000", {RAX}, "", Step.STEPPED, id="mov rax, fs:40"),
        pytest.param("64488b38", {RDI}, "", Step.STEPPED, id="mov rdi, fs:[rax]"),
        pytest.param("488d7c2408", {RDI}, "", Step.STEPPED, id="lea rdi, [rsp+8]"),
        pytest.param("4883ec18", {RSP}, "", Step.STEPPED, id="sub rsp, 24"),
        pytest.param("48f7e6", {RAX, RDX}, "", Step.STEPPED, id="mul rsi"),
        pytest.param("480f44f7", {RSI}, "", Step.STEPPED, id="cmove rsi, rdi"),
        pytest.param("400f94c7", {RDI}, "", Step.STEPPED, id="sete dil"),
        pytest.param("f0480fb10f", {RAX}, "stores", Step.STEPPED, id="lock cmpxchg [rdi], rcx"),
        pytest.param("480fc1ca", {RCX, RDX}, "", Step.STEPPED, id="xadd rdx, rcx"),
        pytest.param("660fefc0", set(), "", Step.STEPPED, id="pxor xmm0, xmm0"),
        pytest.param("0f1107", set(), "stores", Step.STEPPED, id="movups [rdi], xmm0"),
    ],
)
def test_tells_length_and_effects(code: str, writes: set[int], memory: str, step: Step) -> None:
    found = decode(bytes.fromhex(code) + b"\x90")

    assert found is not None
    assert (found.length, set(found.writes)) == (len(code) // 2, writes)
    assert (found.stores, found.step) == (bool(memory), step)


@pytest.mark.parametrize(
    ("code", "copies"),
    [
        ("4889fe", (RDI, RSI)),
        ("488bf7", (RDI, RSI)),
        ("4989f8", (RDI, 8)),
        ("89fe", None),
        ("488937", None),
    ],
)
def test_tells_copies_of_whole_registers(code: str, copies: tuple[int, int] | None) -> None:
    found = decode(bytes.fromhex(code))

    assert found is not None
    assert found.copies == copies


@pytest.mark.parametrize("code", ["", "48", "0f", "48b801", "62f17c48", "c5f877", "06", "0f0b"[:2]])
def test_what_is_unknown_or_cut_off_is_refused(code: str) -> None:
    assert decode(bytes.fromhex(code)) is None


@given(st.binary(max_size=20), st.integers(0, 25))
def test_any_bytes_are_decoded_or_refused(code: bytes, at: int) -> None:
    found = decode(code, at)

    assert found is None or 0 < found.length <= len(code) - at


# --- objdump as the oracle ------------------------------------------------------------------------


class Line(NamedTuple):
    size: int
    mnemonic: str
    operands: str
    is_odd: bool


@pytest.fixture(params=["libc.so.6", "libstdc++.so.6", "libjemalloc.so.2", "libmimalloc.so.2",
                        "libtcmalloc_minimal.so.4"])  # fmt: skip
def library(request: pytest.FixtureRequest) -> elf.Elf:
    path = LIBRARIES / request.param
    if not path.exists():
        pytest.skip(f"no {path}: apt-get install libjemalloc2 libmimalloc2.0 libtcmalloc-minimal4")
    return elf.read(path.resolve())


def disassembled(library: elf.Elf) -> dict[int, Line]:
    objdump = shutil.which("objdump")
    if objdump is None:
        pytest.skip("no objdump: apt-get install binutils")
    command = [objdump, "-d", "--insn-width=15", "-j", ".text", str(library.path)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    row = re.compile(r"^ *([0-9a-f]+):\t((?:[0-9a-f]{2} )+) *\t(.*)$", re.MULTILINE)
    return {int(at, 16): _line(code, shown) for at, code, shown in row.findall(text)}


def _line(code: str, shown: str) -> Line:
    bare = re.sub(r"^((bnd|notrack|lock|rep|repz|repnz|data16|cs|ds|rex\S*) +)*", "", shown)
    mnemonic, _, operands = bare.partition(" ")
    operands = operands.partition("#")[0].partition("<")[0].strip()
    is_odd = shown.startswith(("data16", "cs", "ds", "notrack"))
    return Line(len(code.split()), mnemonic, operands, is_odd)


NAMES = (
    "rax eax ax al ah", "rcx ecx cx cl ch", "rdx edx dx dl dh", "rbx ebx bx bl bh",
    "rsp esp sp spl", "rbp ebp bp bpl", "rsi esi si sil", "rdi edi di dil",
    *(" ".join(f"r{number}{size}" for size in ("", "d", "w", "b")) for number in range(8, 16)),
)  # fmt: skip
REGISTERS = {name: number for number, names in enumerate(NAMES) for name in names.split()}
ONLY_READ = re.compile(
    r"cmp(?!xchg)|test|push|bt[wlq]?$|j|call|ret|nop|prefetch|ucomi|comi|hlt|ud|syscall|leave"
    r"|i?div|mul$"
)


def destinations(line: Line) -> set[int]:
    """Return the general register that objdump shows last, unless it is only read."""
    last = re.search(r"%(\w+)$", line.operands)
    if line.mnemonic == "imul" and "," not in line.operands:
        return set()
    if last is None or ONLY_READ.match(line.mnemonic) or last[1] not in REGISTERS:
        return set()
    return {REGISTERS[last[1]]}


def is_emulated(line: Line) -> bool:
    if line.mnemonic == "push":
        return line.operands.startswith("%")
    if line.mnemonic in {"nop", "xchg"}:
        return line.size <= 2 and not line.operands.strip("%ax,")
    is_jump = line.mnemonic.startswith(("j", "call"))
    return is_jump and "*" not in line.operands and not line.is_odd


@pytest.mark.tool
@pytest.mark.process
def test_prologues_are_decoded_as_objdump_does(library: elf.Elf) -> None:
    shown = disassembled(library)
    text = library.section(".text")
    assert text is not None
    code = library.data(text)
    wrong, refused = [], []
    for function in {symbol.address: symbol for symbol in library.functions()}.values():
        at = function.address
        end = at + min(function.size, PROLOGUE_BYTES)
        while at < end and at in shown:
            found, line = decode(code, at - text.address), shown[at]
            if found is None:
                refused.append((function.name, line))
                break
            emulated = found.step is Step.EMULATED
            if (found.length, emulated) != (line.size, is_emulated(line)) or not (
                destinations(line) <= found.writes
            ):
                wrong.append((function.name, hex(at), line, found))
            if found.leaves:
                break
            at += found.length

    assert wrong == []
    assert [name for name, _ in refused if ALLOCATES.match(name)] == []
