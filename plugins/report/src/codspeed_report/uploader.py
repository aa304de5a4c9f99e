"""The uploader `local`: takes a bundle into the store on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codspeed.model.quantity import format_value
from codspeed.protocols import Receipt, UploaderDefaults
from codspeed_report import retention
from codspeed_report.store import Store, adopt, use

if TYPE_CHECKING:
    from pathlib import Path

    from codspeed.model import Bundle
    from codspeed_report.descriptor import StoreOptions


class LocalUploader(UploaderDefaults):
    """Indexes bundles; the same one twice is no fault."""

    def __init__(self, options: StoreOptions) -> None:
        super().__init__(options)
        self._folder = options.store

    def upload(self, bundle: Bundle) -> Receipt:
        """Index the bundle; copy it first if it lies outside of the store.

        Raises:
            StoreError: If it can't be stored; the bundle stays as it is.
        """
        root = default_root(bundle) if self._folder is None else self._folder
        inside = adopt(root, bundle)

        def store_it(store: Store) -> int:
            store.add(inside)
            return store.profile_bytes()

        return Receipt(f"stored in {root}{_over_budget(use(root, store_it))}")


def default_root(bundle: Bundle) -> Path:
    """Return the store to which a bundle belongs by its place.

    Beside `bundles/` in the data folder; in the folder itself if the user chose another one.
    """
    folder = bundle.path.parent
    return folder.parent if folder.name == "bundles" else folder


def _over_budget(profile_bytes: int) -> str:
    if profile_bytes <= retention.DEFAULT_BYTES:
        return ""
    size = format_value(profile_bytes, "bytes")
    return f"; its profiles take {size}: `codspeed store gc` removes the oldest"
