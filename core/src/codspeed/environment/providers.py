"""The CI providers we recognise. Light: what reads their variables is loaded when it is used.

Source of the detection: spec/cli-upload.md 3.1 (the exact text `true`, in this order).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from codspeed.protocols import EnvironmentDescriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from codspeed.model import RunContext

    Reader = Callable[[Mapping[str, str], Path], RunContext]


def _is_buildkite(env: Mapping[str, str]) -> bool:
    return env.get("BUILDKITE") == "true"


def _is_github(env: Mapping[str, str]) -> bool:
    return env.get("GITHUB_ACTIONS") == "true"


def _is_gitlab(env: Mapping[str, str]) -> bool:
    return env.get("GITLAB_CI") == "true"


def _load_buildkite() -> Reader:
    from codspeed.environment.buildkite import read  # noqa: PLC0415 - descriptors stay light

    return read


def _load_github() -> Reader:
    from codspeed.environment.github import read  # noqa: PLC0415 - descriptors stay light

    return read


def _load_gitlab() -> Reader:
    from codspeed.environment.gitlab import read  # noqa: PLC0415 - descriptors stay light

    return read


buildkite = EnvironmentDescriptor(
    name="buildkite", label="Buildkite", load=_load_buildkite, order=100, detect=_is_buildkite
)
github = EnvironmentDescriptor(
    name="github-actions", label="GitHub Actions", load=_load_github, order=200, detect=_is_github
)
gitlab = EnvironmentDescriptor(
    name="gitlab-ci", label="GitLab CI", load=_load_gitlab, order=300, detect=_is_gitlab
)
