"""How the verbs come to the store: which folder it is, and that it is up to date when they read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rich.text import Text

from codspeed_report.store import use

if TYPE_CHECKING:
    from collections.abc import Callable

    from codspeed.protocols import CommandApp
    from codspeed_report.store import Store

T = TypeVar("T")


def root(app: CommandApp) -> Path:
    """Return the folder of the store: `--store`, or the repository's data folder."""
    chosen = app.option("store")
    return Path(app.data_folder() if chosen is None else chosen)


def reading(app: CommandApp, action: Callable[[Store], T]) -> T:
    """Return what `action` returns for the store, with all bundles of its folder indexed.

    Raises:
        StoreError: If the store can't be opened or brought up to date.
    """

    def synced(store: Store) -> tuple[tuple[str, ...], T]:
        return store.sync(), action(store)

    problems, result = use(root(app), synced)
    for problem in problems:
        app.print(Text(f"warning: {problem}", "yellow"))
    return result
