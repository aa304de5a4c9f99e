"""What the readers of all CI providers share: variables that must be there, git's facts, refusals.

Facts are text; a fact that is absent is null in the metadata of the service, an empty one is "".
`docs/environments.md` has the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed.environment.context import git_context, repository_key
from codspeed.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from codspeed.model import RunContext

_NO_COMMIT: Final = (
    "check the repository out with git (actions/checkout does, a download of sources does not); "
    "if git distrusts the folder: git config --global --add safe.directory"
)


@attrs.frozen
class Variables:
    """The variables of one job.

    Attributes:
        label: The provider, for people.
    """

    env: Mapping[str, str]
    label: str

    def get(self, name: str) -> str | None:
        """Return a variable; None if it is absent or no Unicode. An empty one is there."""
        value = self.env.get(name)
        return value if value is not None and is_text(value) else None

    def required(self, name: str) -> str:
        """Return a variable that the provider always sets.

        Raises:
            ConfigError: If it is absent or no Unicode.
        """
        value = self.get(name)
        if value is None:
            problem = f"{name} environment variable not found"  # spec/cli-upload.md 3.1
            raise ConfigError(problem, hint=f"{self.label} sets it in every job: {_REMEDY}")
        return value

    def refuse_override(self) -> None:
        """Refuse a repository that somebody chose: a provider knows its own.

        Raises:
            UsageError: If CODSPEED_REPOSITORY is set.
        """
        if "CODSPEED_REPOSITORY" in self.env:
            problem = f"Specifying owner and repository from CLI is not supported for {self.label}"
            raise UsageError(problem, hint="unset CODSPEED_REPOSITORY")


_REMEDY: Final = "pass the job's variables on to containers, sudo and scripts that clear them"


def is_text(value: str) -> bool:
    """Whether a variable is Unicode (bytes that are not come as surrogates, PEP 383)."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def unsupported_event(event: str, supported: str, *, label: str) -> UsageError:
    """Return the error for an event whose results would belong nowhere."""
    problem = f"Event {event} is not supported by CodSpeed"  # spec/cli-upload.md 3.2.2
    return UsageError(problem, hint=f"on {label} run it for one of: {supported}")


def job_context(
    provider: str,
    env: Mapping[str, str],
    cwd: Path,
    *,
    repository: str,
    server: str,
    facts: Mapping[str, str | None],
    **known: Any,
) -> RunContext:
    """Return what git knows of `cwd`, with what the provider knows better.

    Args:
        provider: Entry-point name.
        repository: "owner/name".
        server: URL of the forge, without a slash at the end; names the data folder's key where no
            clone tells.
        facts: Those that are None are left out.
        known: Fields of `RunContext`.
    """
    local = git_context(provider, env, cwd)
    told = {name: value for name, value in facts.items() if value is not None}
    if not local.commit:
        note = local.facts.get("repository_note", f"{local.root} is no git repository")
        told["repository_note"] = f"{note.rstrip('.')}; {_NO_COMMIT}"
    key = local.repository_key if local.remote else repository_key(f"{server}/{repository}", cwd)
    return attrs.evolve(local, repository=repository, repository_key=key, facts=told, **known)
