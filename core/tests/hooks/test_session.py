"""The session, with real children on private FIFOs: what they say, how they end, what is kept."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codspeed.environment import read_system
from codspeed.errors import (
    BenchmarkFailedError,
    ClientVersionError,
    CodspeedError,
    FramingError,
    LockedError,
    ProtocolVersionError,
    Refused,
)
from codspeed.hooks import session as session_module
from codspeed.hooks.fifo import FifoPaths, opened
from codspeed.hooks.session import FifoSession, describe_status, failed
from codspeed.model import Integration, IntegrationMode, Launch, MarkerKind, Outcome
from codspeed.protocols import Hooks
from codspeed.testing import FakeReporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.process

NOBODY = 65534

# What each child begins with; it says what it heard on standard output.
PRELUDE = """
import os, signal, subprocess, sys, time
from pathlib import Path
from codspeed.hooks.codec import *
from codspeed.model import IntegrationMode, MarkerKind
from codspeed.testing.fifo_peer import FifoPeer
ctl, ack = map(Path, sys.argv[1:3])
pid = os.getpid()
def mark(kind, at):
    return AddMarker(pid, kind, at)
START, END = MarkerKind.ROUND_START, MarkerKind.ROUND_END
"""


@pytest.fixture
def paths(tmp_path: Path) -> FifoPaths:
    return FifoPaths(tmp_path / "ctl.fifo", tmp_path / "ack.fifo")


@pytest.fixture
def reporter() -> FakeReporter:
    return FakeReporter()


@pytest.fixture
def make(paths: FifoPaths, reporter: FakeReporter) -> Callable[..., FifoSession]:
    def make_session(**given: Any) -> FifoSession:
        fields: dict[str, Any] = {
            "system": read_system(),
            "environment": dict(os.environ),
            "mode": IntegrationMode.WALLTIME,
            "reporter": reporter,
            "paths": paths,
        }
        return FifoSession(**(fields | given))

    return make_session


@pytest.fixture
def talk(make: Callable[..., FifoSession], paths: FifoPaths) -> Callable[..., Outcome]:
    """Run a child that plays an integration."""

    def run(body: str, *, hooks: Hooks | None = None, **given: Any) -> Outcome:
        return make(**given).run(Launch(script(body, paths)), hooks)

    return run


@pytest.fixture(autouse=True)
def _nothing_is_left(paths: FifoPaths) -> Iterator[None]:
    """Whatever happened: no FIFO, no child, no descriptor of ours stays."""
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough
    yield
    assert not paths.ctl.exists()
    assert not paths.ack.exists()
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - names, not paths
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def script(body: str, paths: FifoPaths) -> tuple[str, ...]:
    program = PRELUDE + textwrap.dedent(body)
    return (sys.executable, "-c", program, str(paths.ctl), str(paths.ack))


def ended(pid: int) -> bool:
    """Wait for the end of a process that is no child of ours."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], 10)[0])
    finally:
        os.close(pidfd)


class Recorder(Hooks):
    """Hooks that remember, and raise what they are told to."""

    def __init__(self, **failures: Exception) -> None:
        self.calls: list[str] = []
        self._failures = failures

    def _note(self, name: str, *what: object) -> None:
        self.calls.append(" ".join([name, *map(str, what)]))
        if name in self._failures:
            raise self._failures[name]

    def spawned(self, pid: int) -> None:
        self._note("spawned")

    def integration(self, name: str, version: str) -> None:
        self._note("integration", name, version)

    def started(self) -> None:
        self._note("started")

    def stopped(self) -> None:
        self._note("stopped")

    def benchmark(self, pid: int, uri: str) -> None:
        self._note("benchmark", uri)


# --- Conversations --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("generation", "replies"),
    [
        (0, "[Ack(), Ack()]"),
        (1, "[Ack(), Ack(), Ack()]"),
        (2, "[Ack(), IntegrationModeResponse(mode=<IntegrationMode.WALLTIME: 0>), Ack()]"),
    ],
)
def test_every_generation_of_clients_is_served(
    talk: Callable[..., Outcome], reporter: FakeReporter, generation: int, replies: str
) -> None:
    outcome = talk(f"""
        with FifoPeer(ctl, ack) as peer:
            print(peer.greet({generation}, "pytest-codspeed", "4.0.0"))
            peer.run_benchmark(pid, "a.py::b", [(1, 2)])
    """)

    assert reporter.text.strip() == replies
    assert outcome.status == 0
    assert outcome.integration == Integration("pytest-codspeed", "4.0.0")
    assert [window.uri for window in outcome.windows] == ["a.py::b"]


def test_hooks_are_told_in_order(talk: Callable[..., Outcome], reporter: FakeReporter) -> None:
    hooks, around = Recorder(), Recorder()
    talk(
        """
        with FifoPeer(ctl, ack) as peer:
            peer.greet(2)
            peer.run_benchmark(pid, "a")
        """,
        hooks=hooks,
        around=around,
    )

    assert hooks.calls == [
        "spawned", "integration peer 1.0.0", "started", "stopped", "benchmark a"
    ]  # fmt: skip
    assert around.calls == hooks.calls
    assert reporter.told("window") == [True, False]
    assert reporter.told("benchmark") == ["a"]


def test_a_handshake_may_be_repeated_within_a_window(talk: Callable[..., Outcome]) -> None:
    """JMH's child greets while its parent's window is open."""
    outcome = talk("""
        with FifoPeer(ctl, ack) as peer:
            peer.greet(2)
            peer.say(StartProfiler())
            child = FifoPeer(ctl, ack)
            with child:
                child.greet(2)
                now = time.monotonic_ns()
                child.say(mark(START, now), mark(END, time.monotonic_ns()))
            peer.say(StopProfiler(), CurrentBenchmark(pid, "jmh"))
    """)

    assert [(window.uri, len(window.rounds)) for window in outcome.windows] == [("jmh", 1)]


def test_markers_may_follow_their_window(talk: Callable[..., Outcome]) -> None:
    """As tinybench and go do."""
    outcome = talk("""
        with FifoPeer(ctl, ack) as peer:
            peer.greet(2)
            peer.say(StartProfiler())
            start = time.monotonic_ns(); end = time.monotonic_ns()
            peer.say(StopProfiler(), CurrentBenchmark(pid, "late"))
            peer.say(mark(START, start), mark(END, end))
    """)
    (window,) = outcome.windows

    assert len(window.rounds) == 1
    assert [kind for kind, _ in outcome.timestamps.markers] == [
        MarkerKind.SAMPLE_START, MarkerKind.SAMPLE_END, MarkerKind.ROUND_START, MarkerKind.ROUND_END
    ]  # fmt: skip


def test_ten_thousand_markers_are_all_answered_and_kept(talk: Callable[..., Outcome]) -> None:
    outcome = talk("""
        from codspeed.hooks.client import connect
        with connect(ctl=ctl, ack=ack, timeout=10) as client:
            client.start()
            times = [time.monotonic_ns() for _ in range(10_000)]
            client.add_markers((pid, END if i % 2 else START, t) for i, t in enumerate(times))
            client.stop()
            client.benchmark(pid, "many")
    """)

    assert len(outcome.windows[0].rounds) == 5_000
    assert len(outcome.timestamps.markers) == 10_002


def test_frames_that_were_queued_at_the_end_count(talk: Callable[..., Outcome]) -> None:
    outcome = talk("""
        with FifoPeer(ctl, ack) as peer:
            peer.greet(2)
            frames = [StartProfiler(), *[mark(START, 1)] * 500, StopProfiler()]
            peer.put(b"".join(map(encode, [*frames, CurrentBenchmark(pid, "queued")])))
        os._exit(7)
    """)

    assert outcome.status == 7
    assert [window.uri for window in outcome.windows] == ["queued"]
    assert len(outcome.timestamps.markers) == 502


def test_processes_that_spoke_are_known(
    make: Callable[..., FifoSession], paths: FifoPaths, reporter: FakeReporter
) -> None:
    session = make()
    session.run(
        Launch(
            script(
                """
                print(pid)
                with FifoPeer(ctl, ack) as peer:
                    peer.run_benchmark(4242, "a")
                """,
                paths,
            )
        )
    )

    assert session.pids() == {int(reporter.text), 4242}


def test_without_a_mode_there_is_no_fifo(
    talk: Callable[..., Outcome], reporter: FakeReporter
) -> None:
    talk("print(ctl.exists(), ack.exists())", mode=None)

    assert reporter.text == "False False\n"


def test_the_fifos_are_for_one_user(talk: Callable[..., Outcome], reporter: FakeReporter) -> None:
    before = os.umask(0)
    try:
        talk("print(oct(ctl.stat().st_mode), oct(ack.stat().st_mode))")
    finally:
        os.umask(before)

    assert reporter.text == "0o10600 0o10600\n"


def test_a_second_pass_is_a_run_of_its_own(
    make: Callable[..., FifoSession], paths: FifoPaths
) -> None:
    session = make()
    launch = Launch(
        script('with FifoPeer(ctl, ack) as peer: peer.run_benchmark(pid, "again")', paths)
    )
    outcomes = [session.run(launch), session.run(launch)]

    assert [len(outcome.windows) for outcome in outcomes] == [1, 1]
    assert session.partial is outcomes[1]


def test_a_watched_descriptor_is_served_in_the_same_loop(
    make: Callable[..., FifoSession],
) -> None:
    reader, writer = os.pipe()
    got: list[bytes] = []
    session = make()
    session.watch(reader, lambda: got.append(os.read(reader, 100)))

    class Feeder(Hooks):
        def spawned(self, pid: int) -> None:
            os.write(writer, b"event")

    session.run(Launch(("true",)), Feeder())
    os.close(reader)
    os.close(writer)

    assert got == [b"event"]


# --- Refusals and lost framing --------------------------------------------------------------------


def test_a_newer_protocol_is_refused_with_err(
    talk: Callable[..., Outcome], reporter: FakeReporter
) -> None:
    with pytest.raises(ProtocolVersionError):
        talk("""
            with FifoPeer(ctl, ack) as peer:
                print(peer.say(SetVersion(3)), flush=True)
            sys.exit(1)
        """)

    assert reporter.text == "[Err()]\n"


def test_a_client_that_is_too_old_is_refused_by_name(talk: Callable[..., Outcome]) -> None:
    with pytest.raises(ClientVersionError, match=r"pytest-codspeed 4\.0\.0"):
        talk(
            'with FifoPeer(ctl, ack) as peer: peer.greet(2, "pytest-codspeed", "4.0.0")',
            min_clients={"pytest-codspeed": "4.3.0"},
        )


def test_after_a_refusal_everything_is_answered_err_and_the_child_may_end_by_itself(
    make: Callable[..., FifoSession], paths: FifoPaths, reporter: FakeReporter
) -> None:
    hooks, around = Recorder(started=Refused("not now")), Recorder()
    session = make(around=around)
    body = """
        with FifoPeer(ctl, ack) as peer:
            peer.greet(2)
            print(peer.say(StartProfiler(), StopProfiler(), GetIntegrationMode()), flush=True)
        sys.exit(5)
    """
    with pytest.raises(Refused, match="not now"):
        session.run(Launch(script(body, paths)), hooks)

    assert reporter.text == "[Err(), Err(), Err()]\n"
    assert session.partial is not None
    assert session.partial.status == 5
    assert around.calls[-2:] == ["started", "stopped"]
    assert reporter.told("window") == [True, False]


def test_a_child_that_ignores_its_refusal_is_ended(
    make: Callable[..., FifoSession], paths: FifoPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = ((0.0, "SIGTERM"), (0.0, "SIGKILL"))
    monkeypatch.setattr(session_module, "_REFUSED_STEPS", steps)
    session = make()
    body = """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with FifoPeer(ctl, ack) as peer:
            peer.say(SetVersion(3))
            signal.pause()
    """
    with pytest.raises(ProtocolVersionError):
        session.run(Launch(script(body, paths)))

    assert session.partial is not None
    assert session.partial.status == -signal.SIGKILL


GARBAGE = {
    "length": b"\xff\xff\xff\x7f",
    "zero length": bytes(8),
    "unknown tag": b"\x04\0\0\0\x63\0\0\0",
    "payload too short": b"\x04\0\0\0\x07\0\0\0",
    "no text": b"\x0d\0\0\0" + bytes(8) + b"\x01" + bytes(7) + b"\xff",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
def test_garbage_ends_the_run_and_keeps_the_finished_windows(
    make: Callable[..., FifoSession], paths: FifoPaths, reporter: FakeReporter, garbage: bytes
) -> None:
    session = make()
    body = f"""
        with FifoPeer(ctl, ack) as peer:
            peer.greet(2)
            peer.run_benchmark(pid, "kept", [(1, 2)])
            peer.put({garbage!r})
            print(peer.reply(), flush=True)
            signal.pause()
    """
    with pytest.raises(FramingError) as caught:
        session.run(Launch(script(body, paths)))

    assert "-n0" in str(caught.value)
    assert caught.value.offending == garbage.hex()
    assert reporter.text == "Err()\n"
    assert reporter.told("debug") == [f"bytes on the FIFO: {garbage.hex()}"]
    assert session.partial is not None
    assert session.partial.status == -signal.SIGTERM
    assert [window.uri for window in session.partial.windows] == ["kept"]


def test_two_processes_that_write_at_once_are_found_out(talk: Callable[..., Outcome]) -> None:
    """pytest-xdist in walltime mode: a length of one between length and payload of the other."""
    with pytest.raises(FramingError):
        talk("""
            one = encode(SetIntegration("a" * 100, "1"))
            two = encode(StartProfiler())
            with FifoPeer(ctl, ack) as peer:
                peer.put(one[:4], two[:4], one[4:], two[4:])
                signal.pause()
        """)


@pytest.mark.parametrize("trickle", [False, True], ids=["silence", "a byte now and then"])
def test_a_frame_that_stays_incomplete_is_lost_framing(
    make: Callable[..., FifoSession],
    paths: FifoPaths,
    monkeypatch: pytest.MonkeyPatch,
    trickle: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    monkeypatch.setattr(session_module, "_FRAME_TIMEOUT_S", 0.3)
    session = make()
    body = f"""
        with FifoPeer(ctl, ack) as peer:
            peer.run_benchmark(pid, "kept")
            peer.put(encode(CurrentBenchmark(pid, "x" * 10_000))[:9])
            while {trickle}:
                peer.put(b"x")
                time.sleep(0.02)
            signal.pause()
    """
    with pytest.raises(FramingError, match=r"stayed incomplete for 0\.3 s"):
        session.run(Launch(script(body, paths)))

    assert session.partial is not None
    assert [window.uri for window in session.partial.windows] == ["kept"]


def test_a_frame_in_pieces_is_whole(talk: Callable[..., Outcome]) -> None:
    outcome = talk("""
        with FifoPeer(ctl, ack) as peer:
            peer.say(StartProfiler(), StopProfiler())
            frame = encode(CurrentBenchmark(pid, "é" * 50_000))
            peer.put(*(frame[i:i + 1] for i in range(40)), frame[40:])
            peer.reply()
    """)

    assert outcome.windows[0].uri == "é" * 50_000


def test_a_client_that_never_reads_its_answers_is_an_error(
    make: Callable[..., FifoSession], paths: FifoPaths
) -> None:
    body = """
        with FifoPeer(ctl, ack) as peer:
            peer.put(*[encode(PingProfiler()) * 500] * 200)
            signal.pause()
    """
    with pytest.raises(CodspeedError, match="does not read the answers"):
        make().run(Launch(script(body, paths)))


def test_a_callback_that_crashes_loses_no_finished_window(
    make: Callable[..., FifoSession], paths: FifoPaths, reporter: FakeReporter
) -> None:
    class Crash(Hooks):
        def benchmark(self, pid: int, uri: str) -> None:
            if uri == "second":
                raise ZeroDivisionError

    session = make()
    body = """
        with FifoPeer(ctl, ack) as peer:
            peer.run_benchmark(pid, "first")
            peer.run_benchmark(pid, "second")
    """
    with pytest.raises(ZeroDivisionError):
        session.run(Launch(script(body, paths)), Crash())

    assert session.partial is not None
    assert [window.uri for window in session.partial.windows] == ["first", "second"]
    assert session.partial.status == -signal.SIGKILL


def test_when_one_fails_to_start_those_before_it_are_stopped(talk: Callable[..., Outcome]) -> None:
    hooks, around = Recorder(stopped=Refused("stuck")), Recorder()
    with pytest.raises(Refused, match="stuck"):
        talk(
            'with FifoPeer(ctl, ack) as peer: peer.run_benchmark(pid, "x")',
            hooks=hooks,
            around=around,
        )

    assert around.calls[-1] == "stopped"


def test_a_callback_that_refuses_the_spawn_runs_nothing(
    make: Callable[..., FifoSession], tmp_path: Path
) -> None:
    session = make()
    with pytest.raises(Refused):
        session.run(Launch(("touch", str(tmp_path / "ran"))), Recorder(spawned=Refused("no")))

    assert session.partial is None
    assert not (tmp_path / "ran").exists()


# --- How children end -----------------------------------------------------------------------------


def test_a_program_that_does_not_exist_leaves_nothing(make: Callable[..., FifoSession]) -> None:
    session = make()
    with pytest.raises(BenchmarkFailedError, match="No such file"):
        session.run(Launch(("no-such-program-here",)))

    assert session.partial is None


def test_a_child_killed_within_a_window_leaves_it_nameless(talk: Callable[..., Outcome]) -> None:
    hooks = Recorder()
    outcome = talk(
        """
        with FifoPeer(ctl, ack) as peer:
            peer.run_benchmark(pid, "whole")
            peer.say(StartProfiler())
            os.kill(pid, signal.SIGKILL)
        """,
        hooks=hooks,
    )

    assert outcome.status == -signal.SIGKILL
    assert not outcome.interrupted
    assert [window.uri for window in outcome.windows] == ["whole", None]
    assert hooks.calls[-1] == "stopped"


@pytest.mark.parametrize("kept", ["stdout", "fifo"])
def test_a_grandchild_that_stays_does_not_delay_the_end(
    talk: Callable[..., Outcome], reporter: FakeReporter, kept: str
) -> None:
    outcome = talk(f"""
        peer = FifoPeer(ctl, ack)
        peer.__enter__()
        stay = "import os, signal; os.setsid(); print('up', flush=True); signal.pause()"
        pipes = dict(stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if {kept == "fifo"}:
            pipes.update(pass_fds=(peer._ctl, peer._ack), stdout=subprocess.DEVNULL)
        child = subprocess.Popen([sys.executable, "-c", stay], **pipes)
        print(child.pid, flush=True)
        peer.run_benchmark(pid, "a")
        os._exit(0)
    """)
    grandchild = int(reporter.text.split()[0])
    was_alive = not outcome.status and Path(f"/proc/{grandchild}").exists()
    os.kill(grandchild, signal.SIGKILL)

    assert was_alive
    assert [window.uri for window in outcome.windows] == ["a"]
    assert ended(grandchild)


def test_a_grandchild_that_floods_the_output_does_not_delay_the_end(
    talk: Callable[..., Outcome], reporter: FakeReporter
) -> None:
    talk("""
        child = subprocess.Popen(["yes"], start_new_session=True)
        os.write(2, b"pid %d" % child.pid)
        os._exit(0)
    """)
    told = [data for data in reporter.told("output") if data.startswith(b"pid")]
    os.kill(int(told[0].split()[1]), signal.SIGKILL)

    assert ended(int(told[0].split()[1]))


def test_what_was_written_before_the_end_is_not_lost(
    talk: Callable[..., Outcome], reporter: FakeReporter
) -> None:
    talk('sys.stdout.write("x" * 60_000 + "end"); sys.stdout.flush(); os._exit(0)')

    assert reporter.text == "x" * 60_000 + "end"


def test_huge_output_arrives_whole_in_small_pieces_while_frames_are_answered(
    make: Callable[..., FifoSession], paths: FifoPaths
) -> None:
    sizes: list[int] = []

    class Counter(FakeReporter):
        def output(self, data: bytes, *, stream: str) -> None:
            sizes.append(len(data))

    outcome = make(reporter=Counter()).run(
        Launch(
            script(
                """
                child = subprocess.Popen(["head", "-c", "50000000", "/dev/zero"])
                with FifoPeer(ctl, ack) as peer:
                    for i in range(200):
                        peer.run_benchmark(pid, str(i))
                child.wait()
                """,
                paths,
            )
        )
    )

    assert sum(sizes) == 50_000_000
    assert max(sizes) <= 65_536
    assert len(outcome.windows) == 200


def test_while_the_command_starts_there_is_time_to_get_ready(
    make: Callable[..., FifoSession], paths: FifoPaths
) -> None:
    """It runs already, and none of its windows is open: the command waits for what we do."""
    flag = paths.ctl.with_name("ready")
    calls: list[str] = []

    class Ready(Recorder):
        def released(self) -> None:
            calls.extend(self.calls)
            flag.touch()

    class Show(FakeReporter):
        def released(self) -> None:
            calls.append("told the reporter")

    hooks = Ready()
    make(reporter=Show()).run(
        Launch(
            script(
                f"""
                while not os.path.exists({str(flag)!r}):
                    pass
                with FifoPeer(ctl, ack) as peer:
                    peer.run_benchmark(pid, "u")
                """,
                paths,
            )
        ),
        hooks,
    )

    assert calls == ["spawned", "told the reporter"]
    assert hooks.calls == ["spawned", "started", "stopped", "benchmark u"]


def test_frames_come_before_output_within_a_turn(
    make: Callable[..., FifoSession], paths: FifoPaths
) -> None:
    """Both are there when the loop looks for the first time: a watched pipe makes it wait."""
    order: list[str] = []

    class Order(FakeReporter):
        def output(self, data: bytes, *, stream: str) -> None:
            order.append("output")

        def window(self, *, is_open: bool) -> None:
            order.append("frame")

    class Wait(Hooks):
        """Return from the first callback only when the child has written both."""

        def integration(self, name: str, version: str) -> None:
            written.wait_for()

    class Written:
        def wait_for(self) -> None:
            flag = paths.ctl.with_name("written")
            while not flag.exists():
                os.sched_yield()

    written = Written()
    make(reporter=Order()).run(
        Launch(
            script(
                """
                with FifoPeer(ctl, ack) as peer:
                    peer.put(encode(SetIntegration("a", "1")))
                    os.write(1, b"output")
                    peer.put(encode(StartProfiler()))
                    ctl.with_name("written").touch()
                    peer.reply(), peer.reply()
                """,
                paths,
            )
        ),
        Wait(),
    )

    assert order.index("frame") < order.index("output")


def test_without_pidfds_the_end_is_noticed_too(
    talk: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_pid: int) -> int:
        raise OSError(38, "Function not implemented")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pidfd_open", refuse)
        outcome = talk("sys.exit(3)")

    assert outcome.status == 3


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (1, "exit status: 1"),
        (-9, "signal: 9 (SIGKILL)"),
        (-64, "signal: 64 (SIGRTMAX)"),
        (-99, "signal: 99"),
    ],
)
def test_a_status_is_said_as_the_reference_says_it(status: int, text: str) -> None:
    error = failed(Outcome(status=status))

    assert describe_status(status) == text
    assert error is not None
    assert error.problem == f"failed to execute the benchmark process: {text}"


def test_what_ended_well_or_was_interrupted_did_not_fail() -> None:
    assert failed(Outcome(status=0)) is None
    assert failed(Outcome(status=-2, interrupted=True)) is None


# --- FIFOs in the way -----------------------------------------------------------------------------


def test_fifos_of_a_dead_run_are_replaced(paths: FifoPaths, talk: Callable[..., Outcome]) -> None:
    os.mkfifo(paths.ctl)
    os.mkfifo(paths.ack)
    outcome = talk('with FifoPeer(ctl, ack) as peer: peer.run_benchmark(pid, "a")')

    assert [window.uri for window in outcome.windows] == ["a"]


def test_fifos_of_a_runner_that_lives_are_refused_with_its_pid(paths: FifoPaths) -> None:
    os.mkfifo(paths.ctl)
    serve = "import os, sys; os.open(sys.argv[1], os.O_RDWR); print(flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", serve, str(paths.ctl)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(LockedError) as caught, opened(paths):
            pass
        was_there = paths.ctl.exists()
        other.communicate(b"")
    paths.ctl.unlink()

    assert caught.value.problem == f"{paths.ctl} is in use by process {other.pid}"
    assert was_there


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_fifo_is_left_alone(paths: FifoPaths, kind: str) -> None:
    victim = paths.ctl.with_name("victim")
    victim.write_text("precious")
    make: dict[str, Callable[[], object]] = {
        "file": lambda: paths.ctl.write_text("precious"),
        "folder": paths.ctl.mkdir,
        "link": lambda: paths.ctl.symlink_to(victim),
    }
    make[kind]()
    with pytest.raises(LockedError) as caught, opened(paths):
        pass
    paths.ctl.rmdir() if kind == "folder" else paths.ctl.unlink()

    assert caught.value.problem == f"{paths.ctl} is not a FIFO"
    assert victim.read_text() == "precious"


def test_a_second_fifo_in_the_way_removes_the_first_again(paths: FifoPaths) -> None:
    paths.ack.write_text("")
    with pytest.raises(LockedError), opened(paths):
        pass
    paths.ack.unlink()

    assert not paths.ctl.exists()


def test_fifos_that_somebody_replaced_meanwhile_are_not_ours_to_remove(paths: FifoPaths) -> None:
    with opened(paths):
        paths.ctl.rename(paths.ctl.with_name("old"))
        os.mkfifo(paths.ctl)
    stayed = paths.ctl.exists()
    paths.ctl.unlink()

    assert stayed


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    absent = FifoPaths(tmp_path / "no" / "ctl", tmp_path / "no" / "ack")
    with pytest.raises(LockedError, match="can't be made"), opened(absent):
        pass


@pytest.mark.tool
def test_a_fifo_of_another_user_is_an_error_that_names_the_user(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    folder = tmp_path / "sticky"
    folder.mkdir()
    folder.chmod(0o1777)
    os.mkfifo(folder / "ctl", 0o600)
    program = """
import os, sys
from pathlib import Path
from codspeed.errors import LockedError
from codspeed.hooks.fifo import FifoPaths, opened
import pwd
os.chdir(sys.argv[1]); os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    with opened(FifoPaths(Path("ctl"), Path("ack"))): pass
except LockedError as error:
    print(error.problem); print(error.hint)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, folder], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines() == [
        "ctl belongs to user root and can't be replaced: Operation not permitted",
        "ask root or root to remove it",
    ]


# --- Signals to the runner ------------------------------------------------------------------------

# A runner with quick steps: its child says on the pipe what it got.
RUNNER = """
import os, signal, sys
from pathlib import Path
from codspeed.environment import read_system
from codspeed.hooks import session
from codspeed.hooks.fifo import FifoPaths
from codspeed.model import IntegrationMode, Launch, Reporter
session._INTERRUPT_STEPS = ((0.0, "SIGINT"), (0.2, "SIGTERM"), (0.2, "SIGKILL"))
class Show(Reporter):
    def output(self, data, *, stream):
        os.write(1, data)
for name in sys.argv[4].split(","):
    if name: signal.signal(getattr(signal, name), signal.SIG_IGN)
paths = FifoPaths(Path(sys.argv[1]), Path(sys.argv[2]))
outcome = session.FifoSession(
    system=read_system(), environment=dict(os.environ), mode=IntegrationMode.WALLTIME,
    paths=paths, reporter=Show(),
).run(Launch((sys.executable, "-c", sys.argv[3], sys.argv[1], sys.argv[2])))
print("outcome", outcome.status, outcome.interrupted, [w.uri for w in outcome.windows], flush=True)
print("handlers", signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, flush=True)
"""


@contextlib.contextmanager
def runner(paths: FifoPaths, body: str, ignored: str = "") -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", RUNNER, str(paths.ctl), str(paths.ack)]
    program = PRELUDE + textwrap.dedent(body)
    with subprocess.Popen([*argv, program, ignored], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.read().splitlines()


def await_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_runner_interrupts_the_child_and_keeps_what_was_finished(
    paths: FifoPaths, number: signal.Signals
) -> None:
    body = """
        with FifoPeer(ctl, ack) as peer:
            peer.run_benchmark(pid, "finished")
            try:
                print("ready", flush=True)
                signal.pause()
            except KeyboardInterrupt:
                print("child got SIGINT", flush=True)
    """
    with runner(paths, body) as process:
        await_line(process)
        process.send_signal(number)
        said = lines(process)

    assert said == ["child got SIGINT", "outcome 0 True ['finished']", "handlers True"]


@pytest.mark.parametrize(
    ("ignored", "status"),
    [("SIGINT", -signal.SIGTERM), ("SIGINT SIGTERM", -signal.SIGKILL)],
)
def test_a_stubborn_child_gets_sigterm_and_then_sigkill(
    paths: FifoPaths, ignored: str, status: int
) -> None:
    body = f"""
        for name in {ignored.split()}:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        print("ready", flush=True)
        while True: signal.pause()
    """
    with runner(paths, body) as process:
        await_line(process)
        process.send_signal(signal.SIGTERM)
        said = lines(process)

    assert said[0] == f"outcome {status} True []"


def test_the_whole_group_ends(paths: FifoPaths) -> None:
    """Also a grandchild that outlives its parent and ignores polite signals."""
    body = """
        stay = (
            "import signal; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)];"
            "print('up', flush=True); signal.pause()"
        )
        child = subprocess.Popen([sys.executable, "-c", stay], stdout=subprocess.PIPE)
        child.stdout.readline()
        print(child.pid, flush=True)
        signal.pause()
    """
    with runner(paths, body) as process:
        grandchild = int(await_line(process))
        process.send_signal(signal.SIGINT)
        said = lines(process)

    assert said[-2].startswith("outcome")
    assert ended(grandchild)


def test_a_second_signal_is_impatience(paths: FifoPaths) -> None:
    body = """
        signal.signal(signal.SIGINT, lambda *a: print("int", flush=True))
        signal.signal(signal.SIGTERM, lambda *a: print("term", flush=True))
        print("ready", flush=True)
        while True: signal.pause()
    """
    with runner(paths, body) as process:
        await_line(process)
        process.send_signal(signal.SIGINT)
        assert await_line(process) == "int"
        process.send_signal(signal.SIGINT)
        said = lines(process)

    assert said[-2] == f"outcome {-signal.SIGKILL} True []"


def test_a_signal_that_our_starter_ignores_interrupts_nothing(paths: FifoPaths) -> None:
    """nohup, and the background of a script."""
    body = """
        print("ready", flush=True)
        while True: signal.pause()
    """
    with runner(paths, body, ignored="SIGHUP,SIGINT") as process:
        await_line(process)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        said = lines(process)

    assert said[0] == f"outcome {-signal.SIGTERM} True []"


def test_a_signal_with_a_handler_of_its_own_is_no_interruption(
    make: Callable[..., FifoSession],
) -> None:
    got: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _frame: got.append(number))
    try:
        outcome = make().run(Launch(("sh", "-c", f"kill -USR1 {os.getpid()}; exit 0")))
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert got == [signal.SIGUSR1]
    assert outcome.status == 0
    assert not outcome.interrupted


def test_a_runner_that_is_killed_leaves_a_fifo_that_the_next_one_replaces(
    paths: FifoPaths, talk: Callable[..., Outcome]
) -> None:
    with runner(paths, "print(pid, flush=True); sys.stdin.read(); signal.pause()") as process:
        child = int(await_line(process))
        process.kill()
        process.wait()
        os.kill(child, signal.SIGKILL)
        was_left = paths.ctl.exists()

    assert ended(child)
    assert was_left
    assert talk("sys.exit(0)").status == 0


# --- Terminals ------------------------------------------------------------------------------------

# Plays the shell: session leader on a terminal, with the runner as its foreground job.
SHELL = """
import fcntl, os, signal, subprocess, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, "-c", *sys.argv[1:]])
while True:
    _, status = os.waitpid(pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        break
    os.write(1, b"stopped %d\\n" % (os.tcgetpgrp(0) == pid))
    os.tcsetpgrp(0, pid)
    os.killpg(pid, signal.SIGCONT)
os.tcsetpgrp(0, os.getpgrp())
"""


@contextlib.contextmanager
def terminal_runner(paths: FifoPaths, body: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Start a runner on a terminal; yield our end of the terminal and the process."""
    ours, theirs = os.openpty()
    program = PRELUDE + textwrap.dedent(body)
    argv = [sys.executable, "-c", SHELL, RUNNER, str(paths.ctl), str(paths.ack), program, ""]
    try:
        with subprocess.Popen(argv, stdin=theirs, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield ours, process
            finally:
                process.kill()
    finally:
        os.close(ours)
        os.close(theirs)


def test_ctrl_c_at_the_terminal_ends_the_child_and_counts_as_interruption(paths: FifoPaths) -> None:
    body = """
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        print("ready", flush=True)
        signal.pause()
    """
    with terminal_runner(paths, body) as (terminal, process):
        await_line(process)
        os.write(terminal, b"\x03")
        said = lines(process)

    assert said[0] == f"outcome {-signal.SIGINT} True []"


def test_the_child_can_read_the_terminal(paths: FifoPaths) -> None:
    with terminal_runner(paths, 'print("ready", flush=True); print(input())') as (
        terminal,
        process,
    ):
        await_line(process)
        os.write(terminal, b"hello\n")
        said = lines(process)

    assert said[:2] == ["hello", "outcome 0 False []"]


def test_ctrl_z_stops_the_runner_with_its_child_and_both_go_on(paths: FifoPaths) -> None:
    with terminal_runner(paths, 'print("ready", flush=True); print(input())') as (
        terminal,
        process,
    ):
        await_line(process)
        os.write(terminal, b"\x1a")
        stopped = await_line(process)
        os.write(terminal, b"again\n")
        said = lines(process)

    assert stopped == "stopped 1"
    assert said[:2] == ["again", "outcome 0 False []"]
