"""Events of the kernel's ring as blocks of a recording: the C helper and its twin agree."""

from __future__ import annotations

import itertools
import tempfile
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from codspeed_memory import raw
from codspeed_memory.clock import Clock
from codspeed_memory.ebpf import blocks, layout
from codspeed_memory.raw import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

events = st.lists(
    st.tuples(
        st.integers(0, 2**40),  # stamp
        st.integers(0, 2**47),  # address
        st.tuples(st.sampled_from(Kind), st.integers(0, 2**48)),
        st.integers(0, 2**47),  # aux
        st.integers(1, 3),  # pid
        st.integers(1, 3),  # tid
        st.integers(1, 2),  # window
    ),
    max_size=40,
)
# Ticks and nanoseconds between two readings: at most a million for one, so that all fits.
steps = st.lists(st.tuples(st.integers(1, 2**20), st.integers(0, 2**20)), max_size=5)
clocks = steps.map(
    lambda found: tuple(
        zip(*(itertools.accumulate(column) for column in zip(*found, strict=True)), strict=True)
    )
)


def ring(found: Sequence[Any]) -> bytes:
    """Return events as the kernel's ring has them."""
    out = bytearray()
    for stamp, address, (kind, size), aux, pid, tid, window in found:
        out += bytes(layout.RING_HEADER_BYTES)
        out += layout.EVENT.pack(stamp, address, kind | size << 8, aux, pid, tid, window, 0)
    return bytes(out)


def by_helper(data: bytes, clock: Clock, before: bytes = b"") -> bytes:
    with tempfile.TemporaryFile() as raw_events, tempfile.TemporaryFile() as recording:
        raw_events.write(data)
        raw_events.flush()
        recording.write(before)
        blocks.appended(raw_events, recording, clock)
        recording.seek(0)
        return recording.read()


@given(found=events, pairs=clocks)
def test_helper_and_twin_agree(found: list[Any], pairs: tuple[tuple[int, int], ...]) -> None:
    data, clock = ring(found), Clock(pairs)

    assert by_helper(data, clock) == blocks.plain(data, clock)


def test_they_agree_beyond_a_batch() -> None:
    found = [
        (n, n, (Kind.MALLOC if n % 1000 else Kind.ATTACH, n), 0, n % 7, n % 11, 1)
        for n in range(150_000)
    ]
    data = ring(found)

    assert by_helper(data, Clock()) == blocks.plain(data, Clock())


@given(found=events)
def test_every_event_arrives_in_order_of_time(found: list[Any]) -> None:
    found.sort(key=lambda event: event[0])
    merged = raw.merged(blocks.plain(ring(found), Clock()), Clock())

    assert sorted(event.ns for event in merged) == [event[0] for event in found]
    for window in (1, 2):
        for thread in {(event.pid, event.tid) for event in merged}:
            expected = [
                (event[0], event[1])
                for event in found
                if event[4:6] == thread and event[6] == window and event[2][0] < Kind.ATTACH
            ]
            seen = [
                (event.ns, event.address)
                for event in merged
                if (event.pid, event.tid) == thread
                and event.window == window
                and event.kind < Kind.ATTACH
            ]
            assert seen == expected


def test_what_is_there_stays_and_stamps_become_its_ticks() -> None:
    clock = Clock(((1000, 500), (3000, 1500)))
    before = raw.BLOCK.pack(1, 1, 1, 1, 0, 0, 0) + raw.RECORD.pack(1100, 1, Kind.MALLOC, 0)
    data = ring([(600, 2, (Kind.MALLOC, 8), 0, 2, 2, 1)])

    whole = by_helper(data, clock, before)

    stamps = [event.ns for event in raw.merged(whole, clock)]
    assert stamps == [550, 600]
    assert clock.ticks(600) == 1200


@given(pairs=clocks, ns=st.integers(0, 2**41))
def test_ticks_follow_time(pairs: tuple[tuple[int, int], ...], ns: int) -> None:
    clock = Clock(pairs)

    assert clock.ticks(ns) <= clock.ticks(ns + 1)


def test_nothing_recorded_is_nothing_appended() -> None:
    assert by_helper(b"", Clock()) == b""
