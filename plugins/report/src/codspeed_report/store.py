"""The local store: a folder of bundles, and an index over it that can be lost at any time.

    index.sqlite     results of all runs (see `schema`)
    index.lock       held while the index is made anew
    bundles/<id>/    what the runs left; or the bundles lie in the folder itself (--bundle-dir)

Bundles that appear in the folder, copied from other machines too, are indexed when the store is
next read. A damaged index is put aside, never deleted.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from codspeed import bundle as bundles
from codspeed.errors import BundleError, StoreError
from codspeed_report import rows, schema
from codspeed_report.failure import UnusableIndexError, explained
from codspeed_report.selection import Measurement, Note, Selection, Series, of_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Set as AbstractSet

    from codspeed.model import Bundle
    from codspeed_report.rows import RunSummary

T = TypeVar("T")

INDEX: Final = "index.sqlite"
_LOCK: Final = "index.lock"
_BUSY_TIMEOUT: Final = 20.0  # seconds another writer may take; one run is stored in milliseconds
_EVERYTHING: Final = -1  # LIMIT of SQLite


@attrs.frozen
class Match:
    """A run that a text may mean, and by which of its names: "run", "commit" or "branch"."""

    kind: str
    run_id: str
    commit: str
    branch: str


@attrs.frozen
class Store:
    """An open index. Made by `use`."""

    root: Path
    database: sqlite3.Connection
    _series: dict[int, Series] = attrs.field(factory=dict, init=False, repr=False)

    @property
    def bundles(self) -> Path:
        """The folder that holds the bundles."""
        return bundles_folder(self.root)

    def add(self, bundle: Bundle) -> bool:
        """Index a bundle that lies in the store; False if its run was there already.

        Raises:
            BundleError: If it holds what a database can't: half characters, numbers of 65 bits.
        """
        try:
            with self._transaction():
                return self._add(bundle)
        except (UnicodeEncodeError, OverflowError) as failure:
            problem = f"{bundle.path} can't be stored: {failure}"
            raise BundleError(
                problem, hint="it was not written by codspeed; remove it"
            ) from failure

    def sync(self) -> tuple[str, ...]:
        """Index bundles of the folder that are not known yet; return why some can't be read."""
        known = {folder for (folder,) in self.database.execute("SELECT folder FROM run")}
        problems = []
        for path in _newcomers(self.bundles, known):
            try:
                self.add(bundles.read(path))
            except BundleError as failure:
                problems.append(f"a bundle is left out of the store: {failure.problem}")
        return tuple(problems)

    def runs(self, limit: int = _EVERYTHING) -> tuple[RunSummary, ...]:
        """Return the newest `limit` runs, newest first."""
        found = self.database.execute(schema.LIST_RUNS, (limit,))
        return tuple(rows.summary(row) for row in found)

    def selection(self, run_id: str) -> Selection:
        """Return the numbers of a run.

        Raises:
            StoreError: If there is no such run.
        """
        row = self.database.execute(schema.READ_RUN, (run_id,)).fetchone()
        if row is None:
            problem = f"there is no run {run_id} in the store at {self.root}"
            raise StoreError(problem, hint="`codspeed store list` shows what is there")
        key = row[:1]
        return Selection(
            run=rows.run(row),
            parts=tuple(rows.part(part) for part in self.database.execute(schema.READ_PARTS, key)),
            measurements=tuple(self._measurements(key)),
            notes=tuple(Note(*note) for note in self.database.execute(schema.READ_NOTES, key)),
        )

    def newest(self) -> str | None:
        """Return the newest run with results."""
        row = self.database.execute(schema.NEWEST_RUN).fetchone()
        return None if row is None else str(row[0])

    def newest_sharing(self, head: str) -> str | None:
        """Return the newest run before `head` that shares a benchmark, executor and variant."""
        row = self.database.execute(schema.NEWEST_SHARING, {"head": head}).fetchone()
        return None if row is None else str(row[0])

    def matches(self, text: str, *, other_than: str = "") -> tuple[Match, ...]:
        """Return the runs that `text` names, newest first: exactly, or else by prefix."""
        arguments = {"text": text, "other": other_than}
        for query in (schema.MATCH_EXACT, schema.MATCH_PREFIX):
            found = self.database.execute(query, arguments).fetchall()
            if found:
                return tuple(Match(*row) for row in found)
        return ()

    def profile_bytes(self) -> int:
        """Return what the profiles of all runs took when they were stored."""
        row = self.database.execute("SELECT total(profile_bytes) FROM run").fetchone()
        return int(row[0])

    def forget_profiles(self, run_id: str) -> None:
        """Record that the profiles of a run are gone."""
        with self._transaction():
            self.database.execute("UPDATE run SET profile_bytes = 0 WHERE run_id = ?", (run_id,))

    def _add(self, bundle: Bundle) -> bool:
        row = rows.of_run(bundle)
        self.database.execute(schema.ADD_FINGERPRINT, row[-2:])
        cursor = self.database.execute(schema.ADD_RUN, row[:-1])
        if cursor.rowcount != 1 or cursor.lastrowid is None:
            return False
        self._add_contents(cursor.lastrowid, bundle)
        return True

    def _add_contents(self, run: int, bundle: Bundle) -> None:
        selection = of_bundle(bundle)
        variant = rows.variant(bundle)
        numbers = [rows.of_measurement(run, variant, each) for each in selection.measurements]
        self.database.executemany(schema.ADD_SERIES, [pair[0] for pair in numbers])
        self.database.executemany(schema.ADD_RESULT, [pair[1] for pair in numbers])
        self.database.executemany(schema.ADD_PART, rows.of_parts(run, bundle))
        notes = [(run, note.executor, note.uri, note.text) for note in selection.notes]
        self.database.executemany(schema.ADD_NOTE, notes)

    def _measurements(self, key: tuple[int]) -> Iterator[Measurement]:
        # Two runs that are compared mostly share their series: each is made once.
        series = self._series
        for row in self.database.execute(schema.READ_SERIES, key):
            if row[0] not in series:
                series[row[0]] = rows.series(row)
        for number, part, value, *rest in self.database.execute(schema.READ_RESULTS, key):
            yield Measurement(series[number], part, math.nan if value is None else value, *rest)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        # IMMEDIATE: wait for another writer now; a reader that turns writer would fail at once.
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a full disk rolled back by itself
                self.database.execute("ROLLBACK")
            raise
        self.database.execute("COMMIT")


def bundles_folder(root: Path) -> Path:
    """Return where the bundles of the store at `root` are: `bundles/`, or the folder itself."""
    inside = root / "bundles"
    is_flat = root.is_dir() and not inside.is_dir() and bundles.find(root)
    return root if is_flat else inside


def _newcomers(folder: Path, known: AbstractSet[str]) -> list[Path]:
    """Return the bundles in `folder` that are not `known`, oldest first."""
    # `find` looks into every bundle: 30 ms for 500 of them, which one listing mostly spares.
    if not folder.is_dir() or all(path.name in known for path in folder.iterdir()):
        return []
    return [path for path in bundles.find(folder) if path.name not in known]


def use(root: Path, action: Callable[[Store], T]) -> T:
    """Return what `action` returns for the store at `root`; make the index anew if it must be.

    `action` may be called twice. A folder that does not exist is an empty store, and stays absent.

    Raises:
        StoreError: If the store can't be opened or written. Bundles are not harmed.
    """
    with explained(root):
        is_there = root.exists()
    if not is_there:
        with contextlib.closing(_connect(":memory:")) as database:
            database.executescript(schema.CREATE)
            return action(Store(root, database))
    try:
        return _attempt(root, action)
    except UnusableIndexError as reason:
        _make_anew(root, str(reason))
    try:
        return _attempt(root, action)
    except UnusableIndexError as reason:
        problem = f"the index {root / INDEX} is damaged again right after it was made: {reason}"
        hint = "check the disk and move the file away: it is made anew from the bundles"
        raise StoreError(problem, hint=hint) from reason


def adopt(root: Path, bundle: Bundle) -> Bundle:
    """Return the bundle as it lies in the store; copied there if it is elsewhere.

    Raises:
        StoreError: If it can't be copied; the original is not touched.
    """
    folder = bundles_folder(root)
    if bundle.path.parent.resolve() == folder.resolve():
        return bundle
    target = folder / bundle.manifest.run_id
    # Hidden until whole: `find` passes over it. The process id keeps two copies apart.
    partial = folder / f".adopt-{os.getpid()}-{bundle.manifest.run_id}"
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            try:
                _copy(bundle.path, partial)
                _rename_unless_there(partial, target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return attrs.evolve(bundle, path=target)


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copytree(source, target, symlinks=True)
    except shutil.Error as failure:
        raise OSError(str(failure)) from failure


def _rename_unless_there(partial: Path, target: Path) -> None:
    try:
        partial.rename(target)
    except OSError:
        if not target.exists():  # otherwise another process was faster with the same bundle
            raise


def _attempt(root: Path, action: Callable[[Store], T]) -> T:
    with explained(root), contextlib.closing(_opened(root / INDEX)) as database:
        return action(Store(root, database))


def _opened(index: Path) -> sqlite3.Connection:
    """Open an index that exists and fits.

    Raises:
        UnusableIndexError: If it must be made anew.
        StoreError: If it belongs to a newer codspeed or to another program.
    """
    if not index.exists():
        reason = "it does not exist"
        raise UnusableIndexError(reason)
    database = _connect(str(index))
    try:
        _check(index, database)
    except BaseException:
        database.close()
        raise
    return database


def _check(index: Path, database: sqlite3.Connection) -> None:
    application = database.execute("PRAGMA application_id").fetchone()[0]
    version = database.execute("PRAGMA user_version").fetchone()[0]
    is_empty = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if not is_empty and application != schema.APPLICATION_ID:
        problem = f"{index} is a database of another program"
        raise StoreError(problem, hint="name another folder with --store")
    if version > schema.SCHEMA_VERSION:
        problem = (
            f"the index {index} has layout {version}, written by a newer codspeed; "
            f"this one knows {schema.SCHEMA_VERSION}"
        )
        raise StoreError(problem, hint="upgrade codspeed, or name another folder with --store")
    if is_empty or version < schema.SCHEMA_VERSION:
        reason = f"its layout is {version}, not {schema.SCHEMA_VERSION}"
        raise UnusableIndexError(reason)


def _connect(name: str) -> sqlite3.Connection:
    database = sqlite3.connect(name, timeout=_BUSY_TIMEOUT, isolation_level=None)
    try:
        # A crash of the machine may lose the last rows, no more; the bundles bring them back.
        database.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.Error:
        database.close()
        raise
    return database


def _make_anew(root: Path, reason: str) -> None:
    """Make the index from the bundles, unless another process has just done so."""
    with explained(root):
        root.mkdir(parents=True, exist_ok=True)
        try:
            with _locked(root):
                _replace_index(root)
        except UnusableIndexError as failure:
            problem = f"no index can be made in {root} ({reason}): {failure}"
            raise StoreError(problem, hint="name another folder with --store") from failure


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Hold `index.lock`: an empty SQLite database is a lock that works on every system."""
    lock = sqlite3.connect(root / _LOCK, timeout=_BUSY_TIMEOUT, isolation_level=None)
    with contextlib.closing(lock):
        lock.execute("BEGIN EXCLUSIVE")
        yield


def _replace_index(root: Path) -> None:
    with contextlib.suppress(UnusableIndexError), explained(root):
        _full_check(root / INDEX)
        return
    fresh = root / f".{INDEX}-{os.getpid()}"
    try:
        _fill(root, fresh)
        _put_aside(root)
        fresh.replace(root / INDEX)
    finally:
        for name in _files_of(fresh):
            name.unlink(missing_ok=True)


def _full_check(index: Path) -> None:
    with contextlib.closing(_opened(index)) as database:
        report = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if report != "ok":
        raise UnusableIndexError(report)


def _fill(root: Path, fresh: Path) -> None:
    with contextlib.closing(_connect(str(fresh))) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.executescript(schema.CREATE)
        Store(root, database).sync()


def _put_aside(root: Path) -> None:
    """Rename a damaged index: it is evidence, and a WAL left behind would damage the next one."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    for path in _files_of(root / INDEX):
        if path.exists():
            path.replace(root / f"{path.name}.aside-{stamp}-{os.getpid()}")


def _files_of(index: Path) -> tuple[Path, ...]:
    return tuple(index.with_name(index.name + suffix) for suffix in ("", "-wal", "-shm"))
