"""Our client against a scripted runner, and the scripted client against a real conversation."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codspeed.errors import ProtocolError, ProtocolVersionError
from codspeed.hooks.client import Client, connect
from codspeed.hooks.codec import (
    Ack,
    AddMarker,
    Command,
    CurrentBenchmark,
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
from codspeed.testing.fifo_peer import FifoPeer, make_fifos, polite, serving

if TYPE_CHECKING:
    from collections.abc import Callable

WALLTIME, ANALYSIS = IntegrationMode.WALLTIME, IntegrationMode.ANALYSIS
SHAKE: list[Command] = [SetVersion(2), GetIntegrationMode()]
HOLD = b""

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")


@pytest.fixture
def fifos(tmp_path: Path) -> tuple[Path, Path]:
    return make_fifos(tmp_path)


def scripted(answers: dict[type[Command], bytes]) -> Callable[[Command], bytes]:
    """Answer as in `answers`, and politely what is not there."""
    fallback = polite(WALLTIME)

    def answer(command: Command) -> bytes:
        return answers.get(type(command), fallback(command))

    return answer


def joined(fifos: tuple[Path, Path], timeout: float = 5.0) -> Client:
    client = connect(timeout=timeout, ctl=fifos[0], ack=fifos[1])
    assert client is not None
    return client


# --- Connecting ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", IntegrationMode)
def test_client_learns_the_mode(fifos: tuple[Path, Path], mode: IntegrationMode) -> None:
    with serving(*fifos, polite(mode)) as seen, joined(fifos) as client:
        assert client.mode is mode
    assert seen == SHAKE


def test_absent_fifos_mean_nobody_is_there(tmp_path: Path) -> None:
    assert connect(ctl=tmp_path / "ctl", ack=tmp_path / "ack") is None


def test_one_fifo_is_not_enough(fifos: tuple[Path, Path]) -> None:
    fifos[1].unlink()

    assert connect(ctl=fifos[0], ack=fifos[1]) is None


def test_files_and_links_in_the_place_of_fifos_are_left_alone(
    fifos: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(fifos[0])

    assert connect(ctl=tmp_path / "file", ack=fifos[1]) is None
    assert connect(ctl=tmp_path / "link", ack=fifos[1]) is None
    assert (tmp_path / "file").read_bytes() == b""


def test_fifos_that_nobody_serves_cost_one_timeout(fifos: tuple[Path, Path]) -> None:
    begin = time.monotonic()

    assert connect(timeout=0.05, ctl=fifos[0], ack=fifos[1]) is None
    assert 0.05 <= time.monotonic() - begin < 1


def test_unwanted_mode_means_nobody_is_there(fifos: tuple[Path, Path]) -> None:
    with serving(*fifos, polite(WALLTIME)):
        assert connect({ANALYSIS}, ctl=fifos[0], ack=fifos[1]) is None


def test_runner_that_does_not_tell_the_mode_is_not_ours(fifos: tuple[Path, Path]) -> None:
    with serving(*fifos, scripted({GetIntegrationMode: encode(Err())})):
        assert connect(ctl=fifos[0], ack=fifos[1]) is None


def test_rejected_version_names_the_side_to_upgrade(fifos: tuple[Path, Path]) -> None:
    with (
        serving(*fifos, scripted({SetVersion: encode(Err())})),
        pytest.raises(ProtocolVersionError) as caught,
    ):
        connect(ctl=fifos[0], ack=fifos[1])

    assert str(caught.value) == "the runner rejected protocol version 2\nupgrade codspeed-core"


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_no_descriptor_is_left_open(fifos: tuple[Path, Path]) -> None:
    before = open_descriptors()
    with serving(*fifos, polite(WALLTIME)):
        joined(fifos).close()
        connect({ANALYSIS}, ctl=fifos[0], ack=fifos[1])
    connect(timeout=0.01, ctl=fifos[0], ack=fifos[1])
    connect(ctl=fifos[0], ack=fifos[0].with_name("absent"))

    assert open_descriptors() == before


# --- Commands ------------------------------------------------------------------------------------


def test_each_method_sends_its_command(fifos: tuple[Path, Path]) -> None:
    with serving(*fifos, polite(WALLTIME)) as seen, joined(fifos) as client:
        client.set_integration("exec-harness", "1.2.3")
        client.start()
        client.marker(7, MarkerKind.ROUND_START, 100)
        client.stop()
        client.benchmark(7, "a::b")

    assert seen == [
        *SHAKE,
        SetIntegration("exec-harness", "1.2.3"),
        StartProfiler(),
        AddMarker(7, MarkerKind.ROUND_START, 100),
        StopProfiler(),
        CurrentBenchmark(7, "a::b"),
    ]


@pytest.mark.parametrize("count", [0, 1, 170, 171, 1000])
def test_many_markers_arrive_whole_and_in_order(fifos: tuple[Path, Path], count: int) -> None:
    marks = [(7, MarkerKind.ROUND_START, timestamp) for timestamp in range(count)]
    with serving(*fifos, polite(WALLTIME)) as seen, joined(fifos) as client:
        client.add_markers(marks)
        client.stop()

    assert seen == [*SHAKE, *(AddMarker(*mark) for mark in marks), StopProfiler()]


def test_uri_longer_than_the_pipe_arrives(fifos: tuple[Path, Path]) -> None:
    uri = "x" * 300_000
    with serving(*fifos, polite(WALLTIME)) as seen, joined(fifos) as client:
        client.benchmark(7, uri)

    assert seen == [*SHAKE, CurrentBenchmark(7, uri)]


def test_refused_command_raises_and_the_next_one_works(fifos: tuple[Path, Path]) -> None:
    answer = scripted({StartProfiler: encode(Err())})
    with serving(*fifos, answer), joined(fifos) as client:
        with pytest.raises(ProtocolError) as caught:
            client.start()
        client.stop()

    assert caught.value.problem == "the runner answered Err() to StartProfiler()"


def test_one_refused_marker_of_many_is_named(fifos: tuple[Path, Path]) -> None:
    def answer(command: Command) -> bytes:
        is_bad = isinstance(command, AddMarker) and command.timestamp == 2
        return encode(Err()) if is_bad else polite(WALLTIME)(command)

    with serving(*fifos, answer), joined(fifos) as client:
        with pytest.raises(ProtocolError) as caught:
            client.add_markers([(7, MarkerKind.ROUND_END, timestamp) for timestamp in range(5)])
        client.stop()

    assert caught.value.problem == (
        "the runner answered Err() to AddMarker(pid=7, kind=<MarkerKind.ROUND_END: 3>, timestamp=2)"
    )


def test_reply_in_two_writes_is_read(fifos: tuple[Path, Path]) -> None:
    """The length comes first; the payload follows with the next frame's length."""
    pieces = iter([encode(Ack())[:4], encode(Ack())[4:] + encode(Ack())])
    answer = scripted({})
    with (
        serving(
            *fifos,
            lambda command: next(pieces) if isinstance(command, AddMarker) else answer(command),
        ),
        joined(fifos) as client,
    ):
        client.add_markers([(7, MarkerKind.ROUND_START, 1), (7, MarkerKind.ROUND_END, 2)])


def test_late_reply_is_not_taken_for_the_next_one(fifos: tuple[Path, Path]) -> None:
    """Start is refused, but only after its time was up; Stop is then acknowledged."""
    replies: dict[type[Command], bytes] = {
        StartProfiler: HOLD,
        StopProfiler: encode(Err()) + encode(Ack()),
    }
    with serving(*fifos, scripted(replies)), joined(fifos, timeout=0.1) as client:
        with pytest.raises(ProtocolError) as caught:
            client.start()
        client.stop()

    assert caught.value.problem == "the runner did not answer StartProfiler() in time"


def test_closing_takes_late_replies_that_are_ours_and_no_others(fifos: tuple[Path, Path]) -> None:
    ack = os.open(fifos[1], os.O_RDWR | os.O_NONBLOCK)
    with serving(*fifos, scripted({StartProfiler: HOLD})), joined(fifos, timeout=0.05) as client:
        with pytest.raises(ProtocolError):
            client.start()
        os.write(ack, encode(Err()) + encode(Ack()))
    left = os.read(ack, 100)
    os.close(ack)

    assert left == encode(Ack())


# --- The scripted client -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("generation", "replies"),
    [
        (0, [Ack(), Ack()]),
        (1, [Ack(), Ack(), Ack()]),
        (2, [Ack(), IntegrationModeResponse(WALLTIME), Ack()]),
    ],
)
def test_peer_of_each_generation_is_served(
    fifos: tuple[Path, Path], generation: int, replies: list[Command]
) -> None:
    ticks = iter([100, 200, 300])
    conversation = Conversation(Hooks(), mode=WALLTIME, clock=lambda: next(ticks), warn=pytest.fail)
    with (
        serving(*fifos, lambda command: encode(conversation.answer(command))),
        FifoPeer(*fifos) as peer,
    ):
        greeting = peer.greet(generation, "pytest-codspeed", "4.0.0")
        peer.run_benchmark(7, "a::b", [(110, 120)])

    assert greeting == replies
    integration, windows, _timestamps = conversation.finish()
    assert integration == Integration("pytest-codspeed", "4.0.0")
    assert windows == (Window("a::b", (7,), 100, 200, ((110, 120),)),)


def test_peer_sends_raw_bytes_and_waits_for_what_comes(fifos: tuple[Path, Path]) -> None:
    with serving(*fifos, polite(WALLTIME)) as seen, FifoPeer(*fifos, timeout=0.05) as peer:
        peer.put(encode(PingProfiler())[:5])
        with pytest.raises(TimeoutError, match=r"no reply within 0\.05 s"):
            peer.reply()
        peer.put(encode(PingProfiler())[5:])

        assert peer.reply() == Ack()
    assert seen == [PingProfiler()]


def test_peer_gives_up_on_fifos_that_never_appear(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FifoPeer(tmp_path / "ctl", tmp_path / "ack", timeout=0.02).__enter__()
