"""Our own sampler as a profiler: perf_event_open, no program needed (`codspeed_native`)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, ClassVar

from codspeed_native import perf_event
from codspeed_native.perf_pipe import PipeWriter
from codspeed_native.perf_sampler import Sampler
from codspeed_walltime.profiler import PIPEDATA, Profiler, described

if TYPE_CHECKING:
    from pathlib import Path

    from codspeed.protocols import Session
    from codspeed_native.perf_event import Opener, Sampling


class Builtin(Profiler):
    """Samples the process and its descendants into perf.pipedata.

    A sampler that fails takes the profile with it and never the measurement.
    """

    kind: ClassVar[str] = "builtin"

    def __init__(
        self,
        sampling: Sampling,
        *,
        opener: Opener = perf_event.open_directly,
        advice: str = "",
        with_side_band: bool = False,
    ) -> None:
        """Prepare.

        Args:
            sampling: How.
            opener: Opens the events.
            advice: What to tell the user if the opener fails, in place of what it says.
            with_side_band: Whether what was mapped is wanted apart from the recording.
        """
        super().__init__()
        self.name = f"builtin-{sampling.name}"
        self._sampling = sampling
        self._opener = opener
        self._advice = advice
        self._with_side_band = with_side_band
        self._stack = contextlib.ExitStack()
        self._sampler: Sampler | None = None
        self._writer: PipeWriter | None = None

    def prepare(self, session: Session, folder: Path) -> None:
        """Open the file, and have the rings drained by the session's loop."""
        try:
            # Unbuffered: each write is large, and none is left to be lost.
            file = self._stack.enter_context((folder / PIPEDATA).open("wb", buffering=0))
            self._writer = PipeWriter(
                file, self._sampling.attribute(), with_side_band=self._with_side_band
            )
        except OSError as failure:
            self._give_up(f"no profile: {folder / PIPEDATA} can't be written: {failure.strerror}")
            return
        self._sampler = self._stack.enter_context(
            Sampler(self._sampling, self._writer.write, opener=self._opener)
        )
        session.watch(self._sampler.poll_fd, self._drain)

    def start(self, pid: int) -> None:
        """Open the events."""
        if self._sampler is None:
            return
        try:
            self._sampler.attach(pid)
        except perf_event.SamplingRefusedError as refused:
            self._give_up(self._advice or described(refused))

    def enable(self) -> None:
        """Sample from now on."""
        if self._sampler is not None:
            self._sampler.enable()

    def disable(self) -> None:
        """Sample no more."""
        if self._sampler is not None:
            self._sampler.disable()

    def stop(self) -> None:
        """Take what is in the rings, and close them."""
        self._drain()
        self._finish()
        if self._writer is not None:
            self.samples = self._writer.samples
            self.stack_bytes = self._writer.stack_bytes
            self.lost = self._writer.lost
            self.pids = frozenset(self._writer.pids)
            side_band = self._writer.side_band
            if side_band is not None:
                self.side_band = bytes(side_band), self._sampling.attribute()
        self._sampler = None
        self._stack.close()

    def _drain(self) -> None:
        if self._sampler is None or self._writer is None:
            return
        try:
            # Served too seldom: empty the rings first, compress when there is time.
            self._writer.is_hurried = self._sampler.is_late()
            self._sampler.drain()
            self._writer.finish_round()
        except OSError as failure:
            self._give_up(f"no profile: {PIPEDATA} can't be written: {failure.strerror}")

    def _finish(self) -> None:
        """Write what waits, and what was lost at the end: no record behind it tells."""
        if self._sampler is None or self._writer is None:
            return
        try:
            self._writer.add_lost(self._sampler.lost())
            self._writer.flush()
        except OSError as failure:
            self._give_up(f"no profile: {PIPEDATA} can't be written: {failure.strerror}")

    def _give_up(self, why: str) -> None:
        """Go on without sampling. The descriptors stay open: the session waits for one of them."""
        self.notes = (why,)
        self.name = "none"
        if self._sampler is not None:
            self._sampler.give_up()
        self._sampler = None
