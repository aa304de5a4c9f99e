"""The simulation executor: counts what a command does on Valgrind's simulated processor.

There is no FIFO. Integrations see that they run under Valgrind and mark their benchmarks with
client requests; exec targets load a small library that does the same.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from codspeed.errors import ResultsError, ToolError, UsageError
from codspeed.model import ArchiveKind, Comparability, Compat, Launch, Rounds, Sharing
from codspeed.protocols import ExecutorDefaults
from codspeed_native import runtimes
from codspeed_valgrind import (
    capabilities,
    guard,
    install,
    log,
    outputs,
    perfmap,
    record,
    repeat,
    target,
    wrapper,
)
from codspeed_valgrind.descriptor import ValgrindOptions
from codspeed_valgrind.plan import Plan, Planner, model_of, step_warning

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codspeed.model import (
        BenchmarkResult,
        CallTree,
        Outcome,
        Privileges,
        RunPart,
        System,
        Tool,
    )
    from codspeed.protocols import Session

# Held EXCLUSIVE by whoever puts uprobes into the C library; see guard.py.
LIBC_PROBES: Final = "libc-probes"
# A part can't be measured without Valgrind, but how its targets would be started can be told.
_NONE: Final = capabilities.Capabilities(Path("valgrind"), "")


@attrs.frozen
class _Target:
    """One exec target.

    Attributes:
        prefix: How the names of its output files begin; empty if they are process ids alone.
        launcher: Starts it; removed when it was measured.
    """

    uri: str
    prefix: str
    plan: Plan
    whole: bool
    launcher: Path


class ValgrindExecutor(ExecutorDefaults):
    """Simulates; see `codspeed.protocols.Executor`.

    Attributes:
        compat: Whose Valgrind `tools` looks for; core sets it when it knows.
        setup_cache_dir: Where packages are kept; core sets it when it knows.
    """

    still_environment = True
    deterministic = True
    rounds = Rounds.ONCE
    archive = ArchiveKind.GZIP
    compat: Compat = Compat.NATIVE
    setup_cache_dir: Path | None = None

    def __init__(self, options: ValgrindOptions | None = None) -> None:
        """Take the plugin's options.

        Raises:
            UsageError: If the number of repeats is none.
        """
        super().__init__(options)
        self._options = options or ValgrindOptions()
        if self._options.repeat < 1:
            problem = f"--repeat {self._options.repeat}: at least 1 is needed"
            raise UsageError(problem)
        self._targets: dict[Path, list[_Target]] = {}
        self._system: System | None = None
        self._found: dict[str, capabilities.Capabilities | None] = {}

    # --- What it needs ---

    def tools(self, system: System) -> Sequence[Tool]:
        """Return Valgrind and the debug symbols of the C library."""
        self._system = system
        return install.tools(system, self._wanted(self.compat))

    def privileges(self) -> Privileges:
        """Return that packages are installed by root only."""
        return install.PRIVILEGES

    def setup(self, tools: Sequence[Tool]) -> None:
        """Install the packages of what is missing, and repair what venvs lack.

        Raises:
            ToolError: If a package can't be installed.
        """
        install.setup(tools, self._system, self.setup_cache_dir)
        capabilities.probe.cache_clear()
        self._found.clear()

    def resources(self, _part: RunPart) -> Mapping[str, Sharing]:
        """Keep uprobes away while a part is measured."""
        return {LIBC_PROBES: Sharing.SHARED}

    def environment(self, part: RunPart) -> Mapping[str, str]:
        """Return CPython's allocator (spec/executors.md 2.4)."""
        allocator = self._allocator(part)
        return {} if allocator == "default" else {"PYTHONMALLOC": allocator}

    # --- Measuring ---

    def target_launch(self, part: RunPart, launch: Launch, uri: str) -> Launch:
        """Return how one exec target is started under Valgrind.

        Raises:
            ToolError: If the preload library can't be compiled.
        """
        environment = {**os.environ, **self.environment(part), **launch.env}
        known = self._targets.setdefault(part.folder, [])
        whole = target.is_static(launch, environment)
        # Under compat the service finds its files by their names.
        is_named = whole or part.compat is Compat.NATIVE
        name = f"target-{len(known):04d}"
        prefix = name if is_named else ""
        plan = self._planner(part).target(launch, environment, prefix=prefix, whole=whole)
        program = part.folder / f"{name}.sh"
        wrapper.launcher(program, plan.valgrind)
        known.append(_Target(uri, prefix, plan, whole, program))
        marks = {} if whole else target.marked(environment, uri)
        if plan.is_free_threaded:
            marks["PYTHONMALLOC"] = "default"
        return attrs.evolve(launch, argv=(str(program), *launch.argv), env={**launch.env, **marks})

    def measure(self, part: RunPart, session: Session) -> Outcome:
        """Simulate the part's command, as often as was asked for.

        Raises:
            ToolError: If there is no Valgrind, or uprobes would kill the command.
            BenchmarkFailedError: If a uprobe did, or Valgrind itself failed.
            ResultsError: If an output file was cut off.
        """
        guard.check()
        self._require_valgrind(part)
        targets = self._targets.pop(part.folder, [])
        plan = None if part.harnessed else self._planner(part).entrypoint(session.environment)
        known = self._new_record(part, targets, plan)
        record.write(part.folder, known)
        if any(item.prefix for item in targets):
            uris = {item.prefix: item.uri for item in targets if item.prefix}
            record.write_targets(part.folder, uris)
        for text in self._warnings(part, known, [plan, *(item.plan for item in targets)]):
            session.note(text)
        try:
            outcome, unsteady = self._repeated(part, session, plan)
        finally:
            for item in targets:
                item.launcher.unlink(missing_ok=True)
        if unsteady:
            record.write(part.folder, attrs.evolve(known, unsteady=unsteady))
        marking = {item.prefix: item.uri for item in targets if item.prefix and not item.whole}
        notes = [f"valgrind: {line}" for line in log.remarks(part.folder)]
        notes += outputs.drop_unmarked(part.folder, marking)
        notes += [f"{uri}: {text}" for uri, text in unsteady.items()]
        return attrs.evolve(outcome, notes=(*outcome.notes, *notes))

    def _repeated(
        self, part: RunPart, session: Session, plan: Plan | None
    ) -> tuple[Outcome, dict[str, str]]:
        before = frozenset(path.name for path in part.folder.iterdir())
        runs: list[repeat.Counters] = []
        times = self._options.repeat
        while True:
            outcome = self._run(part, session, plan)
            if times == 1 or outcome.status != 0 or outcome.interrupted:
                return outcome, {}
            runs.append(repeat.counters_of(self.results(part)))
            if len(runs) == times:
                return outcome, repeat.unsteady(runs, self._likely_cause(part))
            repeat.clear(part.folder, keep=before)

    def _run(self, part: RunPart, session: Session, plan: Plan | None) -> Outcome:
        started_ns = time.time_ns()
        try:
            outcome = self._run_wrapped(part, session, plan)
        finally:
            perfmap.harvest(part.folder, since_ns=started_ns)
        if outcome.interrupted:
            return outcome
        trapped = guard.explained(outcome.status, log.lines(part.folder))
        if trapped is not None:
            raise trapped
        if outcome.status == 0:
            outputs.require_whole(part.folder)
        return outcome

    def _run_wrapped(self, part: RunPart, session: Session, plan: Plan | None) -> Outcome:
        if plan is None:
            return session.run(part.launch)  # a harness, which starts Valgrind for each target
        launch = part.launch
        if plan.is_free_threaded:
            launch = attrs.evolve(launch, env={**launch.env, "PYTHONMALLOC": "default"})
        if part.compat is Compat.NATIVE:
            return session.run(wrapper.wrapped(launch, plan.valgrind))
        with wrapper.scripted(launch, plan.valgrind, temp=session.system.temp) as scripted:
            return scripted.outcome(session.run(scripted.launch))

    # --- Reading ---

    def measurement_model(self, part: RunPart, _outcome: Outcome) -> str:
        """Name the tool and its version, the formula, compat, and CPython's allocator."""
        known = record.Record()
        with contextlib.suppress(ResultsError):
            known = record.read(part.folder)
        head = model_of(
            self._options,
            valgrind=known.valgrind,
            is_fork=known.flavour == "codspeed",
            estimates=known.cycle_estimation,
        )
        return f"{head}/{part.compat.value}/{known.allocator}"

    def comparability(self) -> Comparability:
        """Refuse other code paths of the C library; Valgrind's version is in the model."""
        return Comparability(
            refuses=("arch", "cpu_class", "libc_build"), warns=("kernel", "image", "python")
        )

    def results(self, part: RunPart) -> Sequence[BenchmarkResult]:
        """Read the counters of all benchmarks.

        Raises:
            ResultsError: If a file can't be understood.
        """
        from codspeed_valgrind.results import read_results  # noqa: PLC0415 - after the measurement

        known = record.read(part.folder)
        model = part.options.get("cycle_model", self._options.cycle_model)
        return [
            _with_notes(
                result,
                known.unsteady.get(result.uri, ""),
                _WHOLE if result.uri in known.whole else "",
            )
            for result in read_results(part, cycle_model=model)
        ]

    def profile(self, part: RunPart, uri: str) -> CallTree | None:
        """Return the exact stacks of a benchmark; None if there are none."""
        from codspeed_valgrind.results import call_tree  # noqa: PLC0415 - see above

        return call_tree(part, uri)

    # --- Deciding ---

    def _wanted(self, compat: Compat) -> str:
        flavour = self._options.valgrind_flavour
        if flavour != "auto":
            return flavour
        return "codspeed" if compat is Compat.CODSPEED else "stock"

    def _capabilities(self, part: RunPart) -> capabilities.Capabilities | None:
        flavour = self._wanted(part.compat)
        if flavour not in self._found:
            self._found[flavour] = capabilities.find(flavour)
        return self._found[flavour]

    def _planner(self, part: RunPart) -> Planner:
        return Planner(part, self._options, self._capabilities(part) or _NONE)

    def _require_valgrind(self, part: RunPart) -> None:
        found = self._capabilities(part)
        if found is None:
            problem = "valgrind: not found, or it does not run"
            raise ToolError(problem, hint=install.REMEDY)
        tool = self._options.simulation_tool
        if tool == "tracegrind" and not found.tracegrind:
            problem = f"Valgrind {found.version} at {found.path} has no tool {tool}"
            raise ToolError(problem, hint=install.FORK_REMEDY)

    def _new_record(
        self, part: RunPart, targets: Sequence[_Target], plan: Plan | None
    ) -> record.Record:
        found = self._capabilities(part) or _NONE
        plans = [*([] if plan is None else [plan]), *(item.plan for item in targets)]
        objects = dict.fromkeys(path for item in plans for path in item.runtime_objects)
        return record.Record(
            tool=self._options.simulation_tool,
            valgrind=found.version,
            flavour=found.flavour,
            allocator=self._allocator(part),
            cycle_estimation=self._options.cycle_estimation and found.cycle_estimation,
            runtime_objects=tuple(objects),
            whole=tuple(item.uri for item in targets if item.whole),
        )

    def _allocator(self, part: RunPart) -> str:
        chosen = self._options.python_allocator
        if chosen != "auto":
            return chosen
        if part.compat is Compat.NATIVE:
            return "pymalloc"
        python = runtimes.ask_python("python")
        return "default" if python is not None and python.is_free_threaded else "malloc"

    def _warnings(
        self, part: RunPart, known: record.Record, plans: Sequence[Plan | None]
    ) -> list[str]:
        options, found = self._options, self._capabilities(part) or _NONE
        texts = [
            f"--experimental-{name} has no effect; the replacement is --{name}"
            for name in ("cycle-estimation", "exclude-allocations")
            if getattr(options, f"experimental_{name.replace('-', '_')}")
        ]
        if options.experimental_fair_sched:
            texts.append("--experimental-fair-sched is experimental and may go away")
        if options.simulation_tool == "tracegrind":
            texts.append("tracegrind is experimental")
        refused = dict.fromkeys(name for plan in plans if plan for name in plan.refused)
        if refused:
            texts.append(step_warning(found, tuple(refused)))
        elif options.valgrind_flavour not in {"auto", found.flavour}:
            texts.append(f"no {options.valgrind_flavour} Valgrind was found; using {found.version}")
        if not wrapper.still_addresses():
            texts.append("address randomisation can't be switched off here (setarch)")
        texts += [f"{uri}: {_WHOLE}" for uri in known.whole]
        return texts

    def _likely_cause(self, part: RunPart) -> str:
        if self._allocator(part) == "malloc":
            return (
                "the C library's allocator, whose cost depends on all that was allocated before; "
                "--python-allocator pymalloc is steadier"
            )
        return "" if wrapper.still_addresses() else "address randomisation, which stays on here"


_WHOLE: Final = "a static program: measured as a whole, with its start and its end"


def _with_notes(result: BenchmarkResult, *notes: str) -> BenchmarkResult:
    return attrs.evolve(result, notes=(*result.notes, *filter(None, notes)))
