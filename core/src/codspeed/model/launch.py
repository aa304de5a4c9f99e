"""What is run and what came out of it: data only, no I/O here."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path

import attrs


@attrs.frozen
class Launch:
    """How one process is started.

    Attributes:
        argv: The program and its arguments, verbatim; no shell looks at them.
        env: Variables set on top of the inherited environment.
        cwd: Working directory; None keeps the caller's.
        stdin: Bytes the process reads on standard input; None inherits it.
        sudo: Whether it must run with root's rights.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = attrs.field(factory=dict)
    cwd: Path | None = None
    stdin: bytes | None = None
    sudo: bool = False


@attrs.frozen
class Rusage:
    """What the child and its waited-for descendants used, from wait4(2)."""

    wall_ns: int = 0
    user_ns: int = 0
    system_ns: int = 0
    max_rss_bytes: int = 0
    minor_faults: int = 0
    major_faults: int = 0
    voluntary_switches: int = 0
    involuntary_switches: int = 0


@attrs.frozen
class Integration:
    """The library inside the benchmarked process, as it introduced itself with SetIntegration."""

    name: str
    version: str


class IntegrationMode(enum.IntEnum):
    """The answer to GetIntegrationMode; values are the wire's (spec/executors.md 5.2)."""

    WALLTIME = 0
    SIMULATION = 1
    ANALYSIS = 2


class MarkerKind(enum.IntEnum):
    """What a timestamp marks; values are the wire's (spec/executors.md 5.2)."""

    SAMPLE_START = 0
    SAMPLE_END = 1
    ROUND_START = 2
    ROUND_END = 3


@attrs.frozen
class Window:
    """From a Start to its Stop, with the URI it was given.

    Attributes:
        uri: None when the integration never named the window (a benchmark that raised).
        pids: Processes that sent markers or the name of this window.
        start: CLOCK_MONOTONIC, nanoseconds.
        end: CLOCK_MONOTONIC, nanoseconds; not before `start`.
        rounds: (start, end) of each round whose markers lie inside the window, in order.
    """

    uri: str | None
    pids: tuple[int, ...]
    start: int
    end: int
    rounds: tuple[tuple[int, int], ...] = ()


@attrs.frozen
class Timestamps:
    """What the reference stores as ExecutionTimestamps, in arrival order (spec/executors.md 7)."""

    uri_by_ts: tuple[tuple[int, str], ...] = ()
    markers: tuple[tuple[MarkerKind, int], ...] = ()


@attrs.frozen
class Outcome:
    """What one measured command left behind.

    Attributes:
        status: The exit status of the child; minus the signal number if a signal ended it.
        interrupted: The user or whoever runs us asked to stop.
        rusage: Resources of the child.
        integration: Who spoke on the FIFO; None if nobody did.
        windows: Complete here and only here.
        timestamps: The same facts in the reference's form.
        notes: Things the user should know, a sentence each.
    """

    status: int
    interrupted: bool = False
    rusage: Rusage = Rusage()
    integration: Integration | None = None
    windows: tuple[Window, ...] = ()
    timestamps: Timestamps = Timestamps()
    notes: tuple[str, ...] = ()
