"""Ctrl-C and termination between the measurements: while locks are awaited and results are read.

While a command runs, its session handles these signals itself; see `codspeed.hooks.session`.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_NAMES: Final = ("SIGINT", "SIGTERM", "SIGHUP")


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Let every signal that asks us to stop raise KeyboardInterrupt, as SIGINT does by default."""
    with _handled(_raise):
        yield


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """Let what must not be half done, such as writing the bundle, end first.

    Raises:
        KeyboardInterrupt: At the end, if a signal came meanwhile.
    """
    with noted() as came:
        yield
    if came:
        raise KeyboardInterrupt


@contextlib.contextmanager
def noted() -> Iterator[list[int]]:
    """Yield a list of the signals that came so far, which somebody else acts on."""
    came: list[int] = []
    with _handled(lambda number, _frame: came.append(number)):
        yield came


@contextlib.contextmanager
def _handled(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread gets signals
        return
    before = {}
    for name in _NAMES:
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        # Ignored by whoever started us (nohup, or a script's background): then it stays so.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _raise(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
