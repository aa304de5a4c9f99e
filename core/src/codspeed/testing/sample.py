"""A tiny integration, and a tiny harness: what contract tests run under an executor.

    python -m codspeed.testing.sample SCRIPT

SCRIPT is the JSON form of `Script`. Each step is a window on the FIFO, if the session serves one; a
step with a command is a target of a harness, one without is a few milliseconds of Python.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from codspeed.hooks.client import Client
    from codspeed.model import Launch

NAME: Final = "codspeed-testing"
VERSION: Final = "1.0.0"
# Folder of the session's private FIFOs; without it the fixed paths are tried.
FIFO_VARIABLE: Final = "CODSPEED_TESTING_FIFOS"
_SPINS: Final = 40


@attrs.frozen
class Step:
    """One benchmark.

    Attributes:
        uri: Its name on the wire; empty for a benchmark that is never named, as one that raised.
        argv: The target's command; empty to do some work in this process.
        env: Variables of the target on top of ours.
        cwd: Folder of the target; empty for ours.
    """

    uri: str
    argv: tuple[str, ...] = ()
    env: dict[str, str] = attrs.field(factory=dict)
    cwd: str = ""


@attrs.frozen
class Script:
    """What the sample does.

    Attributes:
        steps: In this order.
        status: The exit status, if every target succeeds.
        signal: Number of a signal to end by, after all steps; 0 for none.
        trace: A file that gets one line for each start of this program; empty for none.
    """

    steps: tuple[Step, ...] = ()
    status: int = 0
    signal: int = 0
    trace: str = ""

    @property
    def argv(self) -> tuple[str, ...]:
        """The command that acts by this script."""
        return (sys.executable, "-m", __name__, json.dumps(attrs.asdict(self)))


def step_of(uri: str, launch: Launch) -> Step:
    """Return the step of a harness that starts one target."""
    cwd = "" if launch.cwd is None else str(launch.cwd)
    return Step(uri, tuple(launch.argv), dict(launch.env), cwd)


def main(argv: list[str]) -> int:
    """Act by the script in `argv`; return its status, or that of the first target that fails."""
    plain = json.loads(argv[0])
    steps = [Step(**step) for step in plain.pop("steps")]
    script = Script(tuple(steps), **plain)
    if script.trace:
        with Path(script.trace).open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()}\n")
    client = _connect()
    with client or contextlib.nullcontext():
        status = _run(script, client)
    if script.signal:
        os.kill(os.getpid(), script.signal)
    return status or script.status


def _run(script: Script, client: Client | None) -> int:
    times: dict[str, int] = {}
    status = 0
    for step in script.steps:
        start = time.monotonic_ns()
        status = _measure(step, client) or status
        if step.uri:
            times[step.uri] = time.monotonic_ns() - start
    if client is not None and client.mode == 0:
        _write_results(times)
    return status


def _measure(step: Step, client: Client | None) -> int:
    if client is None:
        return _work(step)
    from codspeed.model import MarkerKind  # noqa: PLC0415 - without a FIFO the sample stays small

    client.start()
    start = time.monotonic_ns()
    status = _work(step)
    end = time.monotonic_ns()
    client.stop()
    if step.uri:
        client.marker(os.getpid(), MarkerKind.ROUND_START, start)
        client.marker(os.getpid(), MarkerKind.ROUND_END, end)
        client.benchmark(os.getpid(), step.uri)
    return status


def _work(step: Step) -> int:
    if step.argv:
        environment = os.environ | step.env
        return subprocess.run(
            step.argv, env=environment, cwd=step.cwd or None, check=False
        ).returncode
    for _ in range(_SPINS):
        sum(range(1_000))
    return 0


def _connect() -> Client | None:
    folder = os.environ.get(FIFO_VARIABLE)
    if not folder:
        return None
    from codspeed.hooks.client import connect  # noqa: PLC0415 - see above

    client = connect(timeout=10.0, ctl=f"{folder}/ctl.fifo", ack=f"{folder}/ack.fifo")
    if client is not None:
        client.set_integration(NAME, VERSION)
    return client


def _write_results(times: dict[str, int]) -> None:
    """Write what walltime integrations write (spec/executors.md 3.13)."""
    folder = Path(os.environ["CODSPEED_PROFILE_FOLDER"]) / "results"
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "creator": {"name": NAME, "version": VERSION, "pid": os.getpid()},
        "instrument": {"type": "walltime"},
        "benchmarks": [_benchmark(uri, float(time_ns)) for uri, time_ns in times.items()],
    }
    (folder / f"{os.getpid()}.json").write_text(json.dumps(document, indent=2), encoding="utf-8")


def _benchmark(uri: str, time_ns: float) -> dict[str, Any]:
    nothing = ("warmup_time_ns", "min_round_time_ns", "max_time_ns", "max_rounds")
    middles = ("min_ns", "max_ns", "mean_ns", "q1_ns", "median_ns", "q3_ns")
    return {
        "name": uri.rpartition("::")[2],
        "uri": uri,
        "config": dict.fromkeys(nothing),
        "stats": {
            **dict.fromkeys(middles, time_ns),
            "stdev_ns": 0.0,
            "rounds": 1,
            "total_time": time_ns / 1e9,
            "iqr_outlier_rounds": 0,
            "stdev_outlier_rounds": 0,
            "iter_per_round": 1,
            "warmup_iters": 0,
        },
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
