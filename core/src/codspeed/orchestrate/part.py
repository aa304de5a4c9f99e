"""One run part: one command under one executor, from its options to its results."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed.errors import (
    CodspeedError,
    InterruptedRunError,
    NoBenchmarksError,
    ToolError,
    UsageError,
)
from codspeed.hooks.session import FifoSession, failed
from codspeed.launch import lock
from codspeed.launch.environment import inherited, injected
from codspeed.model import (
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
from codspeed.orchestrate.select import crash, harness_plugin, made
from codspeed.protocols import Executor, Hooks
from codspeed.registry import Plugin, Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codspeed.model import (
        BenchmarkResult,
        Sharing,
    )
    from codspeed.protocols import Instrument, Target

# The reference's sentence (spec/executors.md 1.11), for every executor.
NO_BENCHMARKS: Final = (
    "The command did not produce any CodSpeed result to process, "
    "did you run your benchmarks using a compatible CodSpeed integration?"
)


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

    def measure(self) -> None:
        """Run and read; never raises a `CodspeedError`, it is in `errors` instead."""
        try:
            self.executor = made(self.plugin, self.request.plugin_options)
            self._run(self.executor)
            self._read(self.executor)
        except CodspeedError as failure:
            self.fail(failure)
        except Exception as failure:  # noqa: BLE001 - the guard around plugins: no part lost by theirs
            self.fail(crash(self.plugin, failure))

    def fail(self, failure: CodspeedError) -> None:
        """Note what went wrong; the first failure of a part is the one that is kept with it."""
        self.errors.append(failure)
        self.reporter.error(failure)
        if not self.part.error:
            error = failure.problem
            self.part = attrs.evolve(self.part, error=error, error_slug=failure.slug)

    def _run(self, executor: Executor) -> None:
        if self.request.skip_run:
            model = executor.measurement_model(self.part, Outcome(status=0))
            self.part = attrs.evolve(self.part, model=model)
            return
        if not self.request.skip_setup:
            ensure_tools(executor, self.system, self.reporter)
        environment = self._environment(executor)
        self.part = attrs.evolve(self.part, launch=self._launch(executor))
        with contextlib.ExitStack() as stack:
            for resource, sharing in sorted(executor.resources(self.part).items()):
                stack.enter_context(self._held(resource, sharing))
            around = self._instrumented(stack, environment)
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
        try:
            outcome = executor.measure(self.part, session)
        except CodspeedError as failure:
            if session.partial is None:
                raise
            self.fail(failure)
            outcome = session.partial
        for note in outcome.notes:
            self.reporter.info(note)
        model = executor.measurement_model(self.part, outcome)
        self.part = attrs.evolve(self.part, outcome=outcome, model=model)
        if outcome.interrupted:
            self.fail(InterruptedRunError("interrupted", hint="finished benchmarks are kept"))
        elif not self.part.error and (bad_end := failed(outcome)) is not None:
            self.fail(bad_end)

    def _environment(self, executor: Executor) -> dict[str, str]:
        descriptor = self.plugin.descriptor
        runner_mode = descriptor.runner_mode or descriptor.mode
        version = self.request.go_runner_version
        return {
            **inherited(self.system.env, strict=self.request.environment == "strict"),
            **injected(self.part, runner_mode, go_runner_version=version),
            **executor.environment(self.part),
        }

    def _launch(self, executor: Executor) -> Launch:
        entrypoint = self.command.entrypoint
        if entrypoint is None:
            return self._harness_launch(executor)
        command = entrypoint.command
        argv = ("bash", "-c", command) if isinstance(command, str) else command
        _require_folder(entrypoint.cwd)
        return Launch(argv, cwd=entrypoint.cwd)

    def _harness_launch(self, executor: Executor) -> Launch:
        descriptor = harness_plugin(self.registry).descriptor
        harness = descriptor.load()()
        ready: list[Target] = []
        for wanted in self.command.targets:
            _require_folder(wanted.cwd)
            bounds = descriptor.options(**wanted.bounds)
            target = harness.target(Launch(wanted.argv, cwd=wanted.cwd), wanted.name, bounds)
            launch = executor.target_launch(self.part, target.launch, target.uri)
            ready.append(attrs.evolve(target, launch=launch))
        command: Launch = harness.command(ready, executor.rounds)
        return command

    def _held(self, resource: str, sharing: Sharing) -> contextlib.AbstractContextManager[None]:
        return lock.hold(
            resource,
            sharing,
            temp=self.system.temp,
            timeout=self.request.lock_timeout,
            waiting=lambda holder: self.reporter.info(f"{resource}: waiting for {holder}"),
        )

    def _instrumented(self, stack: contextlib.ExitStack, environment: dict[str, str]) -> Hooks:
        """Start the instruments; they are stopped with `stack`, on every path."""
        instruments = self._instruments()
        hooks = [stack.enter_context(instrument.run(self.part)) for instrument in instruments]
        for instrument in instruments:
            environment.update(instrument.environment(self.part))
            launch = instrument.wrap(self.part, self.part.launch)
            self.part = attrs.evolve(self.part, launch=launch)
        return _Chain(hooks)

    def _instruments(self) -> list[Instrument]:
        names = self.request.instruments
        plugins = [self.registry.get("codspeed.instruments", name) for name in names]
        return [made(plugin, self.request.plugin_options) for plugin in plugins]

    def _read(self, executor: Executor) -> None:
        """Read the results; they count also when the command failed."""
        try:
            benchmarks: Sequence[BenchmarkResult] = executor.results(self.part)
        except CodspeedError:
            if self.part.error:
                return  # the command's failure is the cause
            raise
        if self.part.outcome is not None:
            for instrument in self._instruments():
                benchmarks = instrument.annotate(self.part, self.part.outcome, benchmarks)
        part = self.part
        self.results = PartResults(
            part.index, part.executor, part.mode, part.model, tuple(benchmarks)
        )
        if not benchmarks and not part.error:
            self._miss_benchmarks()

    def _miss_benchmarks(self) -> None:
        if self.request.allow_empty:
            self.reporter.info(NO_BENCHMARKS)
            return
        outcome = self.part.outcome
        spoke = None if outcome is None else outcome.integration
        details = (
            "no integration introduced itself"
            if spoke is None
            else f"{spoke.name} {spoke.version} introduced itself and left no benchmark"
        )
        hint = f"Details: {details}. --allow-empty accepts this"
        raise NoBenchmarksError(NO_BENCHMARKS, hint=hint)


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


class _Chain(Hooks):
    """The hooks of several instruments: in order at the start, in reverse at the stop."""

    def __init__(self, hooks: Sequence[Hooks]) -> None:
        self._hooks = hooks

    def spawned(self, pid: int) -> None:
        for hook in self._hooks:
            hook.spawned(pid)

    def integration(self, name: str, version: str) -> None:
        for hook in self._hooks:
            hook.integration(name, version)

    def started(self) -> None:
        for hook in self._hooks:
            hook.started()

    def stopped(self) -> None:
        for hook in reversed(self._hooks):
            hook.stopped()

    def benchmark(self, pid: int, uri: str) -> None:
        for hook in self._hooks:
            hook.benchmark(pid, uri)

    def healthy(self) -> bool:
        return all(hook.healthy() for hook in self._hooks)
