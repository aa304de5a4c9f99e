"""Golden frames drive encoder and decoder; captured sessions are replayed through a conversation.

The bytes were captured from published clients or computed from the layout (docs/protocol.md).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed.errors import FramingError
from codspeed.hooks.codec import (
    MAX_PAYLOAD,
    Ack,
    AddMarker,
    Command,
    CurrentBenchmark,
    Decoder,
    Err,
    GetIntegrationMode,
    IntegrationModeResponse,
    PingProfiler,
    SetIntegration,
    SetVersion,
    StartProfiler,
    StopProfiler,
    encode,
)
from codspeed.hooks.state import Conversation
from codspeed.model import Integration, IntegrationMode, MarkerKind, Window
from codspeed.protocols import Hooks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

START, END = MarkerKind.ROUND_START, MarkerKind.ROUND_END
TS = 0x0102030405060708

GOLDEN: dict[str, tuple[str, Command]] = {
    # Vectors of the layout.
    "current benchmark": (
        "13000000 00000000 d2040000 0300000000000000 666f6f",
        CurrentBenchmark(1234, "foo"),
    ),
    "current benchmark 42": (
        "13000000 00000000 2a000000 0300000000000000 666f6f",
        CurrentBenchmark(42, "foo"),
    ),
    "uri beyond ASCII": (
        "18000000 00000000 2a000000 0800000000000000 612e70793a3ac3a9",
        CurrentBenchmark(42, "a.py::é"),
    ),
    "negative pid": (
        "13000000 00000000 ffffffff 0300000000000000 666f6f",
        CurrentBenchmark(-1, "foo"),
    ),
    "empty uri": ("10000000 00000000 2a000000 0000000000000000", CurrentBenchmark(42, "")),
    "start": ("04000000 01000000", StartProfiler()),
    "stop": ("04000000 02000000", StopProfiler()),
    "ack": ("04000000 03000000", Ack()),
    "ping": ("04000000 04000000", PingProfiler()),
    "err": ("04000000 06000000", Err()),
    "get mode": ("04000000 09000000", GetIntegrationMode()),
    "integration": (
        "1d000000 05000000 0300000000000000 7a6967 0600000000000000 302e31302e30",
        SetIntegration("zig", "0.10.0"),
    ),
    "sample start": (
        "14000000 07000000 2a000000 00000000 0807060504030201",
        AddMarker(42, MarkerKind.SAMPLE_START, TS),
    ),
    "sample end": (
        "14000000 07000000 2a000000 01000000 0807060504030201",
        AddMarker(42, MarkerKind.SAMPLE_END, TS),
    ),
    "round start 42": (
        "14000000 07000000 2a000000 02000000 0807060504030201",
        AddMarker(42, START, TS),
    ),
    "round end": (
        "14000000 07000000 2a000000 03000000 0807060504030201",
        AddMarker(42, END, TS),
    ),
    "round start": (
        "14000000 07000000 d2040000 02000000 0807060504030201",
        AddMarker(1234, START, TS),
    ),
    "version 1": ("0c000000 08000000 0100000000000000", SetVersion(1)),
    "version 2": ("0c000000 08000000 0200000000000000", SetVersion(2)),
    "largest version": ("0c000000 08000000 ffffffffffffffff", SetVersion(2**64 - 1)),
    "walltime": (
        "08000000 0a000000 00000000",
        IntegrationModeResponse(IntegrationMode.WALLTIME),
    ),
    "simulation": (
        "08000000 0a000000 01000000",
        IntegrationModeResponse(IntegrationMode.SIMULATION),
    ),
    "analysis": (
        "08000000 0a000000 02000000",
        IntegrationModeResponse(IntegrationMode.ANALYSIS),
    ),
    # pytest-codspeed 5.0.4, walltime.
    "pytest 5.0.4": (
        "28000000050000000f000000000000007079746573742d636f6473706565640500000000000000352e302e34",
        SetIntegration("pytest-codspeed", "5.0.4"),
    ),
    "fib round 1": (
        "14000000070000002676000002000000fd5ca0887e000000",
        AddMarker(30246, START, 543458090237),
    ),
    "fib round 1 end": (
        "140000000700000026760000030000001ffca9887e000000",
        AddMarker(30246, END, 543458720799),
    ),
    "fib round 2": (
        "14000000070000002676000002000000d2f9ac887e000000",
        AddMarker(30246, START, 543458916818),
    ),
    "fib round 2 end": (
        "140000000700000026760000030000003748b7887e000000",
        AddMarker(30246, END, 543459592247),
    ),
    "fib round 3": (
        "14000000070000002676000002000000f6a1b9887e000000",
        AddMarker(30246, START, 543459746294),
    ),
    "fib round 3 end": (
        "140000000700000026760000030000006194c3887e000000",
        AddMarker(30246, END, 543460398177),
    ),
    "test_fib": (
        "2300000000000000267600001300000000000000746573745f622e70793a3a746573745f666962",
        CurrentBenchmark(30246, "test_b.py::test_fib"),
    ),
    "test_marked": (
        "2600000000000000267600001600000000000000746573745f622e70793a3a746573745f6d61726b6564",
        CurrentBenchmark(30246, "test_b.py::test_marked"),
    ),
    "test_param": (
        (
            "3400000000000000267600002400000000000000746573745f622e70793a3a5465737447726f75703a3a"
            "746573745f706172616d5b31305d"
        ),
        CurrentBenchmark(30246, "test_b.py::TestGroup::test_param[10]"),
    ),
    "pytest 4.5.0": (
        "28000000050000000f000000000000007079746573742d636f6473706565640500000000000000342e352e30",
        SetIntegration("pytest-codspeed", "4.5.0"),
    ),
    "escaped id": (
        "2700000000000000720600001700000000000000746573745f752e70793a3a746573745f755b5c7865395d",
        CurrentBenchmark(1650, r"test_u.py::test_u[\xe9]"),
    ),
    # pytest-codspeed 5.0.4, memory.
    "test_fib in memory": (
        "2300000000000000817e00001300000000000000746573745f622e70793a3a746573745f666962",
        CurrentBenchmark(32385, "test_b.py::test_fib"),
    ),
    # tinybench-plugin 5.7.1.
    "node 5.7.1": (
        "26000000050000000d00000000000000636f6473706565642d6e6f64650500000000000000352e372e31",
        SetIntegration("codspeed-node", "5.7.1"),
    ),
    "fib10": (
        "2700000000000000193e0000170000000000000062656e63682e6d6a733a3a73756974653a3a6669623130",
        CurrentBenchmark(15897, "bench.mjs::suite::fib10"),
    ),
    "fib10 round": (
        "1400000007000000193e000002000000b6a4b365cd000000",
        AddMarker(15897, START, 882174567606),
    ),
    "fib10 round end": (
        "1400000007000000193e00000300000080d5076acd000000",
        AddMarker(15897, END, 882247193984),
    ),
    "fib15": (
        (
            "2e00000000000000193e00001e0000000000000062656e63682e6d6a733a3a73756974653a3a666962313520"
            "5b6e3d31355d"
        ),
        CurrentBenchmark(15897, "bench.mjs::suite::fib15 [n=15]"),
    ),
    "fib15 round": (
        "1400000007000000193e0000020000008843606ccd000000",
        AddMarker(15897, START, 882286543752),
    ),
    "fib15 round end": (
        "1400000007000000193e000003000000ec32986dcd000000",
        AddMarker(15897, END, 882306986732),
    ),
    # vitest-plugin 5.7.1 on vitest 4.1.11.
    "vitest round": (
        "1400000007000000e93e0000020000008617533fce000000",
        AddMarker(16105, START, 885825673094),
    ),
    "vitest round end": (
        "1400000007000000e93e00000300000097c4fd40ce000000",
        AddMarker(16105, END, 885853635735),
    ),
    "vitest fib10": (
        "1700000000000000e93e000007000000000000003a3a6669623130",
        CurrentBenchmark(16105, "::fib10"),
    ),
    "vitest fib15": (
        "29000000000000002241000019000000000000006669622e62656e63682e6a733a3a666962733a3a6669623135",
        CurrentBenchmark(16674, "fib.bench.js::fibs::fib15"),
    ),
    # Others.
    "cpp 2.3.0": (
        "25000000050000000c00000000000000636f6473706565642d6370700500000000000000322e332e30",
        SetIntegration("codspeed-cpp", "2.3.0"),
    ),
    "go 1.2.1": (
        "24000000050000000b00000000000000636f6473706565642d676f0500000000000000312e322e31",
        SetIntegration("codspeed-go", "1.2.1"),
    ),
    "go fib": (
        "2900000000000000656b000019000000000000006669625f746573742e676f3a3a42656e63686d61726b466962",
        CurrentBenchmark(27493, "fib_test.go::BenchmarkFib"),
    ),
    "go loop": (
        (
            "3100000000000000656b000021000000000000006669625f746573742e676f3a3a42656e63686d61726b4c6f"
            "6f703a3a7375623d31"
        ),
        CurrentBenchmark(27493, "fib_test.go::BenchmarkLoop::sub=1"),
    ),
    "jvm 0.1.1": (
        "25000000050000000c00000000000000636f6473706565642d6a766d0500000000000000302e312e31",
        SetIntegration("codspeed-jvm", "0.1.1"),
    ),
    "jvm fib": (
        (
            "4300000000000000ec6f000033000000000000007372632f64656d6f2f46696242656e63682e6a6176613a3a"
            "64656d6f2e46696242656e63683a3a66696242656e63685b31305d"
        ),
        CurrentBenchmark(28652, "src/demo/FibBench.java::demo.FibBench::fibBench[10]"),
    ),
    "rust fib": (
        (
            "2a000000000000004e5a00001a0000000000000062656e636865732f637573746f6d2e72733a3a6669625b31"
            "305d"
        ),
        CurrentBenchmark(23118, "benches/custom.rs::fib[10]"),
    ),
}


def frame(name: str) -> bytes:
    return bytes.fromhex(GOLDEN[name][0])


def tr(pieces: Iterable[bytes]) -> tuple[list[Command], bytes]:
    """Feed `pieces` to a fresh decoder; return the commands and what is pending at the end."""
    decoder = Decoder()
    commands = [command for piece in pieces for command in decoder.feed(piece)]
    return commands, decoder.pending


def single_bytes(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


# --- Whole frames --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOLDEN)
def test_encoder_writes_the_golden_frame(name: str) -> None:
    assert encode(GOLDEN[name][1]) == frame(name)


@pytest.mark.parametrize("name", GOLDEN)
def test_decoder_reads_the_golden_frame_in_any_pieces(name: str) -> None:
    """Whole, length and payload apart, byte by byte, and with trailing data of a next frame."""
    data, command = frame(name), GOLDEN[name][1]

    assert tr([data]) == ([command], b"")
    assert tr([data[:4], data[4:]]) == ([command], b"")
    assert tr(single_bytes(data)) == ([command], b"")
    assert tr([data + data[:-1]]) == ([command], data[:-1])
    assert tr([data + data]) == ([command, command], b"")


def test_bytes_behind_a_complete_command_are_tolerated_inside_its_frame() -> None:
    data = bytes.fromhex("10000000 08000000 0200000000000000 deadbeef 04000000 03000000")

    assert tr([data]) == ([SetVersion(2), Ack()], b"")
    assert tr(single_bytes(data)) == ([SetVersion(2), Ack()], b"")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(SetVersion(2**64), id="version"),
        pytest.param(AddMarker(2**31, START, 1), id="pid"),
        pytest.param(AddMarker(1, START, -1), id="timestamp"),
        pytest.param(CurrentBenchmark(1, "\ud800"), id="lone surrogate"),
        pytest.param(CurrentBenchmark(1, "x" * MAX_PAYLOAD), id="too long"),
    ],
)
def test_what_does_not_fit_a_frame_is_a_local_fault(command: Command) -> None:
    with pytest.raises(ValueError):
        encode(command)


def test_what_is_no_command_has_no_frame() -> None:
    with pytest.raises(TypeError, match="'ack' is no command"):
        encode("ack")  # type: ignore[arg-type]  # what is wrong is the point


def test_the_longest_uri_that_is_possible_makes_the_round_trip() -> None:
    command = CurrentBenchmark(1, "x" * (MAX_PAYLOAD - 16))

    assert tr([encode(command)]) == ([command], b"")


def test_missing_counts_bytes_that_surely_belong_to_the_frame() -> None:
    decoder = Decoder()
    expected = []
    for piece in single_bytes(frame("walltime")):
        expected.append(decoder.missing)
        list(decoder.feed(piece))

    # Until the length is known the smallest frame is assumed.
    assert expected == [8, 7, 6, 5, 8, 7, 6, 5, 4, 3, 2, 1]


# --- Lost framing --------------------------------------------------------------------------------

BROKEN = {
    "length 0": ("00000000", "a length of 0 bytes (possible are 4 to 8388608)"),
    "length 3": ("03000000", "a length of 3 bytes (possible are 4 to 8388608)"),
    "length 8 MiB + 1": ("01008000", "a length of 8388609 bytes (possible are 4 to 8388608)"),
    "tag 11": ("04000000 0b000000", "unknown tag 11"),
    "tag 11, not yet whole": ("64000000 0b000000", "unknown tag 11"),
    "marker 4": (
        "14000000 07000000 2a000000 04000000 0807060504030201",
        "the payload does not fit tag 7: 4 is not a valid MarkerKind",
    ),
    "mode 3": (
        "08000000 0a000000 03000000",
        "the payload does not fit tag 10: 3 is not a valid IntegrationMode",
    ),
    "short version": (
        "08000000 08000000 02000000",
        (
            "the payload does not fit tag 8: unpack_from requires a buffer of at least 12 bytes"
            " for unpacking 12 bytes at offset 0 (actual buffer size is 8)"
        ),
    ),
    "short string": (
        "12000000 00000000 2a000000 0300000000000000 666f",
        "the payload does not fit tag 0: a string of 3 bytes in the 2 that are left",
    ),
    "endless string": (
        "10000000 00000000 2a000000 ffffffffffffffff",
        (
            "the payload does not fit tag 0: a string of 18446744073709551615 bytes in the 0"
            " that are left"
        ),
    ),
    "not UTF-8": (
        "11000000 00000000 2a000000 0100000000000000 ff",
        (
            "the payload does not fit tag 0: 'utf-8' codec can't decode byte 0xff in position 0:"
            " invalid start byte"
        ),
    ),
    "two writers, torn": ("04000000 14000000 01000000 07000000", "unknown tag 20"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_bad_frame_is_named_and_its_bytes_are_shown(name: str) -> None:
    data, problem = bytes.fromhex(BROKEN[name][0]), BROKEN[name][1]
    with pytest.raises(FramingError) as caught:
        tr([data])

    assert caught.value.problem == f"the byte stream on the FIFO is broken: {problem}"
    assert caught.value.offending == data.hex()
    assert caught.value.hint == (
        "two processes that report at once do this: run the benchmarks serially (pytest: -n0)"
    )


@pytest.mark.parametrize("name", BROKEN)
def test_good_frames_before_a_bad_one_come_out_first(name: str) -> None:
    stream = Decoder().feed(frame("start") + frame("ack") + bytes.fromhex(BROKEN[name][0]))

    assert next(stream) == StartProfiler()
    assert next(stream) == Ack()
    with pytest.raises(FramingError):
        next(stream)


def test_lost_stream_stays_lost() -> None:
    decoder = Decoder()
    for _attempt in range(2):
        with pytest.raises(FramingError):
            list(decoder.feed(bytes(4)))
    with pytest.raises(FramingError):
        list(decoder.feed(frame("ack")))

    assert decoder.pending.hex() == "0000000000000000" + frame("ack").hex()


def test_only_the_first_kilobyte_of_a_bad_frame_is_shown() -> None:
    with pytest.raises(FramingError) as caught:
        tr([bytes(5000)])

    assert caught.value.offending == "00" * 1024


def test_commands_that_were_not_asked_for_come_first_the_next_time() -> None:
    decoder = Decoder()

    assert next(decoder.feed(frame("start") + frame("stop"))) == StartProfiler()
    assert list(decoder.feed(frame("ack"))) == [StopProfiler(), Ack()]


def test_stalled_frame_becomes_an_error_that_shows_it() -> None:
    decoder = Decoder()
    list(decoder.feed(frame("test_fib")[:9]))
    error = decoder.stalled(2.0)

    assert error.problem == (
        "the byte stream on the FIFO is broken: a frame stayed incomplete for 2 s"
    )
    assert error.offending == frame("test_fib")[:9].hex()


# --- Properties ----------------------------------------------------------------------------------

pids = st.integers(-(2**31), 2**31 - 1)
texts = st.text(max_size=30)
commands = st.one_of(
    st.sampled_from([command for _hex, command in GOLDEN.values()]),
    st.builds(CurrentBenchmark, pids, texts),
    st.builds(SetIntegration, texts, texts),
    st.builds(AddMarker, pids, st.sampled_from(MarkerKind), st.integers(0, 2**64 - 1)),
    st.builds(SetVersion, st.integers(0, 2**64 - 1)),
)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(sent=st.lists(commands), places=st.lists(st.integers(0, 10_000)))
def test_any_split_of_the_stream_gives_the_same_commands(
    sent: list[Command], places: list[int]
) -> None:
    stream = b"".join(map(encode, sent))

    assert tr(cut(stream, places)) == (sent, b"")


@given(data=st.binary(max_size=200), places=st.lists(st.integers(0, 10_000)))
def test_garbage_raises_only_framing_errors_wherever_it_is_cut(
    data: bytes, places: list[int]
) -> None:
    def outcome(pieces: Sequence[bytes]) -> tuple[list[Command], bool]:
        decoder, seen = Decoder(), []
        try:
            for piece in pieces:
                for command in decoder.feed(piece):
                    seen.append(command)  # noqa: PERF402 - a list() would lose them with the error
        except FramingError:
            return seen, True
        return seen, False

    assert outcome(cut(data, places)) == outcome([data])


@given(
    payload=st.binary(max_size=60),
    tag=st.sampled_from([0, 5, 7, 8, 10]),
)
def test_well_framed_nonsense_is_a_command_or_a_framing_error(payload: bytes, tag: int) -> None:
    data = (len(payload) + 4).to_bytes(4, "little") + tag.to_bytes(4, "little") + payload
    try:
        seen, pending = tr([data])
    except FramingError:
        return

    assert len(seen) == 1
    assert not pending


@given(first=st.lists(commands), second=st.lists(commands), order=st.randoms())
def test_two_writers_of_whole_frames_both_come_through_in_their_order(
    first: list[Command],
    second: list[Command],
    order: object,
) -> None:
    queues = [[(0, command) for command in first], [(1, command) for command in second]]
    mixed = []
    while any(queues):
        queue = order.choice([queue for queue in queues if queue])  # type: ignore[attr-defined]  # random's stub knows no choice of lists
        mixed.append(queue.pop(0))
    seen, _pending = tr([b"".join(encode(command) for _writer, command in mixed)])

    assert seen == [command for _writer, command in mixed]
    by_writer = list(zip((writer for writer, _command in mixed), seen, strict=True))
    assert [command for writer, command in by_writer if writer == 0] == first
    assert [command for writer, command in by_writer if writer == 1] == second


# --- Captured sessions, frame by frame -----------------------------------------------------------

SHAKE = ["version 2", "get mode"]
FIB_ROUNDS = [
    "fib round 1",
    "fib round 1 end",
    "fib round 2",
    "fib round 2 end",
    "fib round 3",
    "fib round 3 end",
]


def replay(
    names: Iterable[str], times: Iterable[int], mode: IntegrationMode = IntegrationMode.WALLTIME
) -> tuple[list[str], Conversation]:
    """Feed golden frames to a conversation; return its replies as hex, and itself."""
    ticks = iter(times)
    warnings: list[str] = []
    conversation = Conversation(Hooks(), mode=mode, clock=lambda: next(ticks), warn=warnings.append)
    seen, _pending = tr([b"".join(map(frame, names))])
    replies = [encode(conversation.answer(command)).hex() for command in seen]

    assert warnings == []
    assert conversation.ended is None
    assert next(ticks, None) is None
    return replies, conversation


ACK = "0400000003000000"
WALLTIME = "080000000a00000000000000"
ANALYSIS = "080000000a00000002000000"


def test_session_of_pytest_5_in_walltime_gives_its_windows_and_rounds() -> None:
    replies, conversation = replay(
        [
            *SHAKE,
            *SHAKE,
            "pytest 5.0.4",
            "start",
            *FIB_ROUNDS,
            "stop",
            "test_fib",
            "start",
            "stop",
            "test_marked",
            "start",
            "stop",
            "test_param",
        ],
        [
            543458000000,
            543460500000,
            543460600000,
            543470000000,
            543480000000,
            543490000000,
            543500000000,
            543510000000,
            543520000000,
        ],
    )
    integration, windows, timestamps = conversation.finish()

    assert replies == [ACK, WALLTIME, ACK, WALLTIME] + [ACK] * 16
    assert integration == Integration("pytest-codspeed", "5.0.4")
    assert windows == (
        Window(
            "test_b.py::test_fib",
            (30246,),
            543458000000,
            543460500000,
            (
                (543458090237, 543458720799),
                (543458916818, 543459592247),
                (543459746294, 543460398177),
            ),
        ),
        Window("test_b.py::test_marked", (30246,), 543470000000, 543480000000),
        Window("test_b.py::TestGroup::test_param[10]", (30246,), 543500000000, 543510000000),
    )
    assert timestamps.uri_by_ts == (
        (543460600000, "test_b.py::test_fib"),
        (543490000000, "test_b.py::test_marked"),
        (543520000000, "test_b.py::TestGroup::test_param[10]"),
    )
    assert timestamps.markers[:3] == (
        (MarkerKind.SAMPLE_START, 543458000000),
        (START, 543458090237),
        (END, 543458720799),
    )
    assert len(timestamps.markers) == 12


@pytest.mark.parametrize(
    "handshake",
    [
        pytest.param(["ping"], id="generation 0"),
        pytest.param(["ping", "version 1"], id="generation 1"),
        pytest.param(["version 2", "get mode", "version 2", "get mode"], id="generation 2"),
    ],
)
def test_clients_without_markers_are_served_in_every_generation(handshake: list[str]) -> None:
    replies, conversation = replay(
        [*handshake, "pytest 4.5.0", "start", "stop", "escaped id"], [10, 20, 30]
    )
    integration, windows, timestamps = conversation.finish()

    assert replies == [WALLTIME if name == "get mode" else ACK for name in handshake] + [ACK] * 4
    assert integration == Integration("pytest-codspeed", "4.5.0")
    assert windows == (Window(r"test_u.py::test_u[\xe9]", (1650,), 10, 20),)
    assert timestamps.uri_by_ts == ((30, r"test_u.py::test_u[\xe9]"),)


def test_session_of_pytest_5_in_memory_has_one_probe() -> None:
    replies, conversation = replay(
        [*SHAKE, "pytest 5.0.4", "start", "stop", "test_fib in memory"],
        [10, 20, 30],
        IntegrationMode.ANALYSIS,
    )

    assert replies == [ACK, ANALYSIS, ACK, ACK, ACK, ACK]
    assert conversation.finish()[1] == (Window("test_b.py::test_fib", (32385,), 10, 20),)


def test_session_of_tinybench_sends_rounds_after_the_window_and_they_count() -> None:
    replies, conversation = replay(
        [
            *SHAKE,
            *SHAKE,
            "node 5.7.1",
            "start",
            "stop",
            "fib10",
            "fib10 round",
            "fib10 round end",
            "start",
            "stop",
            "fib15",
            "fib15 round",
            "fib15 round end",
        ],
        [882174000000, 882248000000, 882248100000, 882280000000, 882307000000, 882307100000],
    )

    assert replies == [ACK, WALLTIME, ACK, WALLTIME] + [ACK] * 11
    assert conversation.finish()[1] == (
        Window(
            "bench.mjs::suite::fib10",
            (15897,),
            882174000000,
            882248000000,
            ((882174567606, 882247193984),),
        ),
        Window(
            "bench.mjs::suite::fib15 [n=15]",
            (15897,),
            882280000000,
            882307000000,
            ((882286543752, 882306986732),),
        ),
    )


def test_session_of_vitest_shakes_hands_in_two_processes() -> None:
    replies, conversation = replay(
        [
            *SHAKE,
            *SHAKE,
            *SHAKE,
            *SHAKE,
            "node 5.7.1",
            "start",
            "vitest round",
            "vitest round end",
            "stop",
            "vitest fib10",
        ],
        [885825000000, 885854000000, 885855000000],
    )

    assert replies == [ACK, WALLTIME] * 4 + [ACK] * 6
    assert conversation.finish()[1] == (
        Window(
            "::fib10",
            (16105,),
            885825000000,
            885854000000,
            ((885825673094, 885853635735),),
        ),
    )


def test_session_of_jmh_shakes_hands_inside_the_open_window_of_its_parent() -> None:
    replies, conversation = replay(
        [*SHAKE, *SHAKE, "jvm 0.1.1", "start", *SHAKE, *SHAKE, *FIB_ROUNDS, "stop", "jvm fib"],
        [543458000000, 543460500000, 543460600000],
    )
    (window,) = conversation.finish()[1]

    assert replies == [ACK, WALLTIME] * 2 + [ACK] * 2 + [ACK, WALLTIME] * 2 + [ACK] * 8
    assert window.uri == "src/demo/FibBench.java::demo.FibBench::fibBench[10]"
    assert window.pids == (30246, 28652)
    assert len(window.rounds) == 3
