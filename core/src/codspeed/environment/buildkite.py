"""Read a job of Buildkite from its variables.

Rules: spec/cli-upload.md 3.4. Buildkite tells neither who started a build nor which of several
parallel jobs this is, so there is no sender and no run part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codspeed.environment.job import Variables, job_context
from codspeed.environment.repository import find_root, parse_remote, strip_credentials
from codspeed.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from codspeed.environment.repository import Remote
    from codspeed.model import RunContext

_LABEL: Final = "Buildkite"


def read(env: Mapping[str, str], cwd: Path) -> RunContext:
    """Return the context of a job of Buildkite.

    Raises:
        ConfigError: If a variable is missing or makes no sense.
        UsageError: If the repository is not on GitHub.
    """
    job = Variables(env, _LABEL)
    job.refuse_override()
    request, branch = job.required("BUILDKITE_PULL_REQUEST"), job.required("BUILDKITE_BRANCH")
    remote = _remote(job)
    is_request = request.isascii() and request.isdecimal()
    base = job.required("BUILDKITE_PULL_REQUEST_BASE_BRANCH") if is_request else None
    facts = {
        "provider_kind": "GITHUB",
        "ref": f"refs/pull/{request}/merge" if is_request else f"refs/heads/{branch}",
        "head_ref": branch if is_request else None,
        "base_ref": base,
        "repository_root_path": _root_path(job, cwd),
    }
    return job_context(
        "buildkite",
        env,
        cwd,
        repository=f"{remote.owner}/{remote.name}",
        server="https://github.com",
        facts=facts,
        event="pull_request" if is_request else "push",
        branch=branch,
        base=base or "",
    )


def _remote(job: Variables) -> Remote:
    url = job.required("BUILDKITE_REPO")
    remote = parse_remote(url)
    if remote is None:
        shown = strip_credentials(url)
        problem = f"Could not extract owner and repository from remote url: {shown}"
        raise ConfigError(problem, hint="BUILDKITE_REPO names the repository of the pipeline")
    if remote.host != "github.com":
        problem = (
            f"Only GitHub repositories are supported on {_LABEL}, this one is on {remote.host}"
        )
        raise UsageError(problem, hint="BUILDKITE_REPO names the repository of the pipeline")
    return remote


def _root_path(job: Variables, cwd: Path) -> str:
    root = find_root(cwd)
    if root is not None:
        return f"{root}/"
    names = ("BUILDKITE_AGENT_NAME", "BUILDKITE_ORGANIZATION_SLUG", "BUILDKITE_PIPELINE_SLUG")
    return f"/buildkite/builds/{'/'.join(job.required(name) for name in names)}/"
