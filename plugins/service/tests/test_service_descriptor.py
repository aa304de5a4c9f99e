"""When results go to the service unasked, and which options are refused before anything runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from codspeed.errors import UsageError
from codspeed.model import RunContext, option_specs
from codspeed_service.descriptor import ServiceOptions, uploader


def context(provider: str = "local", **facts: str) -> RunContext:
    return RunContext(provider, "a/b", "b-1", Path(), facts=facts)


@pytest.mark.parametrize(
    ("where", "options", "is_wanted"),
    [
        pytest.param(context(), {}, False, id="by hand, not logged in"),
        pytest.param(context(), {"oauth_token": "x"}, True, id="by hand, logged in"),
        pytest.param(context(), {"token": "x"}, True, id="by hand, a token"),
        pytest.param(context(private="false"), {}, False, id="by hand, whatever is said"),
        pytest.param(context("github-actions", private="true", oidc="false"), {}, False, id="none"),
        pytest.param(context("github-actions", private="true", oidc="true"), {}, True, id="oidc"),
        pytest.param(context("github-actions", private="false"), {}, True, id="public"),
        pytest.param(context("github-actions", private="true"), {"token": ""}, False, id="empty"),
        pytest.param(context("gitlab-ci"), {}, False, id="GitLab does not say"),
        pytest.param(context("gitlab-ci", private="false"), {}, True, id="GitLab, public"),
        pytest.param(context("buildkite"), {"token": "x"}, True, id="Buildkite"),
    ],
)
def test_when_it_is_wanted(where: RunContext, options: Any, is_wanted: bool) -> None:  # noqa: FBT001 - a row
    assert (uploader.wanted(where, ServiceOptions(**options)) is not None) == is_wanted


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"repository": "widgets"}, "Invalid owner/repository format: 'widgets'"),
        ({"provider": "github"}, "--provider needs --repository"),
        ({"provider": "svn", "repository": "a/b"}, "but is 'svn'"),
        ({"upload_url": "nowhere"}, "Invalid upload URL: nowhere, there is no host in it"),
        ({"upload_url": "ftp://x/"}, "Invalid upload URL: ftp://x/, it is neither http nor https"),
        ({"api_url": "http://x:port/"}, "Invalid API URL: http://x:port/"),
    ],
)
def test_what_does_not_fit_is_refused(options: Any, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        ServiceOptions(**options)

    assert problem in caught.value.problem


def test_codspeed_yml_can_not_say_who_gets_the_token() -> None:
    specs = {name: spec for name, (spec, _) in option_specs(ServiceOptions).items()}

    for name in ("token", "oauth_token", "api_url", "upload_url"):
        assert not specs[name].in_file


def test_tokens_are_not_shown() -> None:
    assert "s3cret" not in repr(ServiceOptions(token="s3cret", oauth_token="s3cret"))


@pytest.mark.process
def test_the_descriptor_imports_no_http_client() -> None:
    heavy = "{'requests', 'urllib3', 'isal', 'click', 'yaml', 'ssl'}"
    code = f"import sys, codspeed_service.descriptor; print({heavy} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
