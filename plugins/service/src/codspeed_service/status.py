"""Who is logged in and which repository this is: `auth status`, and the service's part of `status`.

Source: spec/cli-upload.md 1.7.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from codspeed.config import session, user
from codspeed.environment.repository import parse_remote, read_repository
from codspeed.errors import CodspeedError
from codspeed_service import contract
from codspeed_service.api import Api, Overview
from codspeed_service.http import Client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codspeed.environment.repository import Remote
    from codspeed.model import System
    from codspeed_service.api import Account, Repository

_PROVIDERS: Final = {"github.com": "GITHUB", "gitlab.com": "GITLAB"}
_NOT_TIED: Final = "\u26a0 local runs go to a project `local-runs` that is not tied to a repository"


def of_system(system: System) -> Sequence[str]:
    """Return the lines for `codspeed status`: what is wrong is a line too, never an error."""
    env = system.env
    try:
        config = user.load(user.locate(env, env.get("CODSPEED_CONFIG_NAME", "config")))
        name = env.get("CODSPEED_PROFILE") or session.profile(env) or user.DEFAULT
        profile = config.profiles.get(name, user.Profile())
    except CodspeedError as failure:
        return ["Authentication", f"  \u2717 {failure.problem}"]
    api = Api(
        Client(connect_seconds=5.0),  # a status is soon wanted, or not at all
        env.get("CODSPEED_API_URL") or profile.api_url or contract.API_URL,
        env.get("CODSPEED_OAUTH_TOKEN") or profile.token,
    )
    return lines(name, api, _remote(system))


def _remote(system: System) -> Remote | None:
    repository = read_repository(Path.cwd(), system.env)
    return None if repository is None else parse_remote(repository.remote)


def lines(profile: str, api: Api, remote: Remote | None) -> list[str]:
    """Return who is logged in, and what the service knows of this repository."""
    provider = None if remote is None else _PROVIDERS.get(remote.host)
    shown = [f"Authentication (profile: {profile})"]
    overview = Overview(None, None)
    try:
        overview = _ask(api, provider, remote)
        shown.append(f"  {_account_line(api, overview.account)}")
    except CodspeedError as failure:
        return [*shown, f"  ! {failure.problem}"]
    shown += ["", "Repository"]
    if remote is None or provider is None:
        return [*shown, "  Not inside a git repository", f"  {_NOT_TIED}"]
    full = f"{remote.owner}/{remote.name} ({_label(provider)}"
    if api.token is None or overview.account is None:
        return [*shown, f"  {full})"]
    return [*shown, *(f"  {line}" for line in _repository_lines(full, overview.repository))]


def _ask(api: Api, provider: str | None, remote: Remote | None) -> Overview:
    if api.token is None:
        return Overview(None, None)
    if remote is None or provider is None:
        return Overview(api.account(), None)
    return api.overview(provider, remote.owner, remote.name)


def _account_line(api: Api, account: Account | None) -> str:
    if api.token is None:
        return "\u2717 Not logged in (run codspeed auth login to authenticate)"
    if account is None:
        return "\u2717 Token expired (run codspeed auth login to re-authenticate)"
    if account.login is None:
        return "\u2713 Authenticated"
    return f"\u2713 Logged in as {account.login} ({_label(account.provider)})"


def _repository_lines(full: str, repository: Repository | None) -> list[str]:
    if repository is None:
        return [f"\u2717 {full}, not enabled on CodSpeed)", _NOT_TIED]
    if repository.is_writable:
        return [f"\u2713 {full})"]
    return [f"\u2717 {full}, token not authorized for this repository)"]


def _label(provider: str) -> str:
    return provider.capitalize()
