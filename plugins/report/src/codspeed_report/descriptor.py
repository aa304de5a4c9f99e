"""What core knows of this plugin without loading it: an uploader, three verbs, one option."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codspeed.model import option
from codspeed.protocols import CommandDescriptor, UploaderDescriptor

if TYPE_CHECKING:
    from codspeed.model import RunContext
    from codspeed.protocols import CommandBuilder
    from codspeed_report.uploader import LocalUploader


@attrs.frozen
class StoreOptions:
    """The one option of uploader and verbs.

    Attributes:
        store: The folder with `index.sqlite` and `bundles/`; None for the repository's data folder.
    """

    store: Path | None = option(  # noqa: RUF009 - makes an attrs field
        None,
        help="Folder of the local store (default: the repository's data folder).",
        metavar="DIR",
        parse="path",
        verbs=("run", "exec", "compare", "flame", "store"),
    )


def _wanted(_context: RunContext, _options: Any) -> str:
    return "results are kept on this machine"


def _load_uploader() -> type[LocalUploader]:
    from codspeed_report.uploader import LocalUploader  # noqa: PLC0415 - only when selected

    return LocalUploader


def _load_compare() -> CommandBuilder:
    from codspeed_report.verb_compare import build  # noqa: PLC0415 - only when selected

    return build


def _load_flame() -> CommandBuilder:
    from codspeed_report.verb_flame import build  # noqa: PLC0415 - only when selected

    return build


def _load_store() -> CommandBuilder:
    from codspeed_report.verb_store import build  # noqa: PLC0415 - only when selected

    return build


local = UploaderDescriptor(
    name="local",
    label="Local store",
    load=_load_uploader,
    options=StoreOptions,
    wanted=_wanted,
)
compare = CommandDescriptor(
    name="compare",
    label="Compare",
    load=_load_compare,
    options=StoreOptions,
    help="Compare two stored runs: change and spread of every benchmark.",
)
flame = CommandDescriptor(
    name="flame",
    label="Flame",
    load=_load_flame,
    options=StoreOptions,
    help="Show where a benchmark spends its cost, function by function.",
)
store = CommandDescriptor(
    name="store",
    label="Store",
    load=_load_store,
    options=StoreOptions,
    help="List, show and tidy the runs kept on this machine.",
)
