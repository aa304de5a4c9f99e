"""The rolling window: the last lines of a benchmark command in a box, with its progress.

Single-threaded: it draws on `tick` and never while a benchmark window is open. Output is reduced to
text: a benchmark can't move our cursor.
"""

from __future__ import annotations

import codecs
import re
import sys
import time
import unicodedata
from collections import deque
from typing import TYPE_CHECKING, Final

from codspeed.cli.reporter import PlainReporter, elapsed, write_text
from codspeed.cli.terminal import size

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_LINES: Final = 20
_OTHER_ROWS: Final = 6  # title, borders, progress, and a row above and below
_INDENT: Final = "    "
_CLOSING: Final = 14  # columns beside the title: sign and elapsed time
_FRAMES: Final = ("  ", ". ", "..", " .")
_FRAME_SECONDS: Final = 0.3
# ECMA-48: CSI, OSC and two-byte escape sequences.
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


class Lines:
    """The last lines of a stream of output, as text.

    Attributes:
        dropped: How many lines are above the kept ones.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._kept: deque[str] = deque(maxlen=_MOST_LINES)
        self._open = ""
        self.dropped = 0

    def feed(self, data: bytes) -> None:
        """Take in output; a carriage return starts its line again."""
        *whole, self._open = (self._open + self._decoder.decode(data)).split("\n")
        for line in whole:
            self.dropped += len(self._kept) == self._kept.maxlen
            self._kept.append(_plain(line))
        if "\r" in self._open and not self._open.endswith("\r"):
            self._open = self._open.rpartition("\r")[2]

    def last(self, count: int) -> list[str]:
        """Return at most `count` lines, the newest last."""
        lines = [*self._kept, *([_plain(self._open)] if self._open else [])]
        return lines[-count:]

    def above(self, count: int) -> int:
        """Return how many lines `last(count)` leaves out."""
        total = self.dropped + len(self._kept) + bool(self._open)
        return max(0, total - count)


def _plain(line: str) -> str:
    text = _ESCAPES.sub("", line.rstrip("\r").rpartition("\r")[2])
    return "".join(sign for sign in text if sign.isprintable() or sign == "\t").expandtabs(4)


def cells(text: str) -> int:
    """Return how many columns `text` takes."""
    return sum(
        0 if unicodedata.combining(sign) else 1 + (unicodedata.east_asian_width(sign) in "WF")
        for sign in text
    )


def cut(text: str, width: int) -> str:
    """Return `text` in at most `width` columns, with an ellipsis if something is missing."""
    if cells(text) <= width:
        return text
    kept = ""
    for sign in text:
        if cells(kept) + cells(sign) > width - 1:
            break
        kept += sign
    return f"{kept}…"


class WindowReporter(PlainReporter):
    """Draws the box; between run parts it prints lines as `PlainReporter` does."""

    _is_active = False
    _drawn: tuple[int, ...] = ()  # columns of each line on the screen
    _frame = 0
    _benchmarks = 0
    _current = ""

    def tick(self) -> None:
        """Redraw."""
        super().tick()
        self._draw()

    def window(self, *, is_open: bool) -> None:
        """Follow the benchmark window."""
        super().window(is_open=is_open)

    def benchmark(self, uri: str) -> None:
        """Count a benchmark and show its name."""
        self._benchmarks += 1
        self._current = uri

    def __exit__(self, *_exc: object) -> None:
        """Leave the last picture on the screen."""
        super().__exit__()
        if self._is_active:
            self._close(is_ok=False)

    def _begin_part(self) -> None:
        self._lines_of_part = Lines()
        self._waiting: list[str] = []
        self._benchmarks, self._current, self._drawn = 0, "", ()
        self._is_active = True
        write_text("\n")
        self._draw()

    def _show_output(self, data: bytes, stream: str) -> None:
        if self._is_active:
            self._lines_of_part.feed(data)
        else:
            super()._show_output(data, stream)

    def _say(self, lines: Sequence[str]) -> None:
        if not self._is_active:
            super()._say(lines)
            return
        self._waiting.extend(lines)
        self._draw()

    def _end_part(self, *, is_ok: bool) -> None:
        self._close(is_ok=is_ok)

    def _close(self, *, is_ok: bool) -> None:
        self._is_open = False
        self._title = cut(self._title, max(10, size(sys.stderr, self._env)[0] - _CLOSING))
        self._draw(title=self._closing_line(is_ok=is_ok))
        self._is_active = False
        self._drawn = ()

    def _draw(self, title: str | None = None) -> None:
        if self._is_open or not self._is_active:
            return
        columns, rows = size(sys.stderr, self._env)
        picture = self._picture(columns, rows, title)
        text = self._erase(columns) + "".join(f"{line}\n" for line in [*self._waiting, *picture])
        write_text(text)
        self._waiting = []
        self._drawn = tuple(min(cells(_plain(line)), columns) for line in picture)

    def _erase(self, columns: int) -> str:
        """Return what removes the last picture; a narrower terminal has wrapped its lines."""
        up = sum(max(1, -(-width // columns)) for width in self._drawn)
        return f"\x1b[{up}A\r\x1b[J" if up else ""

    def _picture(self, columns: int, rows: int, title: str | None) -> list[str]:
        count = max(1, min(_MOST_LINES, rows - _OTHER_ROWS))
        inner = max(10, columns - len(_INDENT) - 5)
        lines = self._lines_of_part.last(count)
        above = self._lines_of_part.above(count)
        note = cut(f" {above} lines above ", inner) if above else ""
        top = f"─{note}" if note else ""
        box = [f"{_INDENT}╭{top}{'─' * (inner + 2 - cells(top))}╮"]
        for line in lines:
            shown = cut(line, inner)
            box.append(f"{_INDENT}│ {shown}{' ' * (inner - cells(shown))} │")
        box.append(f"{_INDENT}╰{'─' * (inner + 2)}╯")
        heading = [self._heading(columns) if title is None else title]
        return [
            *heading,
            *(box if lines else []),
            *([self._progress(columns)] if not title else []),
        ]

    def _heading(self, columns: int) -> str:
        frame = _FRAMES[int(time.monotonic() / _FRAME_SECONDS) % len(_FRAMES)]
        return (
            f"  {self._style(frame, 'cyan')} {self._style(cut(self._title, columns - 6), 'bold')}"
        )

    def _progress(self, columns: int) -> str:
        plural = "" if self._benchmarks == 1 else "s"
        done = f"{self._benchmarks} benchmark{plural} done" if self._benchmarks else "running"
        parts = [done, elapsed(time.monotonic() - self._started), self._current]
        text = cut(" · ".join(filter(None, parts)), columns - len(_INDENT) - 1)
        return f"{_INDENT}{self._style(text, 'dim')}"
