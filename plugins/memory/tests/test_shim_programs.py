"""Programs of other people keep their status and output under the shim, and no event is lost."""

from __future__ import annotations

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
    "python, malloc": (sys.executable, "-c", "import json, asyncio, email"),
    "node": ("node", "-e", "console.log([...Array(9999).keys()].map(String).join('').length)"),
    "java": ("java", "-version"),
    "cargo": ("cargo", "--version"),
    "rustc": ("rustc", "--version"),
    "clang": ("clang", "--version"),
    "tar": ("tar", "-cf", "-", "a.c", "a.cpp"),
    "gzip": ("gzip", "-9", "-n", "-c", "a.cpp"),
    "curl": ("curl", "--version"),
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
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
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
