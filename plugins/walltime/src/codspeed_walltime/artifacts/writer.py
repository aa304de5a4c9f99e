"""Write the reference's files of a profile folder, from the records of the run.

Per module `<key>.symbols.map` and `<key>.unwind_data`, per process what its JIT told, and
`walltime.metadata`, which says what belongs to what. Source: spec/executors.md 3.5 to 3.12.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

import attrs

from codspeed_native import jitdump
from codspeed_native.elf import ElfError
from codspeed_walltime.artifacts import metadata, unwind_data
from codspeed_walltime.artifacts.described import Described, describe
from codspeed_walltime.artifacts.metadata import MappedUnwind, Metadata
from codspeed_walltime.artifacts.modules import Module, Modules, Placed, is_ignored
from codspeed_walltime.artifacts.unwind_data import UnwindData

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from codspeed.model import Integration, Timestamps
    from codspeed_native.perf_records import Record

_ALL_PIDS_OF: Final = "exec-harness"
_LONGEST_NAME: Final = 50  # characters, up to 4 bytes each; file systems allow 255 bytes
_MASK: Final = 2**64 - 1


def no_interpreters(_paths: Collection[str]) -> Collection[str]:
    """Know no interpreter but what is called like one."""
    return ()


def write(
    folder: Path,
    records: Iterable[Record],
    *,
    integration: Integration,
    timestamps: Timestamps,
    pids: Collection[int],
    interpreters: Callable[[Collection[str]], Collection[str]] = no_interpreters,
    keep_names: Callable[[Collection[int]], None] | None = None,
    cache: Path | None = None,
) -> None:
    """Write all files; metadata last, so that what it names is there.

    Args:
        folder: Exists, and has the perf maps and the jitdumps, whose names are added to the maps;
            the dumps are removed then. Files of the same name are replaced.
        records: In order of time; samples among them are stepped over.
        pids: Processes that introduced themselves; exec-harness measures all.
        interpreters: Tells which of the loaded files are Python's and Node's.
        keep_names: Copies maps and jitdumps of processes to the folder, where they are not yet.
        cache: Where descriptions of modules are kept; see `described`.

    Raises:
        OSError: If a file can't be written.
        PerfDataError: If the records are damaged; nothing was written then.
    """
    modules = Modules(None if integration.name == _ALL_PIDS_OF else pids)
    for record in records:
        modules.feed(record)
    followed = modules.pids()
    if keep_names is not None:
        keep_names(followed)
    work = _Writer(folder, cache)
    hidden = interpreters([module.path for module in modules.all()])
    # It only starts what is measured; where it runs under CPython 3.13, it has a dump of its own.
    harness = frozenset(pids) if integration.name == _ALL_PIDS_OF else frozenset()
    for pid in followed:
        work.process(pid, modules.of(pid), hidden)
        if pid in harness:
            (folder / _jitdump_name(pid)).unlink(missing_ok=True)
        else:
            work.jit(pid)
    write_metadata(folder, work.metadata(integration, timestamps))


def _jitdump_name(pid: int) -> str:
    """Return what a process calls its jitdump."""
    return f"jit-{pid}.dump"


def write_metadata(folder: Path, document: Metadata) -> None:
    """Write `walltime.metadata`; raises OSError."""
    (folder / metadata.FILE_NAME).write_bytes(metadata.encode(document))


@attrs.define
class _Writer:
    _folder: Path
    _cache: Path | None
    _keys: dict[str, str] = attrs.Factory(dict)
    _described: dict[str, Described] = attrs.Factory(dict)
    _debug: dict[str, bytes] = attrs.Factory(dict)
    _ignored: dict[int, list[tuple[str, int, int]]] = attrs.Factory(dict)
    _loaded: dict[int, list[tuple[str, int]]] = attrs.Factory(dict)
    _unwind: dict[int, list[MappedUnwind]] = attrs.Factory(dict)

    def metadata(self, integration: Integration, timestamps: Timestamps) -> Metadata:
        """Return what says which file belongs to what."""
        return Metadata(
            integration,
            timestamps,
            ignored=self._ignored,
            debug=self._debug,
            loaded=self._loaded,
            unwind=self._unwind,
            paths={key: path for path, key in self._keys.items()},
        )

    def process(self, pid: int, placed: Iterable[Placed], interpreters: Collection[str]) -> None:
        """Write what a process has loaded, each module once."""
        for each in placed:
            module = each.module
            told = self._module(module)
            if told.symbols:
                self._loaded.setdefault(pid, []).append((self._keys[module.path], each.load_bias))
                if is_ignored(module.path, interpreters):
                    first, end = ((at + each.load_bias) & _MASK for at in (told.first, told.end))
                    self._ignored.setdefault(pid, []).append((module.path, first, end))
            if module.unwind is not None:
                key = self._keys[module.path]
                mapped = MappedUnwind(key, None, each.avma_range, each.base_avma)
                self._unwind.setdefault(pid, []).append(mapped)

    def jit(self, pid: int) -> None:
        """Write what a process told of its generated code: names and unwind data (3.7)."""
        dump = self._folder / _jitdump_name(pid)
        try:
            loads = jitdump.read(dump)
        except jitdump.JitdumpError:
            return  # few processes have one; names are an extra
        lines = [f"{load.address:x} {load.size:x} {load.name}\n" for load in loads]
        with (self._folder / f"perf-{pid}.map").open("ab") as names:
            names.write("".join(lines).encode("utf-8", "replace"))
        unwind = self._unwind.setdefault(pid, [])
        for load in loads:
            if load.unwinding is not None:
                frames, header = load.unwinding
                path = f"jit_{load.name}"
                key = self._new_key(path)
                self._write(
                    f"{key}.unwind_data",
                    unwind_data.encode(UnwindData(path, 0, header, (0, 0), frames, (0, 0))),
                )
                where = (load.address, load.address + load.size)
                unwind.append(MappedUnwind(key, load.time, where, 0))
        dump.unlink()

    def _module(self, module: Module) -> Described:
        """Return what is told of a module; the first time, write its files."""
        known = self._described.get(module.path)
        if known is not None:
            return known
        try:
            told = describe(module.path, module.file, module.debug, cache=self._cache)
        except ElfError:
            told = Described()
        self._described[module.path] = told
        if told.symbols or module.unwind is not None:
            key = self._new_key(module.path)
            if told.symbols:
                self._write(f"{key}.symbols.map", told.symbols)
            if told.debug:
                self._debug[key] = told.debug
            if module.unwind is not None:
                self._write(f"{key}.unwind_data", unwind_data.encode(module.unwind))
        return told

    def _write(self, name: str, data: bytes) -> None:
        """Write a file: there may be one for each generated function, so as few calls as can be."""
        fd = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
        finally:
            os.close(fd)

    def _new_key(self, path: str) -> str:
        """Return the key of a path: a number and its last part; one key per path."""
        if path not in self._keys:
            name = PurePath(path).name[:_LONGEST_NAME]  # of generated code, names have any length
            self._keys[path] = f"{len(self._keys)}__{name}"
        return self._keys[path]
