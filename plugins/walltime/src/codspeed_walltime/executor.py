"""The walltime executor: serves the integration's FIFO and keeps what it measured itself.

The numbers are the integration's: `results/<pid>.json` in the profile folder is authoritative for
names and times (spec/integrations.md 0). What the runner adds are the windows it saw and, where the
machine lets it sample, a profile of each benchmark.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed import wire
from codspeed.errors import BundleError, CodspeedError
from codspeed.launch import isolation
from codspeed.model import Comparability, Compat, IntegrationMode, Rounds
from codspeed.protocols import ExecutorDefaults, Hooks
from codspeed_walltime import profiles, usage
from codspeed_walltime.descriptor import WalltimeOptions
from codspeed_walltime.leftovers import keep_jit_names, recent_pids
from codspeed_walltime.profiler import PIPEDATA, SEPARATE, Choice, Profiler, choose
from codspeed_walltime.realtime import Realtime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

    from codspeed.model import BenchmarkResult, CallTree, MarkerKind, Outcome, RunPart
    from codspeed.protocols import Session
    from codspeed_walltime.artifacts.part import ServiceFiles

TIMESTAMPS: Final = "ExecutionTimestamps.msgpack"
# Of the second pass: its results must not be taken for those of the first.
_SECOND: Final = "profile-pass"
# What takes longer is done when somebody looks: the end of a run should not be waited for.
# Stacks are followed at 50 MB/s and more; the time is for where nobody counted, or it is slower.
_FOLDED_AT_ONCE_BYTES: Final = 8 << 20
_FOLDED_AT_ONCE_S: Final = 0.15

_TRAMPOLINE: Final = "PYTHON_PERF_JIT_SUPPORT"
# It switches the trampoline on by itself, whatever the variable says.
_TRAMPOLINES: Final = frozenset({"pytest-codspeed"})

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
        super().__init__(options or WalltimeOptions())
        self._isolation: isolation.Isolation | None = None
        self._timed_under = Profiler()
        self._profiler = Profiler()
        self._is_trampolined = False
        self._choice: Choice | None = None
        self._realtime = Realtime()

    def environment(self, part: RunPart) -> Mapping[str, str]:
        """Return the variables of walltime mode.

        Raises:
            ToolError: If the profiler that was asked for is missing.
        """
        self._choice = choose(self.options, part)
        # What makes Python's functions visible slows their calls down; nobody pays it for nothing.
        is_seen = self._choice.is_on and not self._is_separate
        is_wanted = part.compat is Compat.CODSPEED or is_seen
        self._is_trampolined = is_wanted and sys.platform != "darwin"
        return {
            _TRAMPOLINE: "1" if self._is_trampolined else "0",
            "JAVA_TOOL_OPTIONS": _JAVA_TOOL_OPTIONS,
        }

    @property
    def _is_separate(self) -> bool:
        return bool(self.options.profile_pass == SEPARATE)

    def measure(self, part: RunPart, session: Session) -> Outcome:
        """Run the command, isolated as the machine allows, and keep its timestamps.

        With `--profile-pass separate` it runs twice; the second time nothing but the profile is
        kept.
        """
        self._isolation = isolation.resolve(session.system)
        # The harness reads the same of each round itself.
        watch = None if part.harnessed else usage.Watch()
        choice = self._choice or choose(self.options, part)
        files: ServiceFiles | None = None
        if self._is_separate and choice.is_on:
            outcome = self._run(part, session, Profiler(), watch)
            self._keep_timestamps(part, outcome)
            if outcome.status == 0 and not outcome.interrupted:
                self._profiler = choice.make()
                self._profile_apart(part, session, self._profiler)
        else:
            self._timed_under = self._profiler = choice.make()
            since_ns = time.time_ns()
            outcome = self._run(part, session, self._profiler, watch)
            self._keep_timestamps(part, outcome)
            files = self._service_files(part, outcome, since_ns)
            self._fold_soon(part.folder, part.folder, self._profiler, outcome)
        self._keep_usage(part, outcome, watch)
        if files is not None:  # last: a full disk ends it
            missing = files.write()
            self._profiler.notes = (*self._profiler.notes, *filter(None, [missing]))
        notes = (*outcome.notes, *filter(None, [choice.note]), *self._notes())
        return attrs.evolve(outcome, notes=notes)

    def _profile_apart(self, part: RunPart, session: Session, profiler: Profiler) -> None:
        """Run a second time under the profiler, with results of its own."""
        folder = part.folder / _SECOND
        folder.mkdir(exist_ok=True)
        own = {_TRAMPOLINE: "1", "CODSPEED_PROFILE_FOLDER": str(folder)}
        launch = attrs.evolve(part.launch, env={**part.launch.env, **own})
        apart = attrs.evolve(part, launch=launch, folder=folder)
        session.note("second run, for the profile")
        self._fold_soon(part.folder, folder, profiler, self._run(apart, session, profiler))

    def _run(
        self,
        part: RunPart,
        session: Session,
        profiler: Profiler,
        watch: usage.Watch | None = None,
    ) -> Outcome:
        """Run the command once; the profiler is stopped on every path."""
        since_ns = time.time_ns()
        realtime = self._realtime if self.options.realtime else None
        with contextlib.ExitStack() as stack:
            stack.callback(self._realtime.end)
            if watch is not None:
                stack.callback(watch.close)
            launch = stack.enter_context(
                isolation.isolated(
                    part.launch,
                    self._isolation or isolation.resolve(session.system),
                    environment=session.environment,
                    announce=session.note,
                    interactive="CI" not in session.system.env,
                )
            )
            stack.callback(_keep_names, part.folder, profiler, session, since_ns)
            stack.callback(profiler.stop)
            wrapped = profiler.wrap(launch, part.folder)
            profiler.prepare(session, part.folder)
            is_tool = wrapped.argv != launch.argv
            switch = _Switch(profiler, part.compat, watch, realtime, is_tool=is_tool)
            return session.run(wrapped, switch)

    def _fold_soon(self, target: Path, folder: Path, profiler: Profiler, outcome: Outcome) -> None:
        """Make call trees now, while the binaries are those that ran, if that is quick."""
        if not profiler.is_on or profiler.samples == 0 or not (folder / PIPEDATA).is_file():
            return
        is_apart = target != folder  # then it can't be made later: the windows are not kept
        if not is_apart and profiler.stack_bytes > _FOLDED_AT_ONCE_BYTES:
            return
        budget_s = None if is_apart else _FOLDED_AT_ONCE_S
        try:
            folded = _folding().profiles(folder, outcome, budget_s=budget_s)
        except (CodspeedError, OSError) as failure:
            profiler.notes = (*profiler.notes, f"no profile: {failure}")
            return
        if folded is not None:
            with contextlib.suppress(OSError):  # then it is made when somebody looks
                (target / profiles.FOLDED).write_bytes(profiles.dump(folded))

    def _service_files(self, part: RunPart, outcome: Outcome, since_ns: int) -> ServiceFiles | None:
        """Return what writes the service's files; None if nobody will read them."""
        if part.compat is not Compat.CODSPEED or not self._profiler.is_on:
            return None
        artifacts = _artifacts()
        if not artifacts.is_wanted(part, outcome, self._profiler):
            return None
        files: ServiceFiles = artifacts.ServiceFiles(
            part.folder, outcome, self._profiler, since_ns=since_ns
        )
        return files

    def _keep_timestamps(self, part: RunPart, outcome: Outcome) -> None:
        path = part.folder / TIMESTAMPS
        try:
            path.write_bytes(wire.dump_timestamps(outcome.timestamps))
        except OSError as failure:
            problem = f"{path} can't be written: {failure.strerror}"
            hint = "free space there or name another folder with --profile-folder"
            raise BundleError(problem, hint=hint) from failure

    def _keep_usage(self, part: RunPart, outcome: Outcome, watch: usage.Watch | None) -> None:
        """Keep what a restored part should know: without it the times are still right."""
        windows = {} if watch is None else usage.summed(outcome.windows, watch.windows)
        notes = tuple(filter(None, [self._realtime.note]))
        if windows or notes:
            with contextlib.suppress(OSError):
                (part.folder / usage.USAGE).write_bytes(
                    usage.dump(usage.Usage(notes=notes, windows=windows))
                )

    def measurement_model(self, part: RunPart, outcome: Outcome) -> str:
        """Name what moves wall time by itself: the profiler, Python's trampoline, the isolation."""
        if self._isolation is None and part.model:
            return part.model  # somebody else measured it, and knew
        kinds = [] if self._isolation is None else [self._isolation.kind.value]
        if self._realtime.is_on:
            kinds = [*(kind for kind in kinds if kind != "none"), "realtime"]
        kind = "+".join(kinds) or "none"
        integration = "" if outcome.integration is None else outcome.integration.name
        is_on = self._is_trampolined or integration in _TRAMPOLINES
        trampoline = "on" if is_on else "off"
        return (
            f"walltime/2/profiler={self._timed_under.name}/trampoline={trampoline}/isolation={kind}"
        )

    def comparability(self) -> Comparability:
        """Refuse to compare different machines; warn about what usually matters less."""
        return Comparability(
            refuses=("cpu_model", "cpu_cores", "virtualization"),
            warns=("kernel", "image", "libc", "governor"),
        )

    def results(self, part: RunPart) -> Sequence[BenchmarkResult]:
        """Read the integrations' results files; raises ResultsError if one can't be understood."""
        found: Sequence[BenchmarkResult] = _results().read_results(
            part.folder / "results", usage.read(part.folder)
        )
        return found

    def profile(self, part: RunPart, uri: str) -> CallTree | None:
        """Return the benchmark's samples by stack; None if there are none.

        Raises:
            CodspeedError: If what was recorded can't be understood.
        """
        folded = profiles.read(part.folder)
        if folded is None and part.outcome is not None and (part.folder / PIPEDATA).is_file():
            folded = _folding().profiles(part.folder, part.outcome, only=uri)
        return None if folded is None else folded.trees.get(uri)

    def _notes(self) -> tuple[str, ...]:
        chosen = self._isolation
        lost = self._profiler.lost
        return (
            *(() if chosen is None else (f"isolation: {chosen.described}",)),
            *filter(None, [self._realtime.note]),
            *self._profiler.notes,
            *((f"profile: {lost} samples were lost, there was no room for them",) if lost else ()),
        )


class _Switch(Hooks):
    """The profiler and what else looks at the benchmark follow the integration's windows.

    The profiler is switched on last and off first: what the others do is none of the benchmark's.
    """

    def __init__(
        self,
        profiler: Profiler,
        compat: Compat,
        watch: usage.Watch | None,
        realtime: Realtime | None,
        *,
        is_tool: bool,
    ) -> None:
        self._profiler = profiler
        self._compat = compat
        self._watch = watch
        self._realtime = realtime
        self._is_tool = is_tool

    def spawned(self, pid: int) -> None:
        self._profiler.start(pid)
        if self._watch is not None:
            self._watch.spawned(pid, is_tool=self._is_tool)
        if self._realtime is not None:
            self._realtime.begin(pid)

    def integration(self, name: str, version: str) -> None:
        del name, version
        if self._watch is not None:
            self._watch.refresh()

    def released(self) -> None:
        _results()
        if self._profiler.is_on:
            _folding()
            if self._compat is Compat.CODSPEED:
                _artifacts()

    def started(self) -> None:
        if self._watch is not None:
            self._watch.started()
        self._profiler.enable()

    def stopped(self) -> None:
        self._profiler.disable()
        if self._watch is not None:
            self._watch.stopped()

    def marker(self, pid: int, kind: MarkerKind, timestamp: int) -> None:
        del kind, timestamp
        if self._watch is not None:
            self._watch.marker(pid)

    def benchmark(self, pid: int, uri: str) -> None:
        del uri
        if self._watch is not None:
            self._watch.named(pid)

    def healthy(self) -> bool:
        return self._profiler.is_healthy()


def _keep_names(folder: Path, profiler: Profiler, session: Session, since_ns: int) -> None:
    if profiler.kind != "none":
        pids = profiler.pids or recent_pids(since_ns=since_ns)
        keep_jit_names(folder, pids | session.pids(), since_ns=since_ns)


def _results() -> ModuleType:
    """Return what reads results; see `_folding`."""
    from codspeed_walltime import results  # noqa: PLC0415 - see above

    return results


def _folding() -> ModuleType:
    """Return the half that reads: loaded while the command starts, so that nobody waits for it."""
    from codspeed_walltime import folding  # noqa: PLC0415 - see above

    return folding


def _artifacts() -> ModuleType:
    """Return the half that writes for the service; see `_folding`."""
    from codspeed_walltime.artifacts import part  # noqa: PLC0415 - see above

    return part
