"""What core knows of this plugin without loading it: the uploader, two verbs, their options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed.errors import UsageError
from codspeed.model import OptionStyle, option
from codspeed.protocols import CommandDescriptor, UploaderDescriptor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codspeed.model import RunContext, System
    from codspeed.protocols import CommandBuilder
    from codspeed_service.uploader import ServiceUploader

_UPLOADS: Final = ("run", "exec", "upload")
_CI_LABELS: Final = {
    "github-actions": "GitHub Actions",
    "gitlab-ci": "GitLab CI",
    "buildkite": "Buildkite",
}
# What --provider takes, in any case (spec/cli-upload.md 1.4) -> its name on the service.
PROVIDERS: Final = {"github": "GITHUB", "gh": "GITHUB", "gitlab": "GITLAB", "gl": "GITLAB"}


@attrs.frozen
class AccountOptions:
    """Who we are and where the service is.

    None of these may come from codspeed.yml: a repository could send the user's token elsewhere.

    Attributes:
        oauth_token: Of a login; also from the user's profile.
        api_url: None for the service's own.
    """

    oauth_token: str | None = option(
        None,
        env="CODSPEED_OAUTH_TOKEN",
        hidden=True,
        help="Token of a login.",
        metavar="TOKEN",
        secret=True,
        profile="token",
        in_file=False,
        is_global=True,
    )
    api_url: str | None = option(
        None,
        env="CODSPEED_API_URL",
        hidden=True,
        help="Address of the API.",
        metavar="URL",
        profile="api_url",
        in_file=False,
        is_global=True,
    )


@attrs.frozen
class ServiceOptions(AccountOptions):
    """What an upload can be told.

    Attributes:
        token: Of the repository, or an OpenID Connect token that somebody else got.
        upload_url: None for the service's own.
        repository: "owner/name" in place of what git says; local runs only.
        provider: Where `repository` is; one of `PROVIDERS`.
        base: Run to compare a local run with.
        message_format: "json" for events on standard output.
        upload_optional: A failed upload is a warning.
    """

    token: str | None = option(
        None,
        env="CODSPEED_TOKEN",
        help="Token of the repository on the CodSpeed service.",
        metavar="TOKEN",
        secret=True,
        in_file=False,
        verbs=_UPLOADS,
    )
    upload_url: str | None = option(
        None,
        env="CODSPEED_UPLOAD_URL",
        help="Address that uploads go to.",
        metavar="URL",
        profile="upload_url",
        in_file=False,
        verbs=_UPLOADS,
    )
    repository: str | None = option(
        None,
        env="CODSPEED_REPOSITORY",
        short="r",
        help="Repository on the service, for a local run.",
        metavar="OWNER/NAME",
        verbs=_UPLOADS,
    )
    provider: str | None = option(
        None,
        env="CODSPEED_PROVIDER",
        help="Where --repository is: github (default) or gitlab.",
        metavar="PROVIDER",
        verbs=_UPLOADS,
    )
    base: str | None = option(
        None, help="Compare a local run with this run.", metavar="RUN_ID", verbs=_UPLOADS
    )
    message_format: str | None = option(
        None,
        choices=("json",),
        hidden=True,
        help="Events of the service as JSON on standard output.",
        verbs=_UPLOADS,
    )
    upload_optional: bool = option(
        False,  # noqa: FBT003 - the default of the option
        style=OptionStyle.FLAG,
        help="A failed upload to the service is a warning, no error.",
        verbs=_UPLOADS,
    )

    def __attrs_post_init__(self) -> None:
        """Refuse what does not fit together, before anything runs.

        Raises:
            UsageError: If a value makes no sense.
        """
        if self.repository is not None and "/" not in self.repository:
            problem = f"Invalid owner/repository format: '{self.repository}'"
            raise UsageError(problem, hint="say --repository OWNER/NAME")
        if self.provider is not None:
            self._check_provider(self.provider)
        for what, url in (("upload", self.upload_url), ("API", self.api_url)):
            if url is not None:
                _check_url(what, url)

    def _check_provider(self, provider: str) -> None:
        if provider.lower() not in PROVIDERS:
            problem = f"--provider can be {', '.join(PROVIDERS)}, but is '{provider}'"
            raise UsageError(problem)
        if self.repository is None:
            problem = "--provider needs --repository"
            raise UsageError(problem, hint="say --repository OWNER/NAME, or leave both out")


def _check_url(what: str, url: str) -> None:
    from urllib.parse import urlsplit  # noqa: PLC0415 - only where somebody gives one

    try:
        parts = urlsplit(url)
        _ = parts.port
        why = "" if parts.hostname else "there is no host in it"
    except ValueError as failure:
        why = str(failure)
    else:
        if not why and parts.scheme not in {"http", "https"}:
            why = "it is neither http nor https"
    if why:
        problem = f"Invalid {what} URL: {url}, {why}"
        raise UsageError(problem)


def refuse_override(context: RunContext, options: ServiceOptions) -> None:
    """Refuse to choose the repository of a CI job.

    Raises:
        UsageError: If somebody did.
    """
    label = _CI_LABELS.get(context.provider)
    if label is not None and options.repository is not None:
        problem = f"Specifying owner and repository from CLI is not supported for {label}"
        raise UsageError(problem, hint="leave out --repository and CODSPEED_REPOSITORY")


def _wanted(context: RunContext, options: ServiceOptions) -> str | None:
    """Return why results go to the service unasked; never a demand to log in for a local run.

    Raises:
        UsageError: If somebody chose a repository in a CI job, whose provider knows it.
    """
    refuse_override(context, options)
    if options.token:
        return "a token of the service is given"
    if options.oauth_token:
        return "you are logged in to the service"
    if context.facts.get("oidc") == "true":
        return "this job can ask for a token (OpenID Connect)"
    if context.provider != "local" and context.facts.get("private") == "false":
        return "the repository is public"
    return None


# What gives a job a token, by provider; nothing is said of runs by hand.
_REMEDIES: Final = {
    "github-actions": "`permissions: id-token: write`, or a token in CODSPEED_TOKEN",
    "gitlab-ci": "a token in CODSPEED_TOKEN (also an `id_tokens` one, audience codspeed.io)",
    "buildkite": "a token in CODSPEED_TOKEN",
}


def _lacking(context: RunContext, options: ServiceOptions) -> str | None:
    """Say in CI why nothing went to the service; a private job would go there in silence else."""
    remedy = _REMEDIES.get(context.provider)
    if remedy is None or _wanted(context, options) is not None:
        return None
    what = "private repository" if context.facts.get("private") == "true" else "job"
    return f"not uploaded to CodSpeed: this {what} has no token for it; it takes {remedy}"


def _load_uploader() -> type[ServiceUploader]:
    from codspeed_service.uploader import ServiceUploader  # noqa: PLC0415 - only when selected

    return ServiceUploader


def _load_auth() -> CommandBuilder:
    from codspeed_service.verb_auth import build  # noqa: PLC0415 - only when selected

    return build


def _load_update() -> CommandBuilder:
    from codspeed_service.verb_update import build  # noqa: PLC0415 - only when selected

    return build


def _status(system: System) -> Sequence[str]:
    from codspeed_service.status import of_system  # noqa: PLC0415 - imports an HTTP client

    return of_system(system)


uploader = UploaderDescriptor(
    name="codspeed",
    label="CodSpeed service",
    load=_load_uploader,
    options=ServiceOptions,
    wanted=_wanted,
    lacking=_lacking,
    compat="codspeed",
    status=_status,
)
auth = CommandDescriptor(
    name="auth",
    label="Login",
    load=_load_auth,
    options=AccountOptions,
    help="Log in to the CodSpeed service, or show who is logged in.",
)
update = CommandDescriptor(
    name="update",
    label="Update",
    load=_load_update,
    help="Say how this codspeed is updated.",
)


def owner_and_name(repository: str) -> tuple[str, str]:
    """Split at the first slash, as the reference does (spec/cli-upload.md 1.4)."""
    owner, _, name = repository.partition("/")
    return owner, name


def provider_kind(provider: Any) -> str:
    """Return the service's name of --provider; GitHub if it was not given."""
    return PROVIDERS[str(provider or "github").lower()]
