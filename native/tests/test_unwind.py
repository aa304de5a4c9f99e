"""Chains beside `perf script`, on real programs; and walks over stacks made by hand."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed_native import elf, perf_data
from codspeed_native.address_space import AddressSpaces, Space
from codspeed_native.architecture import AARCH64, X86_64
from codspeed_native.image import is_file
from codspeed_native.perf_records import CONTEXT_KERNEL, CONTEXT_USER, Mmap, Sample
from codspeed_native.unwind import LIMIT, Chain, End, Unwinder

C_PROGRAM = """
#include <stdlib.h>
#include <time.h>
static int values[400];
static int order(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
__attribute__((noinline)) int work(int depth) {
    if (depth) return work(depth - 1) + 1;
    for (int i = 0; i < 400; i++) values[i] = rand();
    qsort(values, 400, sizeof *values, order);
    return values[0];
}
int main(void) {
    do { for (int i = 0; i < 20; i++) work(i); } while (clock() < 0.4 * CLOCKS_PER_SEC);
}
"""
CPP_PROGRAM = """
#include <ctime>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
static volatile long sink;
__attribute__((noinline)) long thrower(int n) {
    if (n == 0) throw std::runtime_error("x");
    return thrower(n - 1) + 1;
}
static void run() {
    while (std::clock() < 0.5 * CLOCKS_PER_SEC) {
        std::map<std::string, int> map;
        for (int i = 0; i < 300; i++) map[std::to_string(i * 7919 % 1000)] += i;
        try { sink += thrower(10); } catch (std::exception &) { sink += map.size(); }
    }
}
int main() { std::thread other(run); run(); other.join(); }
"""
RUST_PROGRAM = """
use std::collections::HashMap;
extern "C" { fn clock() -> i64; }
#[inline(never)] fn fib(n: u64) -> u64 { if n < 2 { n } else { fib(n - 1) + fib(n - 2) } }
fn run() {
    let mut sum = 0u64;
    while unsafe { clock() } < 400_000 {
        let mut map = HashMap::new();
        for i in 0..300u64 { *map.entry(format!("{}", i * 7919 % 1000)).or_insert(0) += i; }
        let mut values: Vec<u64> = (0..500).map(|i| i * 7919 % 1000).collect();
        values.sort_by(|a, b| b.cmp(a));
        sum += map.len() as u64 + values[0] + fib(12);
    }
    std::hint::black_box(sum);
}
fn main() {
    let other = std::thread::spawn(run);
    run();
    other.join().unwrap();
}
"""
PYTHON_PROGRAM = """
import json, time
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
while time.process_time() < 0.45:
    fib(10)
    json.loads(json.dumps(list(range(200))))
    sorted(range(9), key=lambda number: -number)
"""
NODE_PROGRAM = """
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
while (process.cpuUsage().user < 5e5) {
    fib(15);
    [...Array(300).keys()].map(x => x * 2).sort((a, b) => b - a);
}
"""
SIGNAL_PROGRAM = """
#include <signal.h>
#include <sys/time.h>
#include <time.h>
static volatile long count;
static void handler(int number) { for (int i = 0; i < 3000000; i++) count += number; }
__attribute__((noinline)) void spin(void) {
    struct timespec now;
    unsigned round = 0;
    do {
        for (int i = 0; i < 100; i++) count++;
        clock_gettime(CLOCK_MONOTONIC, &now);
        round++;
    } while (round % 1000 || clock() < 0.4 * CLOCKS_PER_SEC);
}
int main(void) {
    struct itimerval every = {{0, 3000}, {0, 3000}};
    signal(SIGALRM, handler);
    setitimer(ITIMER_REAL, &every, 0);
    spin();
}
"""


# --- Beside perf ----------------------------------------------------------------------------------

# Programs end by their CPU time: 200 samples, however busy the machine is. The first ones, in the
# loader, are left out: nobody describes its first instructions, and the busier the machine, the
# longer they last. benchmarks/unwind.py gives the exact shares, over ten times as many.
ROOTED = 0.97
SAME = 0.98


def _run(*command: str, folder: Path) -> bytes:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"{command[:2]} does not work here: {done.stderr.decode()[-300:]}")
    return done.stdout


def _compiled(source: str, compiler: str, *flags: str, folder: Path) -> list[str]:
    name = {"gcc": "source.c", "g++": "source.cpp", "rustc": "source.rs"}[compiler]
    (folder / name).write_text(source)
    _run(compiler, *flags, name, "-o", "program", folder=folder)
    return [str(folder / "program")]


def _recorded(command: list[str], folder: Path) -> list[tuple[Sample, Chain]]:
    path = folder / "perf.data"
    options = ("-q", "-N", "-e", "cpu-clock", "-F", "499", "-k", "CLOCK_MONOTONIC")
    how = ("--user-callchains", "--call-graph=dwarf,16384", "-m", "1024", "-o", str(path))
    _run("perf", "record", *options, *how, "--", *command, folder=folder)
    spaces = AddressSpaces()
    unwinder = Unwinder(spaces)
    found = []
    for record in perf_data.read(path):
        if isinstance(record, Sample):
            found.append((record, unwinder.chain(record)))
        else:
            spaces.feed(record)
    assert spaces.images.faults == {}
    assert len(found) > 150
    return found[len(found) // 8 :]


def _script(folder: Path) -> dict[tuple[int, int], list[int]]:
    """(tid, ns) -> chain, as perf's own unwinder sees it; dso-relative where a file is mapped."""
    fields = ("--ns", "--no-inline", "-F", "tid,time,ip")
    text = _run("perf", "script", "-f", "-i", "perf.data", *fields, folder=folder).decode()
    chains = {}
    for block in text.split("\n\n"):
        head, *rest = block.strip().split("\n")
        if found := re.match(r"\s*(\d+)\s+(\d+)\.(\d{9}):", head):
            key = int(found[1]), int(found[2]) * 10**9 + int(found[3])
            chains[key] = [int(line.split()[0], 16) for line in rest]
    return chains


def _relative(space: Space, address: int) -> int:
    """Return an address as perf prints it: relative to the file, where one is mapped."""
    mapping = space.find(address)
    if mapping is None or not (is_file(mapping.path) or mapping.path == "[vdso]"):
        return address
    return address - mapping.start + mapping.offset


def _same(recorded: list[tuple[Sample, Chain]], folder: Path) -> float:
    """Share of samples whose user chains are identical, up to perf's limit of 127 frames."""
    theirs = _script(folder)
    same = 0
    for sample, chain in recorded:
        ours = [_relative(chain.space, each) for each in chain.addresses if not each >> 63]
        their = [each for each in theirs[sample.tid, sample.time] if not each >> 63]
        same += ours[: len(their)] == their and len(ours[:127]) == len(their)
    return same / len(recorded)


@pytest.mark.tool
@pytest.mark.parametrize(
    ("source", "compiler", "flags"),
    [
        pytest.param(C_PROGRAM, "gcc", ("-O2",), id="C"),
        pytest.param(CPP_PROGRAM, "g++", ("-O2", "-pthread"), id="C++"),
        pytest.param(CPP_PROGRAM, "g++", ("-O2", "-pthread", "-s", "-no-pie"), id="C++, stripped"),
        pytest.param(RUST_PROGRAM, "rustc", ("-O",), id="Rust"),
    ],
)
def test_chains_of_compiled_programs_are_those_of_perf(
    tmp_path: Path, source: str, compiler: str, flags: tuple[str, ...]
) -> None:
    recorded = _recorded(_compiled(source, compiler, *flags, folder=tmp_path), tmp_path)

    assert _same(recorded, tmp_path) >= SAME
    assert sum(chain.end is End.ROOT for _, chain in recorded) >= ROOTED * len(recorded)


@pytest.mark.tool
def test_chains_of_python_are_those_of_perf(tmp_path: Path) -> None:
    recorded = _recorded([sys.executable, "-c", PYTHON_PROGRAM], tmp_path)

    assert _same(recorded, tmp_path) >= SAME
    assert sum(chain.end is End.ROOT for _, chain in recorded) >= ROOTED * len(recorded)


def _names(chain: Chain) -> list[str]:
    places = [chain.space.locate(address) for address in chain.addresses]
    return ["?" if place is None else str(place[0].name_of(place[1])) for place in places]


@pytest.mark.tool
def test_signals_the_vdso_and_static_programs_are_walked_to_the_root(tmp_path: Path) -> None:
    command = _compiled(SIGNAL_PROGRAM, "gcc", "-O1", "-static", folder=tmp_path)
    recorded = _recorded(command, tmp_path)
    named = [_names(chain) for _, chain in recorded]

    handled = [names for names in named if "handler" in names]
    assert len(handled) > 3
    assert sum("main" in names for names in handled) >= ROOTED * len(handled)
    in_vdso = [
        names
        for (_, chain), names in zip(recorded, named, strict=True)
        if (place := chain.space.locate(chain.addresses[0])) and place[0].name == "[vdso]"
    ]
    assert all(names[-1] in {"_start", "__libc_start_main"} for names in in_vdso[1:])
    assert sum(names[-1] == "_start" for names in named) >= ROOTED * len(named)


def _python(version: str) -> str:
    """A Python of this version, pyenv's included."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [str(path) for path in versions.glob(f"{version}.*/bin/python{version}")]
    return next(iter(found), f"python{version}")


@pytest.mark.tool
@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_chains_go_on_behind_the_trampolines_of_python(tmp_path: Path, version: str) -> None:
    """From 3.12 on CPython puts code of its own before each function, which nobody describes."""
    python = _python(version)
    _run(python, "-X", "perf", "-c", "", folder=tmp_path)
    recorded = _recorded([python, "-X", "perf", "-c", PYTHON_PROGRAM], tmp_path)

    assert sum(chain.end is End.ROOT for _, chain in recorded) >= ROOTED * len(recorded)
    made = {
        address
        for _, chain in recorded
        for address in chain.addresses[1:]
        if (mapping := chain.space.find(address)) and mapping.path.startswith("//anon")
    }
    assert len(made) >= 2


@pytest.mark.tool
def test_chains_go_on_behind_what_v8_made(tmp_path: Path) -> None:
    (tmp_path / "program.js").write_text(NODE_PROGRAM)
    recorded = _recorded(["node", "--perf-basic-prof", "program.js"], tmp_path)

    assert sum(chain.end is End.ROOT for _, chain in recorded) >= ROOTED * len(recorded)


# --- By hand --------------------------------------------------------------------------------------

STACK_AT = 0x7000_0000
JIT_AT = 0x10_0000
SIZE = 0x1000


def _spaces(path: str = "//anon", also: str = "") -> AddressSpaces:
    spaces = AddressSpaces()
    spaces.feed(Mmap(0, 1, 1, JIT_AT, SIZE, 0, "", is_executable=True, path=path))
    if also:
        spaces.feed(Mmap(0, 1, 1, 2 * JIT_AT, SIZE, 0, "", is_executable=True, path=also))
    return spaces


def _stack(*words: int) -> memoryview:
    return memoryview(struct.pack(f"<{len(words)}Q", *words))


def _registers(ip: int, fp: int) -> list[int]:
    """In the order of x86-64's mask: bp, sp and ip are at 6, 7 and 8."""
    return [0, 0, 0, 0, 0, 0, fp, STACK_AT, ip, *[0] * 11]


def test_generated_code_is_left_by_its_frame_pointer() -> None:
    spaces = _spaces()
    stack = _stack(1, 2, STACK_AT + 32, JIT_AT + 8, STACK_AT + 48, JIT_AT + 16, 0, 0)

    found = Unwinder(spaces, X86_64).walk(spaces.space(1), _registers(JIT_AT, STACK_AT + 16), stack)

    assert found == ((JIT_AT, JIT_AT + 7, JIT_AT + 15), End.LOST)


def test_trampolines_of_python_are_left_without_a_frame_pointer() -> None:
    spaces = _spaces(also="/nowhere/libpython3.12.so.1.0")
    stack = _stack(0, JIT_AT + 8, 0, JIT_AT + 16, 0, 0)

    found = Unwinder(spaces, X86_64).walk(spaces.space(1), _registers(JIT_AT, 5), stack)

    assert found == ((JIT_AT, JIT_AT + 7, JIT_AT + 15), End.LOST)


def test_a_chain_that_never_ends_is_stopped() -> None:
    spaces = _spaces(also="/nowhere/python3")
    stack = _stack(*[JIT_AT + 8] * 8_000)

    addresses, end = Unwinder(spaces, X86_64).walk(spaces.space(1), _registers(JIT_AT, 5), stack)

    assert (len(addresses), end) == (LIMIT, End.LIMIT)


def test_without_a_rule_the_leaf_remains() -> None:
    spaces = AddressSpaces()

    found = Unwinder(spaces, X86_64).walk(spaces.space(1), _registers(0x1234, 0), _stack(1, 2))

    assert found == ((0x1234,), End.LOST)


def _sample(**changes: object) -> Sample:
    stack = memoryview(b"")
    plain = Sample(1, 1, 1, 0, 0, 0x1234, 1, (), 0, (), stack)
    return plain._replace(**changes)  # type: ignore[arg-type] # any field


def test_without_a_stack_the_chain_of_the_kernel_is_taken() -> None:
    kernel = 2**64 - 0x7000_0000
    chain = (CONTEXT_KERNEL, kernel, kernel + 16, CONTEXT_USER, 0x1000, 0x2000)

    found = Unwinder(AddressSpaces(), X86_64).chain(_sample(ip=kernel, callchain=chain))

    assert found.addresses == (kernel, kernel + 15, 0x1000, 0x1FFF)
    assert found.end is End.ROOT


def test_with_registers_only_the_leaf_is_known() -> None:
    registers = tuple(_registers(0x1234, 0))

    found = Unwinder(AddressSpaces(), X86_64).chain(_sample(abi=2, registers=registers))

    assert (found.addresses, found.end) == ((0x1234,), End.CUT)


@given(st.data())
def test_no_stack_is_too_odd(data: st.DataObject) -> None:
    """Whatever lies on the stack and in registers, there is a chain that begins at the leaf."""
    near = st.integers(STACK_AT - 64, STACK_AT + 600) | st.integers(JIT_AT, JIT_AT + SIZE)
    word = near | st.integers(0, 2**64 - 1)
    spaces = _spaces(also=data.draw(st.sampled_from(["", "/nowhere/python3", sys.executable])))
    registers = data.draw(st.lists(word, min_size=20, max_size=20))
    stack = _stack(*data.draw(st.lists(word, max_size=60)))

    addresses, end = Unwinder(spaces, X86_64).walk(spaces.space(1), registers, stack)

    assert addresses[0] == registers[8]
    assert end in End


ARM_SOURCE = """
__attribute__((noinline)) int leaf(int x) { return x * 3; }
__attribute__((noinline)) int middle(int x) { return leaf(x) + leaf(x + 1); }
int _start(void) { return middle(2) + 1; }
"""


@pytest.mark.tool
def test_aarch64_is_walked_through_the_link_register(tmp_path: Path) -> None:
    """In a leaf the return address is in a register; below, frames are pairs on the stack."""
    (tmp_path / "arm.c").write_text(ARM_SOURCE)
    flags = ("-O2", "-fno-inline", "-fno-ipa-ra", "-nostdlib", "-static")
    unwind = ("-funwind-tables", "-fasynchronous-unwind-tables")
    _run("aarch64-linux-gnu-gcc", *flags, *unwind, "arm.c", "-o", "arm", folder=tmp_path)
    program = elf.read(tmp_path / "arm")
    functions = {function.name: function for function in program.functions()}
    text = program.section(".text")
    assert text is not None
    spaces = AddressSpaces()
    mapping = Mmap(0, 1, 1, text.address, text.size, text.offset, "", is_executable=True, path="")
    spaces.feed(mapping._replace(path=str(tmp_path / "arm")))
    in_middle = functions["middle"].address + functions["middle"].size - 12
    in_start = functions["_start"].address + functions["_start"].size - 8
    image = spaces.images.of(str(tmp_path / "arm"))
    assert image is not None
    row = image.row(in_middle)
    assert row is not None
    size, saved = int(row.cfa), {reg: int(at) for reg, (_, at) in row.rules.items()}
    words = [0] * (size // 8 + 8)
    signed = (0xAB << 56) | in_start  # a return address that is signed
    words[(size + saved[30]) // 8] = signed
    registers = [0] * 33
    registers[30], registers[31], registers[32] = in_middle, STACK_AT, functions["leaf"].address

    addresses, _ = Unwinder(spaces, AARCH64).walk(spaces.space(1), registers, _stack(*words))

    assert addresses[:3] == (functions["leaf"].address, in_middle - 1, in_start - 1)
