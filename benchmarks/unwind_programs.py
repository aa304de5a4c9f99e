"""What `unwind.py` records: programs that differ in what makes them hard to walk.

Each works for some seconds inside of a window that it prints, as `begin end` in nanoseconds of the
monotonic clock. Those of interpreters have a root frame in it, as benchmarks under pytest have.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT_FRAME: Final = "__codspeed_root_frame__"

_C: Final = """
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}
static int values[400];
static volatile long count;
static int order(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static void handler(int number) { for (int i = 0; i < 300000; i++) count += number; }
__attribute__((noinline)) int work(int depth) {
    if (depth) return work(depth - 1) + 1;
    for (int i = 0; i < 400; i++) values[i] = rand();
    qsort(values, 400, sizeof *values, order);
    return values[0];
}
int main(int argc, char **argv) {
    long begin = now(), end = begin + atol(argv[1]) * 1000000L;
    if (argc > 2) {
        struct itimerval every = {{0, 3000}, {0, 3000}};
        signal(SIGALRM, handler);
        setitimer(ITIMER_REAL, &every, 0);
    }
    while (now() < end) for (int i = 0; i < 20; i++) work(i);
    printf("%ld %ld\\n", begin, now());
}
"""
_CPP: Final = """
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
using Clock = std::chrono::steady_clock;
static volatile long sink;
__attribute__((noinline)) long thrower(int n) {
    if (n == 0) throw std::runtime_error("x");
    return thrower(n - 1) + 1;
}
static void run(Clock::time_point end) {
    while (Clock::now() < end) {
        std::map<std::string, int> map;
        for (int i = 0; i < 300; i++) map[std::to_string(i * 7919 % 1000)] += i;
        try { sink += thrower(10); } catch (std::exception &) { sink += map.size(); }
    }
}
int main(int, char **argv) {
    auto begin = Clock::now(), end = begin + std::chrono::milliseconds(atol(argv[1]));
    std::thread other(run, end);
    run(end);
    other.join();
    printf("%ld %ld\\n", long(begin.time_since_epoch().count()),
           long(Clock::now().time_since_epoch().count()));
}
"""
_RUST: Final = """
use std::collections::HashMap;
use std::time::{Duration, Instant};
extern "C" { fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32; }
fn now() -> i64 {
    let mut time = [0i64; 2];
    unsafe { clock_gettime(1, &mut time) };
    time[0] * 1_000_000_000 + time[1]
}
#[inline(never)]
fn fib(n: u64) -> u64 { if n < 2 { n } else { fib(n - 1) + fib(n - 2) } }
fn run(time: Duration) {
    let end = Instant::now() + time;
    let mut sum = 0u64;
    while Instant::now() < end {
        let mut map = HashMap::new();
        for i in 0..300u64 { *map.entry(format!("{}", i * 7919 % 1000)).or_insert(0) += i; }
        let mut values: Vec<u64> = (0..500).map(|i| i * 7919 % 1000).collect();
        values.sort_by(|a, b| b.cmp(a));
        sum += map.len() as u64 + values[0] + fib(12);
    }
    std::hint::black_box(sum);
}
fn main() {
    let time = Duration::from_millis(std::env::args().nth(1).unwrap().parse().unwrap());
    let begin = now();
    let other = std::thread::spawn(move || run(time));
    run(time);
    other.join().unwrap();
    println!("{} {}", begin, now());
}
"""
_PYTHON: Final = """
import json, sys, time
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
def work():
    fib(14)
    json.loads(json.dumps(data))
    sorted(data, key=lambda number: -number)
def __codspeed_root_frame__():
    while time.monotonic_ns() < end:
        work()
data = list(range(2000))
begin = time.monotonic_ns()
end = begin + int(sys.argv[1]) * 1_000_000
__codspeed_root_frame__()
print(begin, time.monotonic_ns())
"""
_NODE: Final = """
const now = () => process.hrtime.bigint();
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
function work() {
    fib(15);
    [...Array(300).keys()].map(x => x * 2).sort((a, b) => b - a);
    JSON.parse(JSON.stringify([...Array(300).keys()]));
}
function __codspeed_root_frame__() { while (now() < end) work(); }
const begin = now(), end = begin + BigInt(process.argv[2]) * 1000000n;
__codspeed_root_frame__();
console.log(`${begin} ${now()}`);
"""


@attrs.frozen
class Program:
    """One to record.

    Attributes:
        argv: The milliseconds it is to work go behind.
        env: Added to ours.
        more: Go behind the milliseconds.
        is_generated: Some of its code is made at run time, where perf's unwinder ends; it has a
            root frame.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = attrs.Factory(dict)
    more: tuple[str, ...] = ()
    is_generated: bool = False


def programs(folder: Path) -> Iterator[Program]:
    """Build what can be built here."""
    yield from _compiled(folder)
    (folder / "work.py").write_text(_PYTHON)
    (folder / "work.js").write_text(_NODE)
    for version, env in (
        ("3.11", {}),
        ("3.12", {"PYTHONPERFSUPPORT": "1"}),
        ("3.13", {"PYTHON_PERF_JIT_SUPPORT": "1"}),
    ):
        python = _python(version)
        if python:
            argv = (python, str(folder / "work.py"))
            yield Program(f"CPython {version}", argv, env, is_generated=bool(env))
    node = shutil.which("node")
    if node:
        # As @codspeed/core asks for: else functions have no names before they are compiled.
        flags = ("--perf-basic-prof", "--interpreted-frames-native-stack")
        argv = (node, *flags, str(folder / "work.js"))
        yield Program("Node", argv, is_generated=True)


def _compiled(folder: Path) -> Iterator[Program]:
    for name, compiler, source, flags in (
        ("C", "gcc", _C, ("-O2",)),
        ("C, static", "gcc", _C, ("-O2", "-static")),
        ("C, signals", "gcc", _C, ("-O2",)),
        ("C++", "g++", _CPP, ("-O2", "-pthread")),
        ("C++, stripped", "g++", _CPP, ("-O2", "-pthread", "-s", "-no-pie")),
        ("Rust", "rustc", _RUST, ("-O",)),
    ):
        if shutil.which(compiler) is None:
            continue
        suffix = {"gcc": "c", "g++": "cpp", "rustc": "rs"}[compiler]
        binary = folder / name.lower().replace(", ", "-").replace("+", "p")
        file = binary.with_suffix(f".{suffix}")
        file.write_text(source)
        subprocess.run([compiler, *flags, str(file), "-o", str(binary)], check=True)
        more = ("signals",) if name.endswith("signals") else ()
        yield Program(name, (str(binary),), more=more)


def _python(version: str) -> str | None:
    """Return a Python of this version, pyenv's included."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    versions = Path.home() / ".pyenv" / "versions"
    found = [str(path) for path in versions.glob(f"{version}.*/bin/python{version}")]
    return next(iter(found), shutil.which(f"python{version}"))
