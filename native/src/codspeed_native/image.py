"""The files that programs are made of, as profilers need them: unwind tables and names.

Each file is read once, whatever number of processes runs it, and only what is asked for.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codspeed_native import debug_file, elf
from codspeed_native.cfi import UnwindTable
from codspeed_native.line_table import LineTable
from codspeed_native.symbol_table import SymbolTable

if TYPE_CHECKING:
    from codspeed_native.cfi import Row

PLT: Final = "[plt]"  # name of the jumps to other files: they have no names of their own
_VDSO: Final = "[vdso]"


class Image:
    """One file.

    Attributes:
        name: Its path, or `[vdso]`.
        rules: For the unwinder: what it made of `row`, by address as linked.
    """

    def __init__(self, name: str, file: elf.Elf) -> None:
        self.name = name
        self.elf = file
        self.rules: dict[int, object] = {}

    def row(self, address: int) -> Row | None:
        """Return how to unwind from an address as linked.

        Raises:
            CfiError: If this is damaged in the file.
            ElfError: If the file is.
        """
        return self._table.row(address)

    def find(self, address: int) -> tuple[int, str] | None:
        """Return where the function at an address as linked begins, and its name.

        Raises:
            ElfError: If the file is damaged.
        """
        found = self.symbols.find(address)
        if found is None and any(start <= address < end for start, end in self._stubs):
            return address, PLT
        return found

    def name_of(self, address: int) -> str | None:
        """Return the name of the function at an address as linked. Raises as `find` does."""
        found = self.find(address)
        return None if found is None else found[1]

    @functools.cached_property
    def _stubs(self) -> list[tuple[int, int]]:
        every = [each for each in self.elf.sections if each.name.startswith(".plt")]
        return [(each.address, each.address + each.size) for each in every]

    @functools.cached_property
    def _table(self) -> UnwindTable:
        file = self.elf
        frames, header = file.section(".eh_frame"), file.section(".eh_frame_hdr")
        if frames is None:
            return UnwindTable(b"", 0)
        return UnwindTable(
            file.contents(".eh_frame"),
            frames.address,
            file.contents(".eh_frame_hdr"),
            header.address if header is not None else 0,
        )

    @functools.cached_property
    def symbols(self) -> SymbolTable:
        """Names of its functions, those of a separate debug file too.

        Raises:
            ElfError: If the file is damaged.
        """
        return SymbolTable.of(self.elf, *([] if self._debug is None else [self._debug]))

    @functools.cached_property
    def lines(self) -> LineTable:
        """Files and lines, if the file itself has them.

        Separate debug files are those of system libraries, whose sources nobody has at hand.

        Raises:
            ElfError: If the file is damaged.
        """
        return LineTable(self.elf)

    @functools.cached_property
    def _debug(self) -> elf.Elf | None:
        return None if self.name == _VDSO else debug_file.find(self.elf)


class Images:
    """All files of a recording.

    Attributes:
        faults: Path -> why its code can't be unwound or named; to be shown.
    """

    def __init__(self) -> None:
        self.faults: dict[str, str] = {}
        self._known: dict[tuple[str, str], Image | None] = {}

    def of(self, path: str, build_id: str = "") -> Image | None:
        """Return the image of a mapping; None if it is no file, or not the one that ran.

        Args:
            path: As the kernel names it.
            build_id: Of the file that was mapped, in hex; empty if it is not known.
        """
        key = (path, build_id)
        if key not in self._known:
            self._known[key] = self._load(path, build_id)
        return self._known[key]

    def _load(self, path: str, build_id: str) -> Image | None:
        if not is_file(path) and path != _VDSO:
            return None
        try:
            file = elf.parse(own_vdso(), _VDSO) if path == _VDSO else elf.read(Path(path))
        except elf.ElfError as failure:
            self.faults[path] = failure.problem
            return None
        # The kernel pads to 20 bytes what is shorter (md5 and uuid styles of the linker).
        if build_id and file.build_id and not build_id.startswith(file.build_id):
            self.faults[path] = f"{path} was replaced after it had run"
            return None
        return Image(path, file)


def is_file(path: str) -> bool:
    """Return whether a mapping's name is that of a file, not of memory that has none."""
    is_absolute = path.startswith("/") and not path.startswith(("//", "/memfd:", "/dev/zero"))
    return is_absolute and not path.endswith(" (deleted)")


def own_vdso() -> bytes:
    """Return what the kernel maps into every process; ours is that of the others.

    Raises:
        ElfError: If there is none.
    """
    try:
        for line in Path("/proc/self/maps").read_text("utf-8", "replace").splitlines():
            if line.endswith(_VDSO):
                start, end = (int(word, 16) for word in line.split(None, 1)[0].split("-"))
                return ctypes.string_at(start, end - start)
    except (OSError, ValueError) as failure:
        problem = f"the kernel's vdso can't be read: {failure}"
        raise elf.ElfError(problem) from failure
    problem = "this process has no vdso"
    raise elf.ElfError(problem)
