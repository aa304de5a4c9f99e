"""Read a job of GitHub Actions: its variables and the file that describes its event.

Rules: spec/cli-upload.md 3.2. Beyond the reference: merge queues (`merge_group`) count as pushes,
and `pull_request_target` as a pull request if that is what was checked out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed.environment.event import Event, read_event
from codspeed.environment.job import Variables, job_context, unsupported_event
from codspeed.environment.matrix import job_part
from codspeed.environment.repository import find_root, second_parent
from codspeed.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codspeed.model import RunContext

_LABEL: Final = "GitHub Actions"
_PULL_REQUEST: Final = re.compile(r"refs/pull/(\d+)/merge", re.ASCII)
# Name of the event -> what it counts as.
_EVENTS: Final = {
    "push": "push",
    "pull_request": "pull_request",
    "workflow_dispatch": "workflow_dispatch",
    "schedule": "schedule",
    "merge_group": "push",
    "pull_request_target": "pull_request",
}
_OIDC_VARIABLES: Final = ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL")


@attrs.frozen
class _Refs:
    """What was built, and what it is to be merged into.

    Attributes:
        branch: For people and for comparing; a fork's has its owner before it.
    """

    ref: str
    head_ref: str | None
    base_ref: str | None
    branch: str
    base: str
    is_fork: bool = False


def read(env: Mapping[str, str], cwd: Path) -> RunContext:
    """Return the context of a job of GitHub Actions.

    Raises:
        ConfigError: If a variable or the event file is missing or makes no sense.
        UsageError: If the event is not supported, or the checkout is not what the event is about.
    """
    job = Variables(env, _LABEL)
    job.refuse_override()
    owner, name = _owner_and_name(job)
    event_name = job.required("GITHUB_EVENT_NAME")
    if event_name not in _EVENTS:
        raise unsupported_event(event_name, ", ".join(_EVENTS), label=_LABEL)
    event = read_event(Path(job.required("GITHUB_EVENT_PATH")))
    refs = _refs(job, event_name, event)
    context = job_context(
        "github-actions",
        env,
        cwd,
        repository=f"{owner}/{name}",
        server=job.get("GITHUB_SERVER_URL") or "https://github.com",
        facts=_facts(job, event, refs, _root_path(job, name, cwd)),
        event=_EVENTS[event_name],
        base=refs.base,
    )
    if event_name == "pull_request_target":
        _require_pull_request(event, context, env)
    return attrs.evolve(context, branch=refs.branch or context.branch)


def _owner_and_name(job: Variables) -> tuple[str, str]:
    repository = job.required("GITHUB_REPOSITORY")
    owner, _, rest = repository.partition("/")
    name = rest.partition("/")[0]
    if not (owner and name):
        problem = f"GITHUB_REPOSITORY is {repository!r}, not owner/name"
        raise ConfigError(problem, hint="leave the variable as GitHub Actions sets it")
    return owner, name


def _facts(job: Variables, event: Event, refs: _Refs, root_path: str) -> dict[str, str | None]:
    name = job.required("GITHUB_JOB")
    part = job_part(name, job.get("GH_MATRIX"), job.get("GH_STRATEGY"))
    has_oidc = all(job.get(variable) for variable in _OIDC_VARIABLES)
    return {
        "provider_kind": "GITHUB",
        "ref": refs.ref,
        "head_ref": refs.head_ref,
        "base_ref": refs.base_ref,
        "sender_id": job.required("GITHUB_ACTOR_ID"),
        "sender_login": job.required("GITHUB_ACTOR"),
        "run_id": job.required("GITHUB_RUN_ID"),
        "job": name,
        "run_part_id": part.id,
        "run_part_metadata": part.metadata,
        "repository_root_path": root_path,
        "private": _word(is_true=event.flag("repository", "private")),
        "is_fork": _word(is_true=refs.is_fork),
        "oidc": _word(is_true=has_oidc),
    }


def _word(*, is_true: bool) -> str:
    return "true" if is_true else "false"


def _root_path(job: Variables, name: str, cwd: Path) -> str:
    """Return where the repository lies; the last resort is the hosted runner's own layout."""
    root = find_root(cwd)
    if root is not None:
        return f"{root}/"
    workspace = job.get("GITHUB_WORKSPACE")
    return f"{workspace}/" if workspace is not None else f"/home/runner/work/{name}/{name}/"


def _refs(job: Variables, event_name: str, event: Event) -> _Refs:
    ref, base_ref = job.required("GITHUB_REF"), job.get("GITHUB_BASE_REF")
    if event_name == "pull_request_target":
        # GITHUB_REF is the base branch there: the workflow runs with the base's files and rights.
        ref = f"refs/pull/{event.number('pull_request', 'number')}/merge"
        base_ref = base_ref or event.text("pull_request", "base", "ref")
    if _PULL_REQUEST.fullmatch(ref):
        head_ref, is_fork = _head(event)
        return _Refs(ref, head_ref, base_ref, head_ref, base_ref or "", is_fork=is_fork)
    if event_name == "merge_group":
        base = event.optional_text("merge_group", "base_ref").removeprefix("refs/heads/")
        return _Refs(ref, None, "", _branch(ref), base)
    return _Refs(ref, None, base_ref, _branch(ref), "")


def _branch(ref: str) -> str:
    """Return the branch of a ref; empty for a tag."""
    return ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else ""


def _head(event: Event) -> tuple[str, bool]:
    """Return the head of a pull request as the service names it, and whether it is of a fork."""
    branch = event.text("pull_request", "head", "ref")
    if event.get("pull_request", "head", "repo") is None:
        # The repository is gone; only a fork can be, or nothing would run.
        return f"{event.text('pull_request', 'head', 'user', 'login')}:{branch}", True
    head = event.number("pull_request", "head", "repo", "id")
    if head == event.number("pull_request", "base", "repo", "id"):
        return branch, False
    return f"{event.text('pull_request', 'head', 'repo', 'owner', 'login')}:{branch}", True


def _require_pull_request(event: Event, context: RunContext, env: Mapping[str, str]) -> None:
    """Refuse to report the base branch's numbers as those of a pull request.

    Raises:
        UsageError: If HEAD is neither the pull request's head nor its merge commit.
    """
    head = event.text("pull_request", "head", "sha")
    merge: Any = event.get("pull_request", "merge_commit_sha")
    if context.commit and context.commit in {head, merge}:
        return
    # GitHub makes the merge commit anew whenever the base moves: then only its parent tells.
    if context.commit and second_parent(context.root, env) == head:
        return
    here = context.commit or "unknown"
    problem = (
        "pull_request_target checks out the base branch unless told otherwise: HEAD of "
        f"{context.root} is {here}, not the pull request's head {head} nor its merge commit"
    )
    hint = (
        "give the step actions/checkout the input "
        "`ref: ${{ github.event.pull_request.head.sha }}`, and mind that it then runs code of the "
        "pull request with the rights of this repository; docs/github.md has the safe way"
    )
    raise UsageError(problem, hint=hint)
