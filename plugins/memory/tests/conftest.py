"""Programs of the tests, compiled once, and a way to record one without an integration."""

from __future__ import annotations

import functools
import io
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from codspeed.launch.child import spawn
from codspeed.model import CallTree, Launch
from codspeed.testing.parts import make_part
from codspeed_memory import raw, stacks
from codspeed_memory.clock import Clock
from codspeed_memory.ebpf import rights
from codspeed_memory.ebpf.backend import EbpfBackend
from codspeed_memory.ebpf.probes import Limits
from codspeed_memory.shim import ShimBackend
from codspeed_memory.summary import Measured
from codspeed_memory.usage import Fate, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from codspeed_memory.recording import Recording

PROGRAMS = Path(__file__).with_name("programs")


@attrs.frozen(slots=False)
class Recorded:
    """What one program left: its status and output, all events and the sums."""

    status: int
    output: str
    usage: Usage
    notes: tuple[raw.Note, ...]
    dropped: int
    waits: int
    data: bytes
    clock: Clock
    artifact: bytes
    start_ns: int
    gaps: tuple[str, ...] = ()
    trees: Mapping[str, CallTree] = attrs.field(factory=dict)  # by view; of stacks

    @functools.cached_property
    def events(self) -> tuple[raw.Event, ...]:
        """All of them, in order of time; by the slow twin."""
        return tuple(raw.merged(self.data, self.clock))

    def blocks_of(self, size: int) -> Counter[str]:
        """Return how often such blocks were allocated, and how often one of them was freed."""
        counts: Counter[str] = Counter()
        live: set[tuple[int, int]] = set()
        for event in self.events:
            block = (event.pid, event.address)
            if event.kind == raw.Kind.MALLOC and event.size == size:
                counts["allocations"] += 1
                assert block not in live, "an address looks live twice"
                live.add(block)
            elif event.kind == raw.Kind.FREE and block in live:
                counts["frees"] += 1
                live.remove(block)
        return counts


def _recorded(
    recording: Recording, start_ns: int, status: int, output: str, *, since_ns: int
) -> Recorded:
    recording.file.seek(0)
    data = recording.file.read()
    artifact = io.BytesIO()
    fates: dict[int, dict[int, Fate]] = {}
    usage = recording.analysed({1: start_ns}, artifact, fates).get(1, Usage())
    windows = {1: Measured("x", start_ns, start_ns, usage)}
    made = stacks.trees(recording, windows, fates, since_ns=since_ns)
    return Recorded(
        status,
        output,
        usage,
        tuple(recording.notes()),
        recording.dropped,
        recording.waits,
        data,
        recording.clock,
        artifact.getvalue(),
        start_ns,
        recording.gaps,
        {view: each.trees["x"] for view, each in made.items() if "x" in each.trees},
    )


class _Session:
    environment: Mapping[str, str] = {}


@pytest.fixture(scope="session")
def compiler() -> str:
    found = shutil.which("cc") or shutil.which("gcc")
    if found is None:
        pytest.skip("no C compiler: apt-get install gcc")
    return found


@pytest.fixture(scope="session")
def program(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that compiles programs/NAME.c, with flags, once."""
    folder = tmp_path_factory.mktemp("programs")

    def make(name: str, *flags: str) -> Path:
        label = "".join(flags).replace("/", "_")
        target = folder / f"{name}{label}"
        if not target.exists():
            source = PROGRAMS / f"{name}.c"
            subprocess.run(
                [compiler, "-O1", "-pthread", str(source), "-o", str(target), *flags], check=True
            )
        return target

    return make


@pytest.fixture
def record(compiler: str, tmp_path: Path) -> Callable[..., Recorded]:
    """Return a function that runs a command with recording on from before its first instruction."""

    def run(*command: str | Path, env: Mapping[str, str] | None = None, **options: int) -> Recorded:
        backend, since_ns = ShimBackend(**options), time.time_ns()  # type: ignore[arg-type]  # flags too
        argv = tuple(map(str, command))
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", **(env or {})}
        part = make_part(tmp_path / "profile", argv, launch=Launch(argv, env=environment))
        with backend.armed(part, _Session()) as launch:  # type: ignore[arg-type]  # a fake with what is used
            start = backend.enable(1)
            done = subprocess.run(
                launch.argv,
                env=dict(launch.env),
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
            output = done.stdout + done.stderr
            return _recorded(backend.finish(), start, done.returncode, output, since_ns=since_ns)

    return run


@pytest.fixture(scope="session")
def private_libc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the C library: probes in the machine's own would meet everybody."""
    maps = Path("/proc/self/maps").read_text()
    found = next((line.split()[-1] for line in maps.splitlines() if "/libc.so.6" in line), None)
    if found is None:
        pytest.skip("this Python is not linked with glibc")
    target = tmp_path_factory.mktemp("lib") / "libc.so.6"
    shutil.copy(found, target)
    return target


@pytest.fixture
def probe(compiler: str, private_libc: Path, tmp_path: Path) -> Callable[..., Recorded]:
    """Return a function that runs a command under probes, from before its first instruction."""
    refused = rights.lacking()
    if refused is not None:
        pytest.skip(refused.problem)

    def run(
        *command: str | Path, env: Mapping[str, str] | None = None, **limits: str | int
    ) -> Recorded:
        since_ns = time.time_ns()
        backend = EbpfBackend(Limits(**limits))  # type: ignore[arg-type]  # as its fields are
        argv = tuple(map(str, command))
        libraries = {"LD_LIBRARY_PATH": str(private_libc.parent)}
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", **libraries, **(env or {})}
        part = make_part(tmp_path / "profile", argv, launch=Launch(argv))
        with backend.armed(part, _Session()) as launch:  # type: ignore[arg-type]  # it is not asked
            with spawn(launch, environment) as child:
                backend.spawned(child.pid)
                start = backend.enable(1)
                child.release(argv[0])
                status, _usage = child.reap()
                output = os.read(child.stdout, 1 << 16) + os.read(child.stderr, 1 << 16)
            text = output.decode(errors="replace")
            return _recorded(backend.finish(), start, status, text, since_ns=since_ns)

    return run
