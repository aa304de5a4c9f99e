"""The CodSpeed service in this process: strict, and as unreliable as a test wants it.

    with FakeService() as service:
        token = service.add_user("ada", ("GITHUB", "acme", "widgets"))
        ...  # upload to service.upload_url, ask service.api_url
        assert service.uploads[0].document["owner"] == "acme"

It serves upload, storage, GraphQL and GitHub's token endpoint on a random port of the loopback
interface, refuses what the real ones would refuse, and misbehaves by `service.faults`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import shutil
import socket
import struct
import sys
import tarfile
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from codspeed.testing import profile_rules
from codspeed.testing.service_api import FakeApi
from codspeed.testing.service_faults import Fault, Faults, Mischief
from codspeed.testing.service_rules import (
    RefusedError,
    check_announcement,
    check_oidc,
    check_run_hash,
    check_storing,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import Message
    from io import BufferedIOBase
    from types import TracebackType

_BLOCK_BYTES: Final = 1 << 20
_LONGEST_SILENCE_SECONDS: Final = 30.0  # of a request that never comes to its end


@attrs.define
class Upload:
    """One announced upload.

    Attributes:
        document: The metadata.
        token: What authorised it; None for a tokenless one.
        archive: Where the archive was stored; None while it is not, or if archives are not kept.
        size: Bytes of it; None while nothing was stored.
    """

    document: dict[str, Any]
    token: str | None = attrs.field(repr=False)
    run_id: str
    archive: Path | None = None
    size: int | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the archive was stored, whole."""
        return self.size is not None


class FakeService:
    """A context manager: serves while it is open.

    Args:
        faults: How it misbehaves.
        job_log: Returns the log of the CI job, in which a tokenless upload must show its hash.
        keep_archives: False only checks archives; for very large ones.
    """

    def __init__(
        self,
        faults: Faults | None = None,
        *,
        job_log: Callable[[], str] = str,
        keep_archives: bool = True,
    ) -> None:
        self.faults = faults or Faults()
        self.api = FakeApi()
        self.announced: list[Upload] = []
        self.refusals: list[str] = []
        self.oidc_request_token = "oidc-request-token"  # noqa: S105 - no secret
        self._job_log = job_log
        self._keep = keep_archives
        self._lock = threading.Lock()
        self._oidc_tokens: dict[str, bool] = {}
        self._stack = contextlib.ExitStack()
        self._closing = threading.Event()
        self._folder = Path()
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        """Listen."""
        self._folder = Path(tempfile.mkdtemp(prefix="codspeed-fake-service-"))
        self._stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
        server = _Server(("127.0.0.1", 0), self)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        self._server = server
        self._stack.callback(server.server_close)
        self._stack.callback(thread.join)
        self._stack.callback(server.shutdown)
        self._stack.callback(self._closing.set)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Stop, and delete what was stored."""
        self._stack.close()

    # --- for tests

    @property
    def url(self) -> str:
        """The address of everything, without a slash at the end."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def upload_url(self) -> str:
        """Where uploads are announced."""
        return f"{self.url}/upload"

    @property
    def api_url(self) -> str:
        """Where GraphQL is asked."""
        return f"{self.url}/graphql"

    @property
    def oidc_variables(self) -> dict[str, str]:
        """Environment variables of a GitHub job that may ask for a token."""
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/oidc?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.oidc_request_token,
        }

    @property
    def uploads(self) -> list[Upload]:
        """What was uploaded, whole."""
        return [upload for upload in self.announced if upload.is_complete]

    def add_user(self, login: str, *writable: tuple[str, str, str]) -> str:
        """Return the token of a new user who may write to repositories (provider, owner, name)."""
        token = f"cs_{login}_{len(self.api.tokens)}"
        self.api.tokens[token] = login
        self.api.repositories.update(dict.fromkeys(writable, True))
        return token

    # --- for the handler

    def fault(self, request: str) -> Fault | None:
        """Return how this request goes wrong."""
        with self._lock:
            return self.faults.next(request)

    def silence(self) -> None:
        """Wait as one who never answers, until the test is over."""
        self._closing.wait(_LONGEST_SILENCE_SECONDS)

    def announce(self, headers: Message, body: bytes) -> dict[str, Any]:
        """Take an announcement."""
        document = check_announcement(_plain(headers), body)
        token = headers["Authorization"]
        if token is None:
            check_run_hash(body, self._job_log())
        elif not self._is_known(token):
            reason = "the token is unknown or expired"
            raise RefusedError(reason, 401)
        with self._lock:
            number = len(self.announced)
            self.announced.append(Upload(document, token, f"run-{number}"))
        signed = f"{self.url}/storage/{number}?X-Amz-Signature=signed{number}"
        return {"status": "success", "uploadUrl": signed, "runId": f"run-{number}"}

    def _is_known(self, token: str) -> bool:
        return token in self.api.tokens or self._oidc_tokens.get(token, False)

    def expected_bytes(self, headers: Message, number: str, query: str) -> int:
        """Return how many bytes the archive of an announced upload has."""
        if not number.isdecimal() or int(number) >= len(self.announced):
            reason = "NoSuchKey"
            raise RefusedError(reason, 404)
        if query != f"X-Amz-Signature=signed{number}":
            reason = "SignatureDoesNotMatch"
            raise RefusedError(reason, 403)
        return check_storing(_plain(headers), self.announced[int(number)].document)

    def store(self, number: int, source: BufferedIOBase, size: int) -> None:
        """Take an archive; it counts only when it is whole and its MD5 is right."""
        upload, digest = self.announced[number], hashlib.md5(usedforsecurity=False)
        with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
            left = size
            while left and (block := source.read(min(left, _BLOCK_BYTES))):
                digest.update(block)
                left -= len(block)
                if self._keep:
                    file.write(block)
        if left:
            reason = "IncompleteBody"
            raise RefusedError(reason)
        if base64.b64encode(digest.digest()).decode() != upload.document["profileMd5"]:
            reason = "BadDigest"
            raise RefusedError(reason)
        if self._keep and upload.document["runner"]["executor"] == "walltime":
            _check_walltime(Path(file.name))
        upload.archive, upload.size = Path(file.name) if self._keep else None, size

    def mint(self, headers: Message, query: str, *, is_valid: bool) -> dict[str, Any]:
        """Answer a request for an OpenID Connect token."""
        check_oidc(_plain(headers), query, self.oidc_request_token)
        with self._lock:
            token = f"eyJ.oidc-token-{len(self._oidc_tokens)}.sig"
            self._oidc_tokens[token] = is_valid
        return {"count": 1, "value": token}


def _check_walltime(archive: Path) -> None:
    """Refuse an archive whose profile is not whole; the storage takes what is no archive."""
    if not tarfile.is_tarfile(archive):
        return
    names, content = set(), {}
    with tarfile.open(archive, "r:*") as members:
        for member in members:
            names.add(member.name)
            if profile_rules.wanted(member.name) and (file := members.extractfile(member)):
                content[member.name] = file.read()
    profile_rules.check_profile(frozenset(names), content)


def _plain(headers: Message) -> dict[str, str]:
    canonical = {"content-md5": "Content-MD5"}
    return {canonical.get(key.lower(), key.title()): value for key, value in headers.items()}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], service: FakeService) -> None:
        super().__init__(address, _Handler)
        self.service = service

    def handle_error(self, _request: Any, _address: Any) -> None:
        """Say nothing of clients that go away, that is part of the play; note faults of ours."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            self.service.refusals.append(f"fault of the fake: {error!r}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits for an acknowledgement
    server: _Server

    def log_message(self, *_args: Any) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self._serve("oidc", lambda fault: self._oidc(query, fault), is_known=path == "/oidc")

    def do_POST(self) -> None:
        if self.path == "/upload":
            self._serve("announce", lambda _fault: self._announce())
        else:
            is_known = self.path == "/graphql"
            self._serve("api", lambda _fault: self._graphql(), is_known=is_known)

    def do_PUT(self) -> None:
        path, _, query = self.path.partition("?")
        is_known = path.startswith("/storage/")
        number = path.rpartition("/")[2]
        self._serve("store", lambda _fault: self._store(number, query), is_known=is_known)

    # --- what is asked

    def _oidc(self, query: str, fault: Fault | None) -> Any:
        is_valid = fault is None or fault.kind is not Mischief.EXPIRED
        return self.server.service.mint(self.headers, query, is_valid=is_valid)

    def _announce(self) -> Any:
        return self.server.service.announce(self.headers, self._body())

    def _graphql(self) -> Any:
        if self.headers["Content-Type"] != "application/json":
            reason = "Content-Type is not application/json"
            raise RefusedError(reason)
        token = self.headers["Authorization"]
        return self.server.service.api.answer(json.loads(self._body()), token)

    def _store(self, number: str, query: str) -> Any:
        service = self.server.service
        size = service.expected_bytes(self.headers, number, query)
        service.store(int(number), self.rfile, size)
        return ""

    def _body(self) -> bytes:
        if "Transfer-Encoding" in self.headers:
            reason = "the body must not be chunked"
            raise RefusedError(reason, 411)
        return self.rfile.read(int(self.headers["Content-Length"]))

    # --- how it is answered

    def _serve(
        self, request: str, action: Callable[[Fault | None], Any], *, is_known: bool = True
    ) -> None:
        service = self.server.service
        fault = service.fault(request)
        if fault is not None and self._is_ended_by(fault):
            return
        try:
            if not is_known:
                reason = f"no such address: {self.command} {self.path}"
                raise RefusedError(reason, 404)  # noqa: TRY301 - answered like any other
            answer, status = action(fault), 200
        except RefusedError as refusal:
            service.refusals.append(str(refusal))
            answer, status = {"error": str(refusal)}, refusal.status
            self.close_connection = True  # what it did not read is still in the pipe
        self._answer(status, answer, fault)

    def _is_ended_by(self, fault: Fault) -> bool:
        """Misbehave without carrying the request out; False if it is yet to be."""
        if fault.kind is Mischief.STATUS:
            headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            self._drain()
            self._send(fault.status, b"try later", headers)
        elif fault.kind is Mischief.TIMEOUT:
            self.close_connection = True
            self.server.service.silence()
        elif fault.kind is Mischief.RESET:
            self._reset()
        elif fault.kind is Mischief.RESET_MIDWAY:
            self.rfile.read(int(self.headers["Content-Length"] or 0) // 2)
            self._reset()
        else:
            return False
        return True

    def _drain(self) -> None:
        left = int(self.headers["Content-Length"] or 0)
        while left and (block := self.rfile.read(min(left, _BLOCK_BYTES))):
            left -= len(block)

    def _answer(self, status: int, answer: Any, fault: Fault | None) -> None:
        body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        kind = None if fault is None else fault.kind
        if kind is Mischief.RESET_AFTER:
            self._reset()
        elif kind is Mischief.MALFORMED:
            self._send(status, body[: len(body) // 2] + b'{"')
        elif kind is Mischief.TRUNCATED:
            self.close_connection = True
            self._send(status, body[: len(body) // 2], {"Content-Length": str(len(body) + 7)})
        elif kind is Mischief.SLOW:
            self._send(status, b"", {"Content-Length": str(len(body))})
            for at in range(len(body)):
                self.wfile.write(body[at : at + 1])
        else:
            self._send(status, body)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        wanted = {"Content-Length": str(len(body)), "Content-Type": "application/json"}
        if self.close_connection:  # said, or the client's next request meets a closed door
            wanted["Connection"] = "close"
        for name, value in (wanted | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        """End the connection as a crashed machine does: without a farewell (RST)."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
