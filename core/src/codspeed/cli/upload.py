"""The verb `upload`: hand a bundle to uploaders, as often as one likes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from codspeed.cli import options, request
from codspeed.cli.contract import ContractCommand, Option, Words
from codspeed.cli.reporter import make_reporter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codspeed.cli.app import App
    from codspeed.cli.scan import Setting
    from codspeed.model import RunContext

_JSON = next(option for option in options.RUN if option.name == "json")


def _options(app: App) -> list[Option]:
    of_uploaders = {
        plugin.distribution
        for _, _, plugin in app.registry.options().values()
        if plugin.group == "codspeed.uploaders"
    }
    run = [o for o in options.of_plugins(app.registry, "run") if o.owner in of_uploaders]
    named = [o for o in options.of_plugins(app.registry, "upload") if o not in run]
    return [options.UPLOADER, _JSON, *run, *named]


def _upload(app: App, given: Mapping[str, Setting], words: Sequence[str]) -> int:
    settings = app.settle(_options(app), given)
    uploaders = request.names_or_none("uploader", settings.get("uploader"))
    if app.profile_name().origin != "default":
        app.profile()  # one that does not exist is an error
    reporter = make_reporter(app)
    from codspeed import orchestrate  # noqa: PLC0415 - after the command line is known to be right

    with reporter:
        report = orchestrate.upload(
            app.cwd / Path(words[0]),
            uploaders=uploaders,
            registry=app.registry,
            system=app.system,
            context=_context(app, uploaders),
            plugin_options=settings.of_plugins(),
            reporter=reporter,
        )
        reporter.ended(report)
    return report.exit_code


def _context(app: App, uploaders: Sequence[str] | None) -> RunContext:
    """Return where we are, which decides about the uploaders that nobody named.

    With names any job may publish a bundle, also one in which nothing can be measured: GitHub's
    `workflow_run` is how results of forks are published.
    """
    if uploaders is None:
        return app.context()
    from codspeed.environment import git_context  # noqa: PLC0415 - starts git

    return git_context("local", app.env, app.cwd)


upload = ContractCommand(
    "upload",
    _upload,
    help="Hand a bundle of an earlier run to uploaders.",
    options=_options,
    words=Words("BUNDLE", least=1, most=1),
)
