"""What each command of an integration means: the state machine of one run. No I/O here.

Rule 1: every command gets exactly one reply, and `answer` returns it. Clients wait for it.
Rule 2: callbacks run before the reply is returned, and timestamps are taken so that a window holds
    only the benchmark: SampleStart after `started` returned, SampleEnd after `stopped` returned.
Rule 3: a command that is merely out of place is answered and the run goes on; a refusal (protocol
    version, client too old, `Refused` by a callback) is answered Err and `ended` is set. After that
    everything is answered Err and no callback runs but `stopped`, by `abandon`.

Theory. The pipe is shared and a frame does not say who sent it (only two kinds carry a pid), so
there is one state for all clients together: whether a window is open. Start and Stop have a meaning
in either state:

    command         closed                   open
    StartProfiler   open                     warn, close nameless, open
    StopProfiler    warn                     close, await a name

A benchmark that raised leaves its Start without a Stop; its window is closed by the next Start and
keeps no name for ever, since that integration has given it up. A window closed by its own Stop
awaits the CurrentBenchmark that names it; names come last, so the latest such window is meant -
unless only another process marked rounds in it - and a window that is open is never named.
Everything else is independent of that state: handshakes happen inside open windows (JMH forks),
markers arrive before, inside or after their window (tinybench and Go send them after Stop). Rounds
are therefore assigned at the end, by time.

Changing a rule? docs/protocol.md tells the same in words.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

import attrs

from codspeed.errors import CodspeedError, ProtocolError
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
from codspeed.hooks.version import RUNNER_VERSIONS, negotiate, require_client
from codspeed.model import Integration, IntegrationMode, MarkerKind, Timestamps, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from codspeed.protocols import Hooks

ACK: Final = Ack()
ERR: Final = Err()

# The reference's sentences (runner v5.0.2, shared command handling).
DUPLICATE_START: Final = "Received duplicate StartProfiler command, ignoring"
STRAY_STOP: Final = "Received StopProfiler command before StartProfiler, ignoring"

# The table of the header: (command, a window is open) -> warning and steps, in order.
WINDOW_RULES: Final[Mapping[tuple[type[Command], bool], tuple[str, tuple[str, ...]]]] = {
    (StartProfiler, False): ("", ("open",)),
    (StartProfiler, True): (DUPLICATE_START, ("give up", "open")),
    (StopProfiler, False): (STRAY_STOP, ()),
    (StopProfiler, True): ("", ("close",)),
}

# Integrations that introduce themselves once per run, unless something runs them side by side.
# Others do so once per file or worker, one after the other.
_SERIAL: Final = frozenset({"pytest-codspeed"})

# What a mode is called in the sentences of a refusal.
_PURPOSES: Final[Mapping[IntegrationMode, str]] = {
    IntegrationMode.WALLTIME: "walltime profiling",
    IntegrationMode.SIMULATION: "simulation",
    IntegrationMode.ANALYSIS: "memory profiling",
}

# Who sent it (None: we stamped it ourselves), what it marks, when in CLOCK_MONOTONIC nanoseconds.
_Mark: TypeAlias = tuple[int | None, MarkerKind, int]


@attrs.define
class _Span:
    """A window while it grows; nanoseconds."""

    start: int
    end: int = 0
    uri: str | None = None
    pid: int | None = None


class Conversation:
    """All that integrations say in one run, and what we answer.

    Attributes:
        ended: The refusal that ends the run; None as long as it goes on.
        pids: Processes that named themselves in a command so far.
    """

    def __init__(
        self,
        hooks: Hooks,
        *,
        mode: IntegrationMode,
        clock: Callable[[], int],
        warn: Callable[[str], None],
        min_protocol: int = 0,
        min_clients: Mapping[str, str] | None = None,
        count_clients: Callable[[], int] = lambda: 1,
    ) -> None:
        """Begin with no window open.

        Args:
            hooks: Told what happens, before the integration is answered.
            mode: The answer to GetIntegrationMode.
            clock: CLOCK_MONOTONIC in nanoseconds; the one that integrations stamp markers with.
            warn: Takes a sentence about a command out of place.
            min_protocol: Oldest protocol version served; 0 also serves clients without SetVersion.
            min_clients: Oldest version served, by name of integration; others are not checked.
            count_clients: How many processes have the pipe open beside the runner; asked rarely.

        Raises:
            ValueError: If `min_protocol` is newer than the runner's newest version.
        """
        self.ended: CodspeedError | None = None
        self.pids: set[int] = set()
        self._hooks = hooks
        self._mode = mode
        self._clock = clock
        self._warn = warn
        self._purpose = _PURPOSES.get(mode, "this mode")
        self._versions = RUNNER_VERSIONS.narrowed(min_protocol, self._purpose)
        self._needs_version = min_protocol > 0
        self._min_clients = min_clients or {}
        self._count_clients = count_clients
        self._integration: Integration | None = None
        self._open: _Span | None = None
        self._closed: list[_Span] = []
        self._unnamed: list[_Span] = []
        self._uris: list[tuple[int, str]] = []
        self._marks: list[_Mark] = []

    @property
    def is_open(self) -> bool:
        """Whether a window is open: the benchmark runs, disturb nothing."""
        return self._open is not None

    def answer(self, command: Command) -> Command:
        """Act on `command` and return the reply to send."""
        if self.ended is not None:
            return ERR
        try:
            return self._ANSWERS[type(command)](self, command)
        except CodspeedError as refusal:
            self.ended = refusal
            return ERR

    def abandon(self) -> None:
        """Close a window that is still open, nameless: nobody is left to send its Stop."""
        if self._open is None:
            return
        try:
            self._close()
        except CodspeedError as refusal:
            self.ended = self.ended or refusal

    def finish(self) -> tuple[Integration | None, tuple[Window, ...], Timestamps]:
        """Return who spoke, every closed window with its rounds, and the reference's time line."""
        markers = tuple((kind, timestamp) for _pid, kind, timestamp in self._marks)
        windows = _windows(self._closed, self._marks)
        return self._integration, windows, Timestamps(tuple(self._uris), markers)

    # --- Windows ---------------------------------------------------------------------------------

    def _window(self, command: StartProfiler | StopProfiler) -> Command:
        warning, steps = WINDOW_RULES[type(command), self.is_open]
        if warning:
            self._warn(warning)
        for step in steps:
            self._STEPS[step](self)
        return ACK

    def _start(self) -> None:
        self._hooks.started()
        self._open = _Span(self._stamp(MarkerKind.SAMPLE_START))

    def _close(self) -> _Span | None:
        """Close the open window; one whose `stopped` fails is no window."""
        span, self._open = self._open, None
        self._hooks.stopped()
        if span is not None:
            span.end = self._stamp(MarkerKind.SAMPLE_END)
            self._closed.append(span)
        return span

    def _stop(self) -> None:
        span = self._close()
        if span is not None:
            self._unnamed.append(span)

    def _stamp(self, kind: MarkerKind) -> int:
        now = self._clock()
        self._marks.append((None, kind, now))
        return now

    def _name(self, command: CurrentBenchmark) -> Command:
        self._uris.append((self._clock(), command.uri))
        self.pids.add(command.pid)
        if self._unnamed:
            span = self._meant(command.pid)
            self._unnamed.remove(span)
            span.uri, span.pid = command.uri, command.pid
            self._hooks.benchmark(command.pid, command.uri)
        return ACK

    def _meant(self, pid: int) -> _Span:
        """Return the window that `pid` names: its own by its markers, or the latest of nobody's.

        More than one awaits its name only where processes take turns, one of them perhaps a
        stranger that inherited the environment of this run.
        """
        if len(self._unnamed) == 1:
            return self._unnamed[0]
        latest = self._unnamed[::-1]
        markers = [(sender, timestamp) for sender, _kind, timestamp in self._marks if sender]
        senders = [
            {sender for sender, timestamp in markers if span.start <= timestamp <= span.end}
            for span in latest
        ]
        for fits in ({pid}.issubset, set[int]().issuperset):
            for span, inside in zip(latest, senders, strict=True):
                if fits(inside):
                    return span
        return latest[0]

    def _mark(self, command: AddMarker) -> Command:
        self._marks.append((command.pid, command.kind, command.timestamp))
        self.pids.add(command.pid)
        self._hooks.marker(command.pid, command.kind, command.timestamp)
        return ACK

    # --- Who speaks, and how ---------------------------------------------------------------------

    def _integrate(self, command: SetIntegration) -> Command:
        if self._integration is not None and command.name in _SERIAL and self._count_clients() > 1:
            problem = (
                f"several processes of {command.name} measure at once; their windows would mix"
            )
            raise ProtocolError(problem, hint="run the benchmarks serially (pytest-xdist: -n0)")
        self._integration = Integration(command.name, command.version)
        if self._needs_version:  # still: it introduced itself without SetVersion
            negotiate(0, self._versions, integration=self._speaker())
        oldest = self._min_clients.get(command.name)
        if oldest is not None:
            require_client(command.name, command.version, oldest, purpose=self._purpose)
        self._hooks.integration(command.name, command.version)
        return ACK

    def _speak(self, command: SetVersion) -> Command:
        negotiate(command.version, self._versions, integration=self._speaker())
        self._needs_version = False
        return ACK

    def _speaker(self) -> str:
        if self._integration is None:
            return "the integration"
        return f"{self._integration.name} {self._integration.version}"

    def _tell_mode(self, _command: GetIntegrationMode) -> Command:
        return IntegrationModeResponse(self._mode)

    def _ping(self, _command: PingProfiler) -> Command:
        return ACK if self._hooks.healthy() else ERR

    def _unhandled(self, command: Command) -> Command:
        self._warn(f"Unhandled FIFO command: {command}")
        return ERR

    # --- The tables of what does what ------------------------------------------------------------

    _STEPS: ClassVar[Mapping[str, Callable[[Conversation], object]]] = {
        "open": _start,
        "close": _stop,
        "give up": _close,
    }
    _ANSWERS: ClassVar[Mapping[type[Command], Callable[[Conversation, Any], Command]]] = {
        CurrentBenchmark: _name,
        StartProfiler: _window,
        StopProfiler: _window,
        Ack: _unhandled,
        PingProfiler: _ping,
        SetIntegration: _integrate,
        Err: _unhandled,
        AddMarker: _mark,
        SetVersion: _speak,
        GetIntegrationMode: _tell_mode,
        IntegrationModeResponse: _unhandled,
    }


# --- The end: which round belongs to which window ------------------------------------------------


def _windows(spans: Sequence[_Span], marks: Sequence[_Mark]) -> tuple[Window, ...]:
    """Return `spans` with the pids and rounds whose times lie inside; spans never overlap."""
    starts = [span.start for span in spans]
    pids: list[dict[int, None]] = [{} for _ in spans]  # in order of appearance
    rounds: list[list[tuple[int, int]]] = [[] for _ in spans]

    def around(first: int, last: int) -> int | None:
        index = bisect_right(starts, first) - 1
        return index if index >= 0 and last <= spans[index].end else None

    for pid, _kind, timestamp in marks:
        index = around(timestamp, timestamp)
        if pid is not None and index is not None:
            pids[index][pid] = None
    for pair in sorted(_pairs(marks)):
        index = around(*pair)
        if index is not None:
            rounds[index].append(pair)
    for span, named in zip(spans, pids, strict=True):
        if span.pid is not None:
            named[span.pid] = None
    return tuple(
        Window(span.uri, tuple(named), span.start, span.end, tuple(inside))
        for span, named, inside in zip(spans, pids, rounds, strict=True)
    )


def _pairs(marks: Sequence[_Mark]) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each round: per process, an end belongs to the start just before it.

    "Before" is by time, so that a client may report all starts and then all ends. A start that is
    followed by another start (its round raised) and an end without a start are dropped.
    """
    begun: dict[int | None, int] = {}
    for pid, kind, timestamp in sorted(marks, key=lambda mark: mark[2]):
        if kind is MarkerKind.ROUND_START:
            begun[pid] = timestamp
        elif kind is MarkerKind.ROUND_END and pid in begun:
            yield begun.pop(pid), timestamp
