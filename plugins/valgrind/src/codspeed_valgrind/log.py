"""Valgrind's log files: what in them concerns the user. No I/O but reading them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

# Valgrind puts `==PID== `, `--PID-- ` or `**PID** ` in front.
_MARK: Final = re.compile(r"^(?:==|--|\*\*)\d+(?:==|--|\*\*) ?")
# Written by every run; none is about the benchmark. The fork's request is one that stock Valgrind
# does not know, and pytest-codspeed 5 sends it (notes on Valgrind 3.19 and 3.24).
_NOISE: Final = re.compile(
    r"Using source line as position\."
    r"|warning: L3 cache found, using its data for the LL simulation\."
    r"|warning: specified LL cache: .*"
    r"|warning: simulated LL cache: .*"
    r"|Warning: unknown callgrind client request code 43540006.*"
    r"|Warning: noted but unhandled ioctl .*"
    r"|\s*This could cause spurious value errors to appear\."
    r"|\s*See README_MISSING_SYSCALL_OR_IOCTL for guidance .*",
    re.IGNORECASE,
)
_SHOWN_LINES: Final = 20


def lines(folder: Path) -> list[str]:
    """Return the lines of all logs in a profile folder, without Valgrind's marks."""
    return [
        _MARK.sub("", line).rstrip()
        for path in sorted(folder.glob("valgrind.*.log"))
        for line in path.read_text("utf-8", "replace").splitlines()
    ]


def remarks(folder: Path) -> list[str]:
    """Return those lines that are no known noise, each once.

    At most 20, and how many there were beyond.
    """
    found = [line for line in dict.fromkeys(lines(folder)) if line and not _NOISE.fullmatch(line)]
    shown = found[:_SHOWN_LINES]
    if len(found) > len(shown):
        shown.append(f"... and {len(found) - len(shown)} more lines in valgrind.*.log")
    return shown
