"""From the bounds that a user gave to the number of rounds that are run.

The formulas are those of the reference (spec/executors.md 6.4 and 6.5). No I/O here.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import attrs

from codspeed.errors import UsageError
from codspeed_exec_harness.duration import parse_duration

if TYPE_CHECKING:
    from codspeed_exec_harness.descriptor import Bounds

_DEFAULT_WARMUP_NS: Final = 1_000_000_000
_DEFAULT_MAX_NS: Final = 3_000_000_000

_logger = logging.getLogger(__name__)


@attrs.frozen
class Limit:
    """One side of the bounds, in either dimension or both.

    Attributes:
        rounds: None if not limited by a count.
        time_ns: None if not limited by time.
    """

    rounds: int | None = None
    time_ns: int | None = None

    @property
    def is_rounds_only(self) -> bool:
        """Whether only a count limits."""
        return self.rounds is not None and self.time_ns is None

    @property
    def is_absent(self) -> bool:
        """Whether nothing limits."""
        return self.rounds is None and self.time_ns is None


@attrs.frozen
class Plan:
    """Bounds with every default filled in.

    Attributes:
        warmup_ns: 0 for none.
        least: What must be reached.
        most: What must not be passed.
    """

    warmup_ns: int
    least: Limit
    most: Limit


def resolve(bounds: Bounds) -> Plan:
    """Fill in the defaults and check that the bounds fit together.

    Raises:
        UsageError: If a value can't be read, or the bounds contradict each other or limit nothing.
    """
    warmup_ns = _time("warmup_time", bounds.warmup_time)
    least = Limit(_count("min_rounds", bounds.min_rounds), _time("min_time", bounds.min_time))
    most = Limit(_count("max_rounds", bounds.max_rounds), _max_time(bounds, least))
    _reject_contradiction(least, most)
    plan = Plan(_DEFAULT_WARMUP_NS if warmup_ns is None else warmup_ns, least, most)
    if least.is_absent and most.is_absent:
        raise _nothing_limits(plan)
    return plan


def rounds_after_warmup(plan: Plan, average_ns: int) -> int:
    """Return how many rounds to run, one taking `average_ns` with everything around it.

    Raises:
        UsageError: If nothing limits.
    """
    average = max(average_ns, 1)
    least = _least_rounds(plan.least, average)
    most = _most_rounds(plan.most, average)
    if least is None and most is None:
        raise _nothing_limits(plan)
    if least is None or most is None:
        return most if least is None else least  # type: ignore[return-value] # one of them is known
    if least > most:
        _logger.warning(
            "The minimum asks for %d rounds, the maximum allows %d; running %d", least, most, most
        )
        return most
    return (least + most) // 2


def rounds_without_warmup(plan: Plan) -> int | None:
    """Return how many rounds to run when nothing is known of the command; None: time decides.

    Raises:
        UsageError: If nothing limits.
    """
    if plan.least.is_absent and plan.most.is_absent:
        raise _nothing_limits(plan)
    if plan.most.is_rounds_only:
        return plan.most.rounds
    if plan.least.is_rounds_only:
        return plan.least.rounds
    return plan.least.rounds if plan.most.rounds is None else plan.most.rounds


def _least_rounds(limit: Limit, average: int) -> int | None:
    if limit.time_ns is None:
        return limit.rounds
    for_time = (limit.time_ns + average) // average + 1
    return for_time if limit.rounds is None else max(limit.rounds, for_time)


def _most_rounds(limit: Limit, average: int) -> int | None:
    if limit.time_ns is None:
        return limit.rounds
    for_time = (limit.time_ns + average) // average
    return for_time if limit.rounds is None else min(limit.rounds, for_time)


def _time(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        problem = f"Invalid {name}: {error}"
        raise UsageError(problem) from error


def _count(name: str, count: int | None) -> int | None:
    if count is not None and count < 0:
        problem = f"Invalid {name}: {count} is negative"
        raise UsageError(problem, hint="give a whole number from 0")
    return count


def _max_time(bounds: Bounds, least: Limit) -> int | None:
    given = _time("max_time", bounds.max_time)
    if given is None and least.is_absent and bounds.max_rounds is None:
        return _DEFAULT_MAX_NS
    return given or None  # an explicit 0 is no limit


def _reject_contradiction(least: Limit, most: Limit) -> None:
    problem = None
    if least.time_ns is not None and most.time_ns is not None and least.time_ns > most.time_ns:
        problem = (
            f"min_time ({least.time_ns / 1e9:.2f}s) cannot be greater than "
            f"max_time ({most.time_ns / 1e9:.2f}s)"
        )
    elif least.rounds is not None and most.rounds is not None and least.rounds > most.rounds:
        problem = f"min_rounds ({least.rounds}) cannot be greater than max_rounds ({most.rounds})"
    if problem:
        raise UsageError(problem)


def _nothing_limits(plan: Plan) -> UsageError:
    if plan.warmup_ns:
        return UsageError(
            "Unable to determine number of rounds to perform",
            hint="give one of min_rounds, max_rounds, min_time, max_time",
        )
    return UsageError(
        "When warmup is disabled, at least one constraint "
        "(min_rounds, max_rounds, min_time, or max_time) must be specified"
    )
