"""Decide which protocol versions and which integrations are served.

No I/O here: `session.py` moves the frames, this module only decides.
Source of the rules: docs/protocol.md, "Versions". The sentences are the reference's, to the letter.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from codspeed.errors import ClientVersionError, ProtocolVersionError

UPGRADE_RUNNER: Final = "upgrade codspeed-core"


@attrs.frozen
class VersionRange:
    """Inclusive range of protocol versions; an empty one is a ValueError.

    Attributes:
        purpose: What needs a range narrower than the runner's own, such as "memory profiling".
    """

    oldest: int = attrs.field(validator=attrs.validators.ge(1))
    newest: int = attrs.field()
    purpose: str = ""

    @newest.validator
    def _reject_empty(self, _attribute: attrs.Attribute[int], newest: int) -> None:
        if newest < self.oldest:
            msg = f"newest ({newest}) is below oldest ({self.oldest})"
            raise ValueError(msg)

    def narrowed(self, oldest: int, purpose: str) -> VersionRange:
        """Return this range without what is below `oldest`, which `purpose` needs."""
        if oldest <= self.oldest:
            return self
        return VersionRange(oldest, self.newest, purpose)


# History: 1 AddMarker and SetVersion (2025-09); 2 GetIntegrationMode (2025-12). Before that there
# was no SetVersion: a client that never sends it speaks 0.
RUNNER_VERSIONS: Final = VersionRange(oldest=1, newest=2)


def negotiate(
    offered: int, supported: VersionRange = RUNNER_VERSIONS, *, integration: str = "the integration"
) -> int:
    """Return the version both sides will speak.

    Args:
        offered: What the integration announced (unsigned 64-bit on the wire).
        supported: What the runner serves; an executor may pass a narrower range.
        integration: Its name for the hint, as far as it is known.

    Raises:
        ProtocolVersionError: If `offered` is outside `supported`; says which side to upgrade.
    """
    if offered > supported.newest:
        problem = (
            f"Runner is using an incompatible protocol version ({supported.newest} < {offered})."
            " Please update the runner to the latest version."
        )
        raise ProtocolVersionError(problem, hint=UPGRADE_RUNNER)
    if offered < supported.oldest:
        raise ProtocolVersionError(_too_old(offered, supported), hint=f"upgrade {integration}")
    return offered


def _too_old(offered: int, supported: VersionRange) -> str:
    if supported.purpose:
        return (
            f"{supported.purpose.capitalize()} requires protocol version {supported.oldest}"
            f" or higher, but the integration speaks version {offered}."
        )
    return (
        "Integration is using a version of the protocol that is smaller than the minimal supported"
        f" protocol version ({offered} < {supported.oldest})."
        " Please update the integration to a supported version."
    )


# --- Versions of integrations --------------------------------------------------------------------

_VERSION: Final = re.compile(
    r"""v?
        (?P<release>\d{1,9}(?:\.\d{1,9})*)
        (?:[-._]?post\d*)?                                 # PEP 440: behind the release, so final
        (?P<pre>-[0-9A-Za-z.-]+ | [._]?[A-Za-z][0-9A-Za-z.]*)?  # semver "-rc.1", PEP 440 "rc1"
        (?:\+[0-9A-Za-z.-]+)?                              # build or local label: says nothing
    """,
    re.VERBOSE | re.ASCII,
)


def require_client(name: str, version: str, oldest: str, *, purpose: str) -> None:
    """Accept an integration that is at least `oldest`; a pre-release comes before its release.

    Raises:
        ClientVersionError: If it is older, or its version can't be understood.
    """
    actual = _release_key(version)
    if actual is None:
        problem = "Received invalid integration version"
        hint = f"{name} calls itself {version!r}; install a release of it, {oldest} or later"
        raise ClientVersionError(problem, hint=hint)
    if actual < (_release_key(oldest) or ()):
        problem = (
            f"This integration doesn't support {purpose}."
            f" Please update your integration to a version that supports {purpose}."
        )
        raise ClientVersionError(problem, hint=f"upgrade {name} {version} to {oldest} or later")


def _release_key(version: str) -> tuple[tuple[int, ...], bool] | None:
    """Return what orders versions: the numbers, and whether it is final; None if it is none."""
    match = _VERSION.fullmatch(version)
    if match is None:
        return None
    numbers = [int(number) for number in match["release"].split(".")]
    while numbers and not numbers[-1]:  # 5.0 is 5.0.0
        numbers.pop()
    return tuple(numbers), match["pre"] is None
