"""The verbs `run` and `exec`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from codspeed.cli import absent, mode, options, request
from codspeed.cli.contract import ContractCommand, Option, Words
from codspeed.cli.reporter import make_reporter
from codspeed.errors import UnsupportedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codspeed.cli.app import App
    from codspeed.cli.reporter import PlainReporter
    from codspeed.cli.scan import Setting
    from codspeed.cli.settings import Settings
    from codspeed.model import RunRequest


def _run_options(app: App) -> list[Option]:
    return [*options.RUN, *options.of_plugins(app.registry, "run")]


def _exec_options(app: App) -> list[Option]:
    return [options.NAME, *options.RUN, *options.of_plugins(app.registry, "exec")]


def _run(app: App, given: Mapping[str, Setting], words: Sequence[str]) -> int:
    settings, reporter = _prepare(app, _run_options(app), given)
    folder = request.working_directory(settings, app.cwd)
    if words:
        command = request.entrypoint(words, folder)
        return _measure(app, settings, reporter, entrypoints=(command,))
    entrypoints, targets = request.configured(app.project)
    if folder is not None:
        reporter.warning("--working-directory does not hold for benchmarks of codspeed.yml")
    if targets:
        _need_harness(app)
    return _measure(app, settings, reporter, entrypoints=entrypoints, targets=targets)


def _execute(app: App, given: Mapping[str, Setting], words: Sequence[str]) -> int:
    if not words:
        problem = "missing argument COMMAND"
        raise UsageError(problem, hint="codspeed exec -- COMMAND...")
    _need_harness(app)
    settings, reporter = _prepare(app, _exec_options(app), given)
    folder = request.working_directory(settings, app.cwd)
    bounds = _bounds(app, settings)
    target = request.exec_target(words, settings.get("name"), bounds, folder)
    return _measure(app, settings, reporter, targets=(target,), bounds=tuple(bounds))


def _prepare(
    app: App, known: Sequence[Option], given: Mapping[str, Setting]
) -> tuple[Settings, PlainReporter]:
    """Resolve all options, and refuse where nothing can run."""
    if app.system.os == "windows":
        problem = "benchmarks can't be run on Windows"
        raise UnsupportedError(
            problem,
            hint="compare, report, store and upload work here; run in WSL or on Linux",
        )
    settings = app.settle(known, given)
    if app.profile_name().origin != "default":
        app.profile()  # a profile that does not exist is found before anything runs
    reporter = make_reporter(app)
    for warning in () if app.project is None else app.project.warnings:
        reporter.warning(warning)
    return settings, reporter


def _need_harness(app: App) -> None:
    if not app.registry.plugins("codspeed.harnesses"):
        problem = "measuring plain commands"
        raise absent.missing(problem, absent.HARNESS)


def _bounds(app: App, settings: Settings) -> dict[str, Any]:
    """Return what bounds the target and was given somewhere, by field name."""
    from codspeed.model import option_specs  # noqa: PLC0415 - only here

    names = [
        name
        for descriptor in app.registry.descriptors("codspeed.harnesses")
        for name in option_specs(descriptor.options)
    ]
    return {
        name: settings.get(name) for name in names if settings.setting(name).origin != "default"
    }


def _idle_options(app: App, settings: Settings) -> list[str]:
    """Return a warning for each option of an instrument that does not take part."""
    selected = {name.rpartition(":")[2] for name in settings.get("instruments") or ()}
    return [
        f"--{field.replace('_', '-')} has no effect without --instruments {plugin.name}"
        for field, (_, _, plugin) in app.registry.options().items()
        if plugin.group == "codspeed.instruments"
        and plugin.name not in selected
        and settings.flag(field) is not None
    ]


def _measure(app: App, settings: Settings, reporter: PlainReporter, **what: Any) -> int:
    from codspeed.config import session  # noqa: PLC0415 - only where no flag says the mode

    said = any(settings.setting(name).origin != "default" for name in ("mode", "executor"))
    remembered = () if said else session.modes(app.env)
    selection = mode.select(settings, app.registry, app.env, remembered)
    for warning in selection.warnings:
        reporter.warning(warning)
    for note in selection.notes:
        reporter.info(note)
    for warning in _idle_options(app, settings):
        reporter.warning(warning)
    wanted: RunRequest = request.build(settings, executors=selection.executors, cwd=app.cwd, **what)
    with reporter:
        report = app.measure(wanted, reporter)
        reporter.ended(report)
    return report.exit_code


run = ContractCommand(
    "run",
    _run,
    help=(
        "Run a benchmark command that carries an integration, or the benchmarks of codspeed.yml."
        "\n\nOne word is shell text; several words are passed on as they are."
    ),
    options=_run_options,
    words=Words("[--] [COMMAND]...", most=None),
)

execute = ContractCommand(
    "exec",
    _execute,
    help="Measure any command as a benchmark.",
    options=_exec_options,
    words=Words("[--] COMMAND...", most=None),
)
