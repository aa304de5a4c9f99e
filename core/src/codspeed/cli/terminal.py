"""How text looks on this terminal: colour, width, level of detail, and errors."""

from __future__ import annotations

import os
import sys
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codspeed.errors import CodspeedError

LEVELS: Final = ("trace", "debug", "info", "warn", "error")
_CODES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def level(env: Mapping[str, str]) -> int:
    """Return the position in `LEVELS` from which on things are shown."""
    word = env.get("CODSPEED_LOG", "info").strip().lower()
    word = {"warning": "warn", "off": "error"}.get(word, word)
    return LEVELS.index(word) if word in LEVELS else LEVELS.index("info")


def is_debug(env: Mapping[str, str]) -> bool:
    """Whether causes and tracebacks are shown."""
    return level(env) <= LEVELS.index("debug")


def has_colour(stream: IO[str], env: Mapping[str, str]) -> bool:
    """Whether colours are wanted (https://no-color.org, https://force-color.org)."""
    if env.get("NO_COLOR"):
        return False
    if env.get("FORCE_COLOR"):
        return True
    return is_terminal(stream) and env.get("TERM") != "dumb"


def is_terminal(stream: IO[str]) -> bool:
    """Whether a person looks at it; a closed stream has none."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def size(stream: IO[str], env: Mapping[str, str]) -> tuple[int, int]:
    """Return columns and rows of the terminal behind `stream`; 80 and 24 if it has none."""
    try:
        columns, rows = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError, AttributeError):
        columns, rows = 80, 24
    wish = env.get("COLUMNS", "")
    return (int(wish) if wish.isdecimal() and int(wish) > 0 else columns or 80), rows or 24


class Style:
    """Colours text, or leaves it alone."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled

    def __call__(self, text: str, *names: str) -> str:
        """Return `text` in the colours and weights of `names`."""
        if not self._enabled or not text:
            return text
        return f"\x1b[{';'.join(_CODES[name] for name in names)}m{text}\x1b[0m"


def error_lines(error: CodspeedError, style: Style, *, causes: bool) -> list[str]:
    """Return an error as lines: the problem, the hint, and at debug what was behind it."""
    first, *more = error.problem.splitlines() or [""]
    lines = [f"  {style('✗', 'red', 'bold')} {style(first, 'red')}"]
    lines += [f"    {line}" for line in more]
    lines += [f"    {line}" for line in (error.hint or "").splitlines()]
    cause = error.__cause__ or error.__context__
    while causes and cause is not None:
        lines.append(style(f"    Caused by: {type(cause).__name__}: {cause}", "dim"))
        cause = cause.__cause__ or cause.__context__
    return lines


def show_error(error: CodspeedError, env: Mapping[str, str]) -> None:
    """Print an error on standard error."""
    style = Style(enabled=has_colour(sys.stderr, env))
    text = "\n".join(error_lines(error, style, causes=is_debug(env)))
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return  # nobody listens; the exit code still tells
