"""Which files the benchmark's processes had loaded, and where: the reference's rules.

They differ from `codspeed_native.address_space` on purpose: one entry per process and file, the
last one; no history. Source: spec/executors.md 3.5.
"""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

import attrs

from codspeed_native import debug_file, elf
from codspeed_native.elf import Elf, ElfError
from codspeed_native.load_bias import base_address, load_bias
from codspeed_native.perf_records import Comm, Fork, Mmap
from codspeed_walltime.artifacts.unwind_data import UnwindData

if TYPE_CHECKING:
    from collections.abc import Collection

    from codspeed_native.perf_records import Record

_MASK: Final = 2**64 - 1


@attrs.frozen
class Module:
    """One file.

    Attributes:
        debug: Its separate debug file.
        unwind: None if it has no `.eh_frame`.
    """

    path: str
    file: Elf
    debug: Elf | None
    unwind: UnwindData | None


@attrs.frozen
class Placed:
    """Where a module is in one process; `avma_range` is that of its last executable mapping."""

    module: Module
    load_bias: int
    avma_range: tuple[int, int]
    base_avma: int


class Modules:
    """Built up record by record, in order of time.

    Args:
        pids: Processes to begin with; their children are followed. None: all processes.
    """

    def __init__(self, pids: Collection[int] | None) -> None:
        self._followed = None if pids is None else set(pids)
        self._placed: dict[int, dict[str, Placed]] = {}
        self._modules: dict[str, Module | None] = {}

    def feed(self, record: Record) -> None:
        """Take in a record; most kinds change nothing."""
        if isinstance(record, Mmap):
            if self._is_followed(record.pid):
                self._map(record)
        elif isinstance(record, Fork):
            if record.pid != record.parent_pid:
                self._fork(record)
        elif isinstance(record, Comm) and record.is_exec and self._is_followed(record.pid):
            self._placed.pop(record.pid, None)

    def pids(self) -> list[int]:
        """Return the processes that were followed; of all processes those that have a module."""
        return sorted(self._placed if self._followed is None else self._followed)

    def all(self) -> list[Module]:
        """Return every module that some process has, each once."""
        placed = [each for pid in self.pids() for each in self.of(pid)]
        return list({each.module.path: each.module for each in placed}.values())

    def of(self, pid: int) -> list[Placed]:
        """Return what a process has loaded."""
        return list(self._placed.get(pid, {}).values())

    def _is_followed(self, pid: int) -> bool:
        return self._followed is None or pid in self._followed

    def _fork(self, record: Fork) -> None:
        if self._followed is not None and record.parent_pid in self._followed:
            self._followed.add(record.pid)
        parent = self._placed.get(record.parent_pid)
        if parent:
            child = self._placed.setdefault(record.pid, {})
            self._placed[record.pid] = {**parent, **child}

    def _map(self, record: Mmap) -> None:
        path = record.path
        is_special = path == "//anon" or (path.startswith("[") and path.endswith("]"))
        if not record.is_executable or is_special:
            return
        module = self._module(path)
        if module is None:
            return
        segments, end = module.file.segments, record.start + record.size
        bias = load_bias(segments, start=record.start, end=end, offset=record.offset)
        if bias is None:
            return
        base = ((base_address(segments) or 0) + bias) & _MASK
        placed = Placed(module, bias, (record.start, end), base)
        self._placed.setdefault(record.pid, {})[path] = placed

    def _module(self, path: str) -> Module | None:
        if path not in self._modules:
            try:
                self._modules[path] = _load(path)
            except ElfError:
                self._modules[path] = None  # no program: a jitdump, data, or gone
        return self._modules[path]


def _load(path: str) -> Module:
    file = elf.read(Path(path))
    try:
        debug = debug_file.find(file)
    except ElfError:
        debug = None
    return Module(path, file, debug, _unwind(path, file))


def _unwind(path: str, file: Elf) -> UnwindData | None:
    frames, header = file.section(".eh_frame"), file.section(".eh_frame_hdr")
    if frames is None:
        return None
    try:
        return UnwindData(
            path=path,
            base_svma=base_address(file.segments) or 0,
            eh_frame_hdr=None if header is None else file.data(header),
            eh_frame_hdr_svma=None if header is None else _range(header),
            eh_frame=file.data(frames),
            eh_frame_svma=_range(frames),
        )
    except ElfError:
        return None


def _range(section: elf.Section) -> tuple[int, int]:
    return section.address, section.address + section.size


def is_ignored(path: str, interpreters: Collection[str]) -> bool:
    """Return whether a module's functions are not shown (3.11).

    Args:
        interpreters: Their files; anything that is called `python...` is ignored as well.
    """
    return path in interpreters or PurePath(path).name.startswith("python")
