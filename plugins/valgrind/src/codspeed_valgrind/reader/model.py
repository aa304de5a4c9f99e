"""From raw counters to cache hits, cycles and time. No I/O here.

Formulas: gungraun and KCachegrind document theirs; names and weights are fixed here under a version
that goes into the measurement-model id, because numbers of different models are never compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

# A stated frequency and no property of the machine: time is cycles in another unit.
NOMINAL_GHZ: Final = 3.0

_L1_MISSES: Final = ("I1mr", "D1mr", "D1mw")
_LL_MISSES: Final = ("ILmr", "DLmr", "DLmw")
_MISPREDICTIONS: Final = ("Bcm", "Bim")


@attrs.frozen
class Hits:
    """Where memory accesses ended; instructions are accesses too."""

    l1: int
    ll: int
    ram: int


@attrs.frozen
class CycleModel:
    """A versioned formula.

    Attributes:
        id: Part of the measurement-model id.
    """

    id: str
    cycles: Callable[[Mapping[str, int]], int]


def hits(costs: Mapping[str, int]) -> Hits | None:
    """Return the hits per level; None if caches were not simulated.

    Args:
        costs: Counters by callgrind's names.
    """
    if "I1mr" not in costs:
        return None
    accesses = _sum(costs, ("Ir", "Dr", "Dw"))
    l1_misses, ll_misses = _sum(costs, _L1_MISSES), _sum(costs, _LL_MISSES)
    return Hits(l1=accesses - l1_misses, ll=l1_misses - ll_misses, ram=ll_misses)


def _weighted(costs: Mapping[str, int]) -> int:
    """Cycles as gungraun and its predecessors estimate them; without caches, instructions."""
    found = hits(costs)
    return costs.get("Ir", 0) if found is None else found.l1 + 5 * found.ll + 35 * found.ram


def _kcachegrind(costs: Mapping[str, int]) -> int:
    """KCachegrind's CEst; branches and bus locks count where they were collected."""
    return (
        costs.get("Ir", 0)
        + 10 * _sum(costs, _MISPREDICTIONS)
        + 10 * _sum(costs, _L1_MISSES)
        + 20 * costs.get("Ge", 0)
        + 100 * _sum(costs, _LL_MISSES)
    )


def _instructions(costs: Mapping[str, int]) -> int:
    return costs.get("Ir", 0)


MODELS: Final[Mapping[str, CycleModel]] = {
    "l1-5-35": CycleModel("l1-5-35@v1", _weighted),
    "kcachegrind": CycleModel("kcachegrind@v1", _kcachegrind),
    "ir": CycleModel("ir@v1", _instructions),
}
DEFAULT_MODEL: Final = "l1-5-35"


def _sum(costs: Mapping[str, int], events: tuple[str, ...]) -> int:
    return sum(costs.get(event, 0) for event in events)
