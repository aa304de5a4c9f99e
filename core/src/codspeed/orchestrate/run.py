"""A whole run: every command under every executor, then the bundle, then the uploaders."""

from __future__ import annotations

import contextlib
import random
import stat
import string
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed import __version__, bundle, environment
from codspeed.errors import (
    BundleError,
    CodspeedError,
    InterruptedRunError,
    UnsupportedError,
    UsageError,
    exit_code,
)
from codspeed.journal import Journal, redacted, secrets_of
from codspeed.model import (
    BUNDLE_SCHEMA,
    Launch,
    Manifest,
    PartRecord,
    RunPart,
    RunReport,
    SupportLevel,
)
from codspeed.orchestrate import interrupt
from codspeed.orchestrate.deliver import hand_over
from codspeed.orchestrate.part import Command, Measurement, commands_of, ensure_tools, tell
from codspeed.orchestrate.select import (
    blaming,
    compat_of,
    lacking_lines,
    made,
    option_values,
    uploader_plugins,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codspeed.model import Bundle, Reporter, RunContext, RunRequest, System
    from codspeed.registry import Plugin, Registry

_STORE: Final = "local"  # the uploader that --no-store leaves out


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
            unsupported systems, a folder that can't be written. All else is in the report.
    """
    return _Run(request, registry, system, context, reporter).run()


def setup(
    executors: Sequence[str],
    *,
    registry: Registry,
    system: System,
    reporter: Reporter,
    plugin_options: Mapping[str, Any],
    setup_cache_dir: Path | None = None,
) -> list[CodspeedError]:
    """Install the tools of executors; those this system does not support are skipped with a line.

    Returns:
        Which tools can't be had; the user was told, and the other executors have theirs.

    Raises:
        PluginError: If an executor is unknown or broken.
    """
    errors: list[CodspeedError] = []
    for name in executors:
        plugin = registry.get("codspeed.executors", name)
        label = plugin.descriptor.label
        support = plugin.descriptor.support(system)
        if support.level is SupportLevel.UNSUPPORTED:
            reporter.info(f"{label}: skipped, {support.reason}")
            continue
        executor = made(plugin, plugin_options)
        tell(executor, setup_cache_dir=setup_cache_dir)
        try:
            with blaming(plugin):
                ensure_tools(executor, system, reporter)
        except CodspeedError as failure:
            errors.append(failure)
            reporter.error(failure)
        else:
            reporter.info(f"{label}: ready")
    return errors


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
        self._require_instruments()
        self._uploaders = self._chosen_uploaders(reporter)
        self._compat = request.compat or compat_of(self._uploaders)
        self._run_id = bundle.new_run_id(time.time_ns())
        commands = commands_of(request)
        self._planned = [(command, plugin) for command in commands for plugin in self._executors]
        self._require_profile_folder(reporter)
        self._fingerprint = environment.read_fingerprint(system)
        self._writer = self._begin_bundle(reporter)
        self._reporter = Journal(reporter, self._writer.log, self._with_secrets)

    def run(self) -> RunReport:
        """Measure every part, then keep and hand over what there is."""
        with self._reporter:
            measured = self._measure_all()
            kept = self._keep(measured)
            lines = [] if kept is None else self._hand_over(kept)
            self._reporter.finished(kept, lines)
        return RunReport(kept, tuple(self._errors), exit_code(self._errors))

    # --- before anything runs ---------------------------------------------------------------------

    def _supported(self, name: str) -> Plugin:
        plugin = self._registry.get("codspeed.executors", name)
        with blaming(plugin):
            support = plugin.descriptor.support(self._system)
        if support.level is SupportLevel.UNSUPPORTED:
            where = f"{self._system.os} {self._system.version}".strip()
            problem = f"The {plugin.name} executor is not supported on {where}: {support.reason}"
            hint = "choose another mode; `codspeed plugins list` shows what works here"
            raise UnsupportedError(problem, hint=hint)
        return plugin

    def _require_instruments(self) -> None:
        known = {plugin.name for plugin in self._registry.plugins("codspeed.instruments")}
        for name in self._request.instruments or ():
            if name.rpartition(":")[2] not in known:
                problem = f"Invalid instrument name: {name}"
                raise UsageError(problem, hint=f"installed: {', '.join(sorted(known)) or 'none'}")
            self._registry.get("codspeed.instruments", name)

    def _chosen_uploaders(self, reporter: Reporter) -> list[Plugin]:
        request = self._request
        chosen = uploader_plugins(
            self._registry,
            self._named_uploaders(),
            self._context,
            request.plugin_options,
            warn=reporter.warning,
        )
        return [
            plugin
            for plugin in chosen
            if (request.store if plugin.name == _STORE else not request.skip_upload)
        ]

    def _named_uploaders(self) -> tuple[str, ...] | None:
        """Return what was named, and the store, which only --no-store and `none` leave out."""
        names = self._request.uploaders
        if not names or any(name.rpartition(":")[2] == _STORE for name in names):
            return names
        plugins = self._registry.plugins("codspeed.uploaders")
        is_there = any(p.name == _STORE and p.descriptor is not None for p in plugins)
        return (*names, _STORE) if is_there else names

    def _require_profile_folder(self, reporter: Reporter) -> None:
        """Find out before anything runs whether given profile folders can be used."""
        given = self._request.profile_folder
        if given is None:
            return
        if self._request.skip_run and not given.is_dir():
            problem = f"the profile folder {given} does not exist"
            raise UsageError(problem, hint="--skip-run reads a folder that an earlier run left")
        for index, (_command, plugin) in enumerate(self._planned):
            folder = self._profile_folder(plugin.name, index)
            if not self._request.skip_run and any(folder.iterdir()):
                reporter.warning(
                    f"{folder} is not empty: results of an earlier run in it count too"
                )

    def _begin_bundle(self, reporter: Reporter) -> bundle.BundleWriter:
        """Find out before anything runs whether its results can be kept."""
        if self._request.bundle_dir is not None:
            return self._create_bundle(self._request.bundle_dir, reporter)
        default = environment.data_folder(self._context, self._system.env) / "bundles"
        try:
            return self._create_bundle(default, reporter)
        except BundleError as failure:
            own = _own_folder(self._system)
            fallback = own / default.parent.name / default.name
            reporter.warning(f"{failure.problem}; using {fallback}")
            return self._create_bundle(fallback, reporter)

    @property
    def _with_secrets(self) -> dict[str, str]:
        """The environment and, as if they were variables, options that may be secrets."""
        given = self._request.plugin_options.items()
        return {**self._system.env, **{name: text for name, text in given if isinstance(text, str)}}

    def _create_bundle(self, folder: Path, reporter: Reporter) -> bundle.BundleWriter:
        secrets = secrets_of(self._with_secrets)
        writer = bundle.create(folder, self._run_id, redact=lambda text: redacted(text, secrets))
        for adopted in bundle.adopt(folder):
            reporter.info(f"kept what a run that was killed had measured: {adopted}")
        return writer

    # --- measuring --------------------------------------------------------------------------------

    def _measure_all(self) -> list[Measurement]:
        measured: list[Measurement] = []
        try:
            with interrupt.raised():
                for index in range(len(self._planned)):
                    self._measure_next(index, measured)
                    if any(isinstance(error, InterruptedRunError) for error in self._errors):
                        break
        except KeyboardInterrupt:  # between two parts; within one it is that part's failure
            self._errors.append(InterruptedRunError("interrupted"))
            self._reporter.error(self._errors[-1])
        except CodspeedError as failure:  # the folder of a part can't be made any more
            self._errors.append(failure)
            self._reporter.error(failure)
        return measured

    def _measure_next(self, index: int, measured: list[Measurement]) -> None:
        measurement = self._begin(index, *self._planned[index])
        measured.append(measurement)
        try:
            self._checkpoint(measured)
            self._reporter.part_started(measurement.part, count=len(self._planned))
            measurement.measure()
        finally:
            with interrupt.postponed():
                self._seal(measurement)
                self._errors.extend(measurement.errors)
                self._reporter.part_finished(measurement.part, measurement.results)

    def _begin(self, index: int, command: Command, plugin: Plugin) -> Measurement:
        part = RunPart(
            index=index,
            executor=plugin.name,
            mode=plugin.descriptor.mode,
            label=command.label,
            launch=Launch(()),
            folder=self._profile_folder(plugin.name, index),
            harnessed=bool(command.targets),
            compat=self._compat,
            options=option_values(plugin, self._request.plugin_options),
        )
        return Measurement(
            part=part,
            command=command,
            plugin=plugin,
            request=self._request,
            registry=self._registry,
            system=self._system,
            reporter=self._reporter,
        )

    def _profile_folder(self, executor: str, index: int) -> Path:
        """Return the folder of a part, made if need be; names as in spec/executors.md 1.2."""
        given = self._request.profile_folder
        if given is None:
            letters = string.ascii_letters + string.digits
            name = "".join(random.choices(letters, k=10))  # noqa: S311 - no secret
            folder = self._system.temp / f"profile.{name}.out"
        else:
            folder = given if len(self._planned) == 1 else given / f"{executor}-{index}"
        _require_writable(folder)
        return folder.resolve()

    def _checkpoint(self, measured: Sequence[Measurement]) -> None:
        """Write down what there is, in case we are killed; the last one is about to be measured."""
        part = measured[-1].part
        try:
            if self._request.profile_folder is None:
                self._writer.expect_profile(part.folder, _folder_name(part))
            error = "the runner was killed while this part was measured"
            slug = InterruptedRunError.slug
            begun = attrs.evolve(_record(measured[-1]), error=error, error_slug=slug)
            records = [*map(_record, measured[:-1]), begun]
            self._writer.checkpoint(
                self._manifest(records, measured, exit_code=InterruptedRunError.exit_code),
                [done.results for done in measured if done.results is not None],
                [done.part for done in measured],
            )
        except BundleError as failure:  # it may still work at the end
            self._reporter.warning(failure.problem)

    # --- keeping ----------------------------------------------------------------------------------

    def _seal(self, measurement: Measurement) -> None:
        """Bring the profile folder of a part into the bundle."""
        folder = measurement.part.folder
        if not self._request.skip_run:
            try:
                self._reporter.copy_to(folder / "runner.log")
            except OSError as failure:
                self._reporter.warning(f"no log in the profile folder: {failure}")
        try:
            keep = self._request.profile_folder is not None
            self._writer.take_profile(folder, _folder_name(measurement.part), keep=keep)
        except BundleError as failure:
            measurement.fail(failure)
            self._reporter.info(f"the profile folder is still at {folder}")

    def _keep(self, measured: Sequence[Measurement]) -> Bundle | None:
        """Write the bundle; if that fails the user is told where its pieces are."""
        records = [*map(_record, measured)]
        manifest = self._manifest(records, measured, exit_code=exit_code(self._errors))
        results = [done.results for done in measured if done.results is not None]
        kept = None
        try:
            with interrupt.postponed():
                kept = self._writer.write(manifest, results, [done.part for done in measured])
        except KeyboardInterrupt:
            self._errors.append(InterruptedRunError("interrupted", hint="the bundle is whole"))
        except CodspeedError as failure:
            self._errors.append(failure)
            self._reporter.error(failure)
            self._reporter.info(f"what could be kept is in {self._writer.partial}")
            self._writer.release()
            return None
        return kept

    def _manifest(
        self, records: Sequence[PartRecord], measured: Sequence[Measurement], *, exit_code: int
    ) -> Manifest:
        plugins = (*self._executors, *self._uploaders)
        return Manifest(
            schema=BUNDLE_SCHEMA,
            run_id=self._run_id,
            created_ns=time.time_ns(),
            codspeed=__version__,
            plugins={plugin.distribution: plugin.version for plugin in plugins},
            context=self._context,
            variant=dict(self._request.variant),
            fingerprint={**self._fingerprint, **_environment_of(records)},
            parts=tuple(records),
            exit_code=exit_code,
            instruments=self._observers(measured),
            allow_empty=self._request.allow_empty,
            options=self._recorded_options(),
        )

    def _observers(self, measured: Sequence[Measurement]) -> tuple[str, ...]:
        named = (name.rpartition(":")[2] for name in self._request.instruments or ())
        unasked = (name for done in measured for name in done.observers)
        return tuple(dict.fromkeys((*named, *unasked)))

    def _recorded_options(self) -> dict[str, Any]:
        """Return what was set of plugins' options: an uploader may need one of an executor's."""
        specs = self._registry.options()
        return {
            name: value
            for name, value in self._request.plugin_options.items()
            if name in specs and specs[name][0].in_file and not specs[name][0].secret
        }

    def _hand_over(self, kept: Bundle) -> list[str]:
        options = self._request.plugin_options
        errors, lines = hand_over(kept, self._uploaders, options, self._system, self._reporter)
        self._errors.extend(errors)
        if self._request.uploaders is None and not self._request.skip_upload:
            lines += lacking_lines(self._registry, self._context, options, self._uploaders)
        return lines


def _environment_of(records: Sequence[PartRecord]) -> dict[str, str]:
    """Return the fingerprint field that tells whether commands saw environments of other sizes."""
    hashes = sorted({record.environment_hash for record in records} - {""})
    return {"environment_hash": "+".join(hashes)} if hashes else {}


def _folder_name(part: RunPart) -> str:
    return f"{part.executor}-{part.index}"


def _own_folder(system: System) -> Path:
    """Return a folder in the temporary one that nobody else can have prepared for us."""
    own = system.temp / f"codspeed-{system.uid}"
    with contextlib.suppress(OSError):
        own.mkdir(mode=0o700, exist_ok=True)
        status = own.lstat()
        is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == system.uid
        if is_ours and not status.st_mode & 0o022:
            return own
    return Path(tempfile.mkdtemp(prefix=f"{own.name}-", dir=system.temp))


def _require_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as failure:
        problem = f"the profile folder {folder} can't be written: {failure.strerror}"
        hint = "name a writable folder with --profile-folder"
        raise UsageError(problem, hint=hint) from failure


def _record(measurement: Measurement) -> PartRecord:
    """Return what the manifest says of a part.

    No environment and no standard input: they may hold secrets.
    """
    part, plugin = measurement.part, measurement.plugin
    outcome = part.outcome
    extra: dict[str, Any] = {}
    if outcome is not None:
        extra["integration"] = outcome.integration
        extra["status"] = outcome.status
        extra["interrupted"] = outcome.interrupted
    if measurement.results is not None:
        extra["benchmarks"] = len(measurement.results.benchmarks)
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
        folder=f"{bundle.PROFILES}/{_folder_name(part)}",
        options=part.options,
        model=part.model,
        error=part.error,
        error_slug=part.error_slug,
        archive=measurement.archive,
        comparability=measurement.comparability,
        environment_hash=measurement.environment_hash,
        slices=part.slices,
        **extra,
    )
