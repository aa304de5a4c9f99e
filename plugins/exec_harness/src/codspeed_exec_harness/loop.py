"""The round loop of walltime: warm up, decide how often to run, run.

Rounds and clock are given, so nothing here starts a process. Rules: spec/executors.md 6.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from codspeed_exec_harness.bounds import rounds_after_warmup, rounds_without_warmup

if TYPE_CHECKING:
    from collections.abc import Callable

    from codspeed_exec_harness.bounds import Plan


class Round(NamedTuple):
    """One run of a command. A tuple because thousands are made between timed windows.

    Attributes:
        start_ns: Immediately before the spawn, on the monotonic clock.
        end_ns: When the end of the command was known, on the same clock.
        cpu_ns: User and system time of the command and the descendants that it waited for.
        queue_ns: Time its main thread was ready to run and had no CPU; None if unknown.
        voluntary_switches: As for `cpu_ns`.
        involuntary_switches: As for `cpu_ns`.
        max_rss_bytes: Largest resident set of any one of these processes.
    """

    start_ns: int
    end_ns: int
    cpu_ns: int = 0
    queue_ns: int | None = None
    voluntary_switches: int = 0
    involuntary_switches: int = 0
    max_rss_bytes: int = 0

    @property
    def wall_ns(self) -> int:
        """Time from start to end."""
        return self.end_ns - self.start_ns


def measure(run_round: Callable[[], Round], plan: Plan, clock: Callable[[], int]) -> list[Round]:
    """Return the rounds that count, at least one.

    Args:
        run_round: Runs the command once; what it raises ends the loop.
        plan: Resolved bounds.
        clock: Nanoseconds on the clock of the rounds.
    """
    if plan.warmup_ns == 0:
        return _run_rounds(run_round, plan, clock, rounds=rounds_without_warmup(plan))
    last, warmups, elapsed_ns = _warm_up(run_round, plan.warmup_ns, clock)
    if warmups == 1 and plan.most.time_ns is not None and plan.most.time_ns <= last.wall_ns:
        return [last]
    planned = rounds_after_warmup(plan, elapsed_ns // warmups)
    return _run_rounds(run_round, plan, clock, rounds=planned)


def _warm_up(
    run_round: Callable[[], Round], warmup_ns: int, clock: Callable[[], int]
) -> tuple[Round, int, int]:
    """Return the last round, the number of rounds and the time that all of them took."""
    start = clock()
    count = 0
    while True:
        last = run_round()
        count += 1
        elapsed = clock() - start
        if elapsed >= warmup_ns:
            return last, count, elapsed


def _run_rounds(
    run_round: Callable[[], Round], plan: Plan, clock: Callable[[], int], *, rounds: int | None
) -> list[Round]:
    most_ns = plan.most.time_ns
    least_ns = plan.least.time_ns
    done: list[Round] = []
    start = clock()
    while True:
        done.append(run_round())
        elapsed = clock() - start
        if most_ns is not None and elapsed >= most_ns:
            return done
        if rounds is not None:
            if len(done) >= rounds:
                return done
        elif least_ns is not None and elapsed >= least_ns:
            return done
