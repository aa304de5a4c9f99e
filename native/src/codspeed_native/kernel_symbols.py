"""The kernel's functions, as it lists them (`kallsyms`: `ADDRESS TYPE NAME [MODULE]`).

A kernel has more than a hundred thousand symbols, a profile few dozen kernel functions. So nothing
is parsed: the kernel's own part is sorted, and its text is searched by halves.
"""

from __future__ import annotations

import bisect
import functools
import re
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from pathlib import Path

_DIGITS: Final = 16
_MODULE_LINE: Final = re.compile(rb"^([0-9a-f]{16}) \w ([^\t\n]+)\t\[", re.MULTILINE)


class KernelSymbols:
    """Names by address; empty where the user may not know addresses (kptr_restrict)."""

    def __init__(self, text: bytes) -> None:
        first_of_module = text.find(b"\t[")
        end = len(text) if first_of_module < 0 else text.rfind(b"\n", 0, first_of_module) + 1
        self._core = text[:end]
        self._rest = text[end:]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the list; one that can't be read is empty."""
        try:
            return cls(path.read_bytes())
        except OSError:
            return cls(b"")

    def name_of(self, address: int) -> str | None:
        """Return the name of the symbol at or before an address."""
        starts, names = self._modules
        index = bisect.bisect_right(starts, address) - 1
        in_module = (starts[index], names[index]) if index >= 0 else (0, b"")
        start, name = max(self._in_core(address), in_module)
        return name.decode("utf-8", "replace") if start else None

    def _in_core(self, address: int) -> tuple[int, bytes]:
        text, wanted = self._core, b"%016x" % address
        low, high = 0, len(text)
        while low < high:  # the line that holds `low` is not behind the wanted one
            middle = text.rfind(b"\n", 0, (low + high) // 2) + 1
            if text[middle : middle + _DIGITS] <= wanted:
                following = text.find(b"\n", middle) + 1
                if not following or middle <= low == following:
                    break
                low = following
            else:
                high = middle
        line = text[text.rfind(b"\n", 0, max(low - 1, 0)) + 1 : low].split()
        return (int(line[0], 16), line[2]) if len(line) >= 3 else (0, b"")

    @functools.cached_property
    def _modules(self) -> tuple[list[int], list[bytes]]:
        found = sorted((int(start, 16), name) for start, name in _MODULE_LINE.findall(self._rest))
        return [start for start, _ in found], [name for _, name in found]
