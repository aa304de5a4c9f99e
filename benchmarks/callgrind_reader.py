"""How quick the callgrind reader is beside `callgrind_annotate`, on one file.

Targets: totals at 100 MB/s or more; the call trees of all parts in at most half of the time that
`callgrind_annotate` takes. CPU seconds of processes, medians; both sides take turns, so that a busy
machine slows both.

    python benchmarks/callgrind_reader.py [--file FILE.out] [--repeat 5] [--contexts 20000]
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

# In a process of its own, like the other side. Without its argument it only starts.
_READER: Final = """
import resource, sys
from pathlib import Path
from codspeed.model import Launch, RunPart
from codspeed_native import perf_map
from codspeed_valgrind.reader import body, totals, tree

what, path = sys.argv[1], Path(sys.argv[2])
data = path.read_bytes()
before = resource.getrusage(resource.RUSAGE_SELF)
parts = totals.scan(data, where=path.name)
if what == "trees":
    for part in parts:
        names = perf_map.read(path.parent / f"perf-{part.pid}.map")
        shown = tree.call_tree(body.read(data, part, where=path.name), names)
        assert sum(shown.stacks.values()) == part.costs["Ir"]
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
"""
_EVENTS: Final = "Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw sysCount sysTime sysCpuTime"
_PROGRAM: Final = """
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
import ast, copy
tree = ast.parse(open(ast.__file__).read()[:3000])
copy.deepcopy(tree); ast.dump(tree); fib(12)
"""


def main() -> None:
    """Take or make a file, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--file", type=Path, help="a file that callgrind wrote")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--contexts", type=int, default=20_000, help="of the file that is made up")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.file is not None:
            _measure("the given file", arguments.file, arguments.repeat)
            return
        made_up = Path(folder) / "1.out"
        made_up.write_text(_made_up(arguments.contexts))
        _measure("made up", made_up, arguments.repeat)
        recorded = _recorded(Path(folder))
        if recorded is not None:
            _measure("Python under callgrind", recorded, arguments.repeat)


def _measure(title: str, path: Path, repeat: int) -> None:
    size_mb = path.stat().st_size / 1e6
    scan, trees, theirs = [], [], []
    for _ in range(repeat):
        scan.append(_ours("totals", path))
        trees.append(_ours("trees", path))
        theirs.append(_annotated(path))
    totals_s, trees_s = statistics.median(scan), statistics.median(trees)
    _say(f"{title}: {size_mb:.1f} MB")
    _say(f"  totals            {size_mb / max(totals_s, 1e-6):10.0f} MB/s  (at least 100)")
    _say(f"  call trees        {trees_s:10.3f} s  {size_mb / trees_s:.0f} MB/s")
    if None in theirs:
        _say("  callgrind_annotate is not installed: nothing to compare with")
        return
    annotate_s = statistics.median(value for value in theirs if value is not None)
    ratio = trees_s / annotate_s
    _say(f"  callgrind_annotate{annotate_s:10.3f} s  ours takes {ratio:.2f}x of it (at most 0.50)")


def _ours(what: str, path: Path) -> float:
    command = [sys.executable, "-c", _READER, what, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def _annotated(path: Path) -> float | None:
    program = shutil.which("callgrind_annotate")
    if program is None:
        return None
    before = os.times()
    subprocess.run([program, str(path)], check=True, capture_output=True)
    after = os.times()
    return (
        after.children_user - before.children_user + after.children_system - before.children_system
    )


def _recorded(folder: Path) -> Path | None:
    """Return what callgrind writes of a small Python program, with exact stacks."""
    if shutil.which("valgrind") is None:
        return None
    command = [
        "valgrind",
        "-q",
        "--tool=callgrind",
        "--cache-sim=yes",
        "--compress-mangled=yes",
        "--separate-callers=20",
        f"--callgrind-out-file={folder}/2.out",
        sys.executable,
        "-c",
        _PROGRAM,
    ]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "2.out"


def _made_up(contexts: int) -> str:
    """Return a file of one part with that many chains, in proportions of a real one."""
    chance = random.Random(1)  # noqa: S311 - no secret
    functions = max(10, contexts // 20)
    lines = [f"fn=({2 * index}) function_{index}" for index in range(functions)]
    total = 0
    for context in range(contexts):
        chain = [chance.randrange(functions) for _ in range(chance.randrange(1, 20))]
        text = "'".join(f"({2 * each})" for each in chain)
        lines.append(f"fn=({2 * functions + context}) {text}")
        for _ in range(chance.randrange(1, 12)):
            cost = chance.randrange(1, 5000)
            total += cost
            lines.append(f"+{chance.randrange(1, 9)} {cost} {cost // 3} {cost // 5}")
        for _ in range(chance.randrange(4)):
            lines += [
                f"cfn=({2 * chance.randrange(functions)})",
                f"calls={chance.randrange(1, 99)} {chance.randrange(500)}",
                f"* {chance.randrange(1, 9999)} {chance.randrange(1, 999)}",
            ]
        lines.append("")
    head = (
        "# callgrind format\nversion: 1\ncreator: callgrind-3.19.0\npid: 1\ncmd: x\npart: 1\n\n"
        "desc: Trigger: Client Request: a.py::made_up\n\npositions: line\n"
        f"events: {_EVENTS}\nsummary: {total}\n\n\nob=(1) /bin/x\nfl=(1) x.c\n"
    )
    return head + "\n".join(lines) + f"\ntotals: {total}\n"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
