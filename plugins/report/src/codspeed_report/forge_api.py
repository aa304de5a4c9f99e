"""Comments on pull requests (GitHub) and merge requests (GitLab) through their REST APIs.

Sources: docs.github.com "REST API endpoints for issue comments" (a pull request is an issue);
docs.gitlab.com "Notes API".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from codspeed.errors import AuthenticationError, UploadError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT_SECONDS: Final = (10.0, 30.0)  # to connect, and between two pieces
_PAGE: Final = 100  # the most that both give at once
_MOST_PAGES: Final = 30
_RETRIES: Final = Retry(
    total=3,
    backoff_factor=0.5,
    status_forcelist=(429, 500, 502, 503, 504),
    # Not POST: an answer that got lost would leave two comments.
    allowed_methods=frozenset({"GET", "PATCH", "PUT"}),
    raise_on_status=False,
)


class ForbiddenError(UploadError):
    """The token may not write comments there; what a job of a fork always meets."""

    slug = "forge-forbidden"


class Forge(Protocol):
    """Where comments are."""

    def put(self, body: str, *, marker: str) -> tuple[str, bool]:
        """Write the comment that begins with `marker`: anew, or in place of the earlier one.

        Returns:
            Its address, and whether there was none before.

        Raises:
            UploadError: If it could not be written.
            AuthenticationError: If the token is not accepted.
        """


class GitHub:
    """Comments of one pull request.

    Args:
        api: Address of the API, without a slash at its end.
        repository: "owner/name".
        number: Of the pull request.
        token: With the right `pull-requests: write`.
        retries: For requests that may be repeated.
    """

    def __init__(
        self, api: str, repository: str, number: int, token: str, retries: Retry = _RETRIES
    ) -> None:
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        hint = "give the job `permissions: pull-requests: write`; jobs of forks can't have it"
        self._api = _Api(f"{api}/repos/{quote(repository)}", headers, hint, retries)
        self._number = number

    def head(self) -> str:
        """Return the commit that is the head of the pull request.

        Raises:
            UploadError: If it can't be read.
        """
        found = self._api.call("GET", f"/pulls/{self._number}")
        try:
            return str(found["head"]["sha"])
        except (KeyError, TypeError) as error:
            raise self._api.misunderstood() from error

    def put(self, body: str, *, marker: str) -> tuple[str, bool]:
        """Write the comment that begins with `marker`; see `Forge`."""
        comments = f"/issues/{self._number}/comments"
        known = self._api.find(comments, marker)
        if known is not None:
            answer = self._api.call("PATCH", f"/issues/comments/{known}", {"body": body})
        else:
            answer = self._api.call("POST", comments, {"body": body})
        url = answer.get("html_url", "") if isinstance(answer, dict) else ""
        return str(url), known is None


class GitLab:
    """Notes of one merge request.

    Args:
        api: Address of the API with its version, without a slash at its end.
        project: Id, or path with groups.
        number: Of the merge request in its project (iid).
        token: Of a person or project, with the scope `api`.
        retries: For requests that may be repeated.
    """

    def __init__(
        self, api: str, project: str, number: int, token: str, retries: Retry = _RETRIES
    ) -> None:
        hint = "give a token with the scope `api` and the role Reporter; job tokens can't comment"
        base = f"{api}/projects/{quote(project, safe='')}/merge_requests/{number}"
        self._api = _Api(base, {"PRIVATE-TOKEN": token}, hint, retries)

    def put(self, body: str, *, marker: str) -> tuple[str, bool]:
        """Write the note that begins with `marker`; see `Forge`."""
        known = self._api.find("/notes", marker)
        if known is not None:
            self._api.call("PUT", f"/notes/{known}", {"body": body})
        else:
            self._api.call("POST", "/notes", {"body": body})
        return "", known is None


class _Api:
    """Requests to one API; what goes wrong becomes one of our errors."""

    def __init__(self, base: str, headers: Mapping[str, str], hint: str, retries: Retry) -> None:
        self._base = base
        self._hint = hint
        self._session = requests.Session()
        self._session.headers.update({"User-Agent": "codspeed", **headers})
        # A netrc file would replace the token; proxies are still found, by request.
        self._session.auth = _keep
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retries))

    def find(self, path: str, marker: str) -> int | None:
        """Return the id of the first comment that begins with `marker`."""
        for page in range(1, _MOST_PAGES + 1):
            found = self.call("GET", f"{path}?per_page={_PAGE}&page={page}")
            if not isinstance(found, list):
                raise self.misunderstood()
            for comment in found:
                if str(comment.get("body", "")).startswith(marker):
                    return int(comment["id"])
            if len(found) < _PAGE:
                break
        return None

    def call(self, method: str, path: str, document: Any = None) -> Any:
        """Send a request and return the JSON of the answer."""
        try:
            answer = self._session.request(
                method,
                f"{self._base}{path}",
                json=document,
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,  # a token goes nowhere but where it was sent
            )
        except requests.RequestException as error:
            problem = f"no comment could be written: {self._base} can't be reached: {error}"
            raise UploadError(problem, hint=self._again()) from error
        if not 200 <= answer.status_code < 300:
            raise self._refused(method, answer)
        try:
            return answer.json()
        except requests.JSONDecodeError as error:
            raise self.misunderstood() from error

    def misunderstood(self) -> UploadError:
        """Return the error for an answer that is not the API's."""
        problem = f"no comment could be written: the answer of {self._base} makes no sense"
        return UploadError(problem, hint="check the address of the API, and any proxy on the way")

    def _refused(self, method: str, answer: requests.Response) -> UploadError | AuthenticationError:
        status = answer.status_code
        problem = f"no comment could be written: {method} {self._base} was answered with {status}"
        if status == 401:
            return AuthenticationError(problem, hint="the token is wrong or has expired")
        if status in {403, 404}:
            return ForbiddenError(problem, hint=self._hint)
        return UploadError(problem, hint=self._again())

    def _again(self) -> str:
        return "the bundle is whole; `codspeed upload BUNDLE --uploader forge` tries again"


def _keep(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
