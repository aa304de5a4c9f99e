"""How quick and how right our reader, unwinder and symbols are beside `perf script`.

Each program is recorded once; then both sides read the same file, turn by turn, so that a busy
machine slows both. Targets:

- CPU: at most half of what `perf script` needs, at most 0.3 s per 1,000 samples. perf's default
  names inlined functions too, by children (addr2line), which are counted; `--no-inline -F ip,sym`
  is the least that gives what we give (we add files and lines). Ours is shown without and with the
  start of an interpreter and its imports: in a run, that of the runner is there already.
- Chains: at least 99 % the same as perf's; of CPython 3.12, 3.13 and Node, where perf's end at the
  first generated code, at least 97 % of the samples in the window reach the root frame.
- The functions of a binary of 99 MB (node) in at most 0.2 s.

    python benchmarks/unwind.py [--file perf.data] [--only C,Node] [--seconds 3] [--repeat 5]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from unwind_programs import ROOT_FRAME, programs

from codspeed_native import perf_data
from codspeed_native.address_space import AddressSpaces
from codspeed_native.image import is_file
from codspeed_native.perf_records import Sample
from codspeed_native.symbolize import Symbolizer
from codspeed_native.unwind import End, Unwinder

if TYPE_CHECKING:
    from unwind_programs import Program

    from codspeed_native.address_space import Space
    from codspeed_native.unwind import Chain

_PERF_LIMIT: Final = 127  # frames
_LONG_S: Final = 10.0  # addr2line of a large program takes a minute and more
_PR_SET_CHILD_SUBREAPER: Final = 36

_READER: Final = """
import json, resource, sys
from collections import Counter
from pathlib import Path

def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

from codspeed_native import fold, perf_data
from codspeed_native.address_space import AddressSpaces
from codspeed_native.perf_records import Sample
from codspeed_native.symbolize import Symbolizer
from codspeed_native.unwind import Unwinder

begin = cpu()
spaces = AddressSpaces()
unwinder = Unwinder(spaces)
chains = Counter()
for record in perf_data.read(Path(sys.argv[1])):
    if isinstance(record, Sample):
        chains[unwinder.chain(record)] += 1
    else:
        spaces.feed(record)
unwound = cpu()
symbolizer = Symbolizer()
tree = fold.call_tree("samples", ((symbolizer.stack(c), n) for c, n in chains.items()))
named = cpu()
frames = sum(len(chain.addresses) * n for chain, n in chains.items())
print(json.dumps({"unwind": unwound - begin, "names": named - unwound, "whole": cpu(),
                  "samples": chains.total(), "frames": frames}))
"""
_SYMBOLS: Final = """
import resource, sys, time
from pathlib import Path
from codspeed_native import elf
from codspeed_native.symbol_table import SymbolTable
begin = time.process_time()
table = SymbolTable.of(elf.read(Path(sys.argv[1])))
table.find(0x1000000)
print(time.process_time() - begin, len(table))
"""
_RECORD: Final = (
    *("perf", "record", "-q", "-N", "-e", "cpu-clock:u", "-F", "997", "-m", "1024"),
    *("-k", "CLOCK_MONOTONIC", "--user-callchains", "--call-graph=dwarf,32768"),
)


def main() -> None:
    """Take or make recordings, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--file", type=Path, help="a recording with --call-graph=dwarf")
    parser.add_argument("--only", default="", help="names of programs, with commas")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    if shutil.which("perf") is None:
        sys.exit("perf is not installed")
    # perf leaves its addr2line behind; whoever would inherit them is to be us, to count them.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if arguments.file:
        _speed(arguments.file, arguments.repeat)
        _fidelity(_chains(arguments.file), _script(arguments.file), None)
    else:
        wanted = [name for name in arguments.only.split(",") if name]
        with tempfile.TemporaryDirectory() as folder:
            for program in programs(Path(folder)):
                if not wanted or program.name in wanted:
                    print(f"\n{program.name}")
                    _program(program, Path(folder), arguments.seconds, arguments.repeat)
    node = shutil.which("node")
    if node is not None:
        _symbols(Path(node).resolve(), arguments.repeat)


def _program(program: Program, folder: Path, seconds: float, repeat: int) -> None:
    path = folder / "perf.data"
    words = [*program.argv, str(round(seconds * 1000)), *program.more]
    done = subprocess.run(
        [*_RECORD, "-o", str(path), "--", *words],
        check=True, capture_output=True, text=True, env={**os.environ, **program.env},
        cwd=folder,  # V8 leaves a log where it stands
    )  # fmt: skip
    begin, end = map(int, done.stdout.split())
    chains = _chains(path)
    try:
        _speed(path, repeat)
        inside = [(sample, chain) for sample, chain in chains if begin <= sample.time <= end]
        _fidelity(inside, None if program.is_generated else _script(path), program)
    finally:
        for pid in {sample.pid for sample, _ in chains}:
            for name in (f"perf-{pid}.map", f"jit-{pid}.dump"):
                (Path(tempfile.gettempdir()) / name).unlink(missing_ok=True)


# --- Speed ----------------------------------------------------------------------------------------


def _cpu(command: list[str]) -> float:
    """Return the CPU seconds of a command and of what it leaves behind."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    quiet = subprocess.DEVNULL
    subprocess.run(command, check=True, stdout=quiet, stderr=quiet)
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _speed(path: Path, repeat: int) -> None:
    plain = ["perf", "script", "-f", "-i", str(path)]
    ours: list[dict[str, Any]] = []
    usual, least = [], []
    for turn in range(repeat):
        output = subprocess.run(
            [sys.executable, "-c", _READER, str(path)], check=True, capture_output=True, text=True
        )
        ours.append(json.loads(output.stdout))
        least.append(_cpu([*plain, "--no-inline", "-F", "ip,sym"]))
        if turn == 0 or (turn < repeat // 2 and usual[-1] < _LONG_S):
            usual.append(_cpu(plain))
    unwind, names, whole = (
        statistics.median(each[key] for each in ours) for key in ("unwind", "names", "whole")
    )
    both, samples = unwind + names, ours[0]["samples"]
    print(f"  {samples} samples, {ours[0]['frames']} frames, {path.stat().st_size / 1e6:.0f} MB")
    print(f"  ours                    {both:7.3f} s CPU: {unwind:.3f} for chains, {names:.3f} for"
          f" names; {both / samples * 1000:.3f} s per 1,000 samples (<= 0.3)")  # fmt: skip
    print(f"  with an interpreter     {whole:7.3f} s CPU")
    for name, values in (("perf script", usual), ("  --no-inline -F ip,sym", least)):
        theirs = statistics.median(values)
        print(f"  {name:<24}{theirs:7.3f} s CPU; ours / theirs {both / theirs:.2f} (<= 0.5),"
              f" with an interpreter {whole / theirs:.2f}")  # fmt: skip


def _symbols(path: Path, repeat: int) -> None:
    command = [sys.executable, "-c", _SYMBOLS, str(path)]
    results = [subprocess.check_output(command, text=True).split() for _ in range(repeat)]
    seconds = statistics.median(float(each[0]) for each in results)
    size = path.stat().st_size / 1e6
    print(
        f"\n{path.name}, {size:.0f} MB: {results[0][1]} functions in {seconds:.3f} s CPU (<= 0.2)"
    )


# --- Fidelity -------------------------------------------------------------------------------------


def _chains(path: Path) -> list[tuple[Sample, Chain]]:
    spaces = AddressSpaces()
    unwinder = Unwinder(spaces)
    found = []
    for record in perf_data.read(path):
        if isinstance(record, Sample):
            found.append((record, unwinder.chain(record)))
        else:
            spaces.feed(record)
    return found


def _script(path: Path) -> dict[tuple[int, int], list[int]]:
    """Return what perf prints: (thread, time) -> user addresses."""
    command = ["perf", "script", "-f", "-i", str(path), "--no-inline", "--ns", "-F", "tid,time,ip"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    theirs = {}
    for block in output.split("\n\n"):
        head, *rest = block.strip().split("\n")
        if found := re.match(r"\s*(\d+)\s+(\d+)\.(\d{9}):", head):
            key = int(found[1]), int(found[2]) * 10**9 + int(found[3])
            theirs[key] = [a for a in (int(line.split()[0], 16) for line in rest) if not a >> 63]
    return theirs


def _fidelity(
    chains: list[tuple[Sample, Chain]],
    theirs: dict[tuple[int, int], list[int]] | None,
    program: Program | None,
) -> None:
    ends = Counter(chain.end for _, chain in chains)
    print(f"  whole chains            {_share(ends[End.ROOT], len(chains))}")
    if theirs is not None:
        pairs = [(_relative(chain), theirs[sample.tid, sample.time]) for sample, chain in chains]
        same = sum(ours[:_PERF_LIMIT] == their for ours, their in pairs)
        print(f"  as perf's               {_share(same, len(pairs))} (>= 99 %)")
    if program is not None and program.is_generated:
        symbolizer = Symbolizer()
        stacks = [symbolizer.stack(chain) for _, chain in chains]
        rooted = sum(any(ROOT_FRAME in frame.function for frame in stack) for stack in stacks)
        print(f"  reach the root frame    {_share(rooted, len(stacks))} (>= 97 %)")


def _share(part: int, total: int) -> str:
    return f"{part} of {total}: {100 * part / max(1, total):.2f} %"


def _relative(chain: Chain) -> list[int]:
    """Return a chain as perf prints it: relative to the file, where one is mapped."""
    return [_printed(chain.space, each) for each in chain.addresses if not each >> 63]


def _printed(space: Space, address: int) -> int:
    mapping = space.find(address)
    if mapping is None or not (is_file(mapping.path) or mapping.path == "[vdso]"):
        return address
    return address - mapping.start + mapping.offset


if __name__ == "__main__":
    main()
