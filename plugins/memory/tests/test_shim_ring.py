"""The ring under pressure: too small, too full, without a drainer."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from codspeed.errors import Refused
from codspeed.model import Launch
from codspeed.testing.parts import make_part
from codspeed_memory import ring, shim
from codspeed_memory.shim import ShimBackend

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.process

NATIVE = Path(shim.__file__).with_name("native")


@attrs.frozen
class NoSession:
    environment: Mapping[str, str] = attrs.field(factory=dict)


def test_python_and_c_agree_on_the_layout(compiler: str, tmp_path: Path) -> None:
    fields = (
        *("enabled", "stack_interval", "stacks"),
        *("dropped", "waits", "stop", "closed", "error"),
    )
    prints = "".join(f'printf("%zu ", offsetof(struct ring_header, {name}));' for name in fields)
    source = (
        f'#include <stddef.h>\n#include <stdio.h>\n#include "ring.h"\nint main(void) {{ {prints} }}'
    )
    (tmp_path / "layout.c").write_text(source)
    command = [compiler, "-I", str(NATIVE), str(tmp_path / "layout.c"), "-o", str(tmp_path / "x")]
    subprocess.run(command, check=True)
    done = subprocess.run([tmp_path / "x"], capture_output=True, text=True, check=False)

    expected = [
        *(ring.ENABLED, ring.STACK_INTERVAL, ring.STACKS),
        *(ring.DROPPED, ring.WAITS, ring.STOP, ring.CLOSED, ring.ERROR),
    ]
    assert [int(word) for word in done.stdout.split()] == expected


@pytest.mark.parametrize("stack_interval", [0, 16_384])
@pytest.mark.parametrize("turn", range(3))
def test_a_small_ring_makes_threads_wait_and_loses_nothing(
    record: Callable[..., Any],
    program: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    turn: int,
    stack_interval: int,
) -> None:
    monkeypatch.setattr(ring.Ring.__init__, "__kwdefaults__", _small(chunks=12, chunk_bytes=4096))
    recorded = record(program("pairs"), "40000", "8", stack_interval=stack_interval)

    assert recorded.dropped == 0
    usage = recorded.usage
    assert 40_000 + 8 <= usage.allocations <= 40_000 + 8 + 8, "a block for each thread's locals"
    assert usage.frees + usage.leaked_blocks == usage.allocations
    assert usage.unknown_frees == 0


def test_chunks_of_the_dead_are_found_again(
    record: Callable[..., Any], program: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 children end without a word; the ring has 24 chunks."""
    monkeypatch.setattr(ring.Ring.__init__, "__kwdefaults__", _small(chunks=24, chunk_bytes=4096))
    recorded = record(program("edges"), "many_forks")

    assert recorded.dropped == 0
    assert recorded.usage.allocations >= 200 * 100 + 66
    assert recorded.waits > 0


def _small(**changes: int) -> dict[str, Any]:
    return {**(ring.Ring.__init__.__kwdefaults__ or {}), **changes}


def test_without_a_drainer_no_window_opens(tmp_path: Path, compiler: str) -> None:
    backend = ShimBackend()
    part = make_part(tmp_path, ("true",))
    with backend.armed(part, NoSession()):  # type: ignore[arg-type]  # a fake with what is used
        assert backend._drainer is not None
        backend._drainer.kill()
        backend._drainer.wait()

        with pytest.raises(Refused):
            backend.enable(1)


_RUNNER = """
import subprocess, sys, time
from pathlib import Path
from codspeed.testing.parts import make_part
from codspeed_memory.shim import ShimBackend
class Session: environment = {}
backend = ShimBackend()
part = make_part(Path(sys.argv[1]), ("true",))
with backend.armed(part, Session()) as launch:
    backend.enable(1)
    child = subprocess.Popen(sys.argv[2:], env=dict(launch.env))
    print(backend._drainer.pid, child.pid, flush=True)
    time.sleep(60)
"""


def test_a_killed_runner_leaves_nothing_behind(
    tmp_path: Path, program: Callable[..., Path]
) -> None:
    """The drainer ends, the benchmark goes on without recording, no file has a name."""
    command = [sys.executable, "-c", _RUNNER, str(tmp_path), str(program("pairs")), "2000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        drainer, child = map(int, runner.stdout.readline().split())
        runner.send_signal(signal.SIGKILL)
        runner.stdout.read()  # the benchmark holds it open until its end

    assert _ends(drainer)
    assert _ends(child)
    assert list(tmp_path.iterdir()) == []


def _ends(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return True
        if re.search(r"\) Z", state):
            return True
        time.sleep(0.01)
    return False


def test_a_killed_benchmark_leaves_its_events(
    record: Callable[..., Any], program: Callable[..., Path]
) -> None:
    recorded = record(program("edges"), "kill")

    assert recorded.status == -signal.SIGKILL
    assert recorded.usage.allocations == 1


_AS_NOBODY = """
import os, sys
os.setgid(65534)
os.setuid(65534)
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
"""

_RECORD_ONE = """
import subprocess, sys
sys.path += sys.argv[3].split(":")
from pathlib import Path
from codspeed.testing.parts import make_part
from codspeed_memory.shim import ShimBackend
from codspeed_memory.stacks import chains
class Session: environment = {}
backend = ShimBackend(stack_interval=1)
with backend.armed(make_part(Path(sys.argv[1]), ("true",)), Session()) as launch:
    backend.enable(1)
    subprocess.run([sys.argv[2], "malloc_free"], env=dict(launch.env), check=True)
    recording = backend.finish()
    found = chains(recording, {})[1]["allocated"]
    print(len(recording.notes()), len(found), {chain.end.name for chain in found})
"""


def test_another_user_can_record(program: Callable[..., Path]) -> None:
    if os.geteuid() != 0:
        pytest.skip("all other tests here are this one: we are not root")
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        target = shutil.copy(program("behaviours"), home)
        os.chown(home, 65534, 65534)
        env = {"HOME": name, "XDG_CACHE_HOME": name, "TMPDIR": name, "PATH": os.environ["PATH"]}
        ours = ":".join(path for path in sys.path if path.endswith(("/src", "/site-packages")))
        argv = [_public_python(), "-c", _AS_NOBODY, _RECORD_ONE, str(home / "part"), target, ours]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    if "Permission denied" in done.stderr or "No module" in done.stderr:
        pytest.skip(f"another user can't read what we run: {done.stderr.splitlines()[-1]}")

    assert done.stdout == "1 1 {'ROOT'}\n", done.stderr


def _public_python() -> str:
    """Return an interpreter of our version that everybody may run."""
    public = f"/usr/bin/python3.{sys.version_info.minor}"
    return public if Path(public).exists() else sys.executable


def test_launch_is_what_the_user_asked_for(tmp_path: Path, compiler: str) -> None:
    part = make_part(
        tmp_path, ("a", "b c"), launch=Launch(("a", "b c"), env={"X": "1"}, stdin=b"y")
    )
    with ShimBackend().armed(part, NoSession()) as launch:  # type: ignore[arg-type]  # a fake with what is used
        assert (launch.argv, launch.stdin, launch.env["X"]) == (("a", "b c"), b"y", "1")
