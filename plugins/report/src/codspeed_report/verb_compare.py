"""`codspeed compare [BASE] [HEAD]`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from codspeed.errors import IncomparableError
from codspeed_report import place, render, resolve
from codspeed_report.compare import Comparison, Status, compare

if TYPE_CHECKING:
    from codspeed.protocols import CommandApp

_HELP = """Compare two stored runs: change and spread of every benchmark.

BASE and HEAD are run ids, commits (both may be shortened), branches or paths of bundles; of a
commit or branch the newest run is taken. HEAD is the newest run if it is left out, BASE the newest
earlier run that shares a benchmark.
"""


def build(app: CommandApp) -> click.Command:
    """Build the verb."""

    @click.command("compare", help=_HELP)
    @click.argument("base", required=False)
    @click.argument("head", required=False)
    @click.option("--all-metrics", is_flag=True, help="Show every metric, not only the main one.")
    @click.option("--json", "as_json", is_flag=True, help="Write JSON to standard output.")
    def command(base: str | None, head: str | None, *, all_metrics: bool, as_json: bool) -> None:
        run(app, base, head, every_metric=all_metrics, as_json=as_json)

    return command


def run(
    app: CommandApp, base: str | None, head: str | None, *, every_metric: bool, as_json: bool
) -> None:
    """Compare and show.

    Raises:
        IncomparableError: If nothing could be compared; what there is was shown.
        CodspeedError: If a run can't be found or read.
    """
    taken_base, taken_head = place.reading(app, lambda store: resolve.pair(store, base, head))
    comparison = compare(taken_base.selection, taken_head.selection)
    app.print(render.headline(taken_base, taken_head, now_ns=time.time_ns()))
    if as_json:
        app.write(render.comparison_json(comparison, taken_base, taken_head))
    else:
        app.print(render.comparison_table(comparison, every_metric=every_metric))
        for remark in render.remarks(comparison):
            app.print(remark)
    if not comparison.is_comparable:
        raise _nothing_comparable(comparison)


def _nothing_comparable(comparison: Comparison) -> IncomparableError:
    base, head = comparison.base.run.run_id, comparison.head.run.run_id
    reasons = dict.fromkeys(
        row.note for row in comparison.rows if row.status is Status.INCOMPARABLE
    )
    why = next(iter(reasons), "they have no benchmark in common")
    problem = f"nothing of {head} can be compared with {base}: {why}"
    return IncomparableError(problem, hint="measure both on one machine in one way")
