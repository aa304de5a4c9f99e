"""Where the two FIFOs are. Compiled into every client, so there is no choice and no variable."""

from __future__ import annotations

from typing import Final

CTL_FIFO: Final = "/tmp/runner.ctl.fifo"  # noqa: S108 - fixed in every published client
ACK_FIFO: Final = "/tmp/runner.ack.fifo"  # noqa: S108 - as above
