"""Ctrl-C: the round that runs is ended, its process reaped, and the program stops between rounds.

The signal only leaves a note, because an exception out of a handler could hit between the start of
a process and the moment its id is known. As a terminal signals the whole process group, the command
ends by itself; if it does not, it is asked again with more force.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from codspeed.errors import InterruptedRunError

if TYPE_CHECKING:
    from types import FrameType

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

# Between the user's signal, ours and the last; core waits longer before it kills the harness.
_GRACE_S: Final = 0.5


class Interrupt:
    """Notes SIGINT and SIGTERM while entered; a signal that was ignored before stays ignored.

    Attributes:
        child: Id of the process that runs, 0 while there is none or it is being reaped.
        signum: The first signal that came, 0 if none did.
    """

    def __init__(self) -> None:
        self.child = 0
        self.signum = 0
        self._insisted = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._note)
        self._previous[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._insist)
        return self

    def __exit__(self, *_exception: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # came from signal.signal

    def check(self) -> None:
        """Go on unless a signal came.

        Raises:
            InterruptedRunError: If one did.
        """
        if self.signum:
            problem = f"Interrupted by {signal.Signals(self.signum).name}"
            raise InterruptedRunError(problem)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        self.signum = self.signum or signum
        signal.setitimer(signal.ITIMER_REAL, _GRACE_S, _GRACE_S)

    def _insist(self, _signum: int, _frame: FrameType | None) -> None:
        if self.child:
            # A command under sudo is not ours to signal; whoever runs us ends it.
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.child, signal.SIGKILL if self._insisted else signal.SIGTERM)
            self._insisted = True
