"""What a window used: the records that results are made of. No I/O here."""

from __future__ import annotations

import attrs


@attrs.frozen
class ProcessUsage:
    """One process in one window; bytes.

    Attributes:
        total: All that was ever allocated.
        live: Not freed when the process or the window ended.
    """

    pid: int
    allocations: int
    frees: int
    total: int
    peak: int
    live: int


@attrs.frozen
class Usage:
    """One window, all processes together; bytes.

    Attributes:
        peak: Highest sum of what all processes had live at one time.
        total: All that was ever allocated.
        live_at_end: Live at the end in processes that still ran then.
        leaked: Never freed: `live_at_end`, and what ended processes left.
        leaked_blocks: The number of these blocks.
        unknown_frees: Frees of blocks from before the window.
        histogram: (smallest size, allocations of at least that and less than twice that).
        timeline: (nanoseconds since the start, highest live bytes from then to the next point).
        processes: The largest first; only the first `SHOWN_PROCESSES`.
        process_count: All of them.
    """

    events: int = 0
    allocations: int = 0
    frees: int = 0
    total: int = 0
    peak: int = 0
    live_at_end: int = 0
    leaked: int = 0
    leaked_blocks: int = 0
    unknown_frees: int = 0
    histogram: tuple[tuple[int, int], ...] = ()
    timeline: tuple[tuple[int, int], ...] = ()
    processes: tuple[ProcessUsage, ...] = ()
    process_count: int = 0


@attrs.frozen
class Fate:
    """What became of a block of which a stack was taken.

    Attributes:
        at_peak: It was live when most was.
        is_leaked: It was never freed.
    """

    at_peak: bool
    is_leaked: bool


# A build can start thousands; nobody reads them, and every bundle would carry them.
SHOWN_PROCESSES = 100


def fate(born: int, died: int, peak_at: int, *, is_freed: bool) -> Fate:
    """Return a block's fate from when it came and went, as numbers of events; 0: it did not."""
    at_peak = 0 < born <= peak_at and (not died or died > peak_at)
    return Fate(at_peak, is_leaked=born > 0 and not is_freed)


def largest(processes: list[ProcessUsage]) -> tuple[ProcessUsage, ...]:
    """Return those with the highest peak."""
    processes.sort(key=lambda process: (-process.peak, process.pid))
    return tuple(processes[:SHOWN_PROCESSES])


def histogram_of(counts: dict[int, int]) -> tuple[tuple[int, int], ...]:
    """Return the histogram from counts by bit length of the size."""
    return tuple(
        (1 << bits - 1 if bits else 0, count) for bits, count in sorted(counts.items()) if count
    )


def timeline_of(buckets: dict[int, int], width_ns: int) -> tuple[tuple[int, int], ...]:
    """Return the timeline from the highest value of each bucket that had an event."""
    return tuple((index * width_ns, value) for index, value in sorted(buckets.items()))
