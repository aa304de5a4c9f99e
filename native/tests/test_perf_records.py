"""Records as the kernel lays them out, made by hand; and the order of several rings."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed_native import perf_decoder
from codspeed_native.perf_decoder import Attribute, Decoder, Event
from codspeed_native.perf_records import (
    Comm,
    Exit,
    Fork,
    Lost,
    Mmap,
    PerfDataError,
    Rounds,
    Sample,
    Switch,
)

SAMPLED = (
    perf_decoder.IP
    | perf_decoder.TID
    | perf_decoder.TIME
    | perf_decoder.CPU
    | perf_decoder.PERIOD
    | perf_decoder.CALLCHAIN
    | perf_decoder.REGS_USER
    | perf_decoder.STACK_USER
)
PLAIN = Attribute(1, 0, SAMPLED, 0, 1 << 18, registers_mask=0b111)
TRAILER = struct.pack("<IIQQ", 7, 8, 900, 0)  # pid, tid, time, cpu


def _record(kind: int, body: bytes, misc: int = 0) -> bytes:
    body = body.ljust(-(-len(body) // 8) * 8, b"\0")
    return struct.pack("<IHH", kind, misc, 8 + len(body)) + body


def _sample(chain: tuple[int, ...] = (1, 2), stack: bytes = b"s" * 16, used: int = 8) -> bytes:
    body = struct.pack("<QIIQIIQ", 0x1234, 7, 8, 555, 3, 0, 1_000_000)
    body += struct.pack(f"<Q{len(chain)}Q", len(chain), *chain)
    body += struct.pack("<QQQQ", 2, 10, 20, 30)
    body += struct.pack("<Q", len(stack)) + stack + struct.pack("<Q", used)
    return _record(9, body)


def test_a_sample_has_chain_registers_and_the_used_part_of_the_stack() -> None:
    (sample,) = Decoder([Event(PLAIN)]).decode(_sample())

    assert isinstance(sample, Sample)
    assert sample[:-1] == (555, 7, 8, 3, 0, 0x1234, 1_000_000, (1, 2), 2, (10, 20, 30))
    assert bytes(sample.stack) == b"s" * 8


def test_a_sample_of_a_kernel_thread_has_neither_registers_nor_stack() -> None:
    body = struct.pack("<QIIQIIQQQQ", 0x1234, 7, 8, 555, 3, 0, 1, 0, 0, 0)

    (sample,) = Decoder([Event(PLAIN)]).decode(_record(9, body))

    assert isinstance(sample, Sample)
    assert (sample.abi, sample.registers, bytes(sample.stack)) == (0, (), b"")


def test_what_lies_between_is_stepped_over() -> None:
    selected = (
        SAMPLED | perf_decoder.READ | perf_decoder.RAW | perf_decoder.BRANCH_STACK
    ) & ~perf_decoder.CALLCHAIN
    attribute = Attribute(1, 0, selected, 4 | 1, 1 << 18, 1 << 17, 0b111)
    body = struct.pack("<QIIQIIQ", 0x1234, 7, 8, 555, 3, 0, 1)
    body += struct.pack("<QQQ", 5, 6, 7)  # value, time enabled, id
    body += struct.pack("<I4x", 4)  # raw: u32 size, then so many bytes
    body += struct.pack("<QQ24x", 1, 0)  # one branch, behind an index
    body += struct.pack("<QQQQ", 2, 10, 20, 30) + struct.pack("<Q8sQ", 8, b"stack...", 8)

    (sample,) = Decoder([Event(attribute)]).decode(_record(9, body))

    assert isinstance(sample, Sample)
    assert sample.registers == (10, 20, 30)
    assert bytes(sample.stack) == b"stack..."


MMAP_HEAD = struct.pack("<IIQQQ", 7, 7, 0x1000, 0x2000, 0x3000)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            _record(1, MMAP_HEAD + b"/a\0".ljust(8, b"\0") + TRAILER),
            Mmap(900, 7, 7, 0x1000, 0x2000, 0x3000, "", is_executable=True, path="/a"),
        ),
        (
            _record(10, MMAP_HEAD + bytes(24) + struct.pack("<II", 5, 2) + b"/lib/b\0\0" + TRAILER),
            Mmap(900, 7, 7, 0x1000, 0x2000, 0x3000, "", is_executable=True, path="/lib/b"),
        ),
        (
            _record(
                10,
                MMAP_HEAD + b"\x02\0\0\0\xab\xcd".ljust(24, b"\0") + bytes(8) + bytes(8) + TRAILER,
                misc=1 << 14,
            ),
            Mmap(900, 7, 7, 0x1000, 0x2000, 0x3000, "abcd", is_executable=False, path=""),
        ),
        (
            _record(3, struct.pack("<II8s", 7, 8, b"name") + TRAILER, misc=1 << 13),
            Comm(900, 7, 8, "name", is_exec=True),
        ),
        (
            _record(7, struct.pack("<IIIIQ", 70, 7, 71, 8, 800) + TRAILER),
            Fork(800, 70, 71, 7, 8),
        ),
        (
            _record(4, struct.pack("<IIIIQ", 70, 7, 71, 8, 800) + TRAILER),
            Exit(800, 70, 71, 7, 8),
        ),
        (_record(2, struct.pack("<QQ", 1, 12) + TRAILER), Lost(900, 7, 8, 12)),
        (_record(13, struct.pack("<Q", 13) + TRAILER), Lost(900, 7, 8, 13)),
        (_record(14, TRAILER, misc=3 << 13), Switch(900, 7, 8, is_out=True, is_preempted=True)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_records(raw: bytes, expected: object) -> None:
    assert Decoder([Event(PLAIN)]).decode(raw + _record(12, b"")) == [expected]


def test_events_of_two_layouts_are_told_apart_by_their_ids() -> None:
    selected = perf_decoder.IDENTIFIER | perf_decoder.IP | perf_decoder.TID | perf_decoder.TIME
    small = Attribute(1, 9, selected, 0, 1 << 18)
    large = Attribute(1, 0, selected | perf_decoder.PERIOD, 0, 1 << 18)
    decoder = Decoder([Event(small, (1,)), Event(large, (2,))])
    raw = _record(9, struct.pack("<QQIIQ", 1, 0x10, 7, 8, 5))
    raw += _record(9, struct.pack("<QQIIQQ", 2, 0x20, 7, 8, 6, 77))

    first, second = decoder.decode(raw)

    assert isinstance(first, Sample)
    assert isinstance(second, Sample)
    assert (first.event_id, first.ip, first.period) == (1, 0x10, 0)
    assert (second.event_id, second.ip, second.period) == (2, 0x20, 77)


def test_layouts_that_can_not_be_told_apart_are_refused() -> None:
    other = Attribute(1, 9, SAMPLED & ~perf_decoder.CALLCHAIN, 0, 0)

    with pytest.raises(PerfDataError) as caught:
        Decoder([Event(PLAIN), Event(other)])

    assert "IDENTIFIER" in caught.value.problem


def test_an_attribute_is_read_from_the_bytes_of_perf_event_open() -> None:
    raw = struct.pack("<IIQQQQQ", 1, 128, 7, 997, SAMPLED, 4, 1 << 18)
    raw += struct.pack("<IIQQQQIi", 0, 0, 0, 0, 1 << 17, 0xFF0FFF, 32768, 1).ljust(80, b"\0")

    read = Attribute.parse(raw)

    assert read == Attribute(1, 7, SAMPLED, 4, 1 << 18, 1 << 17, 0xFF0FFF, 1)
    assert Attribute.parse(raw[:64]).registers_mask == 0
    with pytest.raises(PerfDataError):
        Attribute.parse(raw[:63])


def _at(time: int) -> Comm:
    return Comm(time, 1, 1, "", is_exec=False)


@given(st.data())
def test_rings_that_are_drained_in_turn_come_out_in_one_order(data: st.DataObject) -> None:
    """Each ring is in order, and holds what was written since it was drained last."""
    times = sorted(data.draw(st.lists(st.integers(0, 1_000), max_size=40)))
    rings = [[time for i, time in enumerate(times) if i % 3 == ring] for ring in range(3)]
    drained_at = sorted(data.draw(st.lists(st.integers(0, 1_000), max_size=6)))
    rounds = Rounds()
    out = []
    for moment in drained_at:
        for index, ring in enumerate(rings):
            rounds.add([_at(time) for time in ring if time < moment])
            rings[index] = [time for time in ring if time >= moment]
        out += rounds.finish()
    for ring in rings:
        rounds.add(map(_at, ring))
    out += rounds.rest()

    assert [record.time for record in out] == times


def test_what_was_there_one_round_ago_is_ready() -> None:
    rounds = Rounds()
    rounds.add([_at(5), _at(3)])
    first = rounds.finish()
    rounds.add([_at(9), _at(4)])

    assert first == []
    assert [record.time for record in rounds.finish()] == [3, 4, 5]
    assert [record.time for record in rounds.rest()] == [9]


@given(st.data())
def test_garbage_raises_perf_data_error_only(data: st.DataObject) -> None:
    raw = bytearray(_sample() + _record(3, struct.pack("<II8s", 7, 8, b"name") + TRAILER))
    for at in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=6)):
        raw[at] = data.draw(st.integers(0, 255))

    with contextlib.suppress(PerfDataError):
        Decoder([Event(PLAIN)]).decode(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    with contextlib.suppress(PerfDataError):
        attribute = Attribute.parse(data.draw(st.binary(max_size=120)))
        Decoder([Event(attribute)]).decode(bytes(raw))
