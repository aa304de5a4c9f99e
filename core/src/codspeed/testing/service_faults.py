"""How a fake service misbehaves, on demand: a schedule of faults for each kind of request."""

from __future__ import annotations

import enum
import random
from typing import Final

import attrs


class Mischief(enum.Enum):
    """What goes wrong with one request."""

    STATUS = "status"  # answer with an error, whatever was asked
    RESET = "reset"  # end the connection before anything is read
    RESET_MIDWAY = "reset-midway"  # ... after half of the request
    RESET_AFTER = "reset-after"  # ... after the request was carried out
    TIMEOUT = "timeout"  # never answer
    SLOW = "slow"  # carry it out, and answer in small pieces
    TRUNCATED = "truncated"  # carry it out, and break the answer off
    MALFORMED = "malformed"  # carry it out, and answer what is no JSON
    EXPIRED = "expired"  # OpenID Connect: a token that is refused later


@attrs.frozen
class Fault:
    """One misbehaviour.

    Attributes:
        status: For STATUS.
        retry_after: Value of the header of that name; empty for none.
    """

    kind: Mischief
    status: int = 503
    retry_after: str = ""


_STATUSES: Final = (408, 429, 500, 502, 503, 504)
# A fault that makes the client wait for its time limit costs real time: it is drawn rarely.
_WEIGHTS: Final = {
    Mischief.STATUS: 10,
    Mischief.RESET: 4,
    Mischief.RESET_MIDWAY: 4,
    Mischief.RESET_AFTER: 4,
    Mischief.TIMEOUT: 1,
    Mischief.SLOW: 2,
    Mischief.TRUNCATED: 4,
    Mischief.MALFORMED: 1,
}


class Faults:
    """For each kind of request ("announce", "store", "api", "oidc"), the faults to come."""

    def __init__(self) -> None:
        self._planned: dict[str, list[Fault | None]] = {}

    @classmethod
    def seeded(cls, seed: int, *, each: int = 3) -> Faults:
        """Return `each` random faults at the start of every kind of request."""
        made = cls()
        chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        for request in ("announce", "store", "api", "oidc"):
            made.plan(request, *(_drawn(chance, request) for _ in range(each)))
        return made

    def plan(self, request: str, *faults: Fault | None) -> None:
        """Let the next requests of a kind meet these faults; None is a request that goes well."""
        self._planned.setdefault(request, []).extend(faults)

    def next(self, request: str) -> Fault | None:
        """Return the fault of a request that came in."""
        planned = self._planned.get(request)
        return planned.pop(0) if planned else None


def _drawn(chance: random.Random, request: str) -> Fault:
    weights = dict(_WEIGHTS)
    if request == "oidc":
        weights[Mischief.EXPIRED] = 4
    kind = chance.choices([*weights], [*weights.values()])[0]
    retry_after = chance.choice(["", "0", "7", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"])
    return Fault(kind, chance.choice(_STATUSES), retry_after)
