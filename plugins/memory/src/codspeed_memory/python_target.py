"""CPython's allocator in the benchmark: what of its objects malloc gets to see.

With pymalloc, small objects live in arenas that come from mmap, so a malloc-level recorder sees
next to nothing of a Python program. `PYTHONMALLOC=malloc` makes every object count, and the program
itself 1.4 to 1.7 times slower, which no memory figure depends on. Free-threaded builds refuse that
value; the shim notices them from inside, hides the variable from them and records their mappings.
"""

from __future__ import annotations

from typing import Final

from codspeed.model import Compat

VARIABLE: Final = "PYTHONMALLOC"


def allocator(option: str, compat: Compat) -> str:
    """Return "default", "pymalloc" or "malloc": the option, or what compat makes of "auto"."""
    if option != "auto":
        return option
    return "malloc" if compat is Compat.NATIVE else "default"


def variables(chosen: str) -> dict[str, str]:
    """Return what makes CPython use it; nothing for its own default."""
    return {} if chosen == "default" else {VARIABLE: chosen}


def wants_mappings(chosen: str, compat: Compat) -> bool:
    """Return whether arenas count: where objects live in them, unless parity is asked for."""
    return chosen != "malloc" and compat is Compat.NATIVE
