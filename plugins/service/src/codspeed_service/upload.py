"""The two requests of an upload: announce it with the metadata, then store the archive.

Source: spec/cli-upload.md 4.3 to 4.7.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed.errors import AuthenticationError, CodspeedError, UploadError
from codspeed_service import contract
from codspeed_service.http import ExchangeError, is_success

if TYPE_CHECKING:
    import requests

    from codspeed_service.archive import Archive
    from codspeed_service.http import Client

_TRIES: Final = 3
_DOCUMENTATION: Final = "https://codspeed.io/docs/integrations/ci"
_WITH_WORKFLOW: Final = "check how the job authenticates: {}/{}/configuration#authentication"
# What to do when a token is refused, by `runEnvironment`.
_HINTS: Final = {
    "LOCAL": "Run `codspeed auth login` to authenticate the CLI",
    "GITHUB_ACTIONS": _WITH_WORKFLOW.format(_DOCUMENTATION, "github-actions"),
    "GITLAB_CI": _WITH_WORKFLOW.format(_DOCUMENTATION, "gitlab-ci"),
    "BUILDKITE": "Check that CODSPEED_TOKEN is set and has the correct value",
}


@attrs.frozen
class Slot:
    """Where the service wants the archive.

    Attributes:
        url: Signed: whoever has it may write there.
    """

    url: str = attrs.field(repr=False)
    run_id: str


class RefusedTokenError(AuthenticationError):
    """The service does not accept the token; a short-lived one may have expired."""

    slug = "service-token-refused"


def announce(client: Client, url: str, body: bytes, *, token: str | None, environment: str) -> Slot:
    """Tell the service what comes.

    Args:
        body: The metadata document; for a tokenless upload the very bytes that were hashed.
        environment: The document's `runEnvironment`, for the hint.

    Raises:
        RefusedTokenError: If the token is refused.
        UploadError: If the service can't be reached or does not take it.
    """
    headers = {"Content-Type": "application/json", **_common()}
    if token is not None:
        headers["Authorization"] = token
    try:
        answer = client.send("POST", url, headers=headers, body=body, tries=_TRIES)
    except ExchangeError as failure:
        problem = f"Failed to retrieve upload data: {failure}"
        raise UploadError(problem) from None
    if not is_success(answer):
        raise _refusal(client, answer, environment)
    slot = _slot(answer)
    client.secrets.add(slot.url)
    return slot


def store(client: Client, slot: Slot, archive: Archive) -> None:
    """Send the archive, from disk.

    Raises:
        UploadError: If it is not stored.
    """
    headers = {
        "Content-Type": "application/x-tar",
        "Content-MD5": archive.md5,
        **_common(),
    }
    if archive.encoding is not None:
        headers["Content-Encoding"] = archive.encoding
    try:
        with archive.path.open("rb") as file:
            answer = client.send("PUT", slot.url, headers=headers, body=file, tries=_TRIES)
    except ExchangeError as failure:
        problem = f"Failed to upload performance report: {failure}"
        raise UploadError(problem) from None
    if not is_success(answer):
        text = client.hide(answer.text)
        problem = f"Failed to upload performance report: {_status(answer)}\n  -> Reason: {text}"
        raise UploadError(problem)


def _common() -> dict[str, str]:
    return {"User-Agent": contract.USER_AGENT, "Accept": "*/*"}


def _slot(answer: requests.Response) -> Slot:
    try:
        plain: Any = answer.json()
        values = [plain[key] for key in ("uploadUrl", "runId", "status")]
    except (ValueError, KeyError, TypeError):
        values = [None]
    if not all(isinstance(value, str) for value in values):
        problem = "Failed to retrieve upload data: the answer of the service can't be understood"
        raise UploadError(problem)
    return Slot(url=values[0], run_id=values[1])


def _refusal(client: Client, answer: requests.Response, environment: str) -> CodspeedError:
    problem = f"Failed to retrieve upload data: {_status(answer)}\n  -> Reason: "
    problem += client.hide(_reason(answer))
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        return RefusedTokenError(problem, hint=_HINTS[environment])
    return UploadError(problem)


def _status(answer: requests.Response) -> str:
    return f"{answer.status_code} {answer.reason or ''}".rstrip()


def _reason(answer: requests.Response) -> str:
    """Return the service's own words."""
    try:
        plain = answer.json()
    except ValueError:
        return answer.text
    told = plain.get("error") if isinstance(plain, dict) else None
    return told if isinstance(told, str) else answer.text
