"""What core needs to know of the harness without loading it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from codspeed.model import option
from codspeed.protocols import HarnessDescriptor

if TYPE_CHECKING:
    from codspeed_exec_harness.harness import ExecHarness


@attrs.frozen
class Bounds:
    """How long and how often a command is run, as the user wrote it (spec/executors.md 6.4).

    Attributes:
        warmup_time: Duration as text; None for 1 s, "0" for no warm-up.
        max_time: Duration as text; None for 3 s if nothing else is given, "0" for no limit.
        min_time: Duration as text.
        max_rounds: Not negative.
        min_rounds: Not negative.
    """

    warmup_time: str | None = option(
        None,
        parse="duration",
        metavar="DURATION",
        help="Run the command this long before measuring; 0 for no warm-up (default 1s)",
        verbs=("exec",),
    )
    max_time: str | None = option(
        None,
        parse="duration",
        metavar="DURATION",
        help="Measure at most this long; 0 for no limit (default 3s without other bounds)",
        verbs=("exec",),
    )
    min_time: str | None = option(
        None,
        parse="duration",
        metavar="DURATION",
        help="Measure at least this long",
        verbs=("exec",),
    )
    max_rounds: int | None = option(
        None, parse="int", metavar="N", help="Measure at most this often", verbs=("exec",)
    )
    min_rounds: int | None = option(
        None, parse="int", metavar="N", help="Measure at least this often", verbs=("exec",)
    )


def _load() -> type[ExecHarness]:
    from codspeed_exec_harness.harness import ExecHarness  # noqa: PLC0415 - loaded when selected

    return ExecHarness


descriptor: Final = HarnessDescriptor(
    name="exec-harness", label="Exec harness", load=_load, options=Bounds
)
