"""Read a job of GitLab CI from its variables.

Rules: spec/cli-upload.md 3.3. Beyond the reference: a project in nested groups has all of them as
its owner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from codspeed.environment.job import Variables, job_context, unsupported_event
from codspeed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from codspeed.model import RunContext

_LABEL: Final = "GitLab CI"
_EVENTS: Final = {
    "merge_request_event": "pull_request",
    "push": "push",
    "schedule": "schedule",
    "trigger": "workflow_dispatch",
    "web": "workflow_dispatch",
    "api": "workflow_dispatch",
}


@attrs.frozen
class _Refs:
    ref: str
    head_ref: str | None
    base_ref: str
    branch: str
    base: str
    is_fork: bool = False


def read(env: Mapping[str, str], cwd: Path) -> RunContext:
    """Return the context of a job of GitLab CI.

    Raises:
        ConfigError: If a variable is missing or makes no sense.
        UsageError: If the pipeline's source is not supported.
    """
    job = Variables(env, _LABEL)
    job.refuse_override()
    owner, name = job.required("CI_PROJECT_NAMESPACE"), job.required("CI_PROJECT_NAME")
    source = job.required("CI_PIPELINE_SOURCE")
    if source not in _EVENTS:
        raise unsupported_event(source, ", ".join(_EVENTS), label=_LABEL)
    is_request = source == "merge_request_event"
    refs = _request_refs(job) if is_request else _plain_refs(job)
    return job_context(
        "gitlab-ci",
        env,
        cwd,
        repository=f"{owner}/{name}",
        server=job.get("CI_SERVER_URL") or "https://gitlab.com",
        facts=_facts(job, refs),
        event=_EVENTS[source],
        branch=refs.branch,
        base=refs.base,
    )


def _facts(job: Variables, refs: _Refs) -> dict[str, str | None]:
    name = job.required("CI_JOB_NAME")
    visibility = job.get("CI_PROJECT_VISIBILITY")
    private = None if visibility is None else _word(is_true=visibility != "public")
    return {
        "provider_kind": "GITLAB",
        "ref": refs.ref,
        "head_ref": refs.head_ref,
        "base_ref": refs.base_ref,
        "sender_id": job.required("GITLAB_USER_ID"),
        "sender_login": job.required("GITLAB_USER_LOGIN"),
        # The job's id, not the pipeline's: so the service expects it.
        "run_id": job.required("CI_JOB_ID"),
        "job": name,
        "run_part_id": name,
        "run_part_metadata": "{}",
        "repository_root_path": job.required("CI_PROJECT_DIR"),
        "private": private,
        "is_fork": _word(is_true=refs.is_fork),
    }


def _word(*, is_true: bool) -> str:
    return "true" if is_true else "false"


def _request_refs(job: Variables) -> _Refs:
    number = job.required("CI_MERGE_REQUEST_IID")
    if not (number.isascii() and number.isdecimal()):
        problem = f"CI_MERGE_REQUEST_IID is {number!r}, not a number"
        raise ConfigError(problem, hint=f"leave the variable as {_LABEL} sets it")
    target = job.required("CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
    branch = job.required("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME")
    source = job.required("CI_MERGE_REQUEST_SOURCE_PROJECT_PATH")
    is_fork = source != job.required("CI_PROJECT_PATH")
    head = f"{source.partition('/')[0]}:{branch}" if is_fork else branch
    return _Refs(f"refs/pull/{number}/merge", head, target, head, target, is_fork=is_fork)


def _plain_refs(job: Variables) -> _Refs:
    name, tag = job.required("CI_COMMIT_REF_NAME"), job.get("CI_COMMIT_TAG")
    if tag is not None:
        return _Refs(f"refs/tags/{tag}", None, name, "", "")
    return _Refs(f"refs/heads/{name}", None, name, name, "")
