"""From settings and words to a `RunRequest`: nothing below reads flags, environment or files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from codspeed.errors import UsageError
from codspeed.model import Compat, Entrypoint, ExecTarget, RunRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from codspeed.cli.settings import Settings
    from codspeed.config.project import ProjectConfig, TargetConfig

# Sentences of the reference (spec: cli-upload 1.5, 1.12; executors 1.2).
_EMPTY: Final = "The bench command is empty"
_NOTHING: Final = "No command provided and no targets defined in codspeed.yaml"
_EMPTY_EXEC: Final = (
    "Empty command for exec benchmark target `{}`. Provide a program to run "
    "(e.g. `codspeed exec -- <program> [args...]`, or set a non-empty `exec` in the config)."
)


def entrypoint(words: Sequence[str], cwd: Path | None) -> Entrypoint:
    """Return the command of `run`: one word is shell text, several are an argv that no shell sees.

    `cargo codspeed` becomes `cargo-codspeed`, so that cargo itself is not measured: anywhere in
    shell text as in the reference, at the start of an argv.

    Raises:
        UsageError: If there is nothing to run.
    """
    if len(words) == 1:
        text = words[0].strip().replace("cargo codspeed", "cargo-codspeed")
        if not text:
            raise UsageError(_EMPTY)
        return Entrypoint(text, cwd)
    argv = tuple(words)
    if not argv or not argv[0].strip():
        raise UsageError(_EMPTY)
    if argv[:2] == ("cargo", "codspeed"):
        argv = ("cargo-codspeed", *argv[2:])
    return Entrypoint(argv, cwd)


def exec_target(
    words: Sequence[str], name: str | None, bounds: Mapping[str, Any], cwd: Path | None
) -> ExecTarget:
    """Return a target of the harness.

    Raises:
        UsageError: If there is nothing to run.
    """
    if not words or not words[0].strip():
        raise UsageError(_EMPTY_EXEC.format(name or "<unnamed>"))
    return ExecTarget(tuple(words), name, dict(bounds), cwd)


def configured(
    project: ProjectConfig | None,
) -> tuple[tuple[Entrypoint, ...], tuple[ExecTarget, ...]]:
    """Return the benchmarks of codspeed.yml: entrypoints and targets.

    Raises:
        UsageError: If there are none.
    """
    if project is None or not project.targets:
        raise UsageError(_NOTHING, hint="codspeed run -- COMMAND measures a command")
    cwd = project.working_directory()
    entrypoints = [
        entrypoint((target.entrypoint,), cwd)
        for target in project.targets
        if target.entrypoint is not None
    ]
    targets = [
        _configured_target(project, target, cwd)
        for target in project.targets
        if target.words is not None
    ]
    return tuple(entrypoints), tuple(targets)


def _configured_target(project: ProjectConfig, target: TargetConfig, cwd: Path) -> ExecTarget:
    bounds = {**project.bounds(), **target.bounds}
    return exec_target(target.words or (), target.name, bounds, cwd)


def working_directory(settings: Settings, cwd: Path) -> Path | None:
    """Return the folder that --working-directory names, resolved.

    Raises:
        UsageError: If it is not a folder.
    """
    wanted = settings.flag("working_directory")
    if wanted is None:
        return None
    folder: Path = (cwd / wanted).resolve()
    if not folder.is_dir():
        problem = f"--working-directory {wanted}: there is no such folder"
        raise UsageError(problem)
    return folder


def build(
    settings: Settings,
    *,
    executors: Sequence[str],
    entrypoints: Sequence[Entrypoint] = (),
    targets: Sequence[ExecTarget] = (),
    bounds: Sequence[str] = (),
    cwd: Path,
) -> RunRequest:
    """Return the request.

    Args:
        settings: All resolved options.
        executors: Names, in order.
        entrypoints: Commands with their own integration.
        targets: Plain commands.
        bounds: Fields that are in the targets already, not options of a plugin.
        cwd: What relative folders are relative to.
    """
    compat = settings.get("compat")
    return RunRequest(
        entrypoints=tuple(entrypoints),
        targets=tuple(targets),
        executors=tuple(executors),
        compat=None if compat is None else Compat(compat),
        variant=variant(settings.get("variant") or ()),
        uploaders=names_or_none("uploader", settings.get("uploader")),
        store=not settings.get("no_store"),
        bundle_dir=_below(cwd, settings.get("bundle_dir")),
        profile_folder=_below(cwd, settings.get("profile_folder")),
        skip_upload=bool(settings.get("skip_upload")),
        skip_run=bool(settings.get("skip_run")),
        skip_setup=bool(settings.get("skip_setup")),
        allow_empty=bool(settings.get("allow_empty")),
        go_runner_version=settings.get("go_runner_version"),
        setup_cache_dir=_below(cwd, settings.get("setup_cache_dir")),
        environment=settings.get("environment") or "inherit",
        keep_env=tuple(settings.get("keep_env") or ()),
        jobs=jobs(settings.get("jobs")),
        instruments=names_or_none("instruments", settings.get("instruments") or None),
        lock_timeout=float(settings.get("lock_timeout")),
        plugin_options=settings.of_plugins(but=bounds),
    )


def variant(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return labels by key.

    Raises:
        UsageError: If a key is given twice.
    """
    labels: dict[str, str] = {}
    for key, value in pairs:
        if key in labels:
            problem = f"--variant {key} was given twice: '{labels[key]}' and '{value}'"
            raise UsageError(problem)
        labels[key] = value
    return labels


def jobs(count: int | None) -> int:
    """Return how many slices may run at once.

    Raises:
        UsageError: If that is less than one.
    """
    if count is None:
        return 1
    if count < 1:
        problem = f"--jobs {count}: at least one process is needed"
        raise UsageError(problem)
    return count


def names_or_none(flag: str, names: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return what --uploader or --instruments says: None for the usual ones, nothing for `none`.

    Raises:
        UsageError: If `none` stands beside others.
    """
    if names is None:
        return None
    if "none" in names:
        if len(names) > 1:
            problem = f"--{flag} none can't be combined with others"
            raise UsageError(problem)
        return ()
    return tuple(dict.fromkeys(names))


def _below(cwd: Path, path: Path | None) -> Path | None:
    return None if path is None else cwd / path
