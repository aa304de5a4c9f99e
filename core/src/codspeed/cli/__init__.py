"""The command line: parsing, printing, and the only place that ends the process.

This module imports nothing but `sys`, because `codspeed --version` is measured (docs/design.md,
speed).
"""

from __future__ import annotations

import sys

from codspeed import __version__

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        argv: Words after the program's name; None for those of this process.
    """
    words = sys.argv[1:] if argv is None else argv
    if words in (["--version"], ["-V"]):
        sys.stdout.write(f"codspeed {__version__}\n")
        return 0
    import gc  # noqa: PLC0415 - after the fast path

    # Importing makes many objects and no garbage; the default of 700 costs a tenth of the start,
    # and a run makes 250,000.
    gc.set_threshold(500_000)
    from codspeed.cli.root import run  # noqa: PLC0415 - after the fast path

    code = run(words)
    if argv is None:
        gc.freeze()  # else the interpreter looks for garbage once more before it ends: 25 ms
    return code
