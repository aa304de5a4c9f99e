"""Logging in: the user confirms in a browser, or hands a token over; it is checked, then saved.

Source: spec/cli-upload.md 5.3.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import attrs

from codspeed.errors import AuthenticationError, UsageError
from codspeed_service.api import Api

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codspeed_service.api import Account

_INTERVAL_SECONDS: Final = 5.0
_LIMIT_SECONDS: Final = 300.0


@attrs.frozen
class Login:
    """One login.

    Attributes:
        tell: Shows a line.
        open_browser: Tries to open an address; whether it could.
        sleep: Waits so many seconds.
        clock: Seconds of a clock that never goes back.
    """

    api: Api
    tell: Callable[[str], None]
    open_browser: Callable[[str], bool]
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def token(self) -> str:
        """Return the token that the user confirmed.

        Raises:
            AuthenticationError: If nobody confirmed within five minutes.
            ServiceError: If the service can't be asked.
        """
        url, session = self.api.create_login()
        if self.open_browser(url):
            self.tell("Your browser was opened to complete the login")
        else:
            self.tell("warning: no browser could be opened; open this address yourself")
        self.tell(url)
        self.tell("Waiting for the login to be completed")
        end = self.clock() + _LIMIT_SECONDS
        while self.clock() <= end:
            token = self.api.consume_login(session)
            if token is not None:
                return token
            self.sleep(_INTERVAL_SECONDS)
        problem = "Login session expired, please try again"
        raise AuthenticationError(problem, hint="codspeed auth login")


def given_token(text: str) -> str:
    """Return the token that came on standard input.

    Raises:
        UsageError: If none did.
    """
    token = text.strip()
    if not token:
        problem = "No token provided on stdin"
        raise UsageError(problem, hint="for example: codspeed auth login --with-token < FILE")
    return token


def checked(api: Api) -> Account:
    """Return whose token it is.

    Raises:
        AuthenticationError: If the service refuses it; nothing may be saved then.
    """
    account = api.account()
    if account is None:
        problem = "the token is invalid: malformed or expired"
        raise AuthenticationError(problem, hint="get a new one: codspeed auth login")
    return account


def browser(env: Mapping[str, str]) -> Callable[[str], bool]:
    """Return what opens an address; without a desktop nothing is tried.

    There a text browser would take the terminal.
    """

    def open_it(url: str) -> bool:
        has_desktop = env.get("DISPLAY") or env.get("WAYLAND_DISPLAY")
        if sys.platform.startswith("linux") and not has_desktop:
            return False
        import webbrowser  # noqa: PLC0415 - only on a desktop

        try:
            return webbrowser.open(url)
        except webbrowser.Error:
            return False

    return open_it
