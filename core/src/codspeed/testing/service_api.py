"""The GraphQL side of the fake service: the operations of the contract, strictly.

Written from spec/cli-upload.md 5. Runs advance one status at each look, so that a client has to
ask again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed.testing.service_rules import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_OPERATION: Final = re.compile(r"\s*(query|mutation)\s+(\w+)")
# Operation -> kind, variables, and fields that the document must select.
_OPERATIONS: Final = {
    "CreateLoginSession": ("mutation", (), ("createLoginSession", "callbackUrl", "sessionId")),
    "ConsumeLoginSession": ("mutation", ("sessionId",), ("consumeLoginSession", "token")),
    "Mutation": ("mutation", ("name",), ("getOrCreateProjectRepository", "provider", "owner")),
    "Session": ("query", (), ("session", "user", "login", "provider")),
    "SessionAndRepositoryOverview": (
        "query",
        ("owner", "name", "provider"),
        ("session", "repositoryOverview", "Repository", "AvailableRepository", "hasWriteAccess"),
    ),
    "FetchLocalRun": (
        "query",
        ("owner", "name", "runId"),
        ("repository", "run", "status", "url", "results", "timeDistribution", "peakMemory"),
    ),
    "CompareRuns": (
        "query",
        ("owner", "name", "baseRunId", "headRunId"),
        ("paginatedCompareRuns", "impact", "headRun", "resultComparisons", "baseValue", "category"),
    ),
}
_WITHOUT_TOKEN: Final = frozenset({"CreateLoginSession", "ConsumeLoginSession"})


class ApiError(Exception):
    """An answer with an error of the API.

    Attributes:
        code: Machine name.
        data: What is answered all the same.
    """

    def __init__(self, code: str, data: Any = None) -> None:
        super().__init__(code)
        self.code = code
        self.data = data


@attrs.define
class FakeApi:
    """Accounts, repositories and runs; tests fill and read the attributes.

    Attributes:
        tokens: Token -> the user's login; None for a token of a repository.
        repositories: (provider, owner, name), in the service's own spelling -> may be written to.
        results: What a processed run shows.
        comparison: Fields of the answer to CompareRuns, but for the head run.
        base_error: Code that CompareRuns answers with; empty for none.
        statuses: What a run's status is at each look; the last one stays.
        login_token: What a login gives once it is confirmed.
        looks_before_login: How often the client has to ask.
        asked: Names of the operations that came in.
    """

    tokens: dict[str, str | None] = attrs.field(factory=dict, repr=False)
    repositories: dict[tuple[str, str, str], bool] = attrs.field(factory=dict)
    results: list[dict[str, Any]] = attrs.field(factory=list)
    comparison: dict[str, Any] = attrs.field(factory=dict)
    base_error: str = ""
    statuses: list[str] = attrs.field(factory=lambda: ["PENDING", "PROCESSING", "COMPLETED"])
    login_token: str = attrs.field(default="", repr=False)
    looks_before_login: int = 0
    asked: list[str] = attrs.field(factory=list)

    def answer(self, request: Any, token: str | None) -> dict[str, Any]:
        """Return the document that answers a request.

        Raises:
            RefusedError: If the request is not one of the contract.
        """
        name, variables = _operation(request)
        self.asked.append(name)
        operations: dict[str, Callable[[Mapping[str, str], str | None], Any]] = {
            "CreateLoginSession": self._create_login,
            "ConsumeLoginSession": self._consume_login,
            "Mutation": self._project,
            "Session": self._session,
            "SessionAndRepositoryOverview": self._overview,
            "FetchLocalRun": self._run,
            "CompareRuns": self._compare,
        }
        try:
            if name not in _WITHOUT_TOKEN and token not in self.tokens:
                code = "UNAUTHENTICATED"
                raise ApiError(code)  # noqa: TRY301 - one place says how errors look
            return {"data": operations[name](variables, token)}
        except ApiError as failure:
            error = {"message": failure.code.lower(), "extensions": {"code": failure.code}}
            return {"errors": [error], "data": failure.data}

    def _create_login(self, _variables: Mapping[str, str], _token: str | None) -> Any:
        url = "https://codspeed.example/login/session-1"
        return {"createLoginSession": {"callbackUrl": url, "sessionId": "session-1"}}

    def _consume_login(self, variables: Mapping[str, str], _token: str | None) -> Any:
        if variables["sessionId"] != "session-1":
            code = "NOT_FOUND"
            raise ApiError(code)
        self.looks_before_login -= 1
        token = self.login_token if self.looks_before_login < 0 else None
        return {"consumeLoginSession": {"token": token}}

    def _session(self, _variables: Mapping[str, str], token: str | None) -> Any:
        login = self.tokens[str(token)]
        user = None if login is None else {"login": login, "provider": "GITHUB"}
        return {"session": {"user": user}}

    def _overview(self, variables: Mapping[str, str], token: str | None) -> Any:
        session = self._session(variables, token)
        wanted = tuple(variables[key].lower() for key in ("provider", "owner", "name"))
        for (provider, owner, name), is_writable in self.repositories.items():
            if (provider.lower(), owner.lower(), name.lower()) == wanted:
                found = {"owner": owner, "name": name, "provider": provider}
                return {**session, "repositoryOverview": {**found, "hasWriteAccess": is_writable}}
        code = "REPOSITORY_NOT_FOUND"
        raise ApiError(code, {**session, "repositoryOverview": None})

    def _project(self, variables: Mapping[str, str], token: str | None) -> Any:
        owner = self.tokens[str(token)] or "somebody"
        made = {"provider": "PROJECT", "owner": owner, "name": variables["name"]}
        return {"getOrCreateProjectRepository": made}

    def _run(self, variables: Mapping[str, str], _token: str | None) -> Any:
        run = {"id": variables["runId"], "status": self._status(), "url": _report(variables)}
        return {"repository": {"run": {**run, "results": self.results}}}

    def _compare(self, variables: Mapping[str, str], _token: str | None) -> Any:
        if self.base_error:
            raise ApiError(self.base_error)
        head = {"id": variables["headRunId"], "status": self._status()}
        compared: dict[str, Any] = {
            "impact": None,
            "url": _report(variables),
            "resultComparisons": [],
        }
        shown = {**compared, **self.comparison, "headRun": head}
        return {"repository": {"paginatedCompareRuns": shown}}

    def _status(self) -> str:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


def _report(variables: Mapping[str, str]) -> str:
    return f"https://codspeed.example/{variables['owner']}/{variables['name']}/runs"


def _operation(request: Any) -> tuple[str, dict[str, str]]:
    if not isinstance(request, dict) or set(request) != {"query", "variables"}:
        reason = "the body has other keys than query and variables"
        raise RefusedError(reason)
    match = _OPERATION.match(str(request["query"]))
    if match is None or match[2] not in _OPERATIONS:
        reason = "the operation is unknown"
        raise RefusedError(reason)
    kind, names, fields = _OPERATIONS[match[2]]
    words = set(re.findall(r"\w+", request["query"]))
    lacking = [field for field in fields if field not in words]
    if match[1] != kind or lacking:
        reason = f"{match[2]} is a {kind} and selects {', '.join(fields)}; not {lacking}"
        raise RefusedError(reason)
    given = request["variables"]
    if (given is None) != (not names) or set(given or ()) != set(names):
        reason = f"{match[2]} has the variables {names}, not {given!r}"
        raise RefusedError(reason)
    return match[2], given or {}
