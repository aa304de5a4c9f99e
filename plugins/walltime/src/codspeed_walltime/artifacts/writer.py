"""Write the reference's files of a profile folder, from the records of the run.

Per module `<key>.symbols.map` and `<key>.unwind_data`, per process what its JIT told, and
`walltime.metadata`, which says what belongs to what. Source: spec/executors.md 3.5 to 3.12.
"""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

import attrs

from codspeed_native import jitdump
from codspeed_native.elf import ElfError
from codspeed_native.line_table import LineTable
from codspeed_walltime.artifacts import metadata, unwind_data
from codspeed_walltime.artifacts.metadata import DebugLine, MappedUnwind, Metadata, ModuleDebug
from codspeed_walltime.artifacts.modules import Module, Modules, ignored
from codspeed_walltime.artifacts.unwind_data import UnwindData

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from codspeed.model import Integration, Timestamps
    from codspeed_native.elf import Symbol
    from codspeed_native.perf_records import Record

# Who writes jitdumps knows no other place, whatever TMPDIR says.
JITDUMPS: Final = Path("/tmp")  # noqa: S108 - CPython writes its dumps there
_ALL_PIDS_OF: Final = "exec-harness"
_LONGEST_NAME: Final = 50  # characters, up to 4 bytes each; file systems allow 255 bytes


def write(
    folder: Path,
    records: Iterable[Record],
    *,
    integration: Integration,
    timestamps: Timestamps,
    pids: Collection[int],
    interpreters: Collection[str] = (),
    jitdumps: Path = JITDUMPS,
    with_lines: bool = True,
) -> None:
    """Write all files; the perf maps have to be in the folder already, since JITs add to them.

    Args:
        folder: Exists; files of the same name are replaced.
        records: In order of time; samples among them are stepped over.
        pids: Processes that introduced themselves; exec-harness measures all.
        interpreters: Paths of the files of Python and Node.
        jitdumps: Where `jit-<pid>.dump` lie.
        with_lines: Also where symbols begin in their sources: the slow part.

    Raises:
        OSError: If a file can't be written.
        PerfDataError: If the records are damaged; nothing was written then.
    """
    modules = Modules(None if integration.name == _ALL_PIDS_OF else pids)
    for record in records:
        modules.feed(record)
    work = _Writer(folder, with_lines=with_lines)
    for pid in modules.pids():
        work.process(pid, modules, interpreters)
        work.jit(pid, jitdumps)
    document = work.metadata(integration, timestamps)
    (folder / metadata.FILE_NAME).write_bytes(metadata.encode(document))


def symbols_map(symbols: Iterable[Symbol]) -> bytes:
    """Return the lines of a symbols map: address, size, name, numbers in hex."""
    lines = [f"{symbol.address:x} {symbol.size:x} {symbol.name}\n" for symbol in symbols]
    return "".join(lines).encode("utf-8", "replace")


def debug_lines(module: Module) -> tuple[DebugLine, ...]:
    """Return where the symbols of a module begin in their sources, those that are known (3.9)."""
    has_own = module.file.section(".debug_info") is not None
    source = module.file if has_own else module.debug
    try:
        table = None if source is None else LineTable(source)
    except ElfError:
        table = None
    if not table:
        return ()
    found = []
    for symbol in module.symbols:
        line = table.find(symbol.address)
        if line is not None:
            found.append(DebugLine(symbol.address, symbol.size, symbol.name, line.file, line.line))
    return tuple(found)


@attrs.define
class _Writer:
    folder: Path
    with_lines: bool = attrs.field(kw_only=True)
    _keys: dict[str, str] = attrs.Factory(dict)
    _debug: dict[str, ModuleDebug] = attrs.Factory(dict)
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

    def process(self, pid: int, modules: Modules, interpreters: Collection[str]) -> None:
        """Write what a process has loaded, each module once."""
        placed = modules.of(pid)
        for each in placed:
            module = each.module
            if not module.symbols and module.unwind is None:
                continue
            key = self._key(module)
            if module.symbols:
                self._loaded.setdefault(pid, []).append((key, each.load_bias))
            if module.unwind is not None:
                mapped = MappedUnwind(key, None, each.avma_range, each.base_avma)
                self._unwind.setdefault(pid, []).append(mapped)
        hidden = ignored(placed, interpreters)
        if hidden:
            self._ignored[pid] = hidden

    def jit(self, pid: int, folder: Path) -> None:
        """Write what a process told of its generated code: names and unwind data (3.7)."""
        try:
            loads = jitdump.read(folder / f"jit-{pid}.dump")
        except jitdump.JitdumpError:
            return  # few processes have one; names are an extra
        with (self.folder / f"perf-{pid}.map").open("ab") as names:
            for load in loads:
                line = f"{load.address:x} {load.size:x} {load.name}\n"
                names.write(line.encode("utf-8", "replace"))
        for load in loads:
            if load.unwinding is not None:
                frames, header = load.unwinding
                path = f"jit_{load.name}"
                data = UnwindData(path, 0, header, (0, 0), frames, (0, 0))
                key = self._new_key(path)
                (self.folder / f"{key}.unwind_data").write_bytes(unwind_data.encode(data))
                where = (load.address, load.address + load.size)
                self._unwind.setdefault(pid, []).append(MappedUnwind(key, load.time, where, 0))

    def _key(self, module: Module) -> str:
        """Return the key of a module; the first time, write its files."""
        known = self._keys.get(module.path)
        if known is not None:
            return known
        key = self._new_key(module.path)
        if module.symbols:
            (self.folder / f"{key}.symbols.map").write_bytes(symbols_map(module.symbols))
            lines = debug_lines(module) if self.with_lines else ()
            if lines:
                self._debug[key] = ModuleDebug(module.path, lines)
        if module.unwind is not None:
            data = unwind_data.encode(module.unwind)
            (self.folder / f"{key}.unwind_data").write_bytes(data)
        return key

    def _new_key(self, path: str) -> str:
        """Return the key of a path: a number and its last part; one key per path."""
        if path not in self._keys:
            name = PurePath(path).name[:_LONGEST_NAME]  # of generated code, names have any length
            self._keys[path] = f"{len(self._keys)}__{name}"
        return self._keys[path]
