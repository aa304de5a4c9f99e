"""Programs of other people keep their status and output under the shim, and no event is lost."""

from __future__ import annotations

import importlib.util
import os
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


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.usefixtures("work")
def test_real_programs_do_not_notice(record: Callable[..., Any], name: str) -> None:
    command = PROGRAMS[name]
    needed = name if command[0] == "sh" else command[0]
    if shutil.which(needed) is None:
        pytest.skip(f"{needed} is not installed")
    if name == "numpy" and importlib.util.find_spec("numpy") is None:
        pytest.skip("numpy is not installed; tests/clients has it in an environment of its own")
    env = dict(os.environ)
    if "malloc" in name:
        env["PYTHONMALLOC"] = "malloc"
    plain = subprocess.run(
        command, env=env, capture_output=True, text=True, errors="replace", check=False
    )

    recorded = record(*command, env=env)

    assert recorded.status == plain.returncode
    assert recorded.output == plain.stdout + plain.stderr
    assert recorded.dropped == 0
    assert any(note.kind is Kind.ATTACH for note in recorded.notes)


def test_another_libc_is_no_obstacle(record: Callable[..., Any], work: Path, compiler: str) -> None:
    """musl gives constructors no arguments, and binds every symbol at once."""
    musl = shutil.which("musl-gcc")
    if musl is None:
        pytest.skip("no musl: apt-get install musl-tools")
    source = (
        "#include <stdlib.h>\nint main(int n, char **v) { free(malloc(4000 + n)); return !v; }\n"
    )
    (work / "a.c").write_text(source)
    subprocess.run([musl, "-O0", "a.c", "-o", "a.out"], check=True)

    recorded = record(work / "a.out")

    assert recorded.status == 0
    assert (recorded.usage.total, recorded.usage.frees) == (4001, 1)
