"""Golden contexts of every provider and event; the rules are in spec/cli-upload.md 3."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from codspeed.environment import buildkite, github, gitlab, providers, read_context
from codspeed.errors import CodspeedError, ConfigError, UsageError
from codspeed.registry import Registry

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(shutil.which("git") is None, reason="needs git"),
]

Env = dict[str, str]

SYSTEM = {key: os.environ[key] for key in ("PATH", "SYSTEMROOT") if key in os.environ}


class Clone:
    """A repository whose HEAD is a merge of `head` into `base`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self("init", "-q", "-b", "main")
        self("commit", "-q", "--allow-empty", "-m", "base")
        self.base = self("rev-parse", "HEAD")
        self("switch", "-q", "-c", "feat/x")
        self("commit", "-q", "--allow-empty", "-m", "head")
        self.head = self("rev-parse", "HEAD")
        self("switch", "-q", "--detach", "main")
        self("merge", "-q", "--no-ff", "-m", "merge", "feat/x")
        self.merge = self("rev-parse", "HEAD")

    def __call__(self, *words: str) -> str:
        person = {
            f"GIT_{role}_{key}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in (("NAME", "A"), ("EMAIL", "a@b.c"))
        }
        env = SYSTEM | person | {"HOME": str(self.root), "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["git", *words], cwd=self.root, env=env, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone(tmp_path_factory.mktemp("clones") / "widgets")


def pull_request(head: str = "0" * 40, *, fork: bool = False) -> dict[str, Any]:
    owner, number = ("mallory", 7) if fork else ("acme", 1)
    return {
        "number": 22,
        "head": {
            "ref": "feat/x",
            "sha": head,
            "user": {"login": owner},
            "repo": {"id": number, "owner": {"login": owner}},
        },
        "base": {"ref": "main", "repo": {"id": 1}},
        "merge_commit_sha": "f" * 40,
    }


def github_env(folder: Path, payload: object = None, **changes: str) -> Env:
    event = folder / "event.json"
    known = {"repository": {"private": False}}
    event.write_text(json.dumps(known | payload if isinstance(payload, dict) else known))
    return {
        **SYSTEM,
        "GITHUB_ACTIONS": "true",
        "GITHUB_REPOSITORY": "acme/widgets",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_BASE_REF": "",
        "GITHUB_JOB": "bench",
        "GITHUB_RUN_ID": "18000000001",
        "GITHUB_ACTOR": "mallory",
        "GITHUB_ACTOR_ID": "4242",
        **changes,
    }


def github_facts(clone: Clone, **changes: str) -> Env:
    return {
        "provider_kind": "GITHUB",
        "ref": "refs/heads/main",
        "base_ref": "",
        "sender_id": "4242",
        "sender_login": "mallory",
        "run_id": "18000000001",
        "job": "bench",
        "run_part_id": "bench",
        "run_part_metadata": "{}",
        "repository_root_path": f"{clone.root}/",
        "private": "false",
        "is_fork": "false",
        "oidc": "false",
        **changes,
    }


REQUEST = {
    "GITHUB_EVENT_NAME": "pull_request",
    "GITHUB_REF": "refs/pull/22/merge",
    "GITHUB_BASE_REF": "main",
}
MATRIX = {
    "GH_MATRIX": '{"py": "3.12"}',
    "GH_STRATEGY": '{"fail-fast":true,"job-index":0,"job-total":2,"max-parallel":2}',
}
MATRIX_FACTS = {
    "run_part_id": 'bench-{"py":"3.12"}-{"job-total":2,"job-index":0}',
    "run_part_metadata": '{"job-index":0,"job-total":2,"py":"3.12"}',
}
OF_REQUEST = {"ref": "refs/pull/22/merge", "head_ref": "feat/x", "base_ref": "main"}


@pytest.mark.parametrize(
    ("changes", "payload", "facts", "event", "branch"),
    [
        pytest.param({}, {}, {}, "push", "main", id="push"),
        pytest.param(
            {"GITHUB_REF": "refs/tags/v1"}, {}, {"ref": "refs/tags/v1"}, "push", "", id="tag"
        ),
        pytest.param({"GITHUB_EVENT_NAME": "schedule"}, {}, {}, "schedule", "main", id="schedule"),
        pytest.param(
            {"GITHUB_EVENT_NAME": "workflow_dispatch"},
            {"repository": {"private": True}},
            {"private": "true"},
            "workflow_dispatch",
            "main",
            id="manual, private",
        ),
        pytest.param(MATRIX, {}, MATRIX_FACTS, "push", "main", id="matrix"),
        pytest.param(
            {"GH_MATRIX": "null", "GH_STRATEGY": '{"job-index":0}'},
            {},
            {},
            "push",
            "main",
            id="no matrix",
        ),
        pytest.param(
            REQUEST,
            {"pull_request": pull_request()},
            OF_REQUEST,
            "pull_request",
            "feat/x",
            id="pull request",
        ),
        pytest.param(
            REQUEST | MATRIX,
            {"pull_request": pull_request(fork=True)},
            OF_REQUEST | MATRIX_FACTS | {"head_ref": "mallory:feat/x", "is_fork": "true"},
            "pull_request",
            "mallory:feat/x",
            id="fork, matrix",
        ),
        pytest.param(
            REQUEST,
            {
                "pull_request": {
                    "head": {"ref": "feat/x", "repo": None, "user": {"login": "mallory"}}
                }
            },
            OF_REQUEST | {"head_ref": "mallory:feat/x", "is_fork": "true"},
            "pull_request",
            "mallory:feat/x",
            id="fork that was deleted",
        ),
        pytest.param(
            {"GITHUB_EVENT_NAME": "merge_group", "GITHUB_REF": "refs/heads/gh-readonly-queue/m/1"},
            {"merge_group": {"base_ref": "refs/heads/main"}},
            {"ref": "refs/heads/gh-readonly-queue/m/1"},
            "push",
            "gh-readonly-queue/m/1",
            id="merge queue",
        ),
        pytest.param(
            {
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "hush-hush",
                "ACTIONS_ID_TOKEN_REQUEST_URL": "https://token.example/?hush-hush",
            },
            {},
            {"oidc": "true"},
            "push",
            "main",
            id="OIDC",
        ),
    ],
)
def test_github(
    clone: Clone,
    tmp_path: Path,
    changes: Env,
    payload: dict[str, Any],
    facts: Env,
    event: str,
    branch: str,
) -> None:
    context = github.read(github_env(tmp_path, payload, **changes), clone.root)

    assert context.facts == github_facts(clone, **facts)
    assert (context.event, context.branch) == (event, branch)
    assert (context.provider, context.repository) == ("github-actions", "acme/widgets")
    assert context.commit == clone.merge
    assert "hush" not in repr(context)


def test_github_base_ref_that_is_not_set_is_absent(clone: Clone, tmp_path: Path) -> None:
    env = github_env(tmp_path)
    del env["GITHUB_BASE_REF"]

    assert "base_ref" not in github.read(env, clone.root).facts


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"GITHUB_WORKSPACE": "/w/widgets"}, "/w/widgets/", id="workspace"),
        pytest.param({}, "/home/runner/work/widgets/widgets/", id="the hosted runner's layout"),
    ],
)
def test_github_without_a_clone(tmp_path: Path, changes: Env, expected: str) -> None:
    context = github.read(github_env(tmp_path, **changes), tmp_path)

    assert context.facts["repository_root_path"] == expected
    assert context.commit == ""
    assert "is no git repository; check the repository out" in context.facts["repository_note"]
    assert context.repository_key.startswith("widgets-")


def target_env(folder: Path, head: str) -> Env:
    payload = {"pull_request": pull_request(head)}
    return github_env(
        folder, payload, GITHUB_EVENT_NAME="pull_request_target", GITHUB_BASE_REF="main"
    )


@pytest.mark.parametrize("checked_out", ["head", "merge"])
def test_pull_request_target(clone: Clone, tmp_path: Path, checked_out: str) -> None:
    clone("switch", "-q", "--detach", getattr(clone, checked_out))
    try:
        context = github.read(target_env(tmp_path, clone.head), clone.root)
    finally:
        clone("switch", "-q", "--detach", clone.merge)

    assert context.event == "pull_request"
    assert context.facts["ref"] == "refs/pull/22/merge"
    assert context.facts["head_ref"] == "feat/x"
    assert (context.branch, context.base) == ("feat/x", "main")


def test_pull_request_target_of_the_base_branch_is_refused(clone: Clone, tmp_path: Path) -> None:
    clone("switch", "-q", "--detach", clone.base)
    try:
        with pytest.raises(UsageError) as caught:
            github.read(target_env(tmp_path, clone.head), clone.root)
    finally:
        clone("switch", "-q", "--detach", clone.merge)

    assert clone.base in caught.value.problem
    assert "`ref: ${{ github.event.pull_request.head.sha }}`" in (caught.value.hint or "")


# --- GitLab ---

GITLAB: Env = {
    **SYSTEM,
    "GITLAB_CI": "true",
    "CI_PROJECT_NAMESPACE": "acme",
    "CI_PROJECT_NAME": "widgets",
    "CI_PROJECT_PATH": "acme/widgets",
    "CI_PROJECT_DIR": "/builds/acme/widgets",
    "CI_PROJECT_VISIBILITY": "public",
    "CI_PIPELINE_SOURCE": "push",
    "CI_COMMIT_REF_NAME": "main",
    "CI_JOB_ID": "77",
    "CI_JOB_NAME": "bench 1/2",
    "GITLAB_USER_ID": "42",
    "GITLAB_USER_LOGIN": "mallory",
}
GITLAB_FACTS: Env = {
    "provider_kind": "GITLAB",
    "ref": "refs/heads/main",
    "base_ref": "main",
    "sender_id": "42",
    "sender_login": "mallory",
    "run_id": "77",
    "job": "bench 1/2",
    "run_part_id": "bench 1/2",
    "run_part_metadata": "{}",
    "repository_root_path": "/builds/acme/widgets",
    "private": "false",
    "is_fork": "false",
}
MERGE_REQUEST: Env = {
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_COMMIT_REF_NAME": "feat/x",
    "CI_MERGE_REQUEST_IID": "5",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "feat/x",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "acme/widgets",
}
OF_MERGE_REQUEST = {"ref": "refs/pull/5/merge", "base_ref": "main", "head_ref": "feat/x"}


@pytest.mark.parametrize(
    ("changes", "facts", "event", "branch"),
    [
        pytest.param({}, {}, "push", "main", id="push"),
        pytest.param(
            {"CI_COMMIT_REF_NAME": "v1", "CI_COMMIT_TAG": "v1"},
            {"ref": "refs/tags/v1", "base_ref": "v1"},
            "push",
            "",
            id="tag",
        ),
        pytest.param({"CI_PIPELINE_SOURCE": "schedule"}, {}, "schedule", "main", id="schedule"),
        pytest.param({"CI_PIPELINE_SOURCE": "web"}, {}, "workflow_dispatch", "main", id="manual"),
        pytest.param({"CI_PIPELINE_SOURCE": "api"}, {}, "workflow_dispatch", "main", id="api"),
        pytest.param(
            {"CI_PIPELINE_SOURCE": "trigger"}, {}, "workflow_dispatch", "main", id="trigger"
        ),
        pytest.param(MERGE_REQUEST, OF_MERGE_REQUEST, "pull_request", "feat/x", id="request"),
        pytest.param(
            MERGE_REQUEST | {"CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "mallory/sub/widgets"},
            OF_MERGE_REQUEST | {"head_ref": "mallory:feat/x", "is_fork": "true"},
            "pull_request",
            "mallory:feat/x",
            id="fork",
        ),
        pytest.param(
            {"CI_JOB_NAME": "bench: [3.12]", "CI_PROJECT_VISIBILITY": "internal"},
            {"job": "bench: [3.12]", "run_part_id": "bench: [3.12]", "private": "true"},
            "push",
            "main",
            id="matrix, not public",
        ),
    ],
)
def test_gitlab(clone: Clone, changes: Env, facts: Env, event: str, branch: str) -> None:
    context = gitlab.read(GITLAB | changes, clone.root)

    assert context.facts == GITLAB_FACTS | facts
    assert (context.event, context.branch) == (event, branch)
    assert (context.provider, context.repository) == ("gitlab-ci", "acme/widgets")
    assert context.commit == clone.merge


def test_gitlab_nested_groups(clone: Clone) -> None:
    env = GITLAB | {"CI_PROJECT_NAMESPACE": "acme/tools/py"}

    assert gitlab.read(env, clone.root).repository == "acme/tools/py/widgets"


# --- Buildkite ---

BUILDKITE: Env = {
    **SYSTEM,
    "BUILDKITE": "true",
    "BUILDKITE_PULL_REQUEST": "false",
    "BUILDKITE_REPO": "git@github.com:acme/widgets.git",
    "BUILDKITE_BRANCH": "main",
}
BUILDKITE_REQUEST: Env = {
    "BUILDKITE_PULL_REQUEST": "22",
    "BUILDKITE_BRANCH": "feat/x",
    "BUILDKITE_PULL_REQUEST_BASE_BRANCH": "main",
}


@pytest.mark.parametrize(
    ("changes", "facts", "event"),
    [
        pytest.param({}, {"ref": "refs/heads/main"}, "push", id="push, schedule, manual"),
        pytest.param(
            {"BUILDKITE_PULL_REQUEST": ""}, {"ref": "refs/heads/main"}, "push", id="empty"
        ),
        pytest.param(
            {"BUILDKITE_TAG": "v1", "BUILDKITE_BRANCH": "v1"},
            {"ref": "refs/heads/v1"},
            "push",
            id="tag: as the reference, its name counts as a branch",
        ),
        pytest.param(BUILDKITE_REQUEST, OF_REQUEST, "pull_request", id="pull request"),
        pytest.param(
            BUILDKITE_REQUEST | {"BUILDKITE_PARALLEL_JOB": "1"},
            OF_REQUEST,
            "pull_request",
            id="parallel job: no run part",
        ),
    ],
)
def test_buildkite(clone: Clone, changes: Env, facts: Env, event: str) -> None:
    context = buildkite.read(BUILDKITE | changes, clone.root)

    root = {"provider_kind": "GITHUB", "repository_root_path": f"{clone.root}/"}
    assert context.facts == facts | root
    assert (context.provider, context.repository) == ("buildkite", "acme/widgets")
    assert (context.event, context.commit) == (event, clone.merge)


def test_buildkite_without_a_clone(tmp_path: Path) -> None:
    env = BUILDKITE | {
        "BUILDKITE_AGENT_NAME": "agent-1",
        "BUILDKITE_ORGANIZATION_SLUG": "acme",
        "BUILDKITE_PIPELINE_SLUG": "bench",
    }

    facts = buildkite.read(env, tmp_path).facts

    assert facts["repository_root_path"] == "/buildkite/builds/agent-1/acme/bench/"


# --- What is wrong is said, never a traceback ---


@pytest.mark.parametrize(
    ("changes", "payload", "message"),
    [
        pytest.param(
            {"GITHUB_EVENT_NAME": "release"},
            {},
            "Event release is not supported by CodSpeed",
            id="event",
        ),
        pytest.param(
            {"GITHUB_REPOSITORY": "widgets"},
            {},
            "GITHUB_REPOSITORY is 'widgets', not owner/name",
            id="repository",
        ),
        pytest.param(
            {"GITHUB_EVENT_PATH": "/nowhere/event.json"},
            {},
            "the event file /nowhere/event.json (GITHUB_EVENT_PATH) can't be read: "
            "No such file or directory",
            id="no event file",
        ),
        pytest.param(
            {"CODSPEED_REPOSITORY": "a/b"},
            {},
            "Specifying owner and repository from CLI is not supported for GitHub Actions",
            id="override",
        ),
        pytest.param(
            {"GITHUB_JOB": "b\udcff"}, {}, "GITHUB_JOB environment variable not found", id="bytes"
        ),
        pytest.param({}, {"repository": {}}, "repository.private in the event file", id="private"),
        pytest.param(
            {}, {"repository": {"private": "no"}}, '"no", not a boolean', id="private is text"
        ),
        pytest.param(REQUEST, {}, "pull_request.head.ref in the event file", id="no request"),
        pytest.param(
            REQUEST,
            {"pull_request": {"head": {"ref": "x", "repo": {"id": True}}}},
            "pull_request.head.repo.id in the event file",
            id="id is no number",
        ),
        pytest.param(
            REQUEST,
            {"pull_request": {"head": {"ref": "\ud800"}}},
            "pull_request.head.ref in the event file",
            id="half a character",
        ),
    ],
)
def test_bad_github_data(
    clone: Clone, tmp_path: Path, changes: Env, payload: dict[str, Any], message: str
) -> None:
    with pytest.raises(CodspeedError) as caught:
        github.read(github_env(tmp_path, payload) | changes, clone.root)

    assert message in caught.value.problem
    assert caught.value.exit_code == 2
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00", "[" * 100_000, "9" * 5000, '"\ud800"'])
def test_an_event_file_that_is_none(clone: Clone, tmp_path: Path, text: str) -> None:
    env = github_env(tmp_path)
    Path(env["GITHUB_EVENT_PATH"]).write_bytes(text.encode("utf-8", "surrogatepass"))

    with pytest.raises(ConfigError, match=r"the event file .*event\.json"):
        github.read(env, clone.root)


REQUIRED = {
    "github": (
        "GITHUB_REPOSITORY GITHUB_EVENT_PATH GITHUB_REF GITHUB_EVENT_NAME GITHUB_JOB"
        " GITHUB_RUN_ID GITHUB_ACTOR GITHUB_ACTOR_ID"
    ),
    "gitlab": (
        "CI_PROJECT_NAMESPACE CI_PROJECT_NAME CI_PIPELINE_SOURCE CI_JOB_ID CI_JOB_NAME"
        " GITLAB_USER_ID GITLAB_USER_LOGIN CI_PROJECT_DIR CI_PROJECT_PATH CI_MERGE_REQUEST_IID"
        " CI_MERGE_REQUEST_TARGET_BRANCH_NAME CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"
        " CI_MERGE_REQUEST_SOURCE_PROJECT_PATH"
    ),
    "buildkite": (
        "BUILDKITE_PULL_REQUEST BUILDKITE_REPO BUILDKITE_BRANCH BUILDKITE_PULL_REQUEST_BASE_BRANCH"
    ),
}


@pytest.mark.parametrize(
    ("provider", "name"),
    [(provider, name) for provider, names in REQUIRED.items() for name in names.split()],
)
def test_a_missing_variable_is_named(
    clone: Clone, tmp_path: Path, provider: str, name: str
) -> None:
    envs = {
        "github": github_env(tmp_path),
        "gitlab": GITLAB | MERGE_REQUEST,
        "buildkite": BUILDKITE | BUILDKITE_REQUEST,
    }
    env = {key: value for key, value in envs[provider].items() if key != name}
    readers = {"github": github.read, "gitlab": gitlab.read, "buildkite": buildkite.read}

    with pytest.raises(ConfigError) as caught:
        readers[provider](env, clone.root)

    assert caught.value.problem == f"{name} environment variable not found"


def test_bad_gitlab_and_buildkite_data(clone: Clone) -> None:
    for env, message in (
        (GITLAB | {"CI_PIPELINE_SOURCE": "parent_pipeline"}, "Event parent_pipeline is not"),
        (GITLAB | MERGE_REQUEST | {"CI_MERGE_REQUEST_IID": "x"}, "CI_MERGE_REQUEST_IID is 'x'"),
    ):
        with pytest.raises(CodspeedError, match=message):
            gitlab.read(env, clone.root)
    for url, message in (
        ("https://me:hush@gitlab.com/a/b", "this one is on gitlab.com"),
        ("https://me:hush@nowhere", "Could not extract owner .*: https://nowhere"),
    ):
        with pytest.raises(CodspeedError, match=message) as caught:
            buildkite.read(BUILDKITE | {"BUILDKITE_REPO": url}, clone.root)
        assert "hush" not in str(caught.value)


# --- Which one ---


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        pytest.param({}, "local", id="none"),
        pytest.param({"GITHUB_ACTIONS": "True"}, "local", id="not exactly true"),
        pytest.param({"GITLAB_CI": "1"}, "local", id="nor 1"),
        pytest.param({"GITHUB_ACTIONS": "true", "GITLAB_CI": "true"}, "github-actions", id="both"),
        pytest.param(
            {"BUILDKITE": "true", "GITHUB_ACTIONS": "true"}, "buildkite", id="Buildkite first"
        ),
    ],
)
def test_detection(env: Env, expected: str) -> None:
    registry = Registry({})
    known = sorted(registry.descriptors("codspeed.environments"), key=lambda one: one.order)

    assert next(one.name for one in known if one.detect(env)) == expected


def test_the_entry_points_are_ours(clone: Clone, tmp_path: Path) -> None:
    context = read_context(Registry({}), github_env(tmp_path), clone.root)

    assert context.provider == providers.github.name
