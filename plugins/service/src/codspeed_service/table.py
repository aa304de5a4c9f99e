"""A table with rounded corners, its title in the first row (spec/cli-upload.md 5.5)."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Cell(NamedTuple):
    """A text and how it looks: names of colours and weights."""

    text: str
    look: tuple[str, ...] = ()


def draw(title: str, rows: Sequence[Sequence[Cell]], paint: Callable[..., str]) -> list[str]:
    """Return the lines of a table; the first row is the heading, the first column is left-aligned.

    Args:
        paint: Returns a text in the colours and weights that follow it.
    """
    widths = [max(width(row[at].text) for row in rows) for at in range(len(rows[0]))]
    inside = sum(widths) + 3 * (len(widths) - 1)
    if inside < width(title):
        widths[0] += width(title) - inside
        inside = width(title)
    left = (inside - width(title)) // 2
    right = inside - width(title) - left
    heading, *body = (_row(row, widths, paint) for row in rows)
    return [
        f"╭{'─' * (inside + 2)}╮",
        f"│ {' ' * left}{paint(title, 'bold')}{' ' * right} │",
        _line("├┬┤", widths),
        heading,
        _line("├┼┤", widths),
        *body,
        _line("╰┴╯", widths),
    ]


def width(text: str) -> int:
    """Return how many columns a terminal needs: wide letters take two, combining ones none."""
    return sum(_letter_width(letter) for letter in text)


def _letter_width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1


def _line(corners: str, widths: Sequence[int]) -> str:
    return corners[0] + corners[1].join("─" * (columns + 2) for columns in widths) + corners[2]


def _row(row: Sequence[Cell], widths: Sequence[int], paint: Callable[..., str]) -> str:
    cells = []
    for at, (cell, columns) in enumerate(zip(row, widths, strict=True)):
        space = " " * (columns - width(cell.text))
        text = paint(cell.text, *cell.look) if cell.look else cell.text
        cells.append(text + space if at == 0 else space + text)
    return f"│ {' │ '.join(cells)} │"
