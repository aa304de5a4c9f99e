"""The service's GraphQL API: who we are, which repositories we may write to, runs and comparisons.

Source: spec/cli-upload.md 5.1, 5.2. Answers are checked once, here; what comes out is typed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed.errors import AuthenticationError, CodspeedError
from codspeed_service import query
from codspeed_service.http import Client, ExchangeError, is_success

if TYPE_CHECKING:
    from collections.abc import Mapping


_TIMEOUT_SECONDS: Final = 20.0
_REFUSED: Final = frozenset({"UNAUTHENTICATED", "UNAUTHORIZED"})
_EXPIRED: Final = (
    "Your session has expired, please login again using `codspeed auth login`"  # spec 5.2
)


class ServiceError(CodspeedError):
    """The service's API could not be reached or answered what can't be used."""

    slug = "service"


class QueryError(Exception):
    """The API answered with errors.

    Attributes:
        codes: Machine names of the errors.
        data: What the API could answer all the same.
    """

    def __init__(self, text: str, codes: frozenset[str], data: Any) -> None:
        super().__init__(text)
        self.codes = codes
        self.data = data


@attrs.frozen
class Account:
    """Whose token it is.

    Attributes:
        login: None for a token that belongs to no user.
        provider: "GITHUB", "GITLAB" or "PROJECT".
    """

    login: str | None = None
    provider: str = ""


@attrs.frozen
class Repository:
    """A repository as the service spells it."""

    provider: str
    owner: str
    name: str
    is_writable: bool = True


@attrs.frozen
class Overview:
    """Account and repository; both None where the service knows none.

    Attributes:
        account: None if the token is refused.
    """

    account: Account | None
    repository: Repository | None


@attrs.frozen
class Api:
    """The API under one token.

    Attributes:
        token: None to ask unauthenticated, as logging in does.
    """

    client: Client
    url: str
    token: str | None = attrs.field(repr=False)

    # --- login

    def create_login(self) -> tuple[str, str]:
        """Return the address where the user confirms, and the id of the login.

        Raises:
            ServiceError: If the API can't be used; also below.
        """
        made = self._ask("create a login session", query.CREATE_LOGIN)["createLoginSession"]
        return str(made["callbackUrl"]), str(made["sessionId"])

    def consume_login(self, session_id: str) -> str | None:
        """Return the token of a login; None while the user has not confirmed it."""
        variables = {"sessionId": session_id}
        answer = self._ask("use the login session", query.CONSUME_LOGIN, variables)
        token = answer["consumeLoginSession"]["token"]
        return None if token is None else str(token)

    def account(self) -> Account | None:
        """Return whose token this is; None if it is refused."""
        try:
            answer = self._query(query.SESSION, None)
        except QueryError as failure:
            if failure.codes & _REFUSED:
                return None
            msg = "check the token"
            raise _failed(msg, failure) from None
        return _account(answer)

    # --- repositories

    def overview(self, provider: str, owner: str, name: str) -> Overview:
        """Return account and repository."""
        variables = {"owner": owner, "name": name, "provider": provider}
        try:
            answer = self._query(query.OVERVIEW, variables)
        except QueryError as failure:
            if failure.codes & _REFUSED:
                return Overview(None, None)
            if "REPOSITORY_NOT_FOUND" not in failure.codes or not failure.data:
                msg = "look the repository up"
                raise _failed(msg, failure) from None
            return Overview(_account(failure.data), None)
        found = answer.get("repositoryOverview")
        return Overview(_account(answer), _repository(found) if found else None)

    def project(self, name: str) -> Repository:
        """Return the project that takes runs of no repository; it is made if need be.

        Raises:
            AuthenticationError: If the session has expired.
        """
        answer = self._ask("get the project", query.PROJECT, {"name": name})
        return _repository(answer["getOrCreateProjectRepository"])

    # --- runs

    def run(self, repository: Repository, run_id: str) -> dict[str, Any]:
        """Return a run as the service sends it (`id`, `status`, `url`, `results`).

        Raises:
            AuthenticationError: If the session has expired.
        """
        variables = {"owner": repository.owner, "name": repository.name, "runId": run_id}
        answer = self._ask("fetch the run", query.RUN, variables)
        return _mapping(_mapping(answer["repository"])["run"])

    def comparison(self, repository: Repository, base: str, head: str) -> dict[str, Any] | str:
        """Return a comparison as the service sends it, or why there is none.

        Raises:
            AuthenticationError: If the session has expired.
        """
        variables = {
            "owner": repository.owner,
            "name": repository.name,
            "baseRunId": base,
            "headRunId": head,
        }
        try:
            answer = self._query(query.COMPARISON, variables)
        except QueryError as failure:
            if "RUN_NOT_FOUND" in failure.codes:
                return f"the base run {base} was not found"
            if "NOT_FOUND" in failure.codes:
                return f"the base run {base} is of a different executor"
            msg = "compare the runs"
            raise _failed(msg, failure) from None
        return _mapping(_mapping(answer["repository"])["paginatedCompareRuns"])

    # --- transport

    def _ask(self, action: str, document: str, variables: Mapping[str, Any] | None = None) -> Any:
        try:
            return _Strict(self._query(document, variables))
        except QueryError as failure:
            raise _failed(action, failure) from None

    def _query(self, document: str, variables: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return `data` of the answer.

        Raises:
            QueryError: If the API answered with errors.
            ServiceError: If it gave no answer that can be used.
        """
        headers = {"Content-Type": "application/json", "Accept": "*/*"}
        if self.token:
            headers["Authorization"] = self.token
        body = json.dumps({"query": document, "variables": variables}).encode()
        try:
            answer = self.client.send(
                "POST",
                self.url,
                headers=headers,
                body=body,
                tries=0,
                answer_seconds=_TIMEOUT_SECONDS,
            )
            plain: Any = answer.json()
        except ExchangeError as failure:
            raise _unusable(str(failure)) from None
        except ValueError:
            msg = "its answer is not JSON"
            raise _unusable(msg) from None
        return self._data(plain, is_ok=is_success(answer), status=answer.status_code)

    def _data(self, plain: Any, *, is_ok: bool, status: int) -> dict[str, Any]:
        plain = plain if isinstance(plain, dict) else {}
        if is_ok and "errors" not in plain and isinstance(plain.get("data"), dict):
            return _Strict(plain["data"])
        errors = [each for each in plain.get("errors") or () if isinstance(each, dict)]
        texts = [str(each.get("message")) for each in errors if each.get("message")]
        text = self.client.hide("; ".join(texts)) or "the answer holds no data"
        codes = (_code(each) for each in errors)
        raise QueryError(
            text if is_ok else f"The response is [{status}] {text}",
            frozenset(code for code in codes if code),
            plain.get("data"),
        )


class _Strict(dict[str, Any]):
    """A mapping in which a missing key is an error of the service, no traceback."""

    def __missing__(self, key: str) -> Any:
        msg = f"'{key}' is missing in its answer"
        raise _unusable(msg)


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        msg = "it answered null where a record belongs"
        raise _unusable(msg)
    return _Strict(value)


def _code(error: Mapping[str, Any]) -> str:
    extensions = error.get("extensions")
    return str(extensions.get("code", "")) if isinstance(extensions, dict) else ""


def _account(data: Mapping[str, Any]) -> Account:
    user = _mapping(data.get("session")).get("user")
    if user is None:
        return Account()
    known = _mapping(user)
    return Account(str(known["login"]), str(known["provider"]))


def _repository(data: Any) -> Repository:
    known = _mapping(data)
    return Repository(
        str(known["provider"]),
        str(known["owner"]),
        str(known["name"]),
        bool(known.get("hasWriteAccess", True)),
    )


def _failed(action: str, failure: QueryError) -> CodspeedError:
    if "UNAUTHENTICATED" in failure.codes:
        return AuthenticationError(_EXPIRED)
    return ServiceError(f"Failed to {action}: {failure}")


def _unusable(why: str) -> ServiceError:
    problem = f"the API of the CodSpeed service can't be used: {why}"
    return ServiceError(problem, hint="try again later; --api-url names another address")
