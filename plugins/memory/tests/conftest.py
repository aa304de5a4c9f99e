"""Programs of the tests, compiled once, and a way to record one without an integration."""

from __future__ import annotations

import functools
import io
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from codspeed.model import CallTree, Launch
from codspeed.testing.parts import make_part
from codspeed_memory import raw, stacks
from codspeed_memory.clock import Clock
from codspeed_memory.shim import ShimBackend
from codspeed_memory.summary import Measured
from codspeed_memory.usage import Fate, Usage

if TYPE_CHECKING:
    from collections.abc import Callable


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
    trees: Mapping[str, CallTree] = attrs.field(factory=dict)  # by view; of stacks

    @functools.cached_property
    def events(self) -> tuple[raw.Event, ...]:
        """All of them, in order of time; by the slow twin."""
        return tuple(raw.merged(self.data, self.clock))


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
            recording = backend.finish()
            recording.file.seek(0)
            data = recording.file.read()
            artifact = io.BytesIO()
            fates: dict[int, dict[int, Fate]] = {}
            usage = recording.analysed({1: start}, artifact, fates)[1]
            windows = {1: Measured("x", start, start, usage)}
            made = stacks.trees(recording, windows, fates, since_ns=since_ns)
            return Recorded(
                done.returncode,
                done.stdout + done.stderr,
                usage,
                tuple(recording.notes()),
                recording.dropped,
                recording.waits,
                data,
                recording.clock,
                artifact.getvalue(),
                start,
                {view: each.trees["x"] for view, each in made.items() if "x" in each.trees},
            )

    return run
