"""Where results go, case by case: by hand, in each kind of CI job, and from the action."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from codspeed.environment import read_system
from codspeed.model import RunContext, RunRequest
from codspeed.orchestrate.run import _Run
from codspeed.orchestrate.select import lacking_lines
from codspeed.registry import Registry
from codspeed.testing import FakeReporter

GITHUB = {"private": "true", "oidc": "false"}
PUBLIC = {"private": "false", "oidc": "false"}
TOKEN = {"token": "abc"}
LOGIN = {"oauth_token": "abc"}
CASES = {
    # name: (provider, facts, plugins' options, request, who takes the results, what is said)
    "by hand": ("local", {}, {}, {}, "local", ""),
    "by hand, no store": ("local", {}, {}, {"store": False}, "", ""),
    "by hand, logged in": ("local", {}, LOGIN, {}, "codspeed local", ""),
    "by hand, a token": ("local", {}, TOKEN, {}, "codspeed local", ""),
    "by hand, asked for": ("local", {}, {}, {"uploaders": ("codspeed",)}, "codspeed local", ""),
    "by hand, none": ("local", {}, LOGIN, {"uploaders": ()}, "", ""),
    "by hand, skipped": ("local", {}, LOGIN, {"skip_upload": True}, "local", ""),
    "private job": ("github-actions", GITHUB, {}, {}, "forge local", "id-token: write"),
    "private job, token": ("github-actions", GITHUB, TOKEN, {}, "codspeed forge local", ""),
    "private job, empty token": (
        "github-actions",
        GITHUB,
        {"token": ""},
        {},
        "forge local",
        "this private repository has no token",
    ),
    "private job, OpenID Connect": (
        "github-actions",
        GITHUB | {"oidc": "true"},
        {},
        {},
        "codspeed forge local",
        "",
    ),
    "public job": ("github-actions", PUBLIC, {}, {}, "codspeed forge local", ""),
    "public job, a list without it": (
        "github-actions",
        PUBLIC,
        {},
        {"uploaders": ("local", "forge")},
        "forge local",
        "",
    ),
    "GitLab that says nothing": (
        "gitlab-ci",
        {},
        {},
        {},
        "forge local",
        "this job",
    ),
    "public on GitLab": ("gitlab-ci", {"private": "false"}, {}, {}, "codspeed forge local", ""),
    "GitLab with a token": ("gitlab-ci", {}, TOKEN, {}, "codspeed forge local", ""),
    "Buildkite": ("buildkite", {}, {}, {}, "local", "it takes a token in CODSPEED_TOKEN"),
    "Buildkite with a token": ("buildkite", {}, TOKEN, {}, "codspeed local", ""),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_who_takes_the_results(case: Any, tmp_path: Path) -> None:
    provider, facts, values, fields, expected, said = case
    context = RunContext(provider, "acme/widgets", "widgets-1", tmp_path, facts=facts)
    registry = Registry({})
    request = RunRequest(
        executors=("walltime",), bundle_dir=tmp_path, plugin_options=values, **fields
    )
    run = _Run(request, registry, read_system({}), context, FakeReporter())
    lines = lacking_lines(registry, context, values, run._uploaders)

    assert sorted(plugin.name for plugin in run._uploaders) == expected.split()
    assert bool(lines) == bool(said) or request.uploaders is not None
    assert not said or said in lines[0]


# --- The action: what it measures with, and whether it tells afterwards ---


@pytest.fixture(scope="module")
def script() -> Any:
    """The module scripts/action.py, which is no part of a distribution."""
    path = Path(__file__).parents[1] / "scripts" / "action.py"
    spec = importlib.util.spec_from_file_location("codspeed_action_script", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


OIDC = {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x", "ACTIONS_ID_TOKEN_REQUEST_URL": "y"}
STORE = {"INPUT_STORE_CACHE": "true"}


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        pytest.param({}, (None, True), id="the usual"),
        pytest.param(STORE, (["local"], True), id="store-cache, no account"),
        pytest.param(STORE | {"INPUT_TOKEN": ""}, (["local"], True), id="store-cache, empty token"),
        pytest.param(STORE | {"INPUT_TOKEN": "abc"}, (None, True), id="store-cache, token"),
        pytest.param(STORE | {"CODSPEED_TOKEN": "abc"}, (None, True), id="store-cache, variable"),
        pytest.param(STORE | OIDC, (None, True), id="store-cache, OpenID Connect"),
        pytest.param(STORE | {"INPUT_UPLOADER": "codspeed"}, (["codspeed"], False), id="asked for"),
        pytest.param({"INPUT_UPLOADER": "none"}, (["none"], False), id="none"),
        pytest.param({"INPUT_UPLOADER": "local, forge"}, (["local"], True), id="turned off"),
        pytest.param({"INPUT_UPLOADER": "forge"}, (["local"], True), id="only told"),
    ],
)
def test_what_the_action_asks_for(
    script: Any, env: dict[str, str], expected: tuple[Any, bool]
) -> None:
    assert script._uploaders(env) == expected


def test_the_action_finds_bundle_and_address_in_the_results(script: Any) -> None:
    lines = [
        b"uploaded to CodSpeed: acme/widgets https://codspeed.io/acme/widgets",
        b"told somebody else https://forge.example/1",
        b"Bundle: /home/a b/bundles/1",
    ]

    assert script._url(lines) == "https://codspeed.io/acme/widgets"
    assert script._url(lines[1:]) == ""
    assert script._bundle(lines) == "/home/a b/bundles/1"
