"""HTTP by the service's contract: what is tried again, how long it waits, what is never said.

urllib3's `Retry` decides; sleeping and randomness are injected, so that tests do not wait.
Source: spec/cli-upload.md 4.3, 4.4, 4.7.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import attrs
import requests
from urllib3.exceptions import InvalidHeader, MaxRetryError
from urllib3.util import Retry

from codspeed.journal import redacted

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRANSIENT_STATUS: Final = frozenset({408, 429, *range(500, 600)})
# Everything that a second try may mend. Not among them: bad certificates, addresses and redirects.
_TRANSIENT_ERRORS: Final = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)
_BASE_SECONDS: Final = 1.0
_LONGEST_SECONDS: Final = 30.0  # the reference's bound is 30 minutes: nobody waits for that
_LONGEST_ASKED_SECONDS: Final = 60.0  # of what a server's Retry-After is honoured
_MOST_REDIRECTS: Final = 10
_SHOWN_CHARACTERS: Final = 2000  # of a server's answer


class ExchangeError(Exception):
    """No usable answer came, after all tries. Its text holds no token and no signed address."""


class Jitter(Retry):
    """Waits a random time below 1 s, 2 s, 4 s ..., at least what the server asks for."""

    sleep_for: Callable[[float], None] = staticmethod(time.sleep)
    draw: Callable[[float, float], float] = staticmethod(random.uniform)

    @classmethod
    def of(
        cls,
        tries: int,
        sleep: Callable[[float], None],
        draw: Callable[[float, float], float],
    ) -> Jitter:
        """Return a policy of `tries` further tries after the first."""
        made = cls(
            total=tries,
            redirect=False,
            allowed_methods=None,
            status_forcelist=_TRANSIENT_STATUS,
            raise_on_status=False,
            raise_on_redirect=False,
        )
        made.sleep_for, made.draw = sleep, draw
        return made

    def new(self, **changes: Any) -> Jitter:
        """Return a copy: urllib3 makes one for each try."""
        made = super().new(**changes)
        made.sleep_for, made.draw = self.sleep_for, self.draw
        return made

    def wait(self, response: requests.Response | None) -> None:
        """Sleep before the next try."""
        tries = len(self.history)
        jitter = self.draw(0.0, min(_BASE_SECONDS * 2 ** max(tries - 1, 0), _LONGEST_SECONDS))
        self.sleep_for(max(jitter, self._asked(response)))

    def _asked(self, response: requests.Response | None) -> float:
        text = "" if response is None else response.headers.get("Retry-After", "")
        try:
            return min(max(self.parse_retry_after(text), 0.0), _LONGEST_ASKED_SECONDS)
        except (InvalidHeader, ValueError, OverflowError):
            return 0.0


class _Session(requests.Session):
    """A session that never takes credentials from ~/.netrc: S3 refuses what carries two kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.max_redirects = _MOST_REDIRECTS
        self.auth = _as_it_is

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Drop the token where a redirect leads to another host."""
        url = prepared_request.url
        strip = self.should_strip_auth(str(response.request.url), str(url))  # type: ignore[no-untyped-call]  # untyped in requests' stub
        if strip:
            prepared_request.headers.pop("Authorization", None)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


@attrs.define
class Client:
    """One conversation with the service.

    Attributes:
        sleep: Waits so many seconds.
        draw: Returns a random number between two.
        connect_seconds: To connect, and to hand over one block.
        answer_seconds: Between two pieces of an answer; the contract has no limit for the whole.
        secrets: What no message may hold; grows as tokens are obtained.
    """

    sleep: Callable[[float], None] = time.sleep
    draw: Callable[[float, float], float] = random.uniform
    connect_seconds: float = 60.0
    answer_seconds: float = 300.0
    secrets: set[str] = attrs.field(factory=set, repr=False)
    _session: _Session = attrs.field(factory=_Session, repr=False)

    def hide(self, text: str) -> str:
        """Return what may be shown of a text that came from elsewhere."""
        longest_first = sorted((each for each in self.secrets if each), key=len, reverse=True)
        return redacted(text, longest_first).strip()[:_SHOWN_CHARACTERS]

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | IO[bytes] | None = None,
        tries: int,
        answer_seconds: float | None = None,
    ) -> requests.Response:
        """Return the answer, read to its end; the last one if all tries ended in a bad status.

        Args:
            body: A file is sent from its start on every try, never as chunks.
            tries: Further ones, after the first.

        Raises:
            ExchangeError: If no answer came.
        """
        policy = Jitter.of(tries, self.sleep, self.draw)
        timeout = (self.connect_seconds, answer_seconds or self.answer_seconds)
        while True:
            response, failure = None, None
            if body is not None and not isinstance(body, bytes):
                body.seek(0)
            try:
                response = self._session.request(
                    method, url, headers=dict(headers), data=body, timeout=timeout
                )
            except requests.exceptions.SSLError as error:
                raise ExchangeError(self._explain(url, error)) from None
            except _TRANSIENT_ERRORS as error:
                failure = error
            except (requests.RequestException, ValueError, UnicodeError) as error:
                raise ExchangeError(self._explain(url, error)) from None
            if response is not None and response.status_code not in _TRANSIENT_STATUS:
                return response
            try:
                policy = policy.increment(method)
            except MaxRetryError:
                if response is not None:
                    return response
                raise ExchangeError(self._explain(url, failure)) from None
            policy.wait(response)

    def _explain(self, url: str, error: BaseException | None) -> str:
        """Say what happened without the address: a signed one is as good as a password."""
        host = urlsplit(url).netloc.rpartition("@")[2]
        return f"{host or 'the address'}: {_reason(error)}"


def is_success(response: requests.Response) -> bool:
    """Whether the status is one of those that mean success."""
    return 200 <= response.status_code < 300


def _reason(error: BaseException | None) -> str:
    """Return the kind of a failure; texts of libraries quote headers and addresses."""
    kinds = (
        (requests.exceptions.SSLError, "the certificate was not accepted"),
        (requests.exceptions.ProxyError, "the proxy refused or is not there"),
        (requests.exceptions.ConnectTimeout, "no connection within the time limit"),
        (requests.exceptions.ReadTimeout, "no answer within the time limit"),
        (requests.exceptions.ChunkedEncodingError, "the answer broke off"),
        (requests.exceptions.ContentDecodingError, "the answer can't be decoded"),
        (requests.ConnectionError, "no connection, or it broke"),
        (requests.TooManyRedirects, "redirected too often"),
        (requests.exceptions.InvalidHeader, "the token has characters that no header can carry"),
    )
    known = next((text for kind, text in kinds if isinstance(error, kind)), None)
    return known or f"the request can't be sent ({type(error).__name__})"
