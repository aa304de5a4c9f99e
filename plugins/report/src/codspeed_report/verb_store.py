"""`codspeed store list|show|gc|path`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import attrs
import click
from rich.text import Text

from codspeed.model.quantity import format_value
from codspeed_report import place, render, retention
from codspeed_report.resolve import named

if TYPE_CHECKING:
    from codspeed.protocols import CommandApp
    from codspeed_report.store import Store

_JSON = click.option("--json", "as_json", is_flag=True, help="Write JSON to standard output.")


def build(app: CommandApp) -> click.Command:
    """Build the group."""
    group = click.Group("store", help="List, show and tidy the runs kept on this machine.")
    for subcommand in (_list_command, _show_command, _gc_command, _path_command):
        group.add_command(subcommand(app))
    return group


def _list_command(app: CommandApp) -> click.Command:
    @click.command("list", help="List the stored runs, newest first.")
    @click.option(
        "--limit", type=click.IntRange(min=0), default=20, show_default=True, help="0: all of them."
    )
    @_JSON
    def command(limit: int, *, as_json: bool) -> None:
        runs = place.reading(app, lambda store: store.runs(limit or -1))
        if as_json:
            plain = [attrs.asdict(run) for run in runs]
            app.write(render.to_json({"schema": render.LIST_SCHEMA, "runs": plain}))
        elif runs:
            app.print(render.runs_table(runs, now_ns=time.time_ns()))
        else:
            app.print(Text(f"no run is stored in {place.root(app)}"))

    return command


def _show_command(app: CommandApp) -> click.Command:
    @click.command("show", help="Show one run: a run id, commit, branch or bundle.")
    @click.argument("run")
    @_JSON
    def command(run: str, *, as_json: bool) -> None:
        taken = place.reading(app, lambda store: named(store, run))
        if as_json:
            plain = render.selection_plain(taken.selection)
            app.write(render.to_json({"schema": render.SHOW_SCHEMA, **plain}))
            return
        is_removed = retention.are_removed(taken.path)
        app.print(render.run_text(taken, profiles_removed=is_removed, now_ns=time.time_ns()))
        app.print(render.run_table(taken.selection))

    return command


def _gc_command(app: CommandApp) -> click.Command:
    @click.command("gc", help="Remove the oldest profiles; results are kept for ever.")
    @click.option("--keep-bytes", default="2GB", show_default=True, help="What profiles may take.")
    @click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
    @_JSON
    def command(keep_bytes: str, *, dry_run: bool, as_json: bool) -> None:
        budget = retention.parse_bytes(keep_bytes)
        profiles = place.reading(app, lambda store: retention.measure(store.bundles))
        chosen = retention.choose(profiles, budget)
        if not dry_run:
            for each in chosen:
                retention.remove(each, now_ns=time.time_ns())
            place.reading(app, lambda store: _forget(store, chosen))
        _report_gc(app, profiles, chosen, is_dry=dry_run, as_json=as_json)

    return command


def _path_command(app: CommandApp) -> click.Command:
    @click.command("path", help="Print the folder of the store.")
    def command() -> None:
        app.write(f"{place.root(app)}\n")

    return command


def _forget(store: Store, removed: tuple[retention.Profiles, ...]) -> None:
    for each in removed:
        store.forget_profiles(each.bundle.name)


def _report_gc(
    app: CommandApp,
    profiles: tuple[retention.Profiles, ...],
    chosen: tuple[retention.Profiles, ...],
    *,
    is_dry: bool,
    as_json: bool,
) -> None:
    freed = sum(each.size for each in chosen)
    kept = sum(each.size for each in profiles) - freed
    if as_json:
        document = {
            "schema": render.GC_SCHEMA,
            "dry_run": is_dry,
            "removed": [{"bundle": each.bundle.name, "bytes": each.size} for each in chosen],
            "freed_bytes": freed,
            "kept_bytes": kept,
        }
        app.write(render.to_json(document))
        return
    verb = "would remove" if is_dry else "removed"
    for each in chosen:
        size = format_value(each.size, "bytes")
        app.print(Text(f"{verb} the profiles of {each.bundle.name}, {size}"))
    total = f"{format_value(freed, 'bytes')} in all; {format_value(kept, 'bytes')} stay"
    app.print(Text(f"{verb} {total}"))
