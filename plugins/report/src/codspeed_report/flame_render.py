"""A profile as a table, a tree, JSON and folded stacks. No I/O here."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from rich.box import ROUNDED
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from codspeed.model.quantity import format_value
from codspeed_native import fold
from codspeed_report.flame import nested

if TYPE_CHECKING:
    from rich.console import RenderableType

    from codspeed.model import CallTree, Frame
    from codspeed_report.flame import Node, Profile

# Schema of the JSON document. History: 1 first version.
FLAME_SCHEMA: Final = "codspeed.flame/1"
_WIDE: Final = 10_000
_SHOWN_PARTS: Final = 2
_STYLES: Final = {
    "python": "green",
    "javascript": "green",
    "interpreter": "dim",
    "harness": "dim",
    "kernel": "red",
    "jit": "yellow",
}


def headline(profile: Profile, run_id: str, why: str) -> str:
    """Return the line that says what is shown."""
    candidate, tree = profile.candidate, profile.tree
    total = format_value(fold.cost(tree), tree.unit)
    of = f" {profile.of}" if profile.of else ""
    return f"{candidate.uri}: {total}{of} in {candidate.record.mode} of run {run_id} ({why})"


def table(tree: CallTree, *, limit: int, is_plain: bool) -> Table:
    """Return functions by what they cost themselves, the most expensive first.

    Args:
        limit: How many; 0 for all.
        is_plain: Without lines, for other programs.
    """
    rows = fold.table(tree)
    shown = rows[: limit or None]
    total = fold.cost(tree)
    grid = Table(box=None if is_plain else ROUNDED, pad_edge=not is_plain)
    for heading in ("Self", "Self %", "Total", "Total %"):
        grid.add_column(heading, justify="right", no_wrap=True)
    grid.add_column("Function", overflow="fold")
    grid.add_column("Where", overflow="ellipsis", no_wrap=True, style="dim")
    for row in shown:
        grid.add_row(
            Text(format_value(row.self_cost, tree.unit)),
            Text(_percent(row.self_cost, total)),
            Text(format_value(row.total_cost, tree.unit)),
            Text(_percent(row.total_cost, total)),
            Text(row.frame.function, _STYLES.get(row.frame.kind, "")),
            Text(where(row.frame)),
        )
    if len(shown) < len(rows):
        rest = sum(row.self_cost for row in rows[limit:])
        left = f"{len(rows) - len(shown)} more"
        grid.add_row(format_value(rest, tree.unit), _percent(rest, total), "", "", left, "")
    return grid


def indented(tree: CallTree, *, least_percent: float) -> Tree:
    """Return callers above callees with their share, the most expensive first.

    Args:
        least_percent: Functions below this share of everything are left out.
    """
    top = nested(tree)
    shown = Tree(_label(top, top.total_cost, tree.unit), guide_style="dim")
    waiting = [(top, shown)]
    while waiting:  # no recursion: stacks may be deeper than Python's
        node, branch = waiting.pop()
        waiting += [
            (child, branch.add(_label(child, top.total_cost, tree.unit)))
            for child in node.by_cost()
            if 100 * child.total_cost >= least_percent * top.total_cost
        ]
    return shown


def document(profile: Profile, run_id: str) -> dict[str, Any]:
    """Return the profile JSON-ready: functions once, stacks as their positions, root first."""
    tree, candidate = profile.tree, profile.candidate
    rows = fold.table(tree)
    position = {row.frame: index for index, row in enumerate(rows)}
    return {
        "schema": FLAME_SCHEMA,
        "run_id": run_id,
        "uri": candidate.uri,
        "mode": candidate.record.mode,
        "of": profile.of,
        "executor": candidate.record.executor,
        "model": candidate.record.model,
        "unit": tree.unit,
        "total": fold.cost(tree),
        "functions": [
            {
                "function": row.frame.function,
                "module": row.frame.module,
                "kind": row.frame.kind,
                "location": row.frame.location,
                "self": row.self_cost,
                "total": row.total_cost,
            }
            for row in rows
        ],
        "stacks": [
            {"functions": [position[frame] for frame in stack], "self": cost}
            for stack, cost in tree.stacks.items()
        ],
    }


def plain(renderable: RenderableType) -> str:
    """Return what rich draws as text without colour, as wide as it needs to be."""
    text = io.StringIO()
    console = Console(file=text, width=_WIDE, no_color=True, force_terminal=False)
    console.print(renderable)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def where(frame: Frame) -> str:
    """Return the place a function comes from, cut to what tells it apart: a few parts of its path.

    Without a file it is the name of the object file.
    """
    if not frame.location:
        return frame.module.rpartition("/")[2]
    parts = frame.location.split("/")
    cut = len(parts) - _SHOWN_PARTS
    return "/".join(["…", *parts[cut:]]) if cut > 1 else frame.location


def _label(node: Node, total: float, unit: str) -> Text:
    if node.frame is None:
        return Text(format_value(node.total_cost, unit), "bold")
    label = Text(f"{_percent(node.total_cost, total)} ", "bold")
    label.append(node.frame.function, _STYLES.get(node.frame.kind, "not bold"))
    if node.children and node.self_cost:
        label.append(f"  self {_percent(node.self_cost, total)}", "dim not bold")
    if place := where(node.frame):
        label.append(f"  {place}", "dim not bold")
    return label


def _percent(cost: float, total: float) -> str:
    return format_value(100 * cost / total if total else 0.0, "percent")
