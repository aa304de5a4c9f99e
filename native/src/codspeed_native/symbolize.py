"""Name the addresses of chains: function, module and what kind of code it is."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from codspeed.model import Frame
from codspeed_native import jit_names as generated
from codspeed_native.demangle import demangled
from codspeed_native.elf import ElfError
from codspeed_native.kernel_symbols import KernelSymbols

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from codspeed_native.address_space import Space
    from codspeed_native.image import Image
    from codspeed_native.perf_map import PerfMap
    from codspeed_native.unwind import Chain

KERNEL: Final = "[kernel]"
_KERNEL_HALF: Final = 1 << 63
UNKNOWN: Final = "[unknown]"


class Symbolizer:
    """Names addresses, each once.

    Args:
        interpreters: Paths of modules that are interpreters, beside those that look like one.
        jit_names: Returns the names of a process's generated code; called once per process, when
            the first of its addresses that lies in no file is named.
        base: Paths of sources below this folder are shown relative to it.
        kernel_symbols: The kernel's own list of its functions; addresses are hidden from users.
    """

    def __init__(
        self,
        interpreters: Collection[str] = (),
        jit_names: Callable[[int], PerfMap] = generated.read,
        *,
        base: str = "",
        kernel_symbols: Path = Path("/proc/kallsyms"),
    ) -> None:
        self._interpreters = frozenset(interpreters)
        self._jit_names = jit_names
        self._base = base
        self._kernel_symbols = kernel_symbols
        self._kernel: KernelSymbols | None = None
        self._made: dict[int, PerfMap] = {}
        # By where they begin; None is what has no name.
        self._functions: dict[Image, dict[int | None, Frame]] = {}
        # Equal frames are one object: stacks of them compare and hash quickly.
        self._frames: dict[tuple[str, str, str], Frame] = {}

    def stack(self, chain: Chain) -> tuple[Frame, ...]:
        """Return the frames of a chain from the root to the leaf."""
        space, addresses = chain.space, chain.addresses
        known = space.frames
        for address in addresses:
            if address not in known:
                known[address] = self.frame(space, address)
        return tuple(map(known.__getitem__, reversed(addresses)))

    def frame(self, space: Space, address: int) -> Frame:
        """Return the frame of one address; `[name of the file]` where nobody names the function."""
        if address & _KERNEL_HALF:
            return self._shared(self._kernel_name(address), KERNEL, "kernel")
        place = space.locate(address)
        if place is None:
            return self._generated(space, address)
        image, linked = place
        try:
            found = image.find(linked)
        except ElfError as failure:
            space.images.faults.setdefault(image.name, failure.problem)
            found = None
        functions = self._functions.setdefault(image, {})
        start = None if found is None else found[0]
        frame = functions.get(start)
        if frame is None:
            frame = functions[start] = self._function(space, image, found)
        return frame

    def _function(self, space: Space, image: Image, found: tuple[int, str] | None) -> Frame:
        """Return the frame of a function of a file; None: of what has no name there."""
        kind = self._kind(image.name)
        if found is None:
            return self._shared(_unknown(image.name), image.name, kind)
        start, name = found
        try:
            # Users do not look into the sources of interpreters, whose tables are the largest.
            line = image.lines.find(start) if kind == "native" else None
        except ElfError as failure:
            space.images.faults.setdefault(image.name, failure.problem)
            line = None
        location = "" if line is None else f"{_relative(line.file, self._base)}:{line.line}"
        return self._shared(demangled(name), image.name, kind, location)

    def _kind(self, module: str) -> str:
        is_interpreter = module in self._interpreters or generated.is_runtime(module)
        return "interpreter" if is_interpreter else "native"

    def _shared(self, function: str, module: str, kind: str, location: str = "") -> Frame:
        key = function, module, location
        frame = self._frames.get(key)
        if frame is None:
            frame = self._frames[key] = Frame(function, module, kind, location)
        return frame

    def _generated(self, space: Space, address: int) -> Frame:
        names = self._made.get(space.pid)
        if names is None:
            names = self._made[space.pid] = self._jit_names(space.pid)
        name = names.name_of(address)
        if name is not None:
            return generated.frame(name, base=self._base)
        mapping = space.find(address)
        module = "" if mapping is None or mapping.path.startswith("//") else mapping.path
        return self._shared(_unknown(module), module, self._kind(module) if module else "jit")

    def _kernel_name(self, address: int) -> str:
        if self._kernel is None:
            self._kernel = KernelSymbols.read(self._kernel_symbols)
        return self._kernel.name_of(address) or UNKNOWN


def _unknown(module: str) -> str:
    return f"[{PurePath(module).name}]" if module else UNKNOWN


def _relative(file: str, base: str) -> str:
    return file.removeprefix(f"{base.rstrip('/')}/") if base else file
