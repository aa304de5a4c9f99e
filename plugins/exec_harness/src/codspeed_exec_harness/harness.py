"""What core uses: names a command, and makes the one process that measures all of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from codspeed.model import Launch, Rounds
from codspeed_exec_harness.bounds import resolve
from codspeed_exec_harness.descriptor import Bounds
from codspeed_exec_harness.request import make_target, render_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codspeed.protocols import Target


class ExecHarness:
    """Turns plain commands into benchmarks (`codspeed.protocols.Harness`)."""

    def __init__(self, options: Bounds | None = None) -> None:
        self._defaults = Bounds() if options is None else options

    def target(self, launch: Launch, name: str | None, bounds: Any = None) -> Target:
        """Name a command: the words of the command unless a name is given.

        Raises:
            UsageError: If the bounds can't be read, contradict each other or limit nothing.
        """
        chosen = self._defaults if bounds is None else bounds
        resolve(chosen)
        return make_target(launch, name, chosen)

    def command(self, targets: Sequence[Target], rounds: Rounds) -> Launch:
        """Return the process that measures `targets` in order.

        What tells memory from simulation is CODSPEED_RUNNER_MODE, which core sets as for any
        command; `rounds` alone decides about repetition, so a mode of a plugin works as well.
        """
        # -P: a `json.py` in the user's folder is not ours to import.
        interpreter = (sys.executable, "-P", "-m", "codspeed_exec_harness")
        return Launch(
            argv=(*interpreter, "--rounds", rounds.value, "-"), stdin=render_targets(targets)
        )
