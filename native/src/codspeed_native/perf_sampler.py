"""Sample one process and its descendants, on and off, without the perf program.

Rings are drained whenever they are a quarter full; nothing is analysed while the benchmark runs.
"""

from __future__ import annotations

import contextlib
import os
import select
from typing import TYPE_CHECKING, Final, Self

from codspeed_native import perf_event
from codspeed_native.perf_event import Pair
from codspeed_native.perf_ring import map_rings, wanted_pages
from codspeed_native.urgency import urgent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from codspeed_native.perf_event import Opener, Sampling
    from codspeed_native.perf_ring import Ring

_LATE: Final = 0.4
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Sampler:
    """Events and rings of one process. Leaving its context closes everything.

    Attributes:
        poll_fd: Readable when a ring waits to be drained; there from the beginning.
    """

    def __init__(
        self,
        sampling: Sampling,
        sink: Callable[[memoryview], None],
        *,
        opener: Opener = perf_event.open_directly,
        cpus: Sequence[int] | None = None,
    ) -> None:
        """Prepare; nothing is sampled before `attach`.

        Args:
            sampling: How.
            sink: Gets whole records of one ring, in memory that holds until it returns; records of
                different rings are not in order.
            opener: Opens the events.
            cpus: Where the process may run; all by default.
        """
        self._sampling = sampling
        self._sink = sink
        self._opener = opener
        self._cpus = perf_event.online_cpus() if cpus is None else cpus
        self._pairs: list[Pair] = []
        self._rings: list[Ring] = []
        self._urgency = contextlib.ExitStack()
        self._poll = select.epoll()
        self.poll_fd = self._poll.fileno()

    def attach(self, pid: int) -> None:
        """Record what `pid` and its descendants map from now on; sample when `enable` says so.

        Raises:
            SamplingRefusedError: If the events, or memory for the rings, are not granted.
        """
        pages = wanted_pages(len(self._cpus))
        attributes = [
            self._sampling.side_band(pages * _PAGE_BYTES // 4),
            self._sampling.attribute(),
        ]
        opened = self._opener(pid, self._cpus, attributes)
        self._pairs = [Pair(*each) for each in zip(opened[::2], opened[1::2], strict=True)]
        try:
            self._rings = map_rings([pair.side_band for pair in self._pairs], pages)
            perf_event.redirect(self._pairs)
        except OSError as failure:
            self._release()
            raise perf_event.refusal(failure) from failure
        self._urgency.enter_context(urgent())
        for pair in self._pairs:
            self._poll.register(pair.side_band, select.EPOLLIN)

    def enable(self) -> None:
        """Begin to sample."""
        perf_event.switch(self._pairs, is_on=True)

    def disable(self) -> None:
        """Stop sampling; what is mapped, forked and named is still recorded."""
        perf_event.switch(self._pairs, is_on=False)

    def give_up(self) -> None:
        """Sample no more, and be readable no more; everything stays open until the end."""
        for pair in self._pairs:
            with contextlib.suppress(OSError):
                self._poll.unregister(pair.side_band)
        with contextlib.suppress(OSError):
            self.disable()

    def is_late(self) -> bool:
        """Return whether rings are much fuller than when they call: others had the CPU."""
        return any(ring.fill() > _LATE for ring in self._rings)

    def drain(self) -> None:
        """Hand what is in the rings to the sink; raises what the sink raises."""
        for ring in self._rings:
            for piece in ring.pieces():
                self._sink(piece)
        self._forget_ended()

    def lost(self) -> int:
        """Return how many records found no room up to now, as far as the kernel tells.

        Raises:
            OSError: If an event can't be read.
        """
        return perf_event.lost(self._pairs)

    def _forget_ended(self) -> None:
        """Stop waiting for events whose process is gone: they are readable for ever."""
        for fd, events in self._poll.poll(0):
            if events & select.EPOLLHUP:
                with contextlib.suppress(OSError):
                    self._poll.unregister(fd)

    def _release(self) -> None:
        for ring in self._rings:
            ring.close()
        self._rings = []
        for fd in (fd for pair in self._pairs for fd in pair):
            os.close(fd)
        self._pairs = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._urgency.close()
        self._poll.close()
        self._release()
