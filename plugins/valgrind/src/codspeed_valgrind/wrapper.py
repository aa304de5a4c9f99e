"""How a command is put behind Valgrind, and how its status comes back."""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from codspeed.errors import BenchmarkFailedError
from codspeed.model import Launch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from codspeed.model import Outcome

# spec/executors.md 2.3: so that Valgrind itself ends with 0 whatever the benchmark did.
_SCRIPT: Final = """#!/usr/bin/env bash
bash -c "$1"
status=$?
echo -n "$status" > "$2"
"""
_TIMEOUT_S: Final = 30


@functools.cache
def still_addresses() -> tuple[str, ...]:
    """Return the words that switch address randomisation off; none where that is forbidden."""
    program = shutil.which("setarch")
    words = ("setarch", platform.machine(), "--addr-no-randomize")
    if program is None:
        return ()
    try:
        done = subprocess.run(
            (*words, "true"), capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return words if done.returncode == 0 else ()


def wrapped(launch: Launch, valgrind: Sequence[str]) -> Launch:
    """Return `launch` behind Valgrind and its arguments; the status is the command's own."""
    return attrs.evolve(launch, argv=(*still_addresses(), *valgrind, *launch.argv))


def launcher(path: Path, valgrind: Sequence[str]) -> None:
    """Write a program that starts what its arguments say behind Valgrind.

    A harness may hand a target's command on in a single argument, which Linux limits to 128 KiB;
    Valgrind's arguments are longer when they list the functions of an interpreter.
    """
    words = shlex.join((*still_addresses(), *valgrind))
    path.write_bytes(os.fsencode(f'#!/bin/sh\nexec {words} "$@"\n'))
    path.chmod(0o700)


@attrs.frozen
class Scripted:
    """A command behind the reference's wrapper script.

    Attributes:
        launch: What to run.
        status_file: Where the script leaves the command's status.
    """

    launch: Launch
    status_file: Path

    def outcome(self, outcome: Outcome) -> Outcome:
        """Return the outcome with the command's status in place of Valgrind's.

        Raises:
            BenchmarkFailedError: If Valgrind failed, or the status is not there.
        """
        if outcome.interrupted or outcome.status < 0:
            return outcome
        if outcome.status != 0:
            problem = "failed to execute valgrind"
            raise BenchmarkFailedError(problem, hint="its own output above says why")
        try:
            status = int(self.status_file.read_text("ascii"))
        except (OSError, ValueError) as failure:
            problem = "unable to retrieve the program exit code."
            raise BenchmarkFailedError(problem, hint=str(failure)) from failure
        return attrs.evolve(outcome, status=status)


@contextlib.contextmanager
def scripted(launch: Launch, valgrind: Sequence[str], *, temp: Path) -> Iterator[Scripted]:
    """Yield `launch` as the reference starts it (spec/executors.md 1.7 and 2.3).

    Args:
        launch: The command; argv becomes shell text.
        valgrind: The program and its arguments.
        temp: Where the script is written, gone at the end.
    """
    with tempfile.TemporaryDirectory(prefix="codspeed-", dir=temp) as folder:
        script = Path(folder) / "wrapper.sh"
        script.write_text(_SCRIPT, "ascii")
        script.chmod(0o755)
        status_file = Path(folder) / "status"
        words = (str(script), _shell_text(launch.argv), str(status_file))
        argv = (*still_addresses(), *valgrind, *words)
        yield Scripted(attrs.evolve(launch, argv=argv), status_file)


def _shell_text(argv: Sequence[str]) -> str:
    if tuple(argv[:2]) == ("bash", "-c") and len(argv) == 3:
        return argv[2]
    return shlex.join(argv)
