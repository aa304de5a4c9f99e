"""Fixtures for authors, switched on by `pytest_plugins = ["codspeed.testing.plugin"]`.

In the top conftest.py it also makes pytest explain the contract's asserts; in a test module that
comes too late. No entry point registers it: it would be loaded into every measured suite and move
its numbers.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

# Only before a module is imported; after that pytest would warn.
for _module in (
    "codspeed.testing.checks",
    "codspeed.testing.contract",
    "codspeed.testing.instrument_contract",
):
    if _module not in sys.modules:
        pytest.register_assert_rewrite(_module)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from codspeed.model import RunPart, System


@pytest.fixture(scope="session")
def system() -> System:
    """Return this machine."""
    from codspeed.environment import read_system  # noqa: PLC0415 - only for who asks

    return read_system()


@pytest.fixture
def part_factory(tmp_path: Path) -> Callable[..., RunPart]:
    """Return `make_part` with a new profile folder for each part."""
    from codspeed.testing.parts import make_part  # noqa: PLC0415 - only for who asks

    made: list[RunPart] = []

    def make(*argv: str, **fields: Any) -> RunPart:
        folder = tmp_path / f"profile-{len(made)}"
        made.append(make_part(folder, argv, **{"index": len(made), **fields}))
        return made[-1]

    return make


@pytest.fixture
def fifo_lock() -> Iterator[None]:
    """Keep all other tests of this machine off the fixed FIFO paths."""
    from codspeed.testing.fifo import fifo_lock as held  # noqa: PLC0415 - only for who asks

    with held():
        yield
