"""The uploader `forge`: tells the results where the code is reviewed, with no account anywhere.

Job summary and annotation in every CI job that has them; a comment on the pull or merge request if
a token is given. The base is the newest run of the target branch in the local store, which a CI
cache may have brought.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from codspeed.errors import ConfigError, UploadError
from codspeed.protocols import Receipt, UploaderDefaults
from codspeed_report.compare import compare
from codspeed_report.forge_api import ForbiddenError, GitHub, GitLab
from codspeed_report.forge_text import (
    COMMENT_CHARACTERS,
    SUMMARY_CHARACTERS,
    Report,
    markdown,
    marker,
)
from codspeed_report.selection import of_bundle
from codspeed_report.store import use
from codspeed_report.uploader import default_root

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codspeed.model import Bundle, Manifest, Reporter, RunContext, System
    from codspeed_report.descriptor import ForgeOptions
    from codspeed_report.forge_api import Forge
    from codspeed_report.rows import RunSummary
    from codspeed_report.selection import Selection
    from codspeed_report.store import Store

_NUMBER: Final = re.compile(r"refs/pull/(\d+)/merge", re.ASCII)
_TOKENS: Final = {"github-actions": "GITHUB_TOKEN", "gitlab-ci": "GITLAB_TOKEN"}
_SEARCHED: Final = 1_000  # of the newest runs, for a base


class ForgeUploader(UploaderDefaults):
    """Writes summaries and comments; the same bundle twice updates them."""

    def __init__(self, options: ForgeOptions) -> None:
        super().__init__(options)
        self._options = options
        self._env: Mapping[str, str] = {}

    def prepare(self, system: System, _reporter: Reporter) -> None:
        """Take the environment of the job."""
        self._env = system.env

    def upload(self, bundle: Bundle) -> Receipt:
        """Compare with the base and tell.

        Raises:
            UploadError: If a comment was asked for and can't be written.
            AuthenticationError: If the token for it is not accepted.
        """
        report = self._report(bundle)
        self._annotate(report)
        told = ["job summary"] if self._summarise(report, _title(bundle.manifest)) else []
        comment, url = self._comment(bundle.manifest, report)
        told += [comment] if comment else []
        return Receipt(f"{report.headline}; told in: {', '.join(told) or 'this log'}", url)

    # --- what to tell -----------------------------------------------------------------------------

    def _report(self, bundle: Bundle) -> Report:
        head = of_bundle(bundle)
        root = self._options.store or default_root(bundle)
        branch = bundle.manifest.context.base or bundle.manifest.context.branch

        def found(store: Store) -> Selection | None:
            store.sync()
            earlier = _base(store, bundle.manifest, branch)
            return None if earlier is None else store.selection(earlier.run_id)

        base = use(root, found)
        if base is None:
            where = f"no run of {branch} is stored" if branch else "no base is known"
            return Report(head, note=f"nothing to compare with: {where}")
        return Report(head, compare(base, head))

    # --- where to tell ----------------------------------------------------------------------------

    def _annotate(self, report: Report) -> None:
        """Leave one line where GitHub shows annotations.

        On standard error, which GitHub reads too: standard output may be events.
        """
        if self._env.get("GITHUB_ACTIONS") == "true":
            text = report.headline.replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")
            sys.stderr.write(f"::notice title=Benchmarks::{text}\n")

    def _summarise(self, report: Report, title: str) -> bool:
        path = self._env.get("GITHUB_STEP_SUMMARY")
        if not path:
            return False
        text = markdown(report, title=title, limit=SUMMARY_CHARACTERS)
        try:
            with Path(path).open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{text}\n")
        except OSError as error:
            problem = f"the job summary {path} can't be written: {error.strerror}"
            raise UploadError(problem, hint="leave GITHUB_STEP_SUMMARY as it is") from error
        return True

    def _comment(self, manifest: Manifest, report: Report) -> tuple[str, str]:
        """Return what was done about a comment, and its address; empty if there is no need."""
        context = manifest.context
        number = _NUMBER.fullmatch(context.facts.get("ref", ""))
        if number is None or self._options.comment is False:
            return "", ""
        token = self._token(context.provider)
        if not token:
            return self._without_token(context), ""
        forge = self._forge(context, int(number[1]), token)
        mark = marker(context.facts.get("run_part_id", ""))
        text = markdown(report, title=_title(manifest), limit=COMMENT_CHARACTERS)
        body = f"{mark}\n{text}".encode(errors="backslashreplace").decode()
        try:
            url, is_new = forge.put(body, marker=mark)
        except ForbiddenError as refusal:
            if self._options.comment and context.facts.get("is_fork") != "true":
                raise
            return f"no comment ({refusal.hint})", ""
        return f"{'new' if is_new else 'updated'} comment", url

    def _token(self, provider: str) -> str:
        return self._options.comment_token or self._env.get(_TOKENS.get(provider, ""), "")

    def _without_token(self, context: RunContext) -> str:
        """Say that there is no comment, if somebody wanted one.

        Raises:
            UploadError: If there could be a token.
        """
        if not self._options.comment:
            return ""
        if context.facts.get("is_fork") == "true":
            return "no comment (jobs of forks have no token for it; docs/github.md has a way)"
        name = _TOKENS.get(context.provider, "CODSPEED_COMMENT_TOKEN")
        problem = "a comment was asked for, but there is no token to write it with"
        raise UploadError(problem, hint=f"give the job the variable {name}")

    def _forge(self, context: RunContext, number: int, token: str) -> Forge:
        """Return where to comment: the forge of the job we are in now, not what a bundle says."""
        env = self._env
        if context.provider == "gitlab-ci":
            api = env.get("CI_API_V4_URL", "https://gitlab.com/api/v4")
            project = env.get("CI_MERGE_REQUEST_PROJECT_ID") or env.get("CI_PROJECT_ID")
            return GitLab(api, project or context.repository, number, token)
        api = env.get("GITHUB_API_URL", "https://api.github.com")
        github = GitHub(api, env.get("GITHUB_REPOSITORY") or context.repository, number, token)
        if env.get("GITHUB_EVENT_NAME") == "workflow_run":
            _require_same_head(github, number, Path(env.get("GITHUB_EVENT_PATH", "")))
        return github


def _title(manifest: Manifest) -> str:
    job = manifest.context.facts.get("job", "")
    return re.sub(r"[^\w .,:/()\[\]=+-]", "", f"Benchmarks: {job}" if job else "Benchmarks")


def _base(store: Store, head: Manifest, branch: str) -> RunSummary | None:
    """Return the newest run of `branch` before this one, of the same variant and modes."""
    modes = {part.mode for part in head.parts}
    for run in store.runs(_SEARCHED):
        is_earlier = run.run_id != head.run_id and run.created_ns < head.created_ns
        is_alike = dict(run.variant) == dict(head.variant) and bool(modes & set(run.modes))
        if branch and run.branch == branch and is_earlier and is_alike and run.benchmarks:
            return run
    return None


def _require_same_head(github: GitHub, number: int, event: Path) -> None:
    """Make sure that a bundle of somebody else's job is about the pull request it names.

    Whoever opens a pull request can write any number into the bundle of its job; the commit that
    the job ran for comes from GitHub.

    Raises:
        UploadError: If it is not.
        ConfigError: If the event file can't be read.
    """
    try:
        payload: Any = json.loads(event.read_text("utf-8"))
        wanted = str(payload["workflow_run"]["head_sha"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"the event file {event} has no workflow_run.head_sha"
        raise ConfigError(problem, hint="leave GITHUB_EVENT_PATH as it is") from error
    if github.head() != wanted:
        problem = f"the bundle names pull request {number}, which is not at commit {wanted}"
        hint = "the pull request went on meanwhile, or its job wrote another's number"
        raise UploadError(problem, hint=hint)
