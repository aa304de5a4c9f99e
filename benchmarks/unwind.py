"""How quick our reader, unwinder and symbols are beside `perf script`, on one recording.

Targets: at most half of the CPU of `perf script` for the same chains and names, at most 0.3 s per
1,000 samples; the symbols of a binary of 99 MB (node) in at most 0.2 s. CPU seconds, medians; both
sides take turns, so that a busy machine slows both. Ours is measured in a process of its own,
without and with the start of the interpreter.

    python benchmarks/unwind.py [--file perf.data] [--python PYTHON] [--seconds 3] [--repeat 5]
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from codspeed_native import perf_data
from codspeed_native.address_space import AddressSpaces
from codspeed_native.image import is_file
from codspeed_native.perf_records import Sample
from codspeed_native.unwind import Unwinder

if TYPE_CHECKING:
    from codspeed_native.address_space import Space

_PERF_LIMIT: Final = 127  # frames

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
ends = Counter()
for chain, n in chains.items():
    ends[chain.end.value] += n
frames = sum(len(chain.addresses) * n for chain, n in chains.items())
print(json.dumps({"unwind": unwound - begin, "names": named - unwound, "whole": cpu(),
                  "samples": chains.total(), "frames": frames, "ends": ends}))
"""
_SYMBOLS: Final = """
import resource, sys, time
from pathlib import Path
from codspeed_native import elf
from codspeed_native.symbol_table import SymbolTable
begin = time.process_time()
table = SymbolTable.of(elf.read(Path(sys.argv[1])))
print(len(table), time.process_time() - begin)
"""
_WORK: Final = """
import json, sys, time
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
data = list(range(2000))
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    fib(14)
    json.loads(json.dumps(data))
    sorted(data, key=lambda number: -number)
"""
_RECORD: Final = (
    *("perf", "record", "-q", "-N", "-e", "cpu-clock:u", "-F", "997", "-m", "1024"),
    *("-k", "CLOCK_MONOTONIC", "--user-callchains", "--call-graph=dwarf,32768"),
)


def main() -> None:
    """Take or make a recording, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--file", type=Path, help="a recording with --call-graph=dwarf")
    parser.add_argument("--python", default=sys.executable, help="the interpreter to record")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    if shutil.which("perf") is None:
        sys.exit("perf is not installed")
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.file or _recorded(Path(folder), arguments.python, arguments.seconds)
        _compare(path, arguments.repeat)
        _identical(path)
    node = shutil.which("node")
    if node is not None:
        _symbols(Path(node).resolve(), arguments.repeat)


def _recorded(folder: Path, python: str, seconds: float) -> Path:
    path = folder / "perf.data"
    command = [*_RECORD, "-o", str(path), "--", python, "-c", _WORK, str(seconds)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return path


def _cpu(command: list[str]) -> float:
    """Return the CPU seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    quiet = subprocess.DEVNULL
    subprocess.run(command, check=True, stdout=quiet, stderr=quiet)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _compare(path: Path, repeat: int) -> None:
    plain = ["perf", "script", "-f", "-i", str(path)]
    perf = [*plain, "--no-inline"]
    ours: list[dict[str, Any]] = []
    default, theirs, bare = [], [], []
    for _ in range(repeat):
        output = subprocess.run(
            [sys.executable, "-c", _READER, str(path)], check=True, capture_output=True, text=True
        )
        ours.append(json.loads(output.stdout))
        default.append(_cpu(plain))
        theirs.append(_cpu([*perf, "-F", "comm,pid,tid,time,ip,sym"]))
        bare.append(_cpu([*perf, "-F", "comm,pid,tid,time,ip"]))
    facts = ours[0]
    unwind, names, whole = (
        statistics.median(each[key] for each in ours) for key in ("unwind", "names", "whole")
    )
    script, without = statistics.median(theirs), statistics.median(bare)
    usual = statistics.median(default)
    samples = facts["samples"]
    print(f"{samples} samples, {facts['frames']} frames, {path.stat().st_size / 1e6:.0f} MB")
    print(f"ends: {facts['ends']}")
    print(f"parse + unwind       {unwind:7.3f} s CPU  {unwind / samples * 1000:.3f} s per 1,000")
    print(f"names + fold         {names:7.3f} s CPU")
    both = unwind + names
    print(f"together             {both:7.3f} s CPU  {both / samples * 1000:.3f} s (<= 0.3)")
    print(f"with interpreter     {whole:7.3f} s CPU")
    print(f"perf script          {usual:7.3f} s CPU  ours / theirs {both / usual:.2f} (<= 0.5)")
    print(f"  without inlines    {script:7.3f} s CPU  ours / theirs {both / script:.2f}")
    print(f"  addresses only     {without:7.3f} s CPU  unwind / theirs {unwind / without:.2f}")


def _identical(path: Path) -> None:
    """Print the share of user chains that are the same as perf's, up to its limit of frames."""
    command = ["perf", "script", "-f", "-i", str(path), "--no-inline", "--ns", "-F", "tid,time,ip"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    theirs = {}
    for block in output.split("\n\n"):
        head, *rest = block.strip().split("\n")
        if found := re.match(r"\s*(\d+)\s+(\d+)\.(\d{9}):", head):
            key = int(found[1]), int(found[2]) * 10**9 + int(found[3])
            theirs[key] = [a for a in (int(line.split()[0], 16) for line in rest) if not a >> 63]
    spaces = AddressSpaces()
    unwinder = Unwinder(spaces)
    total = same = 0
    for record in perf_data.read(path):
        if isinstance(record, Sample):
            chain = unwinder.chain(record)
            ours = [_relative(chain.space, a) for a in chain.addresses if not a >> 63]
            total += 1
            same += ours[:_PERF_LIMIT] == theirs[record.tid, record.time]
        else:
            spaces.feed(record)
    print(f"chains as perf's     {same} of {total}: {100 * same / max(1, total):.2f} % (>= 99 %)")


def _relative(space: Space, address: int) -> int:
    """Return an address as perf prints it: relative to the file, where one is mapped."""
    mapping = space.find(address)
    if mapping is None or not (is_file(mapping.path) or mapping.path == "[vdso]"):
        return address
    return address - mapping.start + mapping.offset


def _symbols(path: Path, repeat: int) -> None:
    command = [sys.executable, "-c", _SYMBOLS, str(path)]
    results = [subprocess.check_output(command, text=True).split() for _ in range(repeat)]
    seconds = statistics.median(float(each[1]) for each in results)
    size = path.stat().st_size / 1e6
    print(f"{path.name}, {size:.0f} MB: {results[0][0]} functions in {seconds:.3f} s CPU (<= 0.2)")


if __name__ == "__main__":
    main()
