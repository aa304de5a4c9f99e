"""What core knows of this plugin without loading it: two uploaders, verbs, their options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed.model import OptionStyle, option
from codspeed.protocols import CommandDescriptor, UploaderDescriptor

if TYPE_CHECKING:
    from codspeed.model import RunContext
    from codspeed.protocols import CommandBuilder
    from codspeed_report.forge import ForgeUploader
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


_UPLOADS: Final = ("run", "exec", "upload")


@attrs.frozen
class ForgeOptions(StoreOptions):
    """What `forge` can be told; the store is where it finds the base.

    Attributes:
        comment: None to comment on pull requests if a token is given.
        comment_token: None for GITHUB_TOKEN or GITLAB_TOKEN.
    """

    comment: bool | None = option(
        None,
        style=OptionStyle.OPTIONAL_BOOL,
        help="Comment on the pull request (default: if a token for it is given).",
        verbs=_UPLOADS,
    )
    comment_token: str | None = option(
        None,
        env="CODSPEED_COMMENT_TOKEN",
        hidden=True,
        help="Token for comments, in place of GITHUB_TOKEN or GITLAB_TOKEN.",
        metavar="TOKEN",
        secret=True,
        in_file=False,
        verbs=_UPLOADS,
    )


def _forge_wanted(context: RunContext, _options: Any) -> str | None:
    is_ci = context.provider in {"github-actions", "gitlab-ci"}
    return "the job's pull request and summary are to show the results" if is_ci else None


def _wanted(_context: RunContext, _options: Any) -> str:
    return "results are kept on this machine"


def _load_uploader() -> type[LocalUploader]:
    from codspeed_report.uploader import LocalUploader  # noqa: PLC0415 - only when selected

    return LocalUploader


def _load_forge() -> type[ForgeUploader]:
    from codspeed_report.forge import ForgeUploader  # noqa: PLC0415 - only when selected

    return ForgeUploader


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
forge = UploaderDescriptor(
    name="forge",
    label="Job summary and comments",
    load=_load_forge,
    options=ForgeOptions,
    wanted=_forge_wanted,
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
