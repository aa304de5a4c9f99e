"""Which token an upload carries: given, of a login, of OpenID Connect, or none.

Source: spec/cli-upload.md 1.6, 3.2.5, 3.4. An empty token counts as none, other than in the
reference: CI systems pass a secret that a fork may not see as the empty text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import attrs

from codspeed.errors import AuthenticationError, CodspeedError
from codspeed.model import RunContext
from codspeed_service import contract, oidc
from codspeed_service.http import Client

if TYPE_CHECKING:
    from codspeed_service.descriptor import ServiceOptions

_DOCUMENTATION: Final = "https://codspeed.io/docs/integrations/ci"


@attrs.frozen
class Credentials:
    """Gives the token for each upload.

    Attributes:
        fixed: A token that does not change; None if there is none.
    """

    fixed: str | None = attrs.field(repr=False)
    context: RunContext
    env: Mapping[str, str] = attrs.field(repr=False)
    client: Client = attrs.field(repr=False)
    warn: Callable[[str], None] = attrs.field(repr=False)

    @property
    def is_renewable(self) -> bool:
        """Whether a token that is refused may have expired: then a new one can be asked for."""
        return not self.fixed and self._may_ask

    @property
    def _may_ask(self) -> bool:
        is_github = self.context.provider == "github-actions"
        return is_github and oidc.is_at_hand(self.env)

    def token(self) -> str | None:
        """Return the token for the next upload; None to go without one.

        Raises:
            AuthenticationError: If there is none and it can't be done without.
            UploadError: If GitHub does not give one.
        """
        if self.fixed:
            return self.fixed
        if self._may_ask:
            return self._asked()
        self._require_tokenless()
        return None

    def _asked(self) -> str | None:
        try:
            return oidc.request_token(self.client, self.env)
        except CodspeedError as failure:
            if self._is_private:
                raise
            self.warn(failure.problem)
            return None

    @property
    def _is_private(self) -> bool:
        return self.context.facts.get("private") == "true"

    def _require_tokenless(self) -> None:
        facts, provider = self.context.facts, self.context.provider
        if provider not in contract.RUN_ENVIRONMENTS:
            problem = "not logged in to the CodSpeed service"
            raise AuthenticationError(problem, hint="log in: codspeed auth login")
        if provider == "buildkite":
            problem = "Token authentication is required for Buildkite"
            raise AuthenticationError(problem, hint="set CODSPEED_TOKEN in the step's environment")
        if provider == "github-actions" and self._is_private and facts.get("is_fork") != "true":
            problem = "there is no token, and a private repository can't be uploaded without one"
            hint = (
                "give the job `permissions: id-token: write` (and `contents: read`), or a token in "
                f"CODSPEED_TOKEN; {_DOCUMENTATION}/github-actions/configuration#authentication"
            )
            raise AuthenticationError(problem, hint=hint)


def fixed_token(options: ServiceOptions, client: Client) -> str | None:
    """Return the token that was given or is saved.

    Raises:
        AuthenticationError: If it can't be one; its value is not shown.
    """
    token = (options.token or "").strip() or (options.oauth_token or "").strip()
    if not token:
        return None
    client.secrets.add(token)
    if not token.isascii() or not token.isprintable() or " " in token:
        problem = "the token holds characters that no token has"
        raise AuthenticationError(problem, hint="copy it again, without line ends and quotes")
    return token
