"""FakeService refuses what the real one would, and is as unreliable as its schedule says."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
from typing import TYPE_CHECKING, Any

import pytest

from codspeed.testing import FakeService
from codspeed.testing.service_faults import Fault, Faults, Mischief

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ARCHIVE = b"an archive"
MD5 = base64.b64encode(hashlib.md5(ARCHIVE).digest()).decode()
JSON = {"Content-Type": "application/json", "User-Agent": "codspeed-runner"}


def document() -> dict[str, Any]:
    return {
        "repositoryProvider": "GITHUB",
        "version": 10,
        "tokenless": False,
        "profileMd5": MD5,
        "profileEncoding": None,
        "runner": {
            "name": "codspeed-runner",
            "version": "5.0.2",
            "instruments": [],
            "executor": "walltime",
            "os": "ubuntu",
            "osVersion": "24.04",
            "arch": "x86_64",
            "host": "h",
            "user": "u",
            "cpuBrand": "b",
            "cpuName": "cpu0",
            "cpuVendorId": "v",
            "cpuCores": 2,
            "totalMemoryGb": 16,
            "cpuFlags": ["aes", "avx"],
        },
        "runEnvironment": "GITHUB_ACTIONS",
        "runPart": {"runId": "1", "runPartId": "j", "jobName": "j", "metadata": {}},
        "commitHash": "0" * 40,
        "allowEmpty": False,
        "ref": "refs/heads/main",
        "headRef": None,
        "baseRef": "",
        "owner": "acme",
        "repository": "widgets",
        "event": "push",
        "sender": {"id": "1", "login": "ada"},
        "ghData": {"runId": "1", "job": "j"},
        "glData": None,
        "localData": None,
        "repositoryRootPath": "/r/",
    }


@pytest.fixture
def service() -> Iterator[FakeService]:
    with FakeService() as made:
        made.api.tokens["token"] = "ada"
        yield made


def send(
    service: FakeService, method: str, url: str, body: bytes, headers: dict[str, str]
) -> tuple[int, Any]:
    path = url.removeprefix(service.url)
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=5)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None
    finally:
        connection.close()


def announce(service: FakeService, body: bytes, **headers: str) -> tuple[int, Any]:
    return send(service, "POST", service.upload_url, body, JSON | headers)


def compact(plain: Any) -> bytes:
    return json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode()


def test_what_is_right_is_taken(service: FakeService) -> None:
    status, slot = announce(service, compact(document()), Authorization="token")
    headers = {
        "Content-Type": "application/x-tar",
        "User-Agent": "codspeed-runner",
        "Content-MD5": MD5,
    }
    stored = send(service, "PUT", slot["uploadUrl"], ARCHIVE, headers)

    assert (status, stored) == (200, (200, None))
    assert [upload.size for upload in service.uploads] == [len(ARCHIVE)]


def without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda plain: plain.pop(key)


def with_value(key: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda plain: plain.update({key: value})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without("allowEmpty"), "missing key 'allowEmpty'"),
        (with_value("extra", 1), "unknown key 'extra'"),
        (with_value("version", 9), "key 'version'"),
        (with_value("commitHash", "abc"), "key 'commitHash'"),
        (with_value("event", "merge_group"), "key 'event'"),
        (with_value("event", "local"), "event local in GITHUB_ACTIONS"),
        (with_value("ghData", None), "ghData can't be None"),
        (with_value("profileEncoding", "zstd"), "key 'profileEncoding'"),
        (lambda plain: plain.update(tokenless=True), "tokenless is True, and a token is there"),
        (lambda plain: plain.update(owner=plain.pop("owner")), "wrong order"),
        (lambda plain: plain["runner"].update(executor="icount"), "key 'executor'"),
        (lambda plain: plain["runner"].update(excludeAllocations=False), "unknown|excludeAlloc"),
        (lambda plain: plain["runner"].update(cpuFlags=["b", "a"]), "key 'cpuFlags'"),
        (lambda plain: plain["runPart"].update(metadata={"b": 1, "a": 2}), "key 'metadata'"),
    ],
)
def test_a_document_that_is_not_the_contracts_is_refused(
    service: FakeService, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    plain = document()
    change(plain)

    status, answer = announce(service, compact(plain), Authorization="token")

    assert status == 400
    assert any(each in answer["error"] for each in reason.split("|"))
    assert service.announced == []


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        pytest.param(json.dumps(document()).encode(), {"Authorization": "token"}, 400, id="spaces"),
        pytest.param(compact(document()), {"Authorization": "Bearer token"}, 401, id="scheme"),
        pytest.param(compact(document()), {"Authorization": "other"}, 401, id="unknown token"),
        pytest.param(compact(document()), {}, 400, id="no token"),
        pytest.param(b"{", {"Authorization": "token"}, 400, id="no JSON"),
        pytest.param(
            compact(document()),
            {"Authorization": "token", "Content-Type": "text/json"},
            400,
            id="content type",
        ),
    ],
)
def test_an_announcement_must_be_right_to_the_byte(
    service: FakeService, body: bytes, headers: dict[str, str], status: int
) -> None:
    assert announce(service, body, **headers)[0] == status


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ('CodSpeed Run Hash: "{}"', 200),
        ('  CodSpeed Run Hash: "{}"', 401),
        ("CodSpeed Run Hash: {}", 401),
        ("", 401),
    ],
)
def test_a_tokenless_upload_shows_its_hash_in_the_log(line: str, status: int) -> None:
    body = compact(document() | {"tokenless": True})
    log = f"before\n{line.format(hashlib.sha256(body).hexdigest())}\nafter\n"

    with FakeService(job_log=lambda: log) as service:
        assert announce(service, body)[0] == status


@pytest.mark.parametrize(
    ("changes", "body", "status"),
    [
        pytest.param({"Authorization": "token"}, ARCHIVE, 400, id="a token"),
        pytest.param({"Content-MD5": "x"}, ARCHIVE, 400, id="another MD5"),
        pytest.param({"Content-Encoding": "gzip"}, ARCHIVE, 400, id="another encoding"),
        pytest.param({"Content-Type": "application/gzip"}, ARCHIVE, 400, id="another type"),
        pytest.param({"Transfer-Encoding": "chunked"}, b"", 411, id="chunked"),
        pytest.param({}, b"an archivE", 400, id="other bytes"),
    ],
)
def test_an_archive_must_be_what_was_announced(
    service: FakeService, changes: dict[str, str], body: bytes, status: int
) -> None:
    _, slot = announce(service, compact(document()), Authorization="token")
    headers = {
        "Content-Type": "application/x-tar",
        "User-Agent": "codspeed-runner",
        "Content-MD5": MD5,
    }

    assert send(service, "PUT", slot["uploadUrl"], body, headers | changes)[0] == status
    assert service.uploads == []


@pytest.mark.parametrize("path", ["/storage/7?X-Amz-Signature=signed7", "/storage/x", "/other"])
def test_there_is_nothing_at_other_addresses(service: FakeService, path: str) -> None:
    assert send(service, "PUT", f"{service.url}{path}", b"", {})[0] in {403, 404}


@pytest.mark.parametrize(
    "request_",
    [
        {"query": "query Session { session { user { login provider } } }"},
        {"query": "query Session { session { user { login provider } } }", "variables": {}},
        {"query": "query Other { session }", "variables": None},
        {"query": "query Session { session { user { login } } }", "variables": None},
        {"query": "mutation Session { session { user { login provider } } }", "variables": None},
    ],
)
def test_other_operations_are_refused(service: FakeService, request_: dict[str, Any]) -> None:
    headers = JSON | {"Authorization": "token"}

    status, _ = send(service, "POST", service.api_url, json.dumps(request_).encode(), headers)

    assert status == 400


def test_a_token_needs_the_audience(service: FakeService) -> None:
    headers = {
        "Accept": "application/json",
        "Authorization": f"Bearer {service.oidc_request_token}",
        "User-Agent": "codspeed-runner",
    }
    url = service.oidc_variables["ACTIONS_ID_TOKEN_REQUEST_URL"]

    assert send(service, "GET", url, b"", headers)[0] == 400
    assert send(service, "GET", f"{url}&audience=codspeed.io", b"", headers)[0] == 200


def test_a_seed_always_gives_the_same_faults() -> None:
    first, second = Faults.seeded(7), Faults.seeded(7)

    drawn = [first.next("store") for _ in range(4)]

    assert drawn == [second.next("store") for _ in range(4)]
    assert drawn[3] is None
    assert None not in drawn[:3]


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (Mischief.RESET, ConnectionError),
        (Mischief.RESET_MIDWAY, ConnectionError),
        (Mischief.RESET_AFTER, ConnectionError),
        (Mischief.TRUNCATED, http.client.IncompleteRead),
        (Mischief.MALFORMED, json.JSONDecodeError),
    ],
)
def test_each_mischief_is_what_its_name_says(
    service: FakeService, kind: Mischief, error: type[Exception]
) -> None:
    service.faults.plan("announce", Fault(kind))

    with pytest.raises(error):
        announce(service, compact(document()), Authorization="token")

    assert announce(service, compact(document()), Authorization="token")[0] == 200


def test_nothing_of_it_stays_on_the_disk() -> None:
    with FakeService() as service:
        folder = service._folder
        assert folder.is_dir()

    assert not folder.exists()
