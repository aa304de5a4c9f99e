"""Results as tables, one per executor. Imports rich: only after a measurement."""

from __future__ import annotations

import io
from collections import Counter
from typing import IO, TYPE_CHECKING, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from codspeed.cli.terminal import has_colour, is_terminal, size
from codspeed.model.quantity import format_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codspeed.model import BenchmarkResult, Metric, PartResults

_WIDE = 10_000  # where nobody looks at a screen, nothing is cut
_INDENT: Final = "  "


def console(stream: IO[str], env: Mapping[str, str]) -> Console:
    """Return a rich console with our rules for colour and width."""
    is_coloured = has_colour(stream, env)
    return Console(
        file=stream,
        width=size(stream, env)[0] if is_terminal(stream) else _WIDE,
        force_terminal=is_coloured,
        no_color=not is_coloured,
        highlight=False,
        legacy_windows=False,
    )


def render(
    results: Sequence[PartResults],
    labels: Mapping[str, str],
    stream: IO[str],
    env: Mapping[str, str],
) -> list[str]:
    """Return lines that show `results` on `stream`: one table per executor, in order."""
    text = io.StringIO()
    target = console(stream, env)
    target.file = text
    target.width = max(1, target.width - len(_INDENT))
    for executor in dict.fromkeys(part.executor for part in results):
        benchmarks = [b for part in results if part.executor == executor for b in part.benchmarks]
        if benchmarks:
            target.print()
            target.print(_table(labels.get(executor, executor), benchmarks, stream))
    return [f"{_INDENT}{line}".rstrip() for line in text.getvalue().splitlines()]


def _table(title: str, benchmarks: Sequence[BenchmarkResult], stream: IO[str]) -> Table:
    columns = _columns(benchmarks)
    encoding = (getattr(stream, "encoding", None) or "ascii").lower()
    table = Table(
        title=Text(title, style="bold"),
        box=box.ROUNDED if encoding.startswith("utf") else box.ASCII,
        safe_box=True,
    )
    table.add_column("Benchmark", justify="left", overflow="fold")
    for label in columns:
        table.add_column(Text(label), justify="right", no_wrap=True)
    names = Counter(benchmark.name for benchmark in benchmarks)
    for benchmark in benchmarks:
        by_label = {metric.label: metric for metric in benchmark.metrics if metric.label}
        # The JVM's integration gives all parameter values of a method one name.
        shown = benchmark.uri if names[benchmark.name] > 1 else benchmark.name
        table.add_row(Text(shown), *(_cell(by_label.get(label)) for label in columns))
    return table


def _columns(benchmarks: Sequence[BenchmarkResult]) -> list[str]:
    """Return the labels of all metrics in order of appearance."""
    labels = (metric.label for benchmark in benchmarks for metric in benchmark.metrics)
    return [label for label in dict.fromkeys(labels) if label]


def _cell(metric: Metric | None) -> Text:
    if metric is None:
        return Text("-", style="dim")
    return Text(format_value(metric.value, metric.unit), style="cyan" if metric.headline else "")
