"""One run part: one command under one executor, from its options to its results."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed import wire
from codspeed.errors import (
    CodspeedError,
    InterruptedRunError,
    NoBenchmarksError,
    ResultsError,
    ToolError,
    UsageError,
)
from codspeed.hooks.paths import CTL_FIFO
from codspeed.hooks.session import FifoSession, failed
from codspeed.launch import lock, pytest_cache
from codspeed.launch.environment import inherited, injected
from codspeed.launch.introspection import introspected
from codspeed.launch.still import environment_hash, padded, stilled
from codspeed.model import (
    ArchiveKind,
    Comparability,
    Compat,
    Entrypoint,
    ExecTarget,
    Launch,
    Outcome,
    PartResults,
    Reporter,
    RunPart,
    RunRequest,
    System,
)
from codspeed.orchestrate import interrupt
from codspeed.orchestrate.absence import explain
from codspeed.orchestrate.select import blaming, harness_plugin, made, wanted_instruments
from codspeed.orchestrate.slices import results_of
from codspeed.protocols import Executor, Hooks, Instrument
from codspeed.registry import Plugin, Registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from codspeed.model import (
        BenchmarkResult,
        MarkerKind,
        Sharing,
    )
    from codspeed.protocols import Target

# The reference's sentence (spec/executors.md 1.11), for every executor.
NO_BENCHMARKS: Final = (
    "The command did not produce any CodSpeed result to process, "
    "did you run your benchmarks using a compatible CodSpeed integration?"
)

# Where the locks are: with the FIFOs. TMPDIR may differ between two runs that exclude each other.
_MACHINE_WIDE: Final = Path(CTL_FIFO).parent


@attrs.frozen
class Command:
    """What becomes one run part per executor: an entrypoint, or all exec targets together."""

    label: str
    entrypoint: Entrypoint | None = None
    targets: tuple[ExecTarget, ...] = ()


def commands_of(request: RunRequest) -> list[Command]:
    """Return the commands in the order in which they run: exec targets first."""
    commands = []
    if request.targets:
        first = " ".join(request.targets[0].argv)
        label = (
            f"Running `{first}` with exec-harness"
            if len(request.targets) == 1
            else f"Running {len(request.targets)} commands with exec-harness"
        )
        commands.append(Command(label, targets=request.targets))
    for entrypoint in request.entrypoints:
        command = entrypoint.command
        label = command if isinstance(command, str) else " ".join(command)
        commands.append(Command(label, entrypoint=entrypoint))
    return commands


@attrs.define
class Measurement:
    """A part while it is measured.

    Attributes:
        part: Grows: launch, outcome, model, error.
        executor: None until the plugin could be loaded.
        results: None if none could be read.
        errors: What went wrong, in order.
        is_measured: The command ran, at least in part: there may be results.
        environment_hash: See `PartRecord`.
        observers: The instruments that take part: those that were named, and those that are wanted.
    """

    part: RunPart
    command: Command
    plugin: Plugin
    request: RunRequest
    registry: Registry
    system: System
    reporter: Reporter
    executor: Executor | None = None
    results: PartResults | None = None
    errors: list[CodspeedError] = attrs.field(factory=list)
    is_measured: bool = False
    archive: str = ArchiveKind.PLAIN.value
    comparability: Comparability = attrs.field(factory=Comparability)
    environment_hash: str = ""
    observers: tuple[str, ...] = ()
    _instruments: list[tuple[Plugin, Instrument]] = attrs.field(factory=list)
    _split: str = ""

    def measure(self) -> None:
        """Run and read; what goes wrong is not raised but in `errors`."""
        with self._guarded():
            self._load()
        if self.executor is None:
            return
        with self._guarded():
            self._run(self.executor)
        if self.is_measured:
            with self._guarded():
                self._read(self.executor)

    def _load(self) -> None:
        executor = made(self.plugin, self.request.plugin_options)
        # Asked for now: a plugin that fails here must not fail when the bundle is written.
        self.archive = executor.archive.value
        declared = wire.from_plain(
            wire.to_plain(executor.comparability()), Comparability, where="comparability()"
        )
        if executor.still_environment and "environment_hash" not in declared.warns:
            warns = (*declared.warns, "environment_hash")
            declared = attrs.evolve(declared, warns=warns)
        self.comparability = declared
        self.executor = executor

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """No part is lost by a failure in one step of it, nor by Ctrl-C."""
        try:
            with interrupt.raised(), blaming(self.plugin):
                yield
        except CodspeedError as failure:
            self.fail(failure)
        except KeyboardInterrupt:
            self.fail(InterruptedRunError("interrupted", hint="finished benchmarks are kept"))

    def fail(self, failure: CodspeedError) -> None:
        """Note what went wrong; the first failure of a part is the one that is kept with it."""
        self.errors.append(failure)
        self.reporter.error(failure)
        if not self.part.error:
            error = failure.problem
            self.part = attrs.evolve(self.part, error=error, error_slug=failure.slug)

    def _run(self, executor: Executor) -> None:
        if self.request.skip_run:
            slices = len(list(self.part.folder.glob("slice-*")))
            self.part = attrs.evolve(self.part, slices=slices)
            model = executor.measurement_model(self.part.pieces[0], Outcome(status=0))
            self.part = attrs.evolve(self.part, model=model)
            self.is_measured = True
            return
        if not self.request.skip_setup:
            tell(executor, compat=self.part.compat, setup_cache_dir=self.request.setup_cache_dir)
            ensure_tools(executor, self.system, self.reporter)
        environment = self._environment(executor)
        self.part = attrs.evolve(self.part, launch=self._launch(executor))
        with contextlib.ExitStack() as stack:
            for resource, sharing in sorted(executor.resources(self.part).items()):
                stack.enter_context(self._held(resource, sharing))
            around = self._instrumented(executor, stack, environment)
            if self.command.entrypoint is not None:  # a harness starts what it is told to
                wrapped = introspected(environment, temp=self.system.temp)
                environment = stack.enter_context(wrapped)
            if self.is_still(executor):
                environment = self._held_still(stack, environment)
            session = FifoSession(
                system=self.system,
                environment=environment,
                mode=executor.integration_mode,
                min_protocol=executor.min_protocol,
                min_clients=executor.min_clients,
                reporter=self.reporter,
                around=around,
            )
            self._conclude(executor, session)

    def _conclude(self, executor: Executor, session: FifoSession) -> None:
        """Measure, and keep what was measured also when the executor failed after it."""
        whole: list[Outcome | None] = []
        with self._guarded():
            whole.append(self._measured(executor, session))
        outcome = whole[0] if whole else session.partial
        if outcome is None:
            return
        self.is_measured = True
        self.part = attrs.evolve(self.part, outcome=outcome)
        for note in outcome.notes:
            self.reporter.info(note)
        self._judge(outcome)
        model = executor.measurement_model(self.part.pieces[0], outcome) + self._split
        self.part = attrs.evolve(self.part, model=model)

    def _measured(self, executor: Executor, session: FifoSession) -> Outcome | None:
        """Measure in one piece, or in slices side by side.

        Raises:
            CodspeedError: What the executor raised; what slices raised is noted here.
        """
        if self.request.jobs == 1:
            return executor.measure(self.part, session)
        from codspeed.orchestrate import jobs  # noqa: PLC0415 - few runs are split

        slices = jobs.slices_of(self, executor, session.environment)
        if len(slices.launches) == 1:
            return executor.measure(self.part, session)
        self._split = slices.model_suffix
        self.part = attrs.evolve(self.part, slices=len(slices.launches))
        merged = jobs.measured(self, executor, slices, session.environment)
        for failure in merged.failures:
            self.fail(failure)
        return merged.outcome

    def _judge(self, outcome: Outcome) -> None:
        if outcome.interrupted:
            self.fail(InterruptedRunError("interrupted", hint="finished benchmarks are kept"))
        elif not self.part.error and (bad_end := failed(outcome)) is not None:
            self.fail(bad_end)

    def _environment(self, executor: Executor) -> dict[str, str]:
        descriptor = self.plugin.descriptor
        runner_mode = descriptor.runner_mode or descriptor.mode
        version = self.request.go_runner_version
        return {
            **self._inherited(executor),
            **injected(self.part, runner_mode, go_runner_version=version),
            **executor.environment(self.part),
        }

    def _inherited(self, executor: Executor) -> dict[str, str]:
        keep = self.request.keep_env
        is_strict = self.request.environment == "strict"
        variables = inherited(self.system.env, strict=is_strict, keep=keep)
        if not self.is_still(executor):
            return variables
        settled = stilled(variables, keep=keep)
        for change in settled.changes:
            self.reporter.debug(f"still environment: {change}")
        return settled.variables

    def _held_still(
        self, stack: contextlib.ExitStack, environment: Mapping[str, str]
    ) -> dict[str, str]:
        launch = self.part.launch
        cwd = (launch.cwd or Path()).absolute()
        moved = pytest_cache.redirected(environment, " ".join(launch.argv), cwd)
        stack.callback(self._remove_caches)
        self.environment_hash = environment_hash({**environment, **moved})
        return padded({**environment, **moved})

    def _remove_caches(self) -> None:
        for piece in self.part.pieces:
            pytest_cache.remove(piece.folder)

    def is_still(self, executor: Executor) -> bool:
        """Whether the environment is held still; the reference's is its own, to the letter."""
        return executor.still_environment and self.part.compat is Compat.NATIVE

    def _launch(self, executor: Executor) -> Launch:
        entrypoint = self.command.entrypoint
        if entrypoint is None:
            return self.harness_launch(executor, self.part, self.command.targets)
        command = entrypoint.command
        argv = ("bash", "-c", command) if isinstance(command, str) else command
        _require_folder(entrypoint.cwd)
        return Launch(argv, cwd=entrypoint.cwd)

    def harness_launch(
        self, executor: Executor, part: RunPart, targets: Sequence[ExecTarget]
    ) -> Launch:
        """Return the process that measures targets; `part` is ours or a slice of it."""
        descriptor = harness_plugin(self.registry).descriptor
        harness = descriptor.load()()
        ready: list[Target] = []
        for wanted in targets:
            _require_folder(wanted.cwd)
            bounds = descriptor.options(**wanted.bounds)
            target = harness.target(Launch(wanted.argv, cwd=wanted.cwd), wanted.name, bounds)
            if any(target.uri == other.uri for other in ready):
                problem = f"two targets are called {target.name!r}"
                hint = "give each a name of its own: results are told apart by it"
                raise UsageError(problem, hint=hint)
            launch = executor.target_launch(part, target.launch, target.uri)
            ready.append(attrs.evolve(target, launch=launch))
        command: Launch = harness.command(ready, executor.rounds)
        return command

    def _held(self, resource: str, sharing: Sharing) -> contextlib.AbstractContextManager[None]:
        return lock.hold(
            resource,
            sharing,
            temp=_MACHINE_WIDE,
            timeout=self.request.lock_timeout,
            waiting=lambda holder: self.reporter.info(f"{resource}: waiting for {holder}"),
        )

    def _instrumented(
        self, executor: Executor, stack: contextlib.ExitStack, environment: dict[str, str]
    ) -> Hooks:
        """Start the instruments; they are stopped with `stack`, on every path."""
        hooks: list[tuple[Plugin, Hooks]] = []
        for plugin, instrument in self._observing(executor):
            with blaming(plugin):
                if hasattr(instrument, "prepare"):  # younger than the first plugins
                    instrument.prepare(self.system, self.reporter)
                hooks.append((plugin, stack.enter_context(_stopped(plugin, instrument, self))))
                environment.update(instrument.environment(self.part))
                launch = instrument.wrap(self.part, self.part.launch)
            self.part = attrs.evolve(self.part, launch=launch)
            self._instruments.append((plugin, instrument))
        return _Chain(hooks)

    def _observing(self, executor: Executor) -> list[tuple[Plugin, Instrument]]:
        """Make the instruments: those that were named, then those that are wanted here."""
        values = self.request.plugin_options
        names = self.request.instruments
        plugins = [self.registry.get("codspeed.instruments", name) for name in names or ()]
        observing = [(plugin, made(plugin, values)) for plugin in plugins]
        if names != ():
            observing += wanted_instruments(
                self.registry,
                lambda descriptor, options: descriptor.wanted(self.part, executor, options),
                values,
                system=self.system,
                but=plugins,
                warn=self.reporter.warning,
            )
        self.observers = tuple(plugin.name for plugin, _instrument in observing)
        return observing

    def _read(self, executor: Executor) -> None:
        """Read the results; they count also when the command failed."""
        try:
            benchmarks = results_of(executor, self.part)
        except CodspeedError:
            if self.part.error:
                return  # the command's failure is the cause
            raise
        self._keep(benchmarks)
        for plugin, instrument in self._instruments:
            if self.part.outcome is None or self.results is None:
                break
            with blaming(plugin):
                self._keep(
                    instrument.annotate(self.part, self.part.outcome, self.results.benchmarks)
                )
        if self.results is not None and not self.results.benchmarks and not self.part.error:
            self._miss_benchmarks()

    def _keep(self, benchmarks: Sequence[BenchmarkResult]) -> None:
        """Take results that a plugin gave, if a bundle can hold them."""
        part = self.part
        bad = [benchmark for benchmark in benchmarks if not _is_finite(benchmark)]
        good = tuple(benchmark for benchmark in benchmarks if benchmark not in bad)
        results = PartResults(part.index, part.executor, part.mode, part.model, good)
        # Now, while the plugin can be blamed, and not when the bundle is written.
        plain = wire.to_plain(results)
        wire.dump_json(plain)
        wire.from_plain(plain, PartResults, where=f"results of {part.executor}")
        self.results = results
        if bad:
            names = ", ".join(benchmark.uri for benchmark in bad)
            problem = f"results that are not finite are left out: {names}"
            hint = "whatever measured them is at fault; report it there"
            self.fail(ResultsError(problem, hint=hint))

    def _miss_benchmarks(self) -> None:
        if self.request.allow_empty:
            self.reporter.info(NO_BENCHMARKS)
            return
        hint = f"Details: {explain(self.part)}. --allow-empty accepts this"
        raise NoBenchmarksError(NO_BENCHMARKS, hint=hint)


def tell(executor: Executor, **facts: Any) -> None:
    """Tell an executor what its tools depend on, as far as it has attributes for it."""
    for name, value in facts.items():
        if hasattr(executor, name):
            setattr(executor, name, value)


def ensure_tools(executor: Executor, system: System, reporter: Reporter) -> None:
    """Bring the tools that an executor needs.

    Raises:
        ToolError: If one that is required is still missing afterwards.
    """
    missing = [tool for tool in executor.tools(system) if not tool.is_usable]
    if not missing:
        return
    executor.setup(missing)
    for tool in executor.tools(system):
        if tool.is_usable:
            continue
        problem = f"{tool.name}: {tool.problem or 'not found'}"
        if tool.required:
            raise ToolError(problem, hint=tool.remedy or None)
        reporter.warning(f"{problem}; {tool.remedy}" if tool.remedy else problem)


def _require_folder(cwd: Any) -> None:
    if cwd is not None and not cwd.is_dir():
        problem = f"working directory {cwd} does not exist"
        hint = "check --working-directory, or options.working-directory in codspeed.yml"
        raise UsageError(problem, hint=hint)


def _is_finite(benchmark: BenchmarkResult) -> bool:
    return all(
        math.isfinite(value)
        for metric in benchmark.metrics
        for value in (metric.value, *metric.statistics.values(), *metric.samples)
    )


@contextlib.contextmanager
def _stopped(plugin: Plugin, instrument: Instrument, measurement: Measurement) -> Iterator[Hooks]:
    """Let an instrument observe; its failing to stop does not undo what was measured."""
    with contextlib.ExitStack() as stack:
        with blaming(plugin):
            hooks = stack.enter_context(instrument.run(measurement.part))
        yield hooks
        try:
            with blaming(plugin):
                stack.close()
        except CodspeedError as failure:
            measurement.fail(failure)


class _Chain(Hooks):
    """The hooks of several instruments: in order at the start, in reverse at the stop."""

    def __init__(self, hooks: Sequence[tuple[Plugin, Hooks]]) -> None:
        self._hooks = hooks
        # Thousands of markers come, and few want to know.
        self._marked = [each for each in hooks if type(each[1]).marker is not Hooks.marker]

    def spawned(self, pid: int) -> None:
        for plugin, hook in self._hooks:
            with blaming(plugin):
                hook.spawned(pid)

    def released(self) -> None:
        for plugin, hook in self._hooks:
            with blaming(plugin):
                hook.released()

    def integration(self, name: str, version: str) -> None:
        for plugin, hook in self._hooks:
            with blaming(plugin):
                hook.integration(name, version)

    def started(self) -> None:
        with contextlib.ExitStack() as undo:
            for plugin, hook in self._hooks:
                with blaming(plugin):
                    hook.started()
                undo.callback(hook.stopped)
            undo.pop_all()

    def stopped(self) -> None:
        with contextlib.ExitStack() as rest:  # each is told, also when one before it fails
            for plugin, hook in self._hooks:
                rest.callback(_stop, plugin, hook)

    def benchmark(self, pid: int, uri: str) -> None:
        for plugin, hook in self._hooks:
            with blaming(plugin):
                hook.benchmark(pid, uri)

    def marker(self, pid: int, kind: MarkerKind, timestamp: int) -> None:
        for plugin, hook in self._marked:
            with blaming(plugin):
                hook.marker(pid, kind, timestamp)

    def healthy(self) -> bool:
        return all(hook.healthy() for _plugin, hook in self._hooks)


def _stop(plugin: Plugin, hook: Hooks) -> None:
    with blaming(plugin):
        hook.stopped()
