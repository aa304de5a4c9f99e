"""`perf record` as a profiler: the reference's command line (spec/executors.md 3.2), corrected.

Three things differ. Windows switch the sampling event by name: `disable` alone also stops the event
that tells what is mapped, and code that is loaded between two benchmarks stays unknown. What perf
does about BPF programs is left out: it takes a second at the end. And the command keeps its
standard output, which perf's pipe mode would turn into standard error.
"""

from __future__ import annotations

import functools
import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import attrs

from codspeed.errors import ToolError
from codspeed.model import Compat
from codspeed_native import perf_event
from codspeed_walltime.profiler import PIPEDATA, Profiler, find_program

if TYPE_CHECKING:
    from collections.abc import Callable

    from codspeed.model import Launch, RunPart

_ACK: Final = b"ack\n\0"
_TIMEOUT_S: Final = 5.0
_FRAME_POINTERS: Final = frozenset({"gradle", "gradlew", "java", "maven", "mvn", "mvnw", "go"})
_PYTHON: Final = frozenset({"pytest", "uv", "python", "python3"})
_WORDS: Final = re.compile(r"[\s|;&()]+")
# perf's default of 128 pages loses samples with large stacks.
_RING_PAGES: Final = 1024

# perf writes to its standard output; descriptor 3 carries the command's past it.
_REDIRECTED: Final = 'out=$1; shift; exec "$@" 3>&1 >"$out"'
_RESTORED: Final = 'exec "$@" >&3 3>&-'


class PerfRecord(Profiler):
    """Runs the command under `perf record`, switched through its control FIFO."""

    kind: ClassVar[str] = "perf"

    def __init__(self, program: str, event: str, call_graph: str) -> None:
        super().__init__()
        self.name = f"perf-{event}"
        self._program = program
        self._event = event
        self._call_graph = call_graph
        self._folder = Path(tempfile.mkdtemp(prefix="codspeed-perf-"))
        self._control = _fifo(self._folder / "ctl.fifo")
        self._acknowledged = _fifo(self._folder / "ack.fifo")
        self._is_broken = False

    @classmethod
    def found(cls, part: RunPart, mode: str) -> Callable[[], PerfRecord]:
        """Return what makes one for a part.

        Raises:
            ToolError: If there is no perf, or the kernel refuses to sample.
        """
        program = find_program("perf")
        try:
            event = perf_event.choose().name
        except perf_event.SamplingRefusedError as refused:
            raise ToolError(refused.problem, hint=refused.hint) from refused
        return functools.partial(cls, program, event, call_graph(part, mode))

    def wrap(self, launch: Launch, folder: Path) -> Launch:
        """Start the command under perf."""
        argv = (
            "bash", "-c", _REDIRECTED, "perf", str(folder / PIPEDATA), self._program, "record",
            "--quiet", *self._supported(), "-e", self._event, "--timestamp",
            "-k", "CLOCK_MONOTONIC", "--freq=997", "--delay=-1", f"--mmap-pages={_RING_PAGES}",
            "-g", "--user-callchains", f"--call-graph={self._call_graph}",
            f"--control=fifo:{self._folder / 'ctl.fifo'},{self._folder / 'ack.fifo'}", "-o", "-",
            "--", "bash", "-c", _RESTORED, "bench", *launch.argv,
        )  # fmt: skip
        return attrs.evolve(launch, argv=argv)

    def _supported(self) -> tuple[str, ...]:
        options = _said(self._program, "record", "-h")
        built = _said(self._program, "version", "--build-options").lower()
        flags = []
        is_compressed = "CODSPEED_PERF_DISABLE_COMPRESSION" not in os.environ
        if is_compressed and re.search(r"zstd: \[ *on", built):
            flags.append("--compression-level=3")
        if "bpf-event" in options:
            flags.append("--no-bpf-event")
        return tuple(flags)

    def enable(self) -> None:
        """Tell perf, and wait until it did."""
        self._tell(f"enable {self._event}")

    def disable(self) -> None:
        """Tell perf, and wait until it did."""
        self._tell(f"disable {self._event}")

    def is_healthy(self) -> bool:
        """Ask perf."""
        self._tell("ping")
        return not self._is_broken

    def stop(self) -> None:
        """Remove the FIFOs."""
        os.close(self._control)
        os.close(self._acknowledged)
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._is_broken:
            self.notes = ("the profile is not whole: perf did not answer",)

    def _tell(self, command: str) -> None:
        """Send a command; a perf that does not answer is not asked again."""
        if self._is_broken:
            return
        os.write(self._control, f"{command}\n\0".encode())
        answer = b""
        deadline = time.monotonic() + _TIMEOUT_S
        while len(answer) < len(_ACK):
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._acknowledged], [], [], left)[0]:
                break
            answer += os.read(self._acknowledged, len(_ACK) - len(answer))
        self._is_broken = answer != _ACK


def call_graph(part: RunPart, mode: str) -> str:
    """Return perf's `--call-graph`; by the reference's rules under compat (spec/executors.md 3.2).

    Natively every command gets the stacks that Python needs: that they are cut is rarer then.
    """
    if mode:
        return "fp" if mode == "fp" else "dwarf,8192"
    if part.compat is Compat.NATIVE:
        return "dwarf,32768"
    words = [Path(word).name for word in _WORDS.split(" ".join(part.launch.argv)) if word]
    if _FRAME_POINTERS.intersection(words) - {"go"}:
        return "fp"
    if "cargo" in words:
        return "dwarf,8192"
    if "go" in words:
        return "fp"
    return "dwarf,32768" if _PYTHON.intersection(words) else "dwarf,8192"


def _fifo(path: Path) -> int:
    os.mkfifo(path, 0o700)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)


def _said(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
