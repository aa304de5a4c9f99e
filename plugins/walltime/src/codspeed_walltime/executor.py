"""The walltime executor: serves the integration's FIFO and keeps what it measured itself.

The numbers are the integration's: `results/<pid>.json` in the profile folder is authoritative for
names and times (spec/integrations.md 0). What the runner adds are the windows it saw.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed import wire
from codspeed.errors import BundleError
from codspeed.launch import isolation
from codspeed.model import Comparability, IntegrationMode, Rounds
from codspeed.protocols import ExecutorDefaults
from codspeed_walltime.results import read_results

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codspeed.model import BenchmarkResult, Outcome, RunPart
    from codspeed.protocols import Session

TIMESTAMPS: Final = "ExecutionTimestamps.msgpack"

# spec/executors.md 1.5, since runner 4.13.0.
_JAVA_TOOL_OPTIONS: Final = (
    "-XX:+PreserveFramePointer -XX:+UnlockDiagnosticVMOptions -XX:+DebugNonSafepoints "
    "-XX:+EnableDynamicAgentLoading -Djdk.attach.allowAttachSelf=true"
)


class WalltimeExecutor(ExecutorDefaults):
    """Measures wall time; see `codspeed.protocols.Executor`."""

    integration_mode = IntegrationMode.WALLTIME
    rounds = Rounds.TIMED

    def __init__(self, options: Any = None) -> None:
        """Take the plugin's options."""
        super().__init__(options)
        self._isolation: isolation.Isolation | None = None

    def environment(self, _part: RunPart) -> Mapping[str, str]:
        """Return the variables of walltime mode."""
        return {
            "PYTHON_PERF_JIT_SUPPORT": "0" if sys.platform == "darwin" else "1",
            "JAVA_TOOL_OPTIONS": _JAVA_TOOL_OPTIONS,
        }

    def measure(self, part: RunPart, session: Session) -> Outcome:
        """Run the command, isolated as the machine allows, and keep its timestamps."""
        self._isolation = isolation.resolve(session.system)
        with isolation.isolated(
            part.launch,
            self._isolation,
            environment=session.environment,
            announce=session.note,
            interactive="CI" not in session.system.env,
        ) as launch:
            outcome = session.run(launch)
        self._keep_timestamps(part, outcome)
        return attrs.evolve(outcome, notes=(*outcome.notes, *self._notes()))

    def _keep_timestamps(self, part: RunPart, outcome: Outcome) -> None:
        path = part.folder / TIMESTAMPS
        try:
            path.write_bytes(wire.dump_timestamps(outcome.timestamps))
        except OSError as failure:
            problem = f"{path} can't be written: {failure.strerror}"
            hint = "free space there or name another folder with --profile-folder"
            raise BundleError(problem, hint=hint) from failure

    def measurement_model(self, _part: RunPart, _outcome: Outcome) -> str:
        """Name what moves wall time by itself: the isolation and the profiler."""
        kind = "none" if self._isolation is None else self._isolation.kind.value
        return f"walltime/1/profiler=none/isolation={kind}"

    def comparability(self) -> Comparability:
        """Refuse to compare different machines; warn about what usually matters less."""
        return Comparability(
            refuses=("cpu_model", "cpu_cores", "virtualization"),
            warns=("kernel", "image", "libc", "governor"),
        )

    def results(self, part: RunPart) -> Sequence[BenchmarkResult]:
        """Read the integrations' results files; raises ResultsError if one can't be understood."""
        return read_results(part.folder / "results")

    def _notes(self) -> tuple[str, ...]:
        chosen = self._isolation
        return () if chosen is None else (f"isolation: {chosen.kind.value} ({chosen.reason})",)
