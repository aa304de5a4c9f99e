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
_TRAMPOLINE: Final = "PYTHONPERFSUPPORT"


def allocator(option: str, compat: Compat) -> str:
    """Return "default", "pymalloc" or "malloc": the option, or what compat makes of "auto"."""
    if option != "auto":
        return option
    return "malloc" if compat is Compat.NATIVE else "default"


def variables(chosen: str, *, names_frames: bool = False) -> dict[str, str]:
    """Return what makes CPython use it; nothing for its own default.

    Args:
        names_frames: Make its functions visible on the stack, which costs a few allocations; from
            3.12 on, older ones do not know the variable.
    """
    environment = {} if chosen == "default" else {VARIABLE: chosen}
    return {**environment, _TRAMPOLINE: "1"} if names_frames else environment


def wants_mappings(chosen: str, compat: Compat) -> bool:
    """Return whether arenas count: where objects live in them, unless parity is asked for."""
    return chosen != "malloc" and compat is Compat.NATIVE
