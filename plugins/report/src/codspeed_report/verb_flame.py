"""`codspeed flame URI [RUN]`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import attrs
import click

from codspeed import bundle as bundles
from codspeed.errors import UsageError
from codspeed_native import fold
from codspeed_report import flame, flame_render, place, resolve
from codspeed_report.render import to_json

if TYPE_CHECKING:
    from codspeed.protocols import CommandApp
    from codspeed_report.resolve import Taken
    from codspeed_report.store import Store

_HELP = """Show where a benchmark spends its cost, function by function.

URI is a benchmark's URI, its name, or any part of the URI that is unique. RUN is a run id, commit,
branch or path of a bundle; the newest run is taken if it is left out.
"""


@attrs.frozen
class View:
    """How a profile is shown."""

    is_tree: bool
    as_json: bool
    as_folded: bool
    limit: int
    least_percent: float
    mode: str | None
    of: str
    has_interpreter: bool


def build(app: CommandApp) -> click.Command:
    """Build the verb."""

    @click.command("flame", help=_HELP)
    @click.argument("uri")
    @click.argument("run", required=False)
    @click.option(
        "--top/--tree", "is_top", default=True, help="Functions by cost (default), or the tree."
    )
    @click.option(
        "--limit",
        type=click.IntRange(min=0),
        default=30,
        show_default=True,
        help="Functions in the table; 0: all.",
    )
    @click.option(
        "--min-percent",
        type=click.FloatRange(0, 100),
        default=1.0,
        show_default=True,
        help="Smallest share that the tree shows.",
    )
    @click.option("--mode", help="Which profile, if the benchmark was measured in several modes.")
    @click.option(
        "--of",
        default="",
        help="Which of several profiles: allocated, peak or leaked, of memory.",
    )
    @click.option(
        "--interpreter",
        "has_interpreter",
        is_flag=True,
        help="Show the functions of an interpreter, not only those that it runs.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Write JSON to standard output.")
    @click.option(
        "--folded", "as_folded", is_flag=True, help="Write folded stacks to standard output."
    )
    def command(
        uri: str,
        run: str | None,
        *,
        is_top: bool,
        limit: int,
        min_percent: float,
        mode: str | None,
        of: str,
        has_interpreter: bool,
        as_json: bool,
        as_folded: bool,
    ) -> None:
        view = View(
            is_tree=not is_top,
            as_json=as_json,
            as_folded=as_folded,
            limit=limit,
            least_percent=min_percent,
            mode=mode,
            of=of,
            has_interpreter=has_interpreter,
        )
        show(app, uri, run, view)

    return command


def show(app: CommandApp, uri: str, run: str | None, view: View) -> None:
    """Find, read and show one profile.

    Raises:
        UsageError: If the words mean no benchmark, or several.
        NoProfileError: If there is no profile of it.
        CodspeedError: If the run or the profile can't be found or read.
    """
    if view.as_json and view.as_folded:
        problem = "--json and --folded are two forms of one output"
        raise UsageError(problem, hint="give one of them")
    taken = place.reading(app, lambda store: _taken(store, run))
    bundle = bundles.read(taken.path)
    profile = flame.load(bundle, flame.find(bundle, uri, view.mode), app.executor, view.of)
    if not view.has_interpreter:
        profile = attrs.evolve(profile, tree=flame.without_interpreter(profile.tree))
    run_id = bundle.manifest.run_id
    if view.as_json:
        app.write(to_json(flame_render.document(profile, run_id)))
    elif view.as_folded:
        app.write(fold.to_text(profile.tree))
    else:
        app.print(flame_render.headline(profile, run_id, taken.why))
        _draw(app, profile, view)


def _taken(store: Store, run: str | None) -> Taken:
    return resolve.newest(store) if run is None else resolve.named(store, run)


def _draw(app: CommandApp, profile: flame.Profile, view: View) -> None:
    """Draw for a person, or write plainly for the program that reads our output."""
    is_plain = not sys.stdout.isatty()
    drawn = (
        flame_render.indented(profile.tree, least_percent=view.least_percent)
        if view.is_tree
        else flame_render.table(profile.tree, limit=view.limit, is_plain=is_plain)
    )
    if is_plain:
        app.write(flame_render.plain(drawn))
    else:
        app.print(drawn)
