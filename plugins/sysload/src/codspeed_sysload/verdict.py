"""When a window counts as disturbed, and the words for it. No I/O here.

Thresholds and their reasons; docs/disturbance.md tells the same to the user:

- waiting for a CPU, 5 % of wall time: that is the size of changes that people look for, and quiet
  machines stay far below;
- steal, 5 % of the time in which CPUs were wanted: it moves times like waiting does;
- memory pressure, 1 % of the time: on a machine with enough memory it is 0;
- throttling, once: the CPU was slower for an unknown part of the window.

Pressure of disks is no cause to warn: the benchmark itself may read files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from codspeed_sysload.machine import Counters
    from codspeed_sysload.others import Span

MOST_WAITING: Final = 5.0
MOST_STEAL: Final = 5.0
MOST_MEMORY: Final = 1.0
_LEAST_STEAL_TICKS: Final = 5  # fewer are chance: a tick is 10 ms
_LEAST_BUSY: Final = 0.05  # of a CPU: who is named as a cause
_MOST_NAMED: Final = 3
_OWN: Final = ": more of its own threads run than it has CPUs"


class Load(NamedTuple):
    """How loaded the machine was during a window; percent, None where it is not known.

    Attributes:
        busy: Of the time of all CPUs.
        steal: Of the time in which CPUs were wanted.
        pressure_cpu: Of the window, in which some program waited for a CPU.
        pressure_memory: As above, for memory.
        pressure_io: As above, for a disk.
        queue: Waiting for a CPU of all programs together, of the window; only without pressure.
        throttles: How often CPUs were throttled: a count.
        frequency_mhz: Of the fastest CPU, at the end.
    """

    busy: float | None = None
    steal: float | None = None
    pressure_cpu: float | None = None
    pressure_memory: float | None = None
    pressure_io: float | None = None
    queue: float | None = None
    throttles: int | None = None
    frequency_mhz: float | None = None


def load(before: Counters, after: Counters) -> Load:
    """Return what two readings differ in."""
    wall_ns = after.at_ns - before.at_ns
    if wall_ns <= 0:
        return Load()
    busy, idle = _grown(before.busy, after.busy), _grown(before.idle, after.idle)
    steal = _grown(before.steal, after.steal)
    if steal is not None and steal < _LEAST_STEAL_TICKS:
        steal = 0
    khz = after.frequency_khz
    return Load(
        busy=_percent(busy, _sum(busy, idle, steal)),
        steal=_percent(steal, _sum(busy, steal)),
        pressure_cpu=_of_wall(before.pressure_cpu, after.pressure_cpu, wall_ns / 1e3),
        pressure_memory=_of_wall(before.pressure_memory, after.pressure_memory, wall_ns / 1e3),
        pressure_io=_of_wall(before.pressure_io, after.pressure_io, wall_ns / 1e3),
        queue=_of_wall(before.queue_ns, after.queue_ns, wall_ns),
        throttles=_grown(before.throttles, after.throttles),
        frequency_mhz=None if khz is None else khz / 1e3,
    )


def warnings(
    found: Load, others: Span | None, waiting: float | None, *, is_own: bool = False
) -> Iterator[str]:
    """Yield why a window counts as disturbed, a sentence each.

    Args:
        found: How loaded the machine was.
        others: Who else used the CPUs.
        waiting: Percent of wall time in which the benchmark waited for a CPU, where the executor
            knows; else what all programs waited is taken, if others were busy.
        is_own: It had all its CPUs, so what it waited for were its own threads.
    """
    pressure = found.pressure_cpu or found.queue or 0.0
    if waiting is not None:
        if waiting > MOST_WAITING:
            cause = _OWN if is_own else _cause(others)
            yield f"wall time is {waiting:.0f} % waiting for a CPU{cause}"
    elif pressure > MOST_WAITING and _names(others) and not is_own:
        yield f"programs waited for a CPU, {pressure:.0f} % of the time{_cause(others)}"
    if (found.steal or 0.0) > MOST_STEAL:
        yield (
            f"the host of this virtual machine took {found.steal:.0f} % of the CPU time for "
            "something else (steal)"
        )
    if (found.pressure_memory or 0.0) > MOST_MEMORY:
        yield f"memory was short, {found.pressure_memory:.0f} % of the time"
    if found.throttles:
        yield f"CPUs were throttled {found.throttles} times, because of heat or power"


def _cause(others: Span | None) -> str:
    names = _names(others)
    if names:
        return f": {names} meanwhile"
    if others is None or others.is_alone:
        return "; what else used the CPUs can't be seen from here"
    return _OWN


def _names(others: Span | None) -> str:
    """Say who used how much of a CPU; empty if nobody was busy."""
    busy = [each for each in (others.busiest if others else ()) if each.share >= _LEAST_BUSY]
    words = [f"`{each.name}` {100 * each.share:.0f} %" for each in busy[:_MOST_NAMED]]
    if not words:
        return ""
    first = words[0].replace("` ", "` used ", 1) + " of a CPU"
    return ", ".join([first, *words[1:]])


def _grown(before: int | None, after: int | None) -> int | None:
    # A counter of a CPU that was switched off may be smaller afterwards.
    return None if before is None or after is None else max(0, after - before)


def _sum(*values: int | None) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _percent(part: int | None, whole: int | None) -> float | None:
    if part is None or whole is None:
        return None
    return 100 * part / whole if whole else 0.0


def _of_wall(before: int | None, after: int | None, wall: float) -> float | None:
    grown = _grown(before, after)
    return None if grown is None else 100 * grown / wall
