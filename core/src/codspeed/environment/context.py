"""From a folder to a `RunContext`: what every environment knows, because git tells it."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from codspeed.environment.repository import parse_remote, read_repository
from codspeed.model import RunContext

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def git_context(provider: str, env: Mapping[str, str], cwd: Path) -> RunContext:
    """Return the context of `cwd` as git knows it; a provider evolves it with what it knows better.

    What git could not tell is explained by the fact `repository_note`.
    """
    repository = read_repository(cwd, env)
    if repository is None:
        root = cwd.resolve()
        return RunContext(
            provider=provider,
            repository=root.name,
            repository_key=repository_key("", root),
            root=root,
        )
    remote = parse_remote(repository.remote)
    return RunContext(
        provider=provider,
        repository=f"{remote.owner}/{remote.name}" if remote else repository.common.name,
        repository_key=repository_key(repository.remote, repository.common),
        root=repository.root,
        remote=repository.remote,
        commit=repository.commit,
        commit_time=repository.commit_time,
        branch=repository.branch,
        dirty=repository.dirty,
        facts={"repository_note": repository.note} if repository.note else {},
    )


def repository_key(remote: str, root: Path) -> str:
    """Return the name of a repository's data folder: readable, and distinct by hash.

    The same for every clone of a remote, whether by ssh or https; without a remote, the same for
    all work trees of one repository.

    Args:
        remote: URL without credentials; may be empty.
        root: Absolute path of the (main) work tree.
    """
    parsed = parse_remote(remote)
    if parsed:
        # Forges ignore case.
        name, identity = parsed.name, f"{parsed.host}/{parsed.owner}/{parsed.name}".lower()
    else:
        name, identity = root.name, remote or str(root)
    digest = hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()
    readable = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.")[:60] or "repository"
    return f"{readable}-{digest[:10]}"
