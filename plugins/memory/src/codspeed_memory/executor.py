"""The memory executor: every allocation and free of a command and its children.

Windows come from the integration: recording is on from the moment before StartProfiler is
acknowledged to the moment before StopProfiler is. What was recorded becomes the reference's
artifact, and a summary from which all results are read.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from codspeed import wire
from codspeed.errors import BundleError, ToolError
from codspeed.model import Comparability, IntegrationMode, Rounds, Sharing, Tool
from codspeed.protocols import ExecutorDefaults, Hooks
from codspeed_memory import artifact, coverage, foreign, python_target, results, summary
from codspeed_memory.backend import Backend, chosen
from codspeed_memory.descriptor import MemoryOptions
from codspeed_memory.ebpf import rights
from codspeed_memory.shim import ShimBackend
from codspeed_memory.summary import Measured, Summary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    from codspeed.model import (
        BenchmarkResult,
        CallTree,
        Launch,
        Outcome,
        RunPart,
        System,
        Timeline,
        Window,
    )
    from codspeed.protocols import Session
    from codspeed_memory.recording import Recording
    from codspeed_memory.usage import Fate, Usage

RESULTS: Final = "results"
TIMESTAMPS: Final = "ExecutionTimestamps.msgpack"

# spec/executors.md 4.1: older ones do not speak to a memory recorder.
_MIN_CLIENTS: Final = {
    "codspeed-rust": "4.2.0",
    "codspeed-cpp": "2.1.0",
    "pytest-codspeed": "4.3.0",
    "codspeed-node": "5.2.0",
    "exec-harness": "1.0.0",
}
# Held SHARED by whoever a uprobe in the C library would kill.
LIBC_PROBES: Final = "libc-probes"
_COMPILERS: Final = ("cc", "gcc", "clang")
# Bytes from one stack to the next at the start of a window: 10 MB give about 550 stacks, which tell
# a share of 70 % to 3 points; 1 GB gives 8,700. benchmarks/memory_shim.py says what one costs.
STACK_INTERVAL: Final = 16 * 1024


class MemoryExecutor(ExecutorDefaults):
    """Measures memory; see `codspeed.protocols.Executor`."""

    integration_mode = IntegrationMode.ANALYSIS
    min_protocol = 2
    min_clients = _MIN_CLIENTS
    rounds = Rounds.ONCE

    def __init__(self, options: MemoryOptions | None = None) -> None:
        """Take the plugin's options."""
        super().__init__(options)
        self._options = options or MemoryOptions()
        self._backends: dict[int, Backend] = {}
        self._targets: dict[int, dict[str, str | None]] = {}

    # --- Before the run ---

    def tools(self, _system: System) -> Sequence[Tool]:
        """Need a C compiler once, for what is preloaded; uprobes do without."""
        if self._options.memory_backend == "ebpf":
            return ()
        found = next(filter(None, map(shutil.which, _COMPILERS)), None)
        remedy = "apt-get install gcc libc6-dev"
        return (Tool("C compiler", Path(found) if found else None, remedy=remedy),)

    def environment(self, part: RunPart) -> Mapping[str, str]:
        """Choose CPython's allocator; a harness is not what is measured."""
        return {} if part.harnessed else self._python_variables(part)

    def target_launch(self, part: RunPart, target: Launch, uri: str) -> Launch:
        """Record the target, not its harness."""
        backend = self._backend(part)
        self._targets.setdefault(part.index, {})[uri] = backend.uncovered(target)
        variables = self._python_variables(part)
        # What the user set for this target wins.
        return backend.target_launch(attrs.evolve(target, env={**variables, **target.env}))

    def _backend(self, part: RunPart) -> Backend:
        if part.index not in self._backends:
            self._backends[part.index] = chosen(
                self._options.memory_backend,
                mappings=python_target.wants_mappings(self._allocator(part), part.compat),
                stack_interval=STACK_INTERVAL if self._options.memory_stacks else 0,
            )
        return self._backends[part.index]

    def _takes_stacks(self, part: RunPart) -> bool:
        return self._options.memory_stacks and self._backend(part).takes_stacks

    def _python_variables(self, part: RunPart) -> dict[str, str]:
        names_frames = self._takes_stacks(part)
        return python_target.variables(self._allocator(part), names_frames=names_frames)

    def _allocator(self, part: RunPart) -> str:
        return python_target.allocator(self._options.python_allocator, part.compat)

    def resources(self, part: RunPart) -> Mapping[str, Sharing]:
        """Keep Valgrind away while the C library has probes."""
        held = super().resources(part)
        if self._options.memory_backend != "ebpf":
            return held
        return {**held, LIBC_PROBES: Sharing.EXCLUSIVE}

    # --- The run ---

    def measure(self, part: RunPart, session: Session) -> Outcome:
        """Run the command with recording in its windows; keep what was recorded on every path."""
        backend = self._backend(part)
        self._require_something_to_see(part, backend)
        (part.folder / RESULTS).mkdir(exist_ok=True)
        hooks = _Windows(backend)
        outcome, since_ns = None, time.time_ns()
        with backend.armed(part, session) as launch:
            try:
                outcome = session.run(launch, hooks)
            finally:
                self._keep(part, backend.finish(), hooks.named(outcome), hooks.root, since_ns)
        _keep_timestamps(part.folder / RESULTS / TIMESTAMPS, outcome)
        return attrs.evolve(outcome, notes=(*outcome.notes, *self._notes(part)))

    def _require_something_to_see(self, part: RunPart, backend: Backend) -> None:
        targets = self._targets.get(part.index, {})
        if part.harnessed:
            reasons = list(targets.values())
            names = [uri for uri, reason in targets.items() if reason]
        else:
            reasons = [backend.uncovered(part.launch)]
            names = [part.launch.argv[0]]
        if not reasons or not all(reasons):
            return
        problem = f"no allocation of {', '.join(names)} could be seen: {reasons[0]}"
        hint = "link it dynamically, or without an allocator of its own, or use another mode"
        raise ToolError(problem, hint=f"{hint}{self._way_out()}")

    def _way_out(self) -> str:
        """Say what uprobes would do for a program that the shim does not see."""
        if self._options.memory_backend == "shim":
            return "; --memory-backend auto uses uprobes for such programs, where it has the rights"
        refused = rights.lacking() if self._options.memory_backend == "auto" else None
        return "" if refused is None else f"; uprobes would see it, but {refused.problem}"

    def _keep(
        self,
        part: RunPart,
        recording: Recording,
        windows: Mapping[int, Measured],
        root: int,
        since_ns: int,
    ) -> None:
        """Write artifact, summary and call trees.

        Raises:
            ToolError: For lost events, unless they are accepted.
            BundleError: If something can't be written.
        """
        usages, fates = _analysed(part, recording, windows, root)
        gaps = coverage.gaps(recording.notes())
        gaps = {number: (*gaps.get(number, ()), *recording.gaps) for number in windows}
        measured = {
            number: self._measured(part, number, window, usages, gaps)
            for number, window in windows.items()
        }
        backend = self._backend(part)
        done = Summary(
            backend=backend.name,
            allocator=self._allocator(part),
            windows=tuple(measured.values()),
            dropped=recording.dropped,
            waits=recording.waits,
        )
        summary.save(done, part.folder)
        if self._takes_stacks(part):
            is_whole = backend.name == ShimBackend.name  # probes count, and take no stacks
            made = _stacks().trees(
                recording, measured, fates, since_ns=since_ns, is_scaled=is_whole
            )
            _stacks().save(made, part.folder)
        if recording.dropped and not self._options.allow_dropped:
            problem = f"{recording.dropped} allocation events were lost: the figures are too low"
            raise ToolError(problem, hint="measure less at once, or accept it: --allow-dropped")

    def _measured(
        self,
        part: RunPart,
        number: int,
        window: Measured,
        usages: Mapping[int, Usage],
        gaps: Mapping[int, tuple[str, ...]],
    ) -> Measured:
        usage = usages.get(number, window.usage)
        said = list(gaps.get(number, ()))
        why = self._targets.get(part.index, {}).get(window.uri or "")
        is_target = part.harnessed and window.uri is not None
        if is_target and why and not said:
            said.append(f"allocations of {window.uri} are not counted: {why}")
        if is_target and not why and not usage.process_count:
            said.append(f"no program of {window.uri} loaded the recorder: nothing was counted")
        return attrs.evolve(window, usage=usage, gaps=tuple(said))

    def _notes(self, part: RunPart) -> tuple[str, ...]:
        done = summary.load(part.folder)
        gaps = () if done is None else (gap for window in done.windows for gap in window.gaps)
        name = self._backend(part).name
        if self._options.memory_stacks and not self._takes_stacks(part):
            gaps = (*gaps, f"no call sites: the {name} backend takes no stacks")
        elif self._options.memory_stacks and name != ShimBackend.name:
            gaps = (*gaps, "call sites are those of programs that the shim sees: probes tell none")
        return tuple(dict.fromkeys(gaps))

    # --- After the run ---

    def measurement_model(self, part: RunPart, _outcome: Outcome) -> str:
        """Name what decides which allocations there are to see."""
        done = summary.load(part.folder)
        backend = done.backend if done else self._options.memory_backend.replace("auto", "shim")
        # What makes stacks useful lets CPython allocate a little more.
        extra = "/stacks" if self._takes_stacks(part) else ""
        return f"memory/1/{backend}/{part.compat.value}/{self._allocator(part)}{extra}"

    def comparability(self) -> Comparability:
        """Count the same on any machine of one architecture; libraries may allocate differently."""
        return Comparability(refuses=("arch",), warns=("libc", "python", "image"))

    def results(self, part: RunPart) -> Sequence[BenchmarkResult]:
        """Read the summary, or analyse what the reference's runner left.

        Raises:
            ResultsError: If there is a summary that can't be understood.
        """
        done = summary.load(part.folder) or foreign.summarised(part.folder / RESULTS)
        return results.benchmarks(done)

    def timeline(self, part: RunPart, uri: str) -> Timeline | None:
        """Return the live bytes of a benchmark over time."""
        done = summary.load(part.folder) or foreign.summarised(part.folder / RESULTS)
        return results.timeline(done, uri)

    def profile(self, part: RunPart, uri: str) -> CallTree | None:
        """Return who allocated how many bytes; None if no stacks were taken.

        Raises:
            ResultsError: If that can't be understood.
        """
        tree: CallTree | None = _stacks().read(part.folder, uri)
        return tree

    def profiles(self, part: RunPart, uri: str) -> Mapping[str, CallTree]:
        """Return who allocated, who held the peak, and who leaked. Raises as `profile` does."""
        trees: dict[str, CallTree | None] = {
            view: _stacks().read(part.folder, uri, view) for view in _stacks().VIEWS
        }
        return {view: tree for view, tree in trees.items() if tree is not None}


class _Windows(Hooks):
    """Switches recording, and remembers what each window was.

    Attributes:
        root: The child's process id.
        windows: By number, from 1; those that were closed.
    """

    def __init__(self, backend: Backend) -> None:
        self.root = 0
        self.windows: dict[int, Measured] = {}
        self._backend = backend
        self._number = 0
        self._start_ns = 0

    def spawned(self, pid: int) -> None:
        self.root = pid
        self._backend.spawned(pid)

    def started(self) -> None:
        self._number += 1
        self._start_ns = self._backend.enable(self._number)

    def stopped(self) -> None:
        self.windows[self._number] = Measured(None, self._start_ns, self._backend.disable())

    def benchmark(self, _pid: int, uri: str) -> None:
        """Name the latest window; `named` corrects it where the session knows better."""
        if self._number in self.windows:
            self.windows[self._number] = attrs.evolve(self.windows[self._number], uri=uri)

    def named(self, outcome: Outcome | None) -> dict[int, Measured]:
        """Return the windows with their names as the session gave them."""
        if outcome is None:
            return self.windows
        return {
            number: attrs.evolve(window, uri=_uri_of(window, outcome.windows))
            for number, window in self.windows.items()
        }


def _uri_of(window: Measured, known: Sequence[Window]) -> str | None:
    """Return the name of the session's window that lies around recording's end."""
    inside = (each.uri for each in known if window.start_ns <= each.start <= window.end_ns)
    return next(inside, None)


def _analysed(
    part: RunPart, recording: Recording, windows: Mapping[int, Measured], root: int
) -> tuple[dict[int, Usage], dict[int, dict[int, Fate]]]:
    """Write the artifact; return what windows used, and the fates of sampled blocks."""
    path = part.folder / RESULTS / f"{root}{artifact.SUFFIX}"
    starts = {number: each.start_ns for number, each in windows.items()}
    fates: dict[int, dict[int, Fate]] = {}
    try:
        with path.open("wb") as file:
            return recording.analysed(starts, file, fates), fates
    except OSError as failure:
        problem = f"{path} can't be written: {failure.strerror}"
        raise BundleError(problem, hint="free space there") from failure


def _stacks() -> ModuleType:
    """Return what follows and names stacks: a run without them does not wait for its imports."""
    from codspeed_memory import stacks  # noqa: PLC0415 - see above

    return stacks


def _keep_timestamps(path: Path, outcome: Outcome) -> None:
    try:
        path.write_bytes(wire.dump_timestamps(outcome.timestamps))
    except OSError as failure:
        problem = f"{path} can't be written: {failure.strerror}"
        raise BundleError(problem, hint="free space there") from failure


__all__ = ["MemoryExecutor", "MemoryOptions"]
