"""One test at a time may use the FIFO paths that every published client has compiled in."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codspeed.launch.lock import hold
from codspeed.model import Sharing

if TYPE_CHECKING:
    from collections.abc import Iterator

# Not the product's "hook-fifo": a test may hold this one while the program it runs takes that.
RESOURCE: Final = "tests-fifo"


@contextlib.contextmanager
def fifo_lock(*, timeout: float = 25.0) -> Iterator[None]:
    """Keep all other tests of this machine off the fixed FIFO paths.

    Args:
        timeout: Seconds to wait for them; less than the time limit of a test.

    Raises:
        LockedError: If another test holds on to them for longer; names its process.
    """
    temp = Path(tempfile.gettempdir())
    with hold(RESOURCE, Sharing.EXCLUSIVE, temp=temp, timeout=timeout, waiting=_in_silence):
        yield


def _in_silence(_holder: str) -> None:
    """Say nothing: waiting is what the lock is for."""
