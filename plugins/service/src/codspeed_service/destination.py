"""Which repository on the service a run belongs to: the job's, or one that we may write to.

Source: spec/cli-upload.md 3.1 to 3.5. Other than in the reference, nothing here happens before the
measurement, and a checkout without a usable remote goes to the project of local runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from codspeed.environment.repository import parse_remote
from codspeed.errors import AuthenticationError, UploadError
from codspeed_service import contract
from codspeed_service.descriptor import owner_and_name, provider_kind, refuse_override
from codspeed_service.metadata import Destination

if TYPE_CHECKING:
    from collections.abc import Callable

    from codspeed.model import RunContext
    from codspeed_service.api import Api, Repository
    from codspeed_service.descriptor import ServiceOptions

_HOSTS: Final = {"github.com": "GITHUB", "gitlab.com": "GITLAB"}


def of_job(context: RunContext, options: ServiceOptions) -> Destination:
    """Return the destination of a CI job: its provider knows it.

    Raises:
        UsageError: If somebody chose another one.
        UploadError: If the checkout has no commit.
    """
    refuse_override(context, options)
    facts = context.facts
    if not context.commit:
        note = facts.get("repository_note", "there is no git repository")
        problem = f"the commit that was measured is not known: {note}"
        raise UploadError(problem)
    owner, _, name = context.repository.rpartition("/")
    return Destination(
        provider=facts.get("provider_kind", "GITHUB"),
        owner=owner,
        name=name,
        commit=context.commit,
        ref=facts.get("ref", ""),
        head_ref=facts.get("head_ref"),
        base_ref=facts.get("base_ref"),
    )


def page(target: Destination, upload_url: str | None) -> str:
    """Return where the service shows what a job uploaded; empty if it is not known.

    An upload is answered with an id and no address; these are the ones in the service's comments on
    pull requests.

    Args:
        upload_url: Where the upload went; None for the service's own address.
    """
    if upload_url not in {None, contract.UPLOAD_URL}:
        return ""
    repository = f"{contract.SITE_URL}/{quote(target.owner)}/{quote(target.name, safe='')}"
    if target.head_ref is None:
        return repository
    return f"{repository}/branches/{quote(target.head_ref, safe='')}"


def of_local_run(
    context: RunContext, options: ServiceOptions, api: Api, tell: Callable[[str], None]
) -> Destination:
    """Return the destination of a run by hand.

    Raises:
        AuthenticationError: If the token is refused.
        UploadError: If the repository that the user named can't be written to.
        ServiceError: If the service can't be asked.
    """
    if options.repository is not None:
        return _local(context, _named(options, api))
    found, why = _from_remote(context, api)
    if found is not None:
        return _local(context, found)
    tell(f"{why}; the run goes to your project `{contract.LOCAL_PROJECT}`")
    return _project(api.project(contract.LOCAL_PROJECT))


def _named(options: ServiceOptions, api: Api) -> Repository:
    owner, name = owner_and_name(str(options.repository))
    found = _look_up(api, provider_kind(options.provider), owner, name)
    if found is None:
        problem = f"{owner}/{name} is not known to the CodSpeed service"
        raise UploadError(problem, hint="enable it there, or check --repository and --provider")
    if not found.is_writable:
        problem = f"the token is not authorized for {found.owner}/{found.name}"
        raise UploadError(problem, hint="ask for write access, or log in as somebody who has it")
    return found


def _from_remote(context: RunContext, api: Api) -> tuple[Repository | None, str]:
    remote = parse_remote(context.remote)
    if remote is None:
        is_repository = bool(context.commit)
        return None, (
            "the remote `origin` names no repository" if is_repository else "not in a repository"
        )
    if remote.host not in _HOSTS:
        return None, f"Repository provider {remote.host} is not supported by CodSpeed"
    full = f"{remote.owner}/{remote.name}"
    found = _look_up(api, _HOSTS[remote.host], remote.owner, remote.name)
    if found is None:
        return None, f"{full} is not enabled on CodSpeed"
    if not found.is_writable:
        return None, f"the token is not authorized for {full}"
    return found, ""


def _look_up(api: Api, provider: str, owner: str, name: str) -> Repository | None:
    overview = api.overview(provider, owner, name)
    if overview.account is None:
        problem = "Invalid token. Run `codspeed auth login` to re-authenticate."
        raise AuthenticationError(problem)
    return overview.repository


def _local(context: RunContext, repository: Repository) -> Destination:
    commit = context.commit or contract.PLACEHOLDER_COMMIT
    return Destination(
        provider=repository.provider,
        owner=repository.owner,
        name=repository.name,
        commit=commit,
        ref=commit,
        head_ref=context.branch or None,
        base_ref=None,
    )


def _project(repository: Repository) -> Destination:
    return Destination(
        provider=repository.provider,
        owner=repository.owner,
        name=repository.name,
        commit=contract.PLACEHOLDER_COMMIT,
        ref=contract.PLACEHOLDER_COMMIT,
        head_ref=None,
        base_ref=None,
    )
