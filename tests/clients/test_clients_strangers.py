"""Processes that share the FIFOs without belonging together: nothing hangs, no window is mixed."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from codspeed.errors import FramingError
from codspeed.hooks.codec import Ack, AddMarker, CurrentBenchmark, StartProfiler, StopProfiler
from codspeed.hooks.session import FifoSession
from codspeed.model import Launch, MarkerKind, Outcome
from codspeed.testing import FakeExecutor
from codspeed.testing.fifo_peer import FifoPeer
from codspeed.testing.parts import make_part
from codspeed.testing.sessions import session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.process

OURS, THEIRS = 41, 42
START, STOP = StartProfiler(), StopProfiler()
Script: TypeAlias = "Callable[[FifoPeer, FifoPeer], Any]"


class Stage:
    """A real session whose child only waits, and two clients that a script plays meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._gate = folder / "gate"
        os.mkfifo(self._gate)
        part = make_part(folder / "profile")
        executor: Any = FakeExecutor()
        self.session = session(part, executor)
        self._fifos = folder / "profile.fifos"
        self._fault: BaseException | None = None

    def play(self, script: Script) -> Outcome:
        """Return what the session saw; what went wrong in the script is raised here."""
        thread = threading.Thread(target=self._clients, args=(script,))
        thread.start()
        try:
            wait = f"open({str(self._gate)!r}).read()"
            return self.session.run(Launch((sys.executable, "-S", "-c", wait)))
        finally:
            os.close(os.open(self._gate, os.O_RDWR))
            thread.join()
            if self._fault is not None:
                raise self._fault

    def _clients(self, script: Script) -> None:
        paths = self._fifos / "ctl.fifo", self._fifos / "ack.fifo"
        try:
            with FifoPeer(*paths) as ours, FifoPeer(*paths) as theirs:
                script(ours, theirs)
        except BaseException as fault:  # noqa: BLE001 - raised again in the test's own thread
            self._fault = fault
        finally:
            # Blocks until the child reads, which it does unless it was stopped.
            gate = os.open(self._gate, os.O_RDWR | os.O_NONBLOCK)
            os.write(gate, b"done")
            threading.Event().wait(0.2)  # the child may not have opened it yet
            os.close(gate)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def windows(outcome: Outcome) -> list[tuple[str | None, tuple[int, ...]]]:
    return [(window.uri, window.pids) for window in outcome.windows]


def rounds(pid: int, at: int) -> tuple[AddMarker, AddMarker]:
    return (
        AddMarker(pid, MarkerKind.ROUND_START, at),
        AddMarker(pid, MarkerKind.ROUND_END, at + 1),
    )


def measure(peer: FifoPeer, pid: int) -> None:
    """A window with one round, not named yet."""
    peer.say(START)
    now = time.monotonic_ns()
    peer.say(*rounds(pid, now), STOP)


def test_a_handshake_inside_a_window_leaves_it_open(stage: Stage) -> None:
    def script(ours: FifoPeer, theirs: FifoPeer) -> None:
        ours.greet(2)
        ours.say(START)
        theirs.greet(2, "stranger", "0.1")
        ours.say(STOP, CurrentBenchmark(OURS, "ours"))

    assert windows(stage.play(script)) == [("ours", (OURS,))]


@pytest.mark.parametrize("generation", [0, 1, 2])
def test_a_stranger_of_any_generation_that_only_shakes_hands_changes_no_window(
    stage: Stage, generation: int
) -> None:
    def script(ours: FifoPeer, theirs: FifoPeer) -> None:
        ours.run_benchmark(OURS, "first")
        theirs.greet(generation, "stranger")
        ours.run_benchmark(OURS, "second")

    assert windows(stage.play(script)) == [("first", (OURS,)), ("second", (OURS,))]


def test_a_window_of_a_stranger_between_our_stop_and_our_name(stage: Stage) -> None:
    def script(ours: FifoPeer, theirs: FifoPeer) -> None:
        measure(ours, OURS)
        measure(theirs, THEIRS)
        ours.say(CurrentBenchmark(OURS, "ours"))
        theirs.say(CurrentBenchmark(THEIRS, "theirs"))

    assert windows(stage.play(script)) == [("ours", (OURS,)), ("theirs", (THEIRS,))]


def test_a_window_of_a_stranger_inside_ours_takes_no_name_of_ours(stage: Stage) -> None:
    """The pipe does not say who sends Start: our window is given up, theirs is theirs."""

    def script(ours: FifoPeer, theirs: FifoPeer) -> None:
        ours.say(START)
        measure(theirs, THEIRS)
        theirs.say(CurrentBenchmark(THEIRS, "theirs"))
        ours.say(STOP, CurrentBenchmark(OURS, "ours"))

    assert windows(stage.play(script)) == [(None, ()), ("theirs", (THEIRS,))]


def test_a_stranger_that_only_sends_names_gets_none_of_our_windows(stage: Stage) -> None:
    def script(ours: FifoPeer, theirs: FifoPeer) -> None:
        theirs.say(CurrentBenchmark(THEIRS, "before"))
        ours.run_benchmark(OURS, "ours")
        theirs.say(CurrentBenchmark(THEIRS, "after"))

    assert windows(stage.play(script)) == [("ours", (OURS,))]


def test_markers_of_a_stranger_are_rounds_of_nobody_elses_process(stage: Stage) -> None:
    """A start of one process and an end of another are no round."""

    def script(ours: FifoPeer, theirs: FifoPeer) -> None:
        ours.say(START)
        now = time.monotonic_ns()
        ours.say(AddMarker(OURS, MarkerKind.ROUND_START, now))
        theirs.say(AddMarker(THEIRS, MarkerKind.ROUND_END, now + 1))
        ours.say(AddMarker(OURS, MarkerKind.ROUND_END, now + 2), STOP)
        ours.say(CurrentBenchmark(OURS, "ours"))

    (window,) = stage.play(script).windows
    assert [end - start for start, end in window.rounds] == [2]


@pytest.mark.parametrize(
    "torn",
    [
        pytest.param(b"\x04\x00", id="half a length"),
        pytest.param(b"\x13\x00\x00\x00\x00\x00", id="half a frame"),
    ],
)
def test_a_stranger_that_speaks_half_before_the_end_is_ignored(stage: Stage, torn: bytes) -> None:
    def script(ours: FifoPeer, theirs: FifoPeer) -> None:
        ours.run_benchmark(OURS, "finished")
        theirs.put(torn)

    assert windows(stage.play(script)) == [("finished", (OURS,))]


def test_a_stranger_that_speaks_something_else_ends_the_run_which_keeps_what_was_finished(
    stage: Stage,
) -> None:
    def script(ours: FifoPeer, theirs: FifoPeer) -> None:
        ours.run_benchmark(OURS, "finished")
        theirs.put(b"GET / HTTP/1.1\r\n")

    with pytest.raises(FramingError):
        stage.play(script)

    assert isinstance(stage.session, FifoSession)
    assert stage.session.partial is not None
    assert windows(stage.session.partial) == [("finished", (OURS,))]


def test_a_stranger_that_hangs_up_is_not_missed(stage: Stage) -> None:
    def script(ours: FifoPeer, theirs: FifoPeer) -> None:
        theirs.greet(2, "stranger")
        theirs.__exit__()
        ours.run_benchmark(OURS, "ours")
        theirs.__enter__()

    assert windows(stage.play(script)) == [("ours", (OURS,))]


def test_every_frame_of_either_is_answered(stage: Stage) -> None:
    answers: list[object] = []

    def script(ours: FifoPeer, theirs: FifoPeer) -> None:
        for peer in (ours, theirs) * 50:
            answers.extend(peer.say(START, STOP, CurrentBenchmark(OURS, "x")))

    stage.play(script)
    assert answers == [Ack()] * 300
