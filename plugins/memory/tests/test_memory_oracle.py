"""The C helper and its plain twins give the same: merging, encoding, analysing."""

from __future__ import annotations

import io
import tempfile
from collections import defaultdict
from typing import TYPE_CHECKING

import attrs
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from codspeed_memory import compiled, raw
from codspeed_memory.clock import Clock
from codspeed_memory.live import LiveSet
from codspeed_memory.raw import BLOCK, RECORD, Kind
from codspeed_memory.recording import Recording

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from codspeed_memory.usage import Usage

HEAP = [kind for kind in Kind if kind <= Kind.REALLOC_FAILED] + [Kind.DETACH, Kind.STACK]

numbers = st.sampled_from([0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**47])
records = st.tuples(
    st.integers(0, 300),  # stamps that collide
    st.integers(1, 6),  # addresses that meet
    st.sampled_from(HEAP),
    st.one_of(st.integers(0, 9), numbers),
    st.one_of(st.just(0), st.integers(1, 6), numbers),
)
chunks = st.tuples(
    st.integers(1, 3),  # pid
    st.integers(1, 3),  # tid
    st.integers(0, 3),  # window
    st.lists(records, max_size=12),
)
clocks = st.one_of(
    st.just(()),
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 2**62)),
        min_size=1,
        max_size=5,
        unique_by=lambda pair: pair[0],
    ).map(lambda pairs: tuple(zip(*map(sorted, zip(*pairs, strict=True)), strict=True))),
)


def written(all_chunks: list[tuple[int, int, int, list[Any]]]) -> bytes:
    """Return chunks as the drainer writes them; stamps of a chunk may go back a little."""
    data = bytearray()
    for order, (pid, tid, window, items) in enumerate(all_chunks):
        data += BLOCK.pack(pid, tid, len(items), window, order, 0, 0)
        for stamp, address, kind, size, aux in items:
            data += RECORD.pack(stamp, address, kind | size << 8, aux)
    return bytes(data)


def by_helper(data: bytes, clock: Clock, starts: dict[int, int]) -> tuple[dict[int, Usage], bytes]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        out = io.BytesIO()
        usages = Recording(file=file, clock=clock).analysed(starts, out)
    plain = zstandard.ZstdDecompressor().stream_reader(
        io.BytesIO(out.getvalue()), read_across_frames=True
    )
    return usages, plain.read()


def by_twins(data: bytes, clock: Clock, starts: dict[int, int]) -> tuple[dict[int, Usage], bytes]:
    """As where nothing compiles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "helper_if_any", lambda: None)
        return by_helper(data, clock, starts)


@given(all_chunks=st.lists(chunks, max_size=8), pairs=clocks)
def test_helper_and_twins_agree(all_chunks: list[Any], pairs: tuple[tuple[int, int], ...]) -> None:
    data = written(all_chunks)
    clock = Clock(pairs)

    helped, plain = by_helper(data, clock, {1: 0}), by_twins(data, clock, {1: 0})

    assert helped == plain


@pytest.mark.process
@pytest.mark.parametrize("command", [("pairs", "3000", "3"), ("edges", "many_forks")])
def test_they_agree_on_real_programs(
    record: Callable[..., Any], program: Callable[..., Any], command: tuple[str, ...]
) -> None:
    recorded = record(program(command[0]), *command[1:])
    starts = {1: recorded.start_ns}

    usages, encoded = by_twins(recorded.data, recorded.clock, starts)
    helped, helped_encoded = by_helper(recorded.data, recorded.clock, starts)

    assert (helped, helped_encoded) == (usages, encoded)


def test_a_recording_that_is_cut_off_is_an_error() -> None:
    data = written([(1, 1, 1, [(1, 2, Kind.MALLOC, 3, 0)])])

    with pytest.raises(ValueError, match="cut off"):
        list(raw.blocks(data[:-1]))


def test_memory_does_not_follow_an_exec() -> None:
    """What the former program held is leaked, and no longer live."""
    live = LiveSet(0)
    event = raw.Event(1, 0x1000, 50, 0, 7, 7, Kind.MALLOC, 1)
    attach = event._replace(kind=Kind.ATTACH, ns=2)
    live.feed([event, attach, event._replace(ns=3, size=20)])

    usage = live.finish()

    assert (usage.peak, usage.live_at_end, usage.leaked) == (50, 20, 70)


def test_the_timeline_stays_short_and_keeps_its_peak() -> None:
    live = LiveSet(0)
    malloc = raw.Event(0, 0, 10, 0, 1, 1, Kind.MALLOC, 1)
    times = [1_000_000 * step for step in range(10_000)]
    live.feed(malloc._replace(ns=ns, address=ns + 1) for ns in times)

    usage = live.finish()

    assert len(usage.timeline) <= 512
    assert max(value for _offset, value in usage.timeline) == usage.peak == 100_000
    assert attrs.asdict(usage)["timeline"] == usage.timeline


def test_windows_do_not_mix() -> None:
    items = [(5, 1, Kind.MALLOC, 8, 0)]
    usages, _ = by_helper(written([(1, 1, 2, items), (1, 1, 1, items * 2)]), Clock(), {})

    assert {window: usage.allocations for window, usage in usages.items()} == {1: 2, 2: 1}


def test_sizes_are_counted_in_classes_of_two() -> None:
    sizes = [0, 1, 2, 3, 4, 1024]
    items = [(number, number + 1, Kind.MALLOC, size, 0) for number, size in enumerate(sizes)]
    usages, _ = by_helper(written([(1, 1, 1, items)]), Clock(), {})
    counts: dict[int, int] = defaultdict(int, usages[1].histogram)

    assert counts == {0: 1, 1: 1, 2: 2, 4: 1, 1024: 1}


@given(all_chunks=st.lists(chunks, max_size=8))
def test_helper_and_twin_agree_on_what_became_of_sampled_blocks(all_chunks: list[Any]) -> None:
    """Each stack has a number of its own, as chunks give it."""
    number = iter(range(1, 1000))
    numbered = [
        (
            *chunk[:3],
            [(*item[:4], next(number) if item[2] == Kind.STACK else item[4]) for item in chunk[3]],
        )
        for chunk in all_chunks
    ]
    data = written(numbered)
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        helped: dict[int, Any] = {}
        Recording(file=file).analysed({}, io.BytesIO(), helped)
    lives: dict[int, LiveSet] = defaultdict(lambda: LiveSet(0))
    for event in raw.merged(data, Clock()):
        lives[event.window].feed([event])

    assert helped == {window: live.fates() for window, live in lives.items()}


def test_a_stack_lives_as_long_as_its_block_through_moves_and_the_end_of_its_process() -> None:
    live = LiveSet(0)
    base = raw.Event(1, 0, 0, 0, 7, 7, Kind.MALLOC, 1)

    def heap(kind: Kind, address: int, size: int = 0, aux: int = 0) -> raw.Event:
        return base._replace(kind=kind, address=address, size=size, aux=aux)

    def taken(order: int, address: int) -> raw.Event:
        return heap(Kind.STACK, address, aux=order)

    live.feed([
        *(taken(1, 0x10), heap(Kind.MALLOC, 0x10, 10)),
        *(heap(Kind.REALLOC_BEGIN, 0x10), heap(Kind.REALLOC_FAILED, 0x10, 99)),  # stays
        *(heap(Kind.REALLOC_BEGIN, 0x10), taken(2, 0x10), heap(Kind.REALLOC, 0x10, 50, 0x10)),
        *(taken(3, 0x20), heap(Kind.MALLOC, 0x20, 60), heap(Kind.FREE, 0x20)),
        *(taken(4, 0x20), heap(Kind.MALLOC, 0x20, 5), heap(Kind.DETACH, 0)),
    ])  # fmt: skip
    fates = {order: (fate.at_peak, fate.is_leaked) for order, fate in live.fates().items()}

    assert live.finish().peak == 110
    assert fates == {1: (False, False), 2: (True, True), 3: (True, False), 4: (False, True)}
