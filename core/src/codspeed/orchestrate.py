"""Plan, run parts, bundle, uploaders: the whole of a run, knowing protocols and no concrete plugin.

Whatever fails, what was measured before is bundled, stored and shown; the exit code tells (design
5).
"""

from __future__ import annotations

import contextlib
import random
import string
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs

from codspeed import __version__, bundle, environment
from codspeed.errors import (
    BundleError,
    CodspeedError,
    InterruptedRunError,
    NoBenchmarksError,
    PluginCrashError,
    ToolError,
    UnsupportedError,
    UsageError,
    exit_code,
)
from codspeed.hooks.session import FifoSession, failed
from codspeed.journal import Journal
from codspeed.launch import lock
from codspeed.launch.environment import inherited, injected
from codspeed.model import (
    BUNDLE_SCHEMA,
    Bundle,
    Compat,
    Entrypoint,
    Launch,
    Manifest,
    PartRecord,
    PartResults,
    RunPart,
    RunReport,
    SupportLevel,
    option_specs,
)
from codspeed.protocols import Hooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from codspeed.model import (
        BenchmarkResult,
        ExecTarget,
        Outcome,
        Reporter,
        RunContext,
        RunRequest,
        System,
    )
    from codspeed.protocols import Executor, Instrument, Target
    from codspeed.registry import Plugin, Registry

T = TypeVar("T")

# The reference's sentence (spec/executors.md 1.11), for every executor.
_NO_BENCHMARKS: Final = (
    "The command did not produce any CodSpeed result to process, "
    "did you run your benchmarks using a compatible CodSpeed integration?"
)


@attrs.frozen
class _Command:
    """What becomes one run part per executor: an entrypoint, or all exec targets together."""

    label: str
    entrypoint: Entrypoint | None = None
    targets: tuple[ExecTarget, ...] = ()


@attrs.frozen
class _Measured:
    """A part that was measured, well or not."""

    part: RunPart
    record: PartRecord
    results: PartResults | None


def run(
    request: RunRequest,
    *,
    registry: Registry,
    system: System,
    context: RunContext,
    reporter: Reporter,
) -> RunReport:
    """Measure what was asked for, bundle it and hand the bundle to the uploaders.

    Raises:
        CodspeedError: Only for what is wrong before anything runs: unknown or broken plugins,
            unsupported systems, a folder that can't be written. Everything later is in the report.
    """
    return _Run(request, registry, system, context, reporter).run()


def upload(  # noqa: PLR0913 - keyword-only
    path: Path,
    *,
    uploaders: Sequence[str] | None,
    registry: Registry,
    context: RunContext,
    plugin_options: Mapping[str, Any],
    reporter: Reporter,
) -> RunReport:
    """Hand an existing bundle to uploaders.

    Args:
        uploaders: Entry-point names; None: those that are wanted here.

    Raises:
        BundleError: If `path` is no bundle.
        PluginError: If an uploader is unknown or broken.
    """
    found = bundle.read(path)
    plugins = _selected_uploaders(registry, uploaders, context, plugin_options)
    errors, lines = _hand_over(found, plugins, plugin_options, reporter)
    reporter.finished(found, lines)
    return RunReport(found, tuple(errors), exit_code(errors))


def setup(
    executors: Sequence[str],
    *,
    registry: Registry,
    system: System,
    reporter: Reporter,
    plugin_options: Mapping[str, Any],
) -> None:
    """Install the tools of executors; those that this system does not support are skipped with a line.

    Raises:
        ToolError: If a tool can't be had.
        PluginError: If an executor is unknown or broken.
    """
    for name in executors:
        plugin = registry.get("codspeed.executors", name)
        support = plugin.descriptor.support(system)
        if support.level is SupportLevel.UNSUPPORTED:
            reporter.info(f"{plugin.descriptor.label}: skipped, {support.reason}")
            continue
        executor = _made(plugin, plugin_options)
        _ensure_tools(executor, system, reporter)
        reporter.info(f"{plugin.descriptor.label}: ready")


class _Run:
    """One run, from request to report."""

    def __init__(
        self,
        request: RunRequest,
        registry: Registry,
        system: System,
        context: RunContext,
        reporter: Reporter,
    ) -> None:
        self._request = request
        self._registry = registry
        self._system = system
        self._context = context
        self._errors: list[CodspeedError] = []
        self._executors = [self._supported(name) for name in request.executors]
        self._uploaders = self._chosen_uploaders()
        self._compat = request.compat or _compat_of(self._uploaders)
        self._run_id = bundle.new_run_id(time.time_ns())
        self._writer = self._begin_bundle(reporter)
        self._reporter = Journal(reporter, self._writer.log, system.env)

    def run(self) -> RunReport:
        """Measure every part, then keep and hand over what there is."""
        with self._reporter:
            measured = self._measure_all()
            kept = self._keep(measured)
            lines = [] if kept is None else self._hand_over(kept)
            self._reporter.finished(kept, lines)
        return RunReport(kept, tuple(self._errors), exit_code(self._errors))

    # --- before anything runs
    # ------------------------------------------------------------------------------------------

    def _supported(self, name: str) -> Plugin:
        plugin = self._registry.get("codspeed.executors", name)
        support = plugin.descriptor.support(self._system)
        if support.level is SupportLevel.UNSUPPORTED:
            where = f"{self._system.os} {self._system.version}".strip()
            problem = f"The {plugin.name} executor is not supported on {where}: {support.reason}"
            raise UnsupportedError(
                problem, hint="choose another mode; `codspeed plugins list` shows what works here"
            )
        return plugin

    def _chosen_uploaders(self) -> list[Plugin]:
        request = self._request
        chosen = _selected_uploaders(
            self._registry, request.uploaders, self._context, request.plugin_options
        )
        return [
            plugin
            for plugin in chosen
            if (request.store if plugin.name == "local" else not request.skip_upload)
        ]

    def _begin_bundle(self, reporter: Reporter) -> bundle.BundleWriter:
        """Find out before the benchmark runs whether its results can be kept."""
        if self._request.bundle_dir is not None:
            return bundle.create(self._request.bundle_dir, self._run_id)
        default = environment.data_folder(self._context, self._system.env) / "bundles"
        try:
            return bundle.create(default, self._run_id)
        except BundleError as failure:
            fallback = (
                self._system.temp
                / f"codspeed-{self._system.uid}"
                / default.parent.name
                / default.name
            )
            reporter.warning(f"{failure.problem}; using {fallback}")
            return bundle.create(fallback, self._run_id)

    # --- measuring --------------------------------------------------------------------------------
    # -----------------------

    def _commands(self) -> list[_Command]:
        request = self._request
        commands = []
        if request.targets:
            label = (
                f"Running `{' '.join(request.targets[0].argv)}` with exec-harness"
                if len(request.targets) == 1
                else f"Running {len(request.targets)} commands with exec-harness"
            )
            commands.append(_Command(label, targets=request.targets))
        for entrypoint in request.entrypoints:
            command = entrypoint.command
            label = command if isinstance(command, str) else " ".join(command)
            commands.append(_Command(label, entrypoint=entrypoint))
        return commands

    def _measure_all(self) -> list[_Measured]:
        planned = [(command, plugin) for command in self._commands() for plugin in self._executors]
        measured: list[_Measured] = []
        for index, (command, plugin) in enumerate(planned):
            done = self._measure(index, command, plugin, count=len(planned))
            measured.append(done)
            self._reporter.part_finished(done.part, done.results)
            if any(isinstance(error, InterruptedRunError) for error in self._errors):
                break
        return measured

    def _measure(self, index: int, command: _Command, plugin: Plugin, *, count: int) -> _Measured:
        part = RunPart(
            index=index,
            executor=plugin.name,
            mode=plugin.descriptor.mode,
            label=command.label,
            launch=Launch(()),
            folder=self._profile_folder(plugin.name, index, count=count),
            harnessed=bool(command.targets),
            compat=self._compat,
            options=_option_values(plugin, self._request.plugin_options),
        )
        self._reporter.part_started(part, count=count)
        results: PartResults | None = None
        executor: Executor | None = None
        try:
            executor = _made(plugin, self._request.plugin_options)
            part = self._observed(part, command, plugin, executor)
            results = self._results(part, plugin, executor)
        except CodspeedError as failure:
            part = self._noted(part, failure)
        except Exception as failure:  # noqa: BLE001 - the one guard around plugins: theirs must not lose other parts
            part = self._noted(part, _crash(plugin, failure))
        return self._sealed(part, plugin, executor, results)

    def _observed(
        self, part: RunPart, command: _Command, plugin: Plugin, executor: Executor
    ) -> RunPart:
        """Run the command of a part under its executor and return the part with its outcome."""
        if self._request.skip_run:
            return attrs.evolve(part, model=executor.measurement_model(part, _nothing_ran()))
        if not self._request.skip_setup:
            _ensure_tools(executor, self._system, self._reporter)
        part, launch_env = self._launchable(part, command, plugin, executor)
        with contextlib.ExitStack() as stack:
            for resource, sharing in sorted(executor.resources(part).items()):
                stack.enter_context(
                    lock.hold(
                        resource,
                        sharing,
                        temp=self._system.temp,
                        timeout=self._request.lock_timeout,
                        waiting=lambda holder, name=resource: self._reporter.info(
                            f"{name}: waiting for {holder}"
                        ),
                    )
                )
            instruments = self._instruments()
            around = [stack.enter_context(instrument.run(part)) for instrument in instruments]
            for instrument in instruments:
                launch_env.update(instrument.environment(part))
                part = attrs.evolve(part, launch=instrument.wrap(part, part.launch))
            session = FifoSession(
                system=self._system,
                environment=launch_env,
                mode=executor.integration_mode,
                min_protocol=executor.min_protocol,
                min_clients=executor.min_clients,
                reporter=self._reporter,
                around=_Chain(around),
            )
            return self._concluded(part, executor, session)

    def _concluded(self, part: RunPart, executor: Executor, session: FifoSession) -> RunPart:
        try:
            outcome = executor.measure(part, session)
        except CodspeedError as failure:
            if session.partial is None:
                raise
            part = self._noted(part, failure)
            outcome = session.partial
        for note in outcome.notes:
            self._reporter.info(note)
        part = attrs.evolve(part, outcome=outcome, model=executor.measurement_model(part, outcome))
        if outcome.interrupted:
            return self._noted(
                part, InterruptedRunError("interrupted", hint="finished benchmarks are kept")
            )
        failure = None if part.error else failed(outcome)
        return part if failure is None else self._noted(part, failure)

    def _launchable(
        self, part: RunPart, command: _Command, plugin: Plugin, executor: Executor
    ) -> tuple[RunPart, dict[str, str]]:
        """Return the part with what is to be run, and the whole environment of it."""
        request = self._request
        env = inherited(self._system.env, strict=request.environment == "strict")
        descriptor = plugin.descriptor
        runner_mode = descriptor.runner_mode or descriptor.mode
        env.update(injected(part, runner_mode, go_runner_version=request.go_runner_version))
        env.update(executor.environment(part))
        if command.entrypoint is not None:
            launch = _entrypoint_launch(command.entrypoint)
        else:
            launch = self._harness_launch(part, command.targets, executor)
        if launch.cwd is not None and not launch.cwd.is_dir():
            problem = f"working directory {launch.cwd} does not exist"
            raise UsageError(
                problem,
                hint="check --working-directory or options.working-directory in codspeed.yml",
            )
        return attrs.evolve(part, launch=launch), env

    def _harness_launch(
        self, part: RunPart, targets: Sequence[ExecTarget], executor: Executor
    ) -> Launch:
        plugin = harness_plugin(self._registry)
        descriptor = plugin.descriptor
        harness = descriptor.load()()
        ready: list[Target] = []
        for wanted in targets:
            bounds = descriptor.options(**wanted.bounds)
            target = harness.target(Launch(wanted.argv, cwd=wanted.cwd), wanted.name, bounds)
            launch = executor.target_launch(part, target.launch, target.uri)
            ready.append(attrs.evolve(target, launch=launch))
        command: Launch = harness.command(ready, executor.rounds)
        return command

    def _instruments(self) -> list[Instrument]:
        plugins = [
            self._registry.get("codspeed.instruments", name) for name in self._request.instruments
        ]
        return [_made(plugin, self._request.plugin_options) for plugin in plugins]

    def _results(self, part: RunPart, plugin: Plugin, executor: Executor) -> PartResults | None:
        """Read the results of a part; they are kept also when its command failed."""
        try:
            benchmarks: Sequence[BenchmarkResult] = executor.results(part)
        except CodspeedError as failure:
            if part.error:
                return None  # the first failure is the cause
            raise failure from None
        if part.outcome is not None:
            for instrument in self._instruments():
                benchmarks = instrument.annotate(part, part.outcome, benchmarks)
        if not benchmarks and not part.error:
            self._miss_benchmarks(part)
        return PartResults(part.index, plugin.name, part.mode, part.model, tuple(benchmarks))

    def _miss_benchmarks(self, part: RunPart) -> None:
        if self._request.allow_empty:
            self._reporter.info(_NO_BENCHMARKS)
            return
        spoke = part.outcome.integration if part.outcome is not None else None
        details = (
            "no integration introduced itself"
            if spoke is None
            else f"{spoke.name} {spoke.version} ran without one"
        )
        hint = f"Details: {details}; profile folder: {part.folder}. --allow-empty accepts this"
        raise NoBenchmarksError(_NO_BENCHMARKS, hint=hint)

    def _noted(self, part: RunPart, failure: CodspeedError) -> RunPart:
        self._errors.append(failure)
        self._reporter.error(failure)
        return attrs.evolve(part, error=failure.problem, error_slug=failure.slug)

    def _profile_folder(self, executor: str, index: int, *, count: int) -> Path:
        given = self._request.profile_folder
        if given is None:
            name = "".join(random.choices(string.ascii_letters + string.digits, k=10))  # noqa: S311 - no secret
            folder = self._system.temp / f"profile.{name}.out"
        else:
            folder = given if count == 1 else given / f"{executor}-{index}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as failure:
            problem = f"the profile folder {folder} can't be written: {failure.strerror}"
            raise UsageError(
                problem, hint="name a writable folder with --profile-folder"
            ) from failure
        return folder.resolve()

    # --- keeping ----------------------------------------------------------------------------------
    # -----------------------

    def _sealed(
        self, part: RunPart, plugin: Plugin, executor: Executor | None, results: PartResults | None
    ) -> _Measured:
        """Bring the profile folder of a part into the bundle."""
        name = f"{part.executor}-{part.index}"
        keep = self._request.profile_folder is not None
        try:
            if not self._request.skip_run:
                self._reporter.copy_to(part.folder / "runner.log")
            self._writer.take_profile(part.folder, name, keep=keep)
        except (CodspeedError, OSError) as failure:
            error = failure if isinstance(failure, CodspeedError) else BundleError(str(failure))
            part = self._noted(part, error)
            self._reporter.info(f"the profile folder is still at {part.folder}")
        return _Measured(part, _record(part, name, plugin, executor, results), results)

    def _keep(self, measured: Sequence[_Measured]) -> Bundle | None:
        """Write the bundle; without room for it the user is told where its pieces are."""
        manifest = Manifest(
            schema=BUNDLE_SCHEMA,
            run_id=self._run_id,
            created_ns=time.time_ns(),
            codspeed=__version__,
            plugins={
                plugin.distribution: plugin.version
                for plugin in (*self._executors, *self._uploaders)
            },
            context=self._context,
            variant=dict(self._request.variant),
            fingerprint=environment.read_fingerprint(self._system),
            parts=tuple(done.record for done in measured),
            exit_code=exit_code(self._errors),
        )
        results = [done.results for done in measured if done.results is not None]
        try:
            return self._writer.write(manifest, results, [done.part for done in measured])
        except CodspeedError as failure:
            self._errors.append(failure)
            self._reporter.error(failure)
            self._reporter.info(f"what could be kept is in {self._writer.partial}")
            return None

    def _hand_over(self, kept: Bundle) -> list[str]:
        errors, lines = _hand_over(
            kept, self._uploaders, self._request.plugin_options, self._reporter
        )
        self._errors.extend(errors)
        return lines


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


def harness_plugin(registry: Registry) -> Plugin:
    """Return the harness for plain commands.

    Raises:
        PluginError: If none is installed; says what to install.
    """
    return registry.get("codspeed.harnesses", "exec-harness")


def _entrypoint_launch(entrypoint: Entrypoint) -> Launch:
    command = entrypoint.command
    argv = ("bash", "-c", command) if isinstance(command, str) else command
    return Launch(argv, cwd=entrypoint.cwd)


def _made(plugin: Plugin, values: Mapping[str, Any]) -> Any:
    """Return what `load` gives, called with the plugin's options."""
    descriptor = plugin.descriptor
    try:
        return descriptor.load()(descriptor.options(**_option_values(plugin, values)))
    except CodspeedError:
        raise
    except Exception as failure:
        raise _crash(plugin, failure) from failure


def _option_values(plugin: Plugin, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: values[name] for name in option_specs(plugin.descriptor.options) if name in values
    }


def _crash(plugin: Plugin, failure: Exception) -> PluginCrashError:
    problem = f"plugin {plugin.name} ({plugin.distribution} {plugin.version}) failed: {failure!r}"
    error = PluginCrashError(
        problem, hint="report it to the plugin's author; CODSPEED_LOG=debug shows where"
    )
    error.__cause__ = failure
    return error


def _selected_uploaders(
    registry: Registry, names: Sequence[str] | None, context: RunContext, values: Mapping[str, Any]
) -> list[Plugin]:
    if names is not None:
        return [registry.get("codspeed.uploaders", name) for name in names]
    chosen = []
    for plugin in registry.plugins("codspeed.uploaders"):
        descriptor = plugin.descriptor
        if descriptor is None:
            continue  # a broken plugin that nobody asked for does no harm
        if (
            descriptor.wanted(context, descriptor.options(**_option_values(plugin, values)))
            is not None
        ):
            chosen.append(plugin)
    return chosen


def _compat_of(uploaders: Sequence[Plugin]) -> Compat:
    wishes = {plugin.descriptor.compat for plugin in uploaders}
    return Compat.CODSPEED if Compat.CODSPEED.value in wishes else Compat.NATIVE


def _hand_over(
    kept: Bundle, uploaders: Sequence[Plugin], values: Mapping[str, Any], reporter: Reporter
) -> tuple[list[CodspeedError], list[str]]:
    """Give the bundle to each uploader; one that fails does not stop the next."""
    errors: list[CodspeedError] = []
    lines: list[str] = []
    for plugin in uploaders:
        try:
            uploader = _made(plugin, values)
            receipt = uploader.upload(_acceptable(kept, uploader.accepts, plugin.name, reporter))
        except CodspeedError as failure:
            errors.append(failure)
            reporter.error(failure)
        except Exception as failure:  # noqa: BLE001 - the one guard around plugins
            errors.append(_crash(plugin, failure))
            reporter.error(errors[-1])
        else:
            lines.append(f"{receipt.message} {receipt.url}".rstrip())
    return errors, lines


def _acceptable(
    kept: Bundle, accepts: Callable[[PartRecord], str | None], uploader: str, reporter: Reporter
) -> Bundle:
    """Return the bundle without the parts that the uploader does not take; they are named."""
    refused: dict[int, str] = {}
    for record in kept.manifest.parts:
        reason = accepts(record)
        if reason is not None:
            refused[record.index] = reason
            reporter.info(f"{uploader} does not take {record.executor}-{record.index}: {reason}")
    if not refused:
        return kept
    parts = tuple(record for record in kept.manifest.parts if record.index not in refused)
    results = tuple(result for result in kept.results if result.part not in refused)
    return Bundle(kept.path, attrs.evolve(kept.manifest, parts=parts), results)


def _ensure_tools(executor: Executor, system: System, reporter: Reporter) -> None:
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


def _nothing_ran() -> Outcome:
    from codspeed.model import Outcome  # noqa: PLC0415 - only for --skip-run

    return Outcome(status=0)


def _record(
    part: RunPart,
    folder: str,
    plugin: Plugin,
    executor: Executor | None,
    results: PartResults | None,
) -> PartRecord:
    """Return what the manifest says of a part; no environment and no standard input: they may hold
    secrets."""
    outcome = part.outcome
    extra: dict[str, Any] = {}
    if executor is not None:
        extra = {"archive": executor.archive.value, "comparability": executor.comparability()}
    return PartRecord(
        index=part.index,
        executor=part.executor,
        distribution=plugin.distribution,
        version=plugin.version,
        mode=part.mode,
        label=part.label,
        argv=part.launch.argv,
        cwd="" if part.launch.cwd is None else str(part.launch.cwd),
        harnessed=part.harnessed,
        compat=part.compat,
        folder=f"{bundle.PROFILES}/{folder}",
        options=part.options,
        integration=None if outcome is None else outcome.integration,
        model=part.model,
        status=None if outcome is None else outcome.status,
        interrupted=outcome is not None and outcome.interrupted,
        benchmarks=0 if results is None else len(results.benchmarks),
        error=part.error,
        error_slug=part.error_slug,
        **({"archive": "plain"} | extra),
    )
