"""What the CodSpeed service takes and what it refuses, as pure functions. No I/O here.

Written from spec/cli-upload.md 4, independently of the uploader: the two prove each other.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_SHA1: Final = re.compile(r"[0-9a-f]{40}")
_MD5_BASE64: Final = re.compile(r"[A-Za-z0-9+/]{22}==")

Rule = Callable[[Any], bool]


class RefusedError(Exception):
    """The service says no.

    Attributes:
        status: Of the HTTP answer.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _null(value: Any) -> bool:
    return value is None


def _one_of(*words: str) -> Rule:
    return lambda value: value in words


def _matches(pattern: re.Pattern[str]) -> Rule:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _or_null(rule: Rule) -> Rule:
    return lambda value: value is None or rule(value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _sorted_texts(value: Any) -> bool:
    return _texts(value) and value == sorted(value, key=str.encode)


def _instruments(value: Any) -> bool:
    return value in ([], ["MongoDB"])


def _sorted_mapping(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == sorted(value)


def _record(rules: Mapping[str, Rule], *optional: str) -> Rule:
    def check(value: Any) -> bool:
        check_record(value, rules, optional)
        return True

    return check


_RUNNER: Final = {
    "name": _one_of("codspeed-runner"),
    "version": _matches(re.compile(r"\d+\.\d+\.\d+")),
    "instruments": _instruments,
    "executor": _one_of("valgrind", "walltime", "memory"),
    "excludeAllocations": lambda value: value is True,
    "os": _text,
    "osVersion": _text,
    "arch": _text,
    "host": _text,
    "user": _text,
    "cpuBrand": lambda value: _text(value) and value != "",
    "cpuName": _text,
    "cpuVendorId": _text,
    "cpuCores": _count,
    "totalMemoryGb": _count,
    "cpuFlags": _sorted_texts,
}
_RUN_PART: Final = {
    "runId": _text,
    "runPartId": _text,
    "jobName": _text,
    "metadata": _sorted_mapping,
}
_JOB: Final = {"runId": _text, "job": _text}
_DOCUMENT: Final = {
    "repositoryProvider": _one_of("GITHUB", "GITLAB", "PROJECT"),
    "version": lambda value: value == 10 and _count(value),
    "tokenless": _flag,
    "profileMd5": _matches(_MD5_BASE64),
    "profileEncoding": _or_null(_one_of("gzip")),
    "runner": _record(_RUNNER, "excludeAllocations"),
    "runEnvironment": _one_of("GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "LOCAL"),
    "runPart": _or_null(_record(_RUN_PART)),
    "commitHash": _matches(_SHA1),
    "allowEmpty": _flag,
    "ref": lambda value: _text(value) and value != "",
    "headRef": _or_null(_text),
    "baseRef": _or_null(_text),
    "owner": lambda value: _text(value) and value != "",
    "repository": lambda value: _text(value) and value != "",
    "event": _one_of("push", "pull_request", "workflow_dispatch", "schedule", "local"),
    "sender": _or_null(_record({"id": _text, "login": _text})),
    "ghData": _or_null(_record(_JOB)),
    "glData": _or_null(_record(_JOB)),
    "localData": _or_null(_record({"expectedRunPartsCount": _count})),
    "repositoryRootPath": _text,
}
# What else must hold in each environment (3.1): key -> whether it is null.
_NULLS: Final = {
    "GITHUB_ACTIONS": {"ghData": False, "glData": True, "localData": True, "runPart": False},
    "GITLAB_CI": {"ghData": True, "glData": False, "localData": True, "runPart": False},
    "BUILDKITE": {"ghData": True, "glData": True, "localData": True, "runPart": True},
    "LOCAL": {"ghData": True, "glData": True, "localData": False, "runPart": False},
}


def check_record(value: Any, rules: Mapping[str, Rule], optional: tuple[str, ...] = ()) -> None:
    """Refuse a record with a missing, unknown, misplaced or wrong field.

    Raises:
        RefusedError: Naming the field.
    """
    if not isinstance(value, dict):
        reason = f"a record belongs where {value!r} is"
        raise RefusedError(reason)
    if unknown := [key for key in value if key not in rules]:
        reason = f"unknown key {unknown[0]!r}"
        raise RefusedError(reason)
    if missing := [key for key in rules if key not in value and key not in optional]:
        reason = f"missing key {missing[0]!r}"
        raise RefusedError(reason)
    expected = [key for key in rules if key in value]
    if list(value) != expected:
        reason = f"keys in the wrong order: {list(value)}"
        raise RefusedError(reason)
    for key, rule in rules.items():
        if key in value and not rule(value[key]):
            reason = f"key {key!r} can't be {value[key]!r}"
            raise RefusedError(reason)


def check_metadata(body: bytes) -> dict[str, Any]:
    """Return the document in the body of an announcement.

    Raises:
        RefusedError: If it is not exactly what the contract says, to the byte.
    """
    try:
        document: dict[str, Any] = json.loads(body)
    except ValueError as failure:
        raise RefusedError(str(failure)) from failure
    check_record(document, _DOCUMENT)
    compact = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    if compact.encode() != body:
        reason = "the document is not compact JSON without escapes"
        raise RefusedError(reason)
    environment = document["runEnvironment"]
    for key, is_null in _NULLS[environment].items():
        if (document[key] is None) != is_null:
            reason = f"{key} can't be {document[key]!r} in {environment}"
            raise RefusedError(reason)
    if (document["event"] == "local") != (environment == "LOCAL"):
        reason = f"event {document['event']} in {environment}"
        raise RefusedError(reason)
    return document


def check_announcement(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return the document of an announcement whose headers are right as well.

    Raises:
        RefusedError: Otherwise.
    """
    _require(headers, "Content-Type", "application/json")
    _require(headers, "User-Agent", "codspeed-runner")
    document = check_metadata(body)
    has_token = "Authorization" in headers
    if document["tokenless"] == has_token:
        reason = f"tokenless is {document['tokenless']}, and a token is {_there(has_token)}"
        raise RefusedError(reason)
    if has_token and headers["Authorization"].lower().startswith("bearer"):
        reason = "the token is sent raw, without a scheme"
        raise RefusedError(reason, 401)
    return document


def check_run_hash(body: bytes, job_log: str) -> None:
    """Refuse a tokenless upload whose hash is not a line of the job's log.

    Raises:
        RefusedError: If it is missing or adorned.
    """
    line = f'CodSpeed Run Hash: "{hashlib.sha256(body).hexdigest()}"'
    if line not in job_log.splitlines():
        reason = f"the job's log has no line {line}"
        raise RefusedError(reason, 401)


def check_storing(headers: Mapping[str, str], document: Mapping[str, Any]) -> int:
    """Return how many bytes the archive has that follows the headers.

    Raises:
        RefusedError: If a header is not as it was announced.
    """
    if "Authorization" in headers:
        reason = "Only one auth mechanism allowed"
        raise RefusedError(reason)
    if "Transfer-Encoding" in headers or "Content-Length" not in headers:
        reason = "MissingContentLength: the body must not be chunked"
        raise RefusedError(reason, 411)
    _require(headers, "Content-Type", "application/x-tar")
    _require(headers, "User-Agent", "codspeed-runner")
    _require(headers, "Content-MD5", document["profileMd5"])
    _require(headers, "Content-Encoding", document["profileEncoding"])
    return int(headers["Content-Length"])


def check_oidc(headers: Mapping[str, str], query: str, request_token: str) -> None:
    """Refuse a request for a token that GitHub would not answer.

    Raises:
        RefusedError: Otherwise.
    """
    _require(headers, "Authorization", f"Bearer {request_token}")
    _require(headers, "Accept", "application/json")
    _require(headers, "User-Agent", "codspeed-runner")
    if not query.endswith("&audience=codspeed.io"):
        reason = f"the audience is missing in {query!r}"
        raise RefusedError(reason)


def _require(headers: Mapping[str, str], name: str, value: str | None) -> None:
    if headers.get(name) != value:
        reason = f"header {name} is {headers.get(name)!r}, not {value!r}"
        raise RefusedError(reason)


def _there(is_there: bool) -> str:  # noqa: FBT001 - one word
    return "there" if is_there else "missing"
