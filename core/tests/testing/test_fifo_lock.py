from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from codspeed.errors import LockedError
from codspeed.testing import fifo_lock

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no FIFOs on Windows")


@pytest.fixture(autouse=True)
def own_temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Not the machine's: other tests may hold that one for long."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_second_test_waits_and_then_says_for_whom() -> None:
    with (
        fifo_lock(),
        pytest.raises(LockedError, match="tests-fifo is held by"),
        fifo_lock(timeout=0),
    ):
        pass


def test_the_lock_is_free_again_afterwards(own_temp: Path) -> None:
    with fifo_lock():
        pass
    with fifo_lock(timeout=0):
        assert (own_temp / "codspeed-tests-fifo.lock").exists()
