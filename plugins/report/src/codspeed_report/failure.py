"""Faults of SQLite and of the file system in words: what happened, where, and what to do next."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from typing import TYPE_CHECKING, Final

from codspeed.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HARMLESS: Final = "no bundle is touched by this"
_NOT_DATABASES: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class UnusableIndexError(Exception):
    """The index is missing, damaged or of an older layout: it must be made anew. Never shown."""


@contextlib.contextmanager
def explained(place: Path) -> Iterator[None]:
    """Turn what goes wrong inside into our errors.

    Raises:
        UnusableIndexError: If the database at `place` is damaged.
        StoreError: For everything else: disk full, no rights, in use.
    """
    try:
        yield
    except sqlite3.Error as failure:
        # The low byte is the class of the error, the rest says more (sqlite.org/rescode.html).
        code = getattr(failure, "sqlite_errorcode", 0) & 0xFF
        if code in _NOT_DATABASES:
            raise UnusableIndexError(str(failure)) from failure
        raise _of_sqlite(failure, code, place) from failure
    except OSError as failure:
        if failure.errno == errno.ENOSPC:
            raise _full(place) from failure
        problem = f"the local store at {place} can't be used: {failure}"
        hint = f"name a folder that you can write to with --store; {_HARMLESS}"
        raise StoreError(problem, hint=hint) from failure


def _of_sqlite(failure: sqlite3.Error, code: int, place: Path) -> StoreError:
    if code == sqlite3.SQLITE_FULL:
        return _full(place)
    if code in _BUSY:
        problem = f"the local store at {place} is in use by another process: {failure}"
        return StoreError(problem, hint=f"try again when that has ended; {_HARMLESS}")
    problem = f"the local store at {place} can't be read or written: {failure}"
    hint = f"check who owns the file and its folder, or name another with --store; {_HARMLESS}"
    return StoreError(problem, hint=hint)


def _full(place: Path) -> StoreError:
    problem = f"no space is left for the local store at {place}"
    hint = (
        f"free some, for example with `codspeed store gc`; {_HARMLESS}, "
        "and `codspeed store list` adds what is missing"
    )
    return StoreError(problem, hint=hint)
