"""What each command means in each state, and what a conversation leaves behind."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed.errors import ClientVersionError, ProtocolVersionError, Refused
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
)
from codspeed.hooks.state import WINDOW_RULES, Conversation
from codspeed.model import Integration, IntegrationMode, MarkerKind, Timestamps, Window
from codspeed.protocols import Hooks

START, STOP = StartProfiler(), StopProfiler()
ROUND_START, ROUND_END = MarkerKind.ROUND_START, MarkerKind.ROUND_END
SAMPLE_START, SAMPLE_END = MarkerKind.SAMPLE_START, MarkerKind.SAMPLE_END


class Recorder(Hooks):
    """Hooks that note their calls with the time they took place, and refuse what they are told."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def _note(self, call: str) -> None:
        self._table.calls.append(call)
        self._table.now += 1  # a callback takes a nanosecond
        if call in self._table.refuse:
            problem = f"no {call}"
            raise Refused(problem)

    def integration(self, name: str, version: str) -> None:
        self._note(f"integration {name} {version}")

    def started(self) -> None:
        self._note("started")

    def stopped(self) -> None:
        self._note("stopped")

    def benchmark(self, pid: int, uri: str) -> None:
        self._note(f"benchmark {pid} {uri}")

    def healthy(self) -> bool:
        self._note("healthy")
        return self._table.is_healthy


@attrs.define
class Table:
    """A conversation with everything around it under the test's control."""

    mode: IntegrationMode = IntegrationMode.WALLTIME
    min_protocol: int = 0
    min_clients: Mapping[str, str] = attrs.field(factory=dict)
    refuse: tuple[str, ...] = ()
    is_healthy: bool = True
    clients: int = 1
    now: int = 0
    calls: list[str] = attrs.field(factory=list)
    warnings: list[str] = attrs.field(factory=list)
    conversation: Conversation = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.conversation = Conversation(
            Recorder(self),
            mode=self.mode,
            clock=lambda: self.now,
            warn=self.warnings.append,
            min_protocol=self.min_protocol,
            min_clients=self.min_clients,
            count_clients=lambda: self.clients,
        )

    def say(self, *commands: Command, at: int | None = None) -> list[Command]:
        self.now = self.now if at is None else at
        return [self.conversation.answer(command) for command in commands]

    def windows(self) -> tuple[Window, ...]:
        return self.conversation.finish()[1]


def started(pid: int, at: int) -> AddMarker:
    return AddMarker(pid, ROUND_START, at)


def ended(pid: int, at: int) -> AddMarker:
    return AddMarker(pid, ROUND_END, at)


# --- Windows -------------------------------------------------------------------------------------


def test_window_excludes_what_the_callbacks_take() -> None:
    """SampleStart is stamped behind `started`, SampleEnd behind `stopped`."""
    table = Table()
    replies = table.say(START, at=100) + table.say(STOP, at=200)

    assert replies == [Ack(), Ack()]
    assert table.calls == ["started", "stopped"]
    assert table.windows() == (Window(None, (), 101, 201),)
    assert table.conversation.finish()[2].markers == ((SAMPLE_START, 101), (SAMPLE_END, 201))


def test_window_is_open_between_start_and_stop() -> None:
    table = Table()
    states = [table.conversation.is_open]
    for command in (START, STOP):
        table.say(command)
        states.append(table.conversation.is_open)

    assert states == [False, True, False]


def test_duplicate_start_closes_the_first_window_without_a_name() -> None:
    table = Table()
    replies = table.say(START, at=100) + table.say(START, at=200) + table.say(STOP, at=300)
    table.say(CurrentBenchmark(7, "a"), at=400)

    assert replies == [Ack(), Ack(), Ack()]
    assert table.warnings == ["Received duplicate StartProfiler command, ignoring"]
    assert table.calls == ["started", "stopped", "started", "stopped", "benchmark 7 a"]
    assert table.windows() == (Window(None, (), 101, 201), Window("a", (7,), 202, 301))
    assert table.conversation.finish()[2].markers == (
        (SAMPLE_START, 101),
        (SAMPLE_END, 201),
        (SAMPLE_START, 202),
        (SAMPLE_END, 301),
    )


def test_window_that_a_duplicate_start_closed_is_never_named() -> None:
    table = Table()
    table.say(START, START, CurrentBenchmark(7, "a"), STOP)
    table.say(CurrentBenchmark(7, "b"), CurrentBenchmark(7, "c"))

    assert [window.uri for window in table.windows()] == [None, "b"]


def test_stop_without_start_is_warned_of_and_does_nothing() -> None:
    table = Table()

    assert table.say(STOP) == [Ack()]
    assert table.warnings == ["Received StopProfiler command before StartProfiler, ignoring"]
    assert table.calls == []
    assert table.conversation.finish() == (None, (), Timestamps())


def test_every_state_has_a_rule_for_every_window_command() -> None:
    assert set(WINDOW_RULES) == {
        (command, is_open) for command in (StartProfiler, StopProfiler) for is_open in (False, True)
    }


# --- Names ---------------------------------------------------------------------------------------


def test_name_goes_to_the_latest_closed_window_that_has_none() -> None:
    table = Table()
    table.say(START, STOP, START, STOP)
    table.say(CurrentBenchmark(1, "second"), CurrentBenchmark(1, "first"))

    assert [window.uri for window in table.windows()] == ["first", "second"]


def test_name_goes_to_the_window_in_which_its_process_marked_rounds() -> None:
    """A stranger measures between our Stop and our name."""
    table = Table()
    run_window(table, 0, 9, started(1, 2), ended(1, 3))
    run_window(table, 20, 29, started(2, 22), ended(2, 23))
    table.say(CurrentBenchmark(1, "ours"), CurrentBenchmark(2, "theirs"), at=40)

    assert [(window.uri, window.pids) for window in table.windows()] == [
        ("ours", (1,)),
        ("theirs", (2,)),
    ]


def test_name_does_not_go_to_a_window_of_another_process() -> None:
    table = Table()
    run_window(table, 0, 9)
    run_window(table, 20, 29, started(2, 22), ended(2, 23))
    table.say(CurrentBenchmark(1, "ours"), at=40)

    assert [window.uri for window in table.windows()] == ["ours", None]


def test_name_that_comes_while_a_window_is_open_goes_to_the_closed_one() -> None:
    table = Table()
    table.say(START, STOP, START, CurrentBenchmark(1, "a"), STOP, CurrentBenchmark(2, "b"))

    assert [(window.uri, window.pids) for window in table.windows()] == [("a", (1,)), ("b", (2,))]


@pytest.mark.parametrize("before", [[], [START], [START, STOP, CurrentBenchmark(1, "a")]])
def test_name_without_a_window_is_only_recorded(before: list[Command]) -> None:
    table = Table()
    table.say(*before)
    calls = list(table.calls)

    assert table.say(CurrentBenchmark(2, "x"), at=50) == [Ack()]
    assert table.calls == calls
    assert table.conversation.finish()[2].uri_by_ts[-1] == (50, "x")
    assert "x" not in [window.uri for window in table.windows()]


def test_name_is_recorded_with_the_time_of_its_arrival() -> None:
    table = Table()
    table.say(START, STOP)
    table.say(CurrentBenchmark(1, "a"), at=77)

    assert table.conversation.finish()[2].uri_by_ts == ((77, "a"),)


# --- Markers and rounds --------------------------------------------------------------------------


def run_window(table: Table, start: int, end: int, *inside: Command) -> None:
    """Report a window that is exactly from `start` to `end`."""
    table.say(START, at=start - 1)
    table.say(*inside)
    table.say(STOP, at=end - 1)


def test_rounds_count_wherever_their_markers_arrive() -> None:
    """Before, inside and after the window: only the times matter."""
    table = Table()
    table.say(started(1, 110), ended(1, 120))
    run_window(table, 100, 200, started(1, 130), ended(1, 140))
    table.say(started(1, 150), ended(1, 160))

    assert table.windows() == (Window(None, (1,), 100, 200, ((110, 120), (130, 140), (150, 160))),)


def test_round_belongs_to_the_window_that_contains_all_of_it() -> None:
    table = Table()
    run_window(table, 100, 200)
    run_window(table, 300, 400)
    pairs = [(50, 60), (90, 110), (100, 200), (150, 250), (250, 260), (190, 310), (300, 301)]
    for pid, (start, end) in enumerate(pairs):
        table.say(started(pid, start), ended(pid, end))
    rounds = [window.rounds for window in table.windows()]

    assert rounds == [((100, 200),), ((300, 301),)]


def test_rounds_of_two_processes_are_paired_apart() -> None:
    table = Table()
    run_window(table, 100, 200, started(1, 110), started(2, 120), ended(1, 130), ended(2, 140))

    assert table.windows() == (Window(None, (1, 2), 100, 200, ((110, 130), (120, 140))),)


def test_round_that_raised_and_end_without_start_are_dropped() -> None:
    table = Table()
    marks = [ended(1, 105), started(1, 110), started(1, 120), ended(1, 130), ended(1, 140)]
    run_window(table, 100, 200, *marks)

    assert table.windows()[0].rounds == ((120, 130),)


def test_all_starts_may_come_before_all_ends() -> None:
    table = Table()
    marks = [started(1, 110), started(1, 130), ended(1, 120), ended(1, 140)]
    run_window(table, 100, 200, *marks)

    assert table.windows()[0].rounds == ((110, 120), (130, 140))


def test_hooks_are_told_of_markers_before_they_are_answered() -> None:
    told = []

    class Marked(Hooks):
        def marker(self, pid: int, kind: MarkerKind, timestamp: int) -> None:
            told.append((pid, kind, timestamp))
            if pid == 2:
                problem = "no more"
                raise Refused(problem)

    conversation = Conversation(
        Marked(), mode=IntegrationMode.WALLTIME, clock=lambda: 0, warn=lambda _: None
    )
    replies = [conversation.answer(AddMarker(pid, ROUND_END, 9)) for pid in (1, 2)]

    assert told == [(1, ROUND_END, 9), (2, ROUND_END, 9)]
    assert replies == [Ack(), Err()]


def test_markers_are_kept_in_the_order_of_their_arrival() -> None:
    table = Table()
    table.say(AddMarker(1, SAMPLE_END, 999))
    run_window(table, 100, 200, ended(1, 150))
    table.say(started(1, 10))

    assert table.conversation.finish()[2].markers == (
        (SAMPLE_END, 999),
        (SAMPLE_START, 100),
        (ROUND_END, 150),
        (SAMPLE_END, 200),
        (ROUND_START, 10),
    )


def test_pids_of_a_window_are_those_of_its_markers_and_of_its_name() -> None:
    table = Table()
    run_window(table, 100, 200, started(5, 150), ended(5, 160), started(6, 250))
    table.say(CurrentBenchmark(4, "a"))

    assert table.windows()[0].pids == (5, 4)
    assert table.conversation.pids == {4, 5, 6}


# --- Handshakes and introductions ----------------------------------------------------------------


@pytest.mark.parametrize("mode", IntegrationMode)
def test_mode_is_told_as_often_as_it_is_asked(mode: IntegrationMode) -> None:
    table = Table(mode=mode)

    assert table.say(GetIntegrationMode(), GetIntegrationMode()) == [
        IntegrationModeResponse(mode),
        IntegrationModeResponse(mode),
    ]


@pytest.mark.parametrize(("is_healthy", "reply"), [(True, Ack()), (False, Err())])
def test_ping_is_answered_by_the_executors_health(is_healthy: bool, reply: Command) -> None:  # noqa: FBT001 - a parameter of the test
    table = Table(is_healthy=is_healthy)

    assert table.say(PingProfiler()) == [reply]
    assert table.conversation.ended is None


def test_last_introduction_wins_and_each_is_told() -> None:
    table = Table()
    table.say(SetIntegration("a", "dev"), SetIntegration("b", "2"))

    assert table.calls == ["integration a dev", "integration b 2"]
    assert table.conversation.finish()[0] == Integration("b", "2")


@pytest.mark.parametrize(
    ("name", "clients", "is_refused"),
    [
        pytest.param("pytest-codspeed", 2, True, id="pytest-xdist"),
        pytest.param("pytest-codspeed", 1, False, id="one suite after the other"),
        pytest.param("codspeed-node", 2, False, id="a worker per file"),
    ],
)
def test_suites_side_by_side_are_refused(name: str, clients: int, *, is_refused: bool) -> None:
    """Every worker of pytest-xdist introduces itself, and their windows would mix unseen."""
    table = Table(clients=clients)
    again = table.say(SetIntegration(name, "5.0.4"), SetIntegration(name, "5.0.4"))[1]

    assert again == (Err() if is_refused else Ack())
    assert (table.conversation.ended is not None) is is_refused


@pytest.mark.parametrize("version", [0, 3])
def test_refused_version_is_answered_err_and_ends_the_run(version: int) -> None:
    table = Table()

    assert table.say(SetVersion(version)) == [Err()]
    assert type(table.conversation.ended) is ProtocolVersionError


def test_old_version_is_refused_in_the_name_of_the_mode_that_needs_more() -> None:
    table = Table(mode=IntegrationMode.ANALYSIS, min_protocol=2)
    replies = table.say(PingProfiler(), SetVersion(1))

    assert replies == [Ack(), Err()]
    assert str(table.conversation.ended) == (
        "Memory profiling requires protocol version 2 or higher, but the integration speaks"
        " version 1.\nupgrade the integration"
    )


def test_client_without_a_version_is_refused_when_it_introduces_itself() -> None:
    table = Table(mode=IntegrationMode.ANALYSIS, min_protocol=2)
    replies = table.say(PingProfiler(), SetIntegration("pytest-codspeed", "4.0.0"))

    assert replies == [Ack(), Err()]
    assert table.calls == ["healthy"]
    assert str(table.conversation.ended) == (
        "Memory profiling requires protocol version 2 or higher, but the integration speaks"
        " version 0.\nupgrade pytest-codspeed 4.0.0"
    )


@pytest.mark.parametrize(
    ("min_protocol", "version"), [(0, None), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
)
def test_integration_is_served_when_its_version_is(min_protocol: int, version: int | None) -> None:
    table = Table(min_protocol=min_protocol)
    replies = table.say(*([] if version is None else [SetVersion(version)]))
    replies += table.say(SetIntegration("a", "1"))

    assert set(replies) == {Ack()}
    assert table.conversation.ended is None


@pytest.mark.parametrize("version", ["4.2.0", "4.3.0rc1", "unknown"])
def test_integration_that_is_too_old_ends_the_run(version: str) -> None:
    table = Table(min_clients={"pytest-codspeed": "4.3.0"})

    assert table.say(SetIntegration("pytest-codspeed", version)) == [Err()]
    assert type(table.conversation.ended) is ClientVersionError
    assert table.calls == []
    assert table.conversation.finish()[0] == Integration("pytest-codspeed", version)


@pytest.mark.parametrize(("name", "version"), [("pytest-codspeed", "4.3.0"), ("mine", "unknown")])
def test_recent_and_unlisted_integrations_are_served(name: str, version: str) -> None:
    table = Table(min_clients={"pytest-codspeed": "4.3.0"})

    assert table.say(SetIntegration(name, version)) == [Ack()]
    assert table.calls == [f"integration {name} {version}"]


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (Ack(), "Ack()"),
        (Err(), "Err()"),
        (
            IntegrationModeResponse(IntegrationMode.SIMULATION),
            "IntegrationModeResponse(mode=<IntegrationMode.SIMULATION: 1>)",
        ),
    ],
)
def test_reply_from_a_client_is_answered_err_and_the_run_goes_on(
    command: Command, shown: str
) -> None:
    table = Table()

    assert table.say(command, START) == [Err(), Ack()]
    assert table.warnings == [f"Unhandled FIFO command: {shown}"]
    assert table.conversation.ended is None


# --- Refusals by callbacks, and the end ----------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "commands"),
    [
        ("integration a 1", [SetIntegration("a", "1")]),
        ("started", [START]),
        ("stopped", [START, STOP]),
        ("stopped", [START, START]),
        ("benchmark 1 x", [START, STOP, CurrentBenchmark(1, "x")]),
        ("healthy", [PingProfiler()]),
    ],
)
def test_refusal_by_a_callback_is_answered_err_and_ends_the_run(
    call: str, commands: list[Command]
) -> None:
    table = Table(refuse=(call,))
    replies = table.say(*commands)

    assert replies == [Ack()] * (len(commands) - 1) + [Err()]
    assert str(table.conversation.ended) == f"no {call}"
    assert table.conversation.is_open is False


def test_after_the_end_everything_is_answered_err_and_no_callback_runs() -> None:
    table = Table()
    table.say(SetVersion(9), CurrentBenchmark(1, "x"), START, STOP, started(1, 1))

    assert table.say(GetIntegrationMode(), PingProfiler(), SetVersion(2)) == [Err()] * 3
    assert table.calls == []
    assert table.conversation.finish() == (None, (), Timestamps())


def test_finished_windows_survive_a_refusal() -> None:
    table = Table(refuse=("integration a 1",))
    run_window(table, 100, 200)
    table.say(SetIntegration("a", "1"))

    assert table.windows() == (Window(None, (), 100, 200),)


def test_window_whose_callback_refused_is_no_window() -> None:
    table = Table(refuse=("stopped",))
    table.say(START, STOP)

    assert table.windows() == ()
    assert table.conversation.finish()[2].markers == ((SAMPLE_START, 1),)


def test_abandon_closes_the_open_window_without_a_name() -> None:
    table = Table()
    table.say(START, at=100)
    table.now = 200
    table.conversation.abandon()
    table.conversation.abandon()

    assert table.calls == ["started", "stopped"]
    assert table.windows() == (Window(None, (), 101, 201),)


def test_abandon_stops_what_runs_even_after_a_refusal() -> None:
    table = Table()
    table.say(START, SetVersion(9))
    table.conversation.abandon()

    assert table.calls == ["started", "stopped"]
    assert type(table.conversation.ended) is ProtocolVersionError


def test_refusal_while_abandoning_ends_the_run() -> None:
    table = Table(refuse=("stopped",))
    table.say(START)
    table.conversation.abandon()

    assert str(table.conversation.ended) == "no stopped"
    assert table.windows() == ()


def test_finish_leaves_an_open_window_out_and_changes_nothing() -> None:
    table = Table()
    table.say(START, at=100)

    assert table.conversation.finish() == (None, (), Timestamps((), ((SAMPLE_START, 101),)))
    assert table.conversation.is_open is True
    assert table.calls == ["started"]


# --- Properties ----------------------------------------------------------------------------------

anything = st.one_of(
    st.sampled_from([START, STOP, Ack(), Err(), PingProfiler(), GetIntegrationMode()]),
    st.builds(CurrentBenchmark, st.integers(1, 3), st.sampled_from("abc")),
    st.builds(SetIntegration, st.just("a"), st.just("1")),
    st.builds(SetVersion, st.sampled_from([1, 2])),
    st.builds(AddMarker, st.integers(1, 3), st.sampled_from(MarkerKind), st.integers(0, 200)),
)


@given(st.lists(anything, max_size=40))
def test_whatever_clients_say_windows_are_ordered_and_hold_their_rounds(
    said: list[Command],
) -> None:
    table = Table()
    for command in said:
        table.say(command, at=table.now + 1)
    table.conversation.abandon()
    _integration, windows, timestamps = table.conversation.finish()
    edges = [edge for window in windows for edge in (window.start, window.end)]

    assert table.conversation.ended is None
    assert edges == sorted(edges)
    assert table.calls.count("started") == table.calls.count("stopped") == len(windows)
    assert all(
        window.start <= start <= end <= window.end
        for window in windows
        for start, end in window.rounds
    )
    assert len(timestamps.uri_by_ts) == sum(isinstance(one, CurrentBenchmark) for one in said)
    assert len(timestamps.markers) == (
        2 * len(windows) + sum(isinstance(one, AddMarker) for one in said)
    )
