"""The command `exec-harness`: reads what to measure, measures, and says what failed.

argparse, not click: the harness is started once for each measured command, and click costs more
than everything else in it.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Final

from codspeed.errors import CodspeedError, InterruptedRunError, UsageError
from codspeed.model import Launch, Rounds
from codspeed_exec_harness.descriptor import Bounds
from codspeed_exec_harness.identity import HARNESS_NAME, HARNESS_VERSION
from codspeed_exec_harness.interrupt import Interrupt
from codspeed_exec_harness.measure import Measurement
from codspeed_exec_harness.request import make_target, parse_targets
from codspeed_exec_harness.results import ResultsFile, profile_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codspeed.hooks.client import Client
    from codspeed.protocols import Target

_MODE_VARIABLE: Final = "CODSPEED_RUNNER_MODE"
_ALIASES: Final = {"instrumentation": "simulation"}
_ROUNDS_OF_MODE: Final = {
    "walltime": Rounds.TIMED,
    "memory": Rounds.ONCE,
    "simulation": Rounds.ONCE,
}
_LOG_LEVELS: Final = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "off": logging.CRITICAL + 1,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the harness; return its exit code.

    0, or 2 for a wrong command line, 130 when interrupted, 1 for everything else.
    """
    _set_up_log(os.environ.get("CODSPEED_LOG", ""))
    try:
        options = _parser().parse_args(arguments)
        mode, repetition = _mode(options)
        targets = _targets(options)
        with Interrupt() as interrupt:
            _measure(targets, mode, repetition, interrupt)
    except KeyboardInterrupt:  # before anything was measured
        return InterruptedRunError.exit_code
    except CodspeedError as error:
        _report(error)
        kept = isinstance(error, UsageError | InterruptedRunError)
        return error.exit_code if kept else 1  # the reference knows no other number
    return 0


def _measure(
    targets: Sequence[Target], mode: str, repetition: Rounds, interrupt: Interrupt
) -> None:
    results = None
    if repetition is Rounds.TIMED:
        results = ResultsFile(profile_folder(), os.getpid())
    _silence_standard_input()
    client = _connect(mode)
    measurement = Measurement(
        mode=mode, repetition=repetition, client=client, results=results, interrupt=interrupt
    )
    with client or nullcontext():
        if client is not None:
            client.set_integration(HARNESS_NAME, HARNESS_VERSION)
        measurement.run(targets)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=HARNESS_NAME,
        description="Measure a command as a benchmark.",
        usage="%(prog)s [OPTIONS] COMMAND...   (- reads targets as JSON from standard input)",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{HARNESS_NAME} {HARNESS_VERSION}")
    parser.add_argument("--name", help="name of the benchmark; the command by default")
    parser.add_argument("-m", "--measurement-mode", dest="mode", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", choices=[item.value for item in Rounds], help=argparse.SUPPRESS)
    for name in ("warmup", "max", "min"):
        parser.add_argument(f"--{name}-time", metavar="DURATION")
    for name in ("max", "min"):
        parser.add_argument(f"--{name}-rounds", metavar="N", type=int)
    # Takes the first word that is no option and everything behind it.
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _mode(options: argparse.Namespace) -> tuple[str, Rounds]:
    """Return the mode and how it repeats; a plugin's mode is known by `--rounds` only."""
    mode = options.mode or os.environ.get(_MODE_VARIABLE) or "walltime"
    mode = _ALIASES.get(mode, mode)
    if options.rounds is not None:
        return mode, Rounds(options.rounds)
    if mode not in _ROUNDS_OF_MODE:
        problem = f"Unknown measurement mode '{mode}'"
        raise UsageError(problem, hint=f"one of {', '.join(_ROUNDS_OF_MODE)}")
    return mode, _ROUNDS_OF_MODE[mode]


def _targets(options: argparse.Namespace) -> list[Target]:
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        problem = "No command provided"
        raise UsageError(problem)
    if command == ["-"]:
        return parse_targets(sys.stdin.buffer.read())
    bounds = Bounds(
        warmup_time=options.warmup_time,
        max_time=options.max_time,
        min_time=options.min_time,
        max_rounds=options.max_rounds,
        min_rounds=options.min_rounds,
    )
    return [make_target(Launch(tuple(command)), options.name, bounds)]


def _connect(mode: str) -> Client | None:
    """Return the runner's FIFO; in simulation nobody serves one, and one that is there is stale."""
    if mode == "simulation":
        return None
    from codspeed.hooks.client import connect  # noqa: PLC0415 - not needed in simulation

    return connect()


def _silence_standard_input() -> None:
    """Give the commands the null device: ours held the targets, and all rounds read the same."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    try:
        os.dup2(descriptor, 0)
    finally:
        if descriptor != 0:
            os.close(descriptor)


def _set_up_log(level: str) -> None:
    logging.basicConfig(
        format="%(message)s",
        stream=sys.stderr,
        level=_LOG_LEVELS.get(level.strip().lower(), logging.INFO),
    )


def _report(error: CodspeedError) -> None:
    with suppress(OSError):
        sys.stderr.write(f"{error}\n")
