"""A run as Markdown, for job summaries and for comments on pull requests. No I/O here.

Names of benchmarks and branches come from whoever opened the pull request: they are shown as code,
so that they neither format the text nor notify anybody.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from typing import TYPE_CHECKING, Final

import attrs

from codspeed_report import render
from codspeed_report.compare import COMPARED, Comparison, Status
from codspeed_report.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from codspeed_report.compare import Row

# Of a comment on GitHub 65,536 characters; GitLab takes more (a million).
COMMENT_CHARACTERS: Final = 60_000
# Of a job summary 1 MiB, in bytes; a character takes at most four.
SUMMARY_CHARACTERS: Final = 250_000
_RESERVE: Final = 80  # characters, for what is said of rows that are left out
_SHORT_COMMIT: Final = 10
_FIRST: Final = {Status.INCOMPARABLE: 1, Status.NEW: 2, Status.MISSING: 3}


@attrs.frozen
class Report:
    """What is told of a run.

    Attributes:
        head: The run.
        comparison: With its base; None if there is none.
        note: Why there is no base; empty if there is one.
    """

    head: Selection
    comparison: Comparison | None = None
    note: str = ""

    @property
    def headline(self) -> str:
        """Return the report in one line of plain text."""
        if self.comparison is None:
            measured = sum(each.series.headline for each in self.head.measurements)
            return f"{_count(measured, 'benchmark')}, {self.note}"
        rows = [row for row in self.comparison.rows if row.series.headline]
        compared = sum(row.status in COMPARED for row in rows)
        parts = [f"{_count(compared, 'benchmark')} compared"]
        for status in (Status.CHANGED, Status.INCOMPARABLE, Status.NEW, Status.MISSING):
            number = sum(row.status is status for row in rows)
            parts += [f"{number} {status.value}"] if number else []
        return ", ".join(parts)


def marker(key: str) -> str:
    """Return the hidden first line by which a comment is found again.

    Args:
        key: Tells the jobs of one pull request apart.
    """
    return f"<!-- codspeed:report:{hashlib.sha256(key.encode()).hexdigest()[:16]} -->"


def markdown(report: Report, *, title: str, limit: int) -> str:
    """Return the report, at most `limit` characters; rows that do not fit are counted."""
    before = [f"## {title}", "", f"{report.headline}.", ""]
    if report.comparison is None:
        columns: tuple[str, ...] = ("Benchmark", "Metric", "Value", "Spread")
        rows: list[tuple[str, ...]] = list(_values(report.head))
        after: list[str] = []
    else:
        before += [_sides(report.comparison), ""]
        columns = ("Benchmark", "Metric", "Base", "Head", "Change", "Spread", "Note")
        rows = list(_comparison(report.comparison))
        after = [f"> {_plain(text.plain)}" for text in render.remarks(report.comparison)]
    numeric = {"Value", "Base", "Head", "Change", "Spread"}
    rule = ["---:" if column in numeric else "---" for column in columns]
    head = [*before, _line(columns), _line(rule)]
    return _fitted(head, [_line(row) for row in rows], after, limit)


def code(text: str) -> str:
    """Return `text` as code in a table: nothing in it is Markdown, no @name is notified."""
    line = re.sub(r"\s+", " ", text).strip() or " "
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if longest else ""
    # Also inside of code a bar would end the cell.
    return f"{fence}{padding}{line}{padding}{fence}".replace("|", "\\|")


def _fitted(head: list[str], rows: list[str], after: list[str], limit: int) -> str:
    """Leave out the last rows, then the remarks, until the text is short enough."""
    tail = after
    kept = _as_many(rows, limit - _length([*head, *tail]) - _RESERVE)
    if rows and not kept:
        tail = []
        kept = _as_many(rows, limit - _length(head) - _RESERVE)
    left = len(rows) - len(kept)
    more = ["", f"… and {_count(left, 'more row')}."] if left else []
    gap = [""] if tail else []
    return "\n".join([*head, *kept, *more, *gap, *tail])[: limit - 1] + "\n"


def _as_many(rows: list[str], room: int) -> list[str]:
    ends = itertools.accumulate(len(row) + 1 for row in rows)
    return [row for row, end in zip(rows, ends, strict=True) if end <= room]


def _length(lines: list[str]) -> int:
    return sum(len(line) + 1 for line in lines)


def _sides(comparison: Comparison) -> str:
    sides = []
    for selection in (comparison.head, comparison.base):
        run = selection.run
        name = code(run.branch) if run.branch else "no branch"
        commit = code(run.commit[:_SHORT_COMMIT]) if run.commit else "no commit"
        sides.append(f"{name} ({commit})")
    return f"{sides[0]} against {sides[1]}"


def _comparison(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """Yield the headline metrics, what changed most first."""
    for row in sorted((row for row in comparison.rows if row.series.headline), key=_rank):
        note = "; ".join(filter(None, (render.status_text(row), row.note)))
        yield (
            _name(row.series.name, row.series.executor, comparison.head),
            _plain(row.series.label or row.series.metric),
            render.value_text(row.base),
            render.value_text(row.head),
            _change(row),
            render.spread_text(row),
            _plain(note),
        )


def _change(row: Row) -> str:
    text = render.change_text(row)
    return f"**{text}**" if row.status is Status.CHANGED else text


def _rank(row: Row) -> tuple[int, float]:
    return _FIRST.get(row.status, 0), -abs(row.change or 0.0)


def _values(selection: Selection) -> Iterator[tuple[str, ...]]:
    for measured in selection.measurements:
        series = measured.series
        if series.headline:
            yield (
                _name(series.name, series.executor, selection),
                _plain(series.label or series.metric),
                render.value_text(measured),
                "-" if measured.spread is None else f"{measured.spread * 100:.1f}%",
            )


def _name(name: str, executor: str, head: Selection) -> str:
    several = len({part.executor for part in head.parts}) > 1
    return f"{code(name)} ({executor})" if several else code(name)


def _plain(text: str) -> str:
    """Return text of ours, with what of a stranger's may stand in it made harmless."""
    escaped = re.sub(r"([\\`*_{}\[\]<>|#~@])", r"\\\1", re.sub(r"\s+", " ", text))
    # A backslash does not keep GitHub from reading @name; a space of no width does.
    return escaped.replace("\\@", "@\u200b")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
