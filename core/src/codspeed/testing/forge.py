"""`FakeForge`: comments of GitHub and GitLab on a loopback address, strict about each request."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from types import TracebackType

_MOST_CHARACTERS: Final = 65_536
_GITHUB: Final = {
    "comments": re.compile(r"/repos/([^/]+/[^/]+)/issues/(\d+)/comments"),
    "comment": re.compile(r"/repos/([^/]+/[^/]+)/issues/comments/(\d+)"),
    "pull": re.compile(r"/repos/([^/]+/[^/]+)/pulls/(\d+)"),
}
_GITLAB: Final = {
    "comments": re.compile(r"/api/v4/projects/([^/]+)/merge_requests/(\d+)/notes"),
    "comment": re.compile(r"/api/v4/projects/([^/]+)/merge_requests/\d+/notes/(\d+)"),
}
_METHODS: Final = {
    ("GET", "comments"): 200,
    ("POST", "comments"): 201,
    ("PATCH", "comment"): 200,
    ("PUT", "comment"): 200,
    ("GET", "pull"): 200,
}


class FakeForge:
    """One project with one pull request. A context manager: the server runs inside.

    Attributes:
        comments: Id -> text, in the order of their making.
        requests: "METHOD /path" of each request that was understood.
        refusals: What was wrong with each request that was not.
        faults: Status codes that the next requests are answered with, whatever they ask.
        is_read_only: The token may read only, as in a job of a fork.

    Args:
        kind: "github" or "gitlab".
        token: The only one that is accepted.
        project: "owner/name", or on GitLab the id.
        number: Of the pull request.
        head: The commit at its head.
    """

    def __init__(
        self,
        kind: str = "github",
        *,
        token: str = "forge-secret",  # noqa: S107 - of a fake
        project: str = "acme/widgets",
        number: int = 22,
        head: str = "",
    ) -> None:
        self.kind = kind
        self.token = token
        self.project = project
        self.number = number
        self.head = head
        self.comments: dict[int, str] = {}
        self.requests: list[str] = []
        self.refusals: list[str] = []
        self.faults: list[int] = []
        self.is_read_only = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """Address of the API."""
        path = "" if self.kind == "github" else "/api/v4"
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, Any]:
        """Return status and JSON document for a request."""
        if self.faults:
            return self.faults.pop(0), {"message": "fault on demand"}
        status, document = self._answer(method, target, headers, body)
        if status >= 400:
            self.refusals.append(f"{method} {target}: {status} {document['message']}")
        else:
            self.requests.append(f"{method} {urlsplit(target).path}")
        return status, document

    def _answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, Any]:
        if not self._is_known(headers):
            return 401, {"message": "Bad credentials"}
        parts = urlsplit(target)
        patterns = _GITHUB if self.kind == "github" else _GITLAB
        kind, found = next(
            (
                (kind, match)
                for kind, each in patterns.items()
                if (match := each.fullmatch(parts.path))
            ),
            ("", None),
        )
        change = "PATCH" if self.kind == "github" else "PUT"
        if found is None or method not in {"GET", "POST", change}:
            return 404, {"message": "Not Found"}
        if unquote(found[1]) != self.project or (method, kind) not in _METHODS:
            return 404, {"message": "Not Found"}
        if kind == "pull":
            return 200, {"number": self.number, "head": {"sha": self.head}}
        if method == "GET":
            return 200, self._page(parse_qs(parts.query))
        return self._write(kind, int(found[2]), headers, body)

    def _is_known(self, headers: dict[str, str]) -> bool:
        if self.kind == "gitlab":
            return headers.get("private-token") == self.token
        return headers.get("authorization") == f"Bearer {self.token}"

    def _page(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        size, page = int(query.get("per_page", ["30"])[0]), int(query.get("page", ["1"])[0])
        assert 1 <= size <= 100
        listed = [self._shown(number) for number in self.comments]
        return listed[(page - 1) * size : page * size]

    def _write(
        self, kind: str, number: int, headers: dict[str, str], body: bytes
    ) -> tuple[int, Any]:
        if self.is_read_only:
            return 403, {"message": "Resource not accessible by integration"}
        if not headers.get("content-type", "").startswith("application/json"):
            return 415, {"message": "not JSON"}
        document = json.loads(body)
        if set(document) != {"body"} or not 0 < len(document["body"]) <= _MOST_CHARACTERS:
            return 422, {"message": "Validation Failed"}
        if kind == "comments":
            if number != self.number:
                return 404, {"message": "Not Found"}
            number = max(self.comments, default=100) + 1
        elif number not in self.comments:
            return 404, {"message": "Not Found"}
        self.comments[number] = document["body"]
        return (201 if kind == "comments" else 200), self._shown(number)

    def _shown(self, number: int) -> dict[str, Any]:
        shown = {"id": number, "body": self.comments[number]}
        if self.kind == "github":
            shown["html_url"] = f"https://forge.example/{self.project}/pull/{self.number}#{number}"
        return shown


def _handler(forge: FakeForge) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, document = forge.answer(self.command, self.path, headers, body)
            text = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_PUT = _serve  # noqa: N815 - the names are the library's

        def log_message(self, *_words: Any) -> None:
            """Say nothing."""

    return Handler
