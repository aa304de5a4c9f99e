"""Only because this example is tested from its folder. A package of yours is installed instead."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

SOURCE = str(Path(__file__).parents[1] / "src")
sys.path.insert(0, SOURCE)


@pytest.fixture(autouse=True)
def importable_in_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """The executor starts its wrapper as a process of its own."""
    inherited = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (SOURCE, inherited))))
