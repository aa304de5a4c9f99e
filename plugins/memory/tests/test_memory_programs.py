"""Programs of other people keep their status and output while recorded, and no event is lost."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from codspeed_memory.raw import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.process, pytest.mark.tool]

_C = "int main(void) { return 0; }\n"
_CPP = "#include <map>\n#include <string>\nint main() { return std::map<int, int>{}.size(); }\n"
_RUST = 'fn main() { println!("{}", vec![1u64; 9].iter().sum::<u64>()); }\n'
_JAVA = """
public class Sum {
  public static void main(String[] words) {
    System.out.println(java.util.stream.IntStream.range(0, 99).boxed().map(n -> n + 1).toList());
  }
}
"""
_ARRAYS = """
import numpy
rows = numpy.arange(10_000.0).reshape(100, 100)
print((rows @ rows).sum(), numpy.linalg.norm(rows))
"""
_POOL = """
import concurrent.futures, multiprocessing
if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        print(sum(pool.map(abs, range(-20, 0))))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        print(sum(pool.map(abs, range(-200, 0))))
"""

PROGRAMS: dict[str, Sequence[str]] = {
    "bash": ("bash", "-c", "for i in 1 2 3; do echo $(echo $i | tr 1 x); done; exit 7"),
    "sh": ("sh", "-c", "ls / | sort | wc -l; exit 3"),
    "git": ("git", "--no-pager", "log", "--oneline", "-5"),
    "gcc": ("gcc", "-x", "c", "-o", "/dev/null", "a.c"),
    "g++": ("g++", "-O1", "-x", "c++", "-S", "-o", "-", "a.cpp"),
    "perl": ("perl", "-e", 'my %h = map { $_ => $_ x 9 } 1..9999; print scalar(keys %h), "\\n"'),
    "python threads and pools": (sys.executable, "pool.py"),
    "python subprocesses": (
        sys.executable,
        "-c",
        "import subprocess; print([subprocess.call(['sh', '-c', f'exit {n}']) for n in range(5)])",
    ),
    "python, malloc": (sys.executable, "-c", "import json, asyncio, email; print(len(dir(email)))"),
    "numpy": (sys.executable, "arrays.py"),
    "node": ("node", "-e", "console.log([...Array(9999).keys()].map(String).join('').length)"),
    "java": ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "Sum.java"),
    "cargo": ("sh", "-c", "rm -rf target; cargo run -q --offline --target-dir target"),
    "rustc": ("rustc", "-O", "--emit=llvm-ir", "-o", "-", "a.rs"),
    "clang": ("clang", "--version"),
    "tar": ("tar", "-cf", "-", "a.c", "a.cpp"),
    "xz": ("xz", "-T2", "-c", "a.cpp"),
    "diff": ("diff", "-u", "a.c", "a.cpp"),
    "ld": ("ld", "-r", "-b", "binary", "-o", "/dev/null", "a.c"),
    "gzip": ("gzip", "-9", "-n", "-c", "a.cpp"),
    "curl": ("sh", "-c", "curl -sS file://$PWD/a.cpp"),
    "openssl": ("openssl", "dgst", "-sha256", "a.c"),
    "awk": ("awk", "BEGIN { for (i = 0; i < 9999; i++) a[i] = i; print length(a) }"),
    "sed": ("sed", "-n", "s/m/n/gp", "a.c"),
    "find": ("find", "/etc", "-maxdepth", "1", "-name", "p*"),
    "sort": ("sort", "a.cpp", "a.c"),
    "make": ("make", "-s", "-f", "makefile"),
    "sqlite": (sys.executable, "-c", "import sqlite3; sqlite3.connect(':memory:').close()"),
    "valgrind's help": ("valgrind", "--version"),
}  # fmt: skip


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a.c").write_text(_C)
    (tmp_path / "a.cpp").write_text(_CPP)
    (tmp_path / "a.rs").write_text(_RUST)
    (tmp_path / "Sum.java").write_text(_JAVA)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.rs").write_text(_RUST)
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "a"\nversion = "0.1.0"\n')
    (tmp_path / "arrays.py").write_text(_ARRAYS)
    (tmp_path / "pool.py").write_text(_POOL)
    (tmp_path / "makefile").write_text("all:\n\t@echo made; sh -c 'exit 0'\n")
    monkeypatch.chdir(tmp_path)
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "one"]):
        subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@y", *command], check=False)
    return tmp_path


# These make events by the hundred thousand; the last one is static and stripped: not to be seen.
NOT_UNDER_PROBES = {"g++", "rustc", "cargo", "valgrind's help"}


def _missing(name: str) -> str | None:
    """Return why a program can't run here."""
    command = PROGRAMS[name]
    needed = name if command[0] == "sh" else command[0]
    if shutil.which(needed) is None:
        return f"{needed} is not installed"
    if name == "numpy" and importlib.util.find_spec("numpy") is None:
        return "numpy is not installed; tests/clients has it in an environment of its own"
    return None


def _environment(name: str) -> dict[str, str]:
    """Return the program's environment, or skip if there is no such program here."""
    if why := _missing(name):
        pytest.skip(why)
    return {**os.environ, **({"PYTHONMALLOC": "malloc"} if "malloc" in name else {})}


def _plain(name: str, env: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        PROGRAMS[name], env=env, capture_output=True, text=True, errors="replace", check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.usefixtures("work")
def test_real_programs_do_not_notice_the_shim(record: Callable[..., Any], name: str) -> None:
    env = _environment(name)

    recorded = record(*PROGRAMS[name], env=env)

    assert (recorded.status, recorded.output) == _plain(name, env)
    assert recorded.dropped == 0
    assert any(note.kind is Kind.ATTACH for note in recorded.notes)


@pytest.mark.timeout(120)  # two dozen programs, some of them slowed down tenfold
def test_real_programs_do_not_notice_probes(probe: Callable[..., Any], work: Path) -> None:
    """All in one go, as the children of a shell: to start the probes takes longer than most."""
    names = {
        name: command
        for name, command in PROGRAMS.items()
        if name not in NOT_UNDER_PROBES and _missing(name) is None
    }
    lines = [
        f"env {'PYTHONMALLOC=malloc' * ('malloc' in name)} {shlex.join(command)}"
        f" >{shlex.quote(name)}.out 2>&1; echo $? >>{shlex.quote(name)}.out"
        for name, command in names.items()
    ]
    (work / "all").write_text("\n".join(lines))
    env = dict(os.environ)
    subprocess.run(["sh", "all"], env=env, check=True)
    plain = {name: (work / f"{name}.out").read_bytes() for name in names}
    for name in names:
        (work / f"{name}.out").unlink()

    recorded = probe("sh", "all", env=env)

    assert {name: (work / f"{name}.out").read_bytes() for name in names} == plain
    assert (recorded.status, recorded.dropped, recorded.gaps) == (0, 0, ())
    assert recorded.usage.process_count >= len(names)


@pytest.mark.parametrize("name", ["awk", "find", "openssl"])
@pytest.mark.usefixtures("work")
def test_shim_and_probes_count_the_same(
    record: Callable[..., Any], probe: Callable[..., Any], name: str
) -> None:
    """Of programs that take no memory for what stands in their environment: the shim adds to it."""
    env = _environment(name)
    usages = [each(*PROGRAMS[name], env=env).usage for each in (record, probe)]

    figures = [
        (each.allocations, each.frees, each.total, each.peak, each.live_at_end) for each in usages
    ]
    assert figures[0] == figures[1]


@pytest.fixture
def musl(work: Path) -> Callable[..., Path]:
    """Return a function that compiles C source with musl."""
    compiler = shutil.which("musl-gcc")
    if compiler is None:
        pytest.skip("no musl: apt-get install musl-tools")

    def compiled(source: str, *flags: str) -> Path:
        (work / "a.c").write_text(source)
        subprocess.run([compiler, "-O0", "a.c", "-o", "a.out", *flags], check=True)
        return work / "a.out"

    return compiled


def test_another_libc_is_no_obstacle(record: Callable[..., Any], musl: Callable[..., Path]) -> None:
    """It gives constructors no arguments, and binds every symbol at once."""
    source = (
        "#include <stdlib.h>\nint main(int n, char **v) { free(malloc(4000 + n)); return !v; }\n"
    )

    recorded = record(musl(source))

    assert recorded.status == 0
    assert (recorded.usage.total, recorded.usage.frees) == (4001, 1)


@pytest.mark.parametrize("flags", [(), ("-static",)], ids=["dynamic", "static"])
def test_calloc_of_another_libc_is_one_allocation_under_probes(
    probe: Callable[..., Any], musl: Callable[..., Path], flags: tuple[str, ...]
) -> None:
    """Its calloc calls malloc through the probed entry."""
    source = """
    #include <stdlib.h>
    int main(void) {
      void *block = calloc(10, 100);
      block = realloc(block, 3000);
      free(block);
      return !block;
    }
    """

    recorded = probe(musl(source, *flags))

    assert recorded.status == 0
    usage = recorded.usage
    assert (usage.allocations, usage.total, usage.peak) == (2, 4000, 3000)
    assert (usage.frees, usage.unknown_frees, usage.live_at_end) == (2, 0, 0)
