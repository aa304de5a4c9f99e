"""A short-lived token from GitHub (OpenID Connect), asked for before each upload.

Source: spec/cli-upload.md 3.2.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codspeed.errors import UploadError
from codspeed_service import contract
from codspeed_service.http import ExchangeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from codspeed_service.http import Client

_URL: Final = "ACTIONS_ID_TOKEN_REQUEST_URL"
_TOKEN: Final = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"  # noqa: S105 - the name of a variable
_TRIES: Final = 10


def is_at_hand(env: Mapping[str, str]) -> bool:
    """Whether this job may ask for a token."""
    return bool(env.get(_URL)) and bool(env.get(_TOKEN))


def request_token(client: Client, env: Mapping[str, str]) -> str:
    """Return a new token.

    Raises:
        UploadError: If GitHub does not give one.
    """
    client.secrets |= {env[_TOKEN], env[_URL]}
    try:
        answer = client.send(
            "GET",
            f"{env[_URL]}&audience={contract.OIDC_AUDIENCE}",
            headers={
                "Accept": "application/json",
                "Authorization": f"Bearer {env[_TOKEN]}",
                "User-Agent": contract.USER_AGENT,
            },
            tries=_TRIES,
        )
        token = answer.json()["value"]
    except ExchangeError as failure:
        raise _failed(str(failure)) from None
    except (ValueError, KeyError, TypeError):
        msg = "the answer holds no token"
        raise _failed(msg) from None
    if not isinstance(token, str) or not token:
        msg = "the answer holds no token"
        raise _failed(msg)
    client.secrets.add(token)
    return token


def _failed(reason: str) -> UploadError:
    problem = f"Failed to retrieve OIDC token for authentication. ({reason})"
    hint = "the job needs `permissions: id-token: write`; or give a token in CODSPEED_TOKEN"
    return UploadError(problem, hint=hint)
