"""One run part: FIFO, child, its output, timers and signals in one loop.

Nothing is polled. The child's end shows on a pidfd, a signal on the wake-up pipe, and timers bound
the wait. While a benchmark window is open the loop only acknowledges and drains: no redraw, no
analysis. In each turn of the loop the FIFO is served first, and every source is read at most once,
so that a flood of output neither delays an answer nor fills the memory.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Final, NamedTuple

import attrs

from codspeed.errors import BenchmarkFailedError, CodspeedError, FramingError, ProtocolError
from codspeed.hooks.codec import Decoder, Err, encode
from codspeed.hooks.fifo import FifoPair, FifoPaths, holders, opened
from codspeed.hooks.state import ACK, Conversation
from codspeed.launch.child import Child, spawn, suspend_with, terminal_for
from codspeed.launch.privilege import elevated
from codspeed.model import Outcome, Reporter
from codspeed.protocols import Hooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import FrameType

    from codspeed.model import IntegrationMode, Launch, MarkerKind, System

_ACK_FRAME: Final = encode(ACK)  # the answer to nearly everything
_OUTPUT_BYTES: Final = 1 << 16
# What the child wrote before its end is at most a pipe full (default limit of pipe(7)); without a
# bound, whoever inherited the pipe could keep us reading.
_LEFTOVER_READS: Final = (1 << 20) // _OUTPUT_BYTES
_FRAME_TIMEOUT_S: Final = 2.0  # design 4: a frame incomplete for that long is lost framing
_TICK_S: Final = 0.2
# After a refusal the client gets the time to say so and to end by itself.
_REFUSED_STEPS: Final = ((0.5, "SIGTERM"), (2.0, "SIGKILL"))
_INTERRUPT_STEPS: Final = ((0.0, "SIGINT"), (5.0, "SIGTERM"), (2.0, "SIGKILL"))
_STOP_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP")
_EXITED_BY_SIGINT: Final = (-signal.SIGINT, 128 + signal.SIGINT)


class FifoSession:
    """The `Session` of protocols.py.

    Attributes:
        partial: What was measured before `run` raised; None before the child ran.
    """

    def __init__(
        self,
        *,
        system: System,
        environment: Mapping[str, str],
        mode: IntegrationMode | None,
        min_protocol: int = 0,
        min_clients: Mapping[str, str] | None = None,
        reporter: Reporter | None = None,
        paths: FifoPaths | None = None,
        around: Hooks | None = None,
    ) -> None:
        """Prepare; nothing is opened before `run`.

        Args:
            system: The machine.
            environment: The whole environment of the child.
            mode: The answer to GetIntegrationMode; None: no FIFO is created.
            min_protocol: See `ExecutorDefaults`.
            min_clients: See `ExecutorDefaults`.
            reporter: Gets output, warnings and progress.
            paths: Where the FIFOs are; the fixed paths by default.
            around: Hooks of the instruments; at Start they come before the executor's, at Stop
                after.
        """
        self.system = system
        self.environment = environment
        self._mode = mode
        self._min_protocol = min_protocol
        self._min_clients = min_clients or {}
        self._reporter = reporter or Reporter()
        self._paths = paths or FifoPaths()
        self._around = around or Hooks()
        self._watched: dict[int, Callable[[], None]] = {}
        self._pids: set[int] = set()
        self.partial: Outcome | None = None

    def note(self, text: str) -> None:
        """Tell the user something, now."""
        self._reporter.info(text)

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Call `ready` whenever `fd` is readable while `run` runs."""
        self._watched[fd] = ready

    def pids(self) -> frozenset[int]:
        """Return the child and every process that spoke on the FIFO so far."""
        return frozenset(self._pids)

    def run(self, launch: Launch, hooks: Hooks | None = None) -> Outcome:
        """Run `launch` to its end; see `Session.run`.

        Raises:
            BenchmarkFailedError: If the program can't be executed.
            ProtocolError: If framing was lost or the integration was refused.
            LockedError: If somebody else's FIFOs are in the way.
            CodspeedError: What a callback raised.
        """
        self.partial = None
        combined = _Around(self._around, hooks or Hooks(), self._reporter, self._pids)
        with contextlib.ExitStack() as stack:
            fifos = None if self._mode is None else stack.enter_context(opened(self._paths))
            child = stack.enter_context(spawn(self._privileged(launch), self.environment))
            self._pids.add(child.pid)
            conversation = Conversation(
                combined,
                mode=self._mode,  # type: ignore[arg-type] # without a FIFO nobody asks for it
                clock=time.monotonic_ns,
                min_protocol=self._min_protocol,
                min_clients=self._min_clients,
                warn=self._reporter.warning,
                count_clients=lambda: len(holders(self._paths.ctl)) - 1,  # we have it open too
            )
            loop = _Loop(child, fifos, conversation, self._reporter)
            stack.enter_context(terminal_for(child))
            stack.enter_context(loop.prepared(self._watched))
            combined.spawned(child.pid)
            child.release(launch.argv[0])
            stack.callback(self._keep, child, conversation, loop)
            combined.released()
            loop.run()
            conversation.abandon()
        return self._judged(conversation.ended or loop.failure)

    def _privileged(self, launch: Launch) -> Launch:
        if not launch.sudo:
            return launch
        interactive = "CI" not in self.system.env
        argv = elevated(launch.argv, announce=self.note, interactive=interactive)
        return attrs.evolve(launch, argv=argv)

    def _keep(self, child: Child, conversation: Conversation, loop: _Loop) -> None:
        """End the child and remember what was measured, also when a callback failed."""
        if loop.stopping is not None or not child.has_exited():
            # Stragglers too; a leader that ended still holds the group's id.
            child.signal_group(signal.SIGKILL)
        status, rusage = child.reap()
        integration, windows, timestamps = conversation.finish()
        self.partial = Outcome(
            status=status,
            interrupted=loop.interrupted or (child.holds_terminal and status in _EXITED_BY_SIGINT),
            rusage=rusage,
            integration=integration,
            windows=windows,
            timestamps=timestamps,
        )

    def _judged(self, failure: CodspeedError | None) -> Outcome:
        outcome = self.partial
        assert outcome is not None, "set when the child ended"
        if failure is None:
            return outcome
        if outcome.interrupted:
            self._reporter.warning(failure.problem)
            return outcome
        raise failure


class _Around(Hooks):
    """Instruments' hooks around the executor's, and what the session itself wants to know."""

    def __init__(self, outer: Hooks, inner: Hooks, reporter: Reporter, pids: set[int]) -> None:
        self._outer = outer
        self._inner = inner
        self._reporter = reporter
        self._pids = pids

    def spawned(self, pid: int) -> None:
        self._outer.spawned(pid)
        self._inner.spawned(pid)

    def released(self) -> None:
        self._outer.released()
        self._inner.released()
        self._reporter.released()

    def integration(self, name: str, version: str) -> None:
        self._outer.integration(name, version)
        self._inner.integration(name, version)

    def started(self) -> None:
        with contextlib.ExitStack() as undo:
            self._reporter.window(is_open=True)
            undo.callback(self._reporter.window, is_open=False)
            self._outer.started()
            undo.callback(self._outer.stopped)
            self._inner.started()
            undo.pop_all()

    def stopped(self) -> None:
        with contextlib.ExitStack() as rest:  # each is told, also when one before it fails
            rest.callback(self._reporter.window, is_open=False)
            rest.callback(self._outer.stopped)
            self._inner.stopped()

    def benchmark(self, pid: int, uri: str) -> None:
        self._pids.add(pid)
        self._inner.benchmark(pid, uri)
        self._outer.benchmark(pid, uri)
        self._reporter.benchmark(uri)

    def marker(self, pid: int, kind: MarkerKind, timestamp: int) -> None:
        self._inner.marker(pid, kind, timestamp)
        self._outer.marker(pid, kind, timestamp)

    def healthy(self) -> bool:
        return self._outer.healthy() and self._inner.healthy()


class _Source(NamedTuple):
    """What to do when a descriptor is readable, and whether an integration waits behind it."""

    act: Callable[[], object]
    is_client: bool


def _is_no_client(ready: tuple[selectors.SelectorKey, int]) -> bool:
    return not ready[0].data.is_client


class _Loop:
    """The event loop of one child.

    Attributes:
        failure: What made the loop stop the child; None if nothing did.
        interrupted: A signal asked us to stop.
        stopping: The steps still to be taken to stop the child; None while it may run.
    """

    def __init__(
        self, child: Child, fifos: FifoPair | None, conversation: Conversation, reporter: Reporter
    ) -> None:
        self.failure: CodspeedError | None = None
        self.interrupted = False
        self.stopping: list[tuple[float, str]] | None = None
        self._child = child
        self._fifos = fifos
        self._conversation = conversation
        self._reporter = reporter
        self._decoder = Decoder()
        self._selector = selectors.DefaultSelector()
        self._frame_deadline: float | None = None
        self._step_deadline = 0.0
        self._next_tick = 0.0
        self._exited = False
        self._is_deaf = False

    @contextlib.contextmanager
    def prepared(self, watched: Mapping[int, Callable[[], None]]) -> Iterator[None]:
        """Register everything to wait for; undone at the end."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._selector.close)
            wakeup = stack.enter_context(_wakeup_descriptor())
            self._register(wakeup.fileno(), lambda: self._on_signal(wakeup))
            self._register(stack.enter_context(_exit_descriptor(self._child)), self._on_exit)
            self._register(self._child.stdout, lambda: self._pump(self._child.stdout, "stdout"))
            self._register(self._child.stderr, lambda: self._pump(self._child.stderr, "stderr"))
            if self._fifos is not None:
                self._register(self._fifos.ctl, self._on_frames, is_client=True)
            for fd, ready in watched.items():
                self._register(fd, ready)
            yield

    def run(self) -> None:
        """Wait and serve until the child has exited; then take what it had already written."""
        while not self._exited:
            ready = self._selector.select(self._timeout())
            if len(ready) > 1:  # who is waiting for an answer comes first
                ready.sort(key=_is_no_client)
            for key, _events in ready:
                key.data.act()
            if self._has_timers():
                self._on_time()
        self._take_leftovers()

    def _take_leftovers(self) -> None:
        for _ in range(_LEFTOVER_READS):
            if self._fifos is None or not self._on_frames():
                break
        for fd, stream in ((self._child.stdout, "stdout"), (self._child.stderr, "stderr")):
            for _ in range(_LEFTOVER_READS):
                if not self._pump(fd, stream):
                    break

    def _register(self, fd: int, act: Callable[[], object], *, is_client: bool = False) -> None:
        source = _Source(act, is_client=is_client)
        self._selector.register(fd, selectors.EVENT_READ, source)

    def _on_exit(self) -> None:
        self._exited = True

    def _on_frames(self) -> bool:
        """Answer what has arrived; return whether there was anything."""
        if self._fifos is None or self._is_deaf:
            return False
        data = self._fifos.read()
        if not data:
            return False
        answered = False
        try:
            for command in self._decoder.feed(data):
                reply = self._conversation.answer(command)
                self._fifos.write(_ACK_FRAME if reply is ACK else encode(reply))
                answered = True
        except FramingError as lost:
            self._lose_framing(lost)
        except ProtocolError as failure:
            self._fail(failure, is_deaf=True)
        else:
            self._mind_the_rest(is_new=answered)
            if self._conversation.ended is not None and self.failure is None:
                self._fail(self._conversation.ended, is_deaf=False)
        return True

    def _mind_the_rest(self, *, is_new: bool) -> None:
        """Give an incomplete frame its time: from its first byte, not from its latest."""
        if not self._decoder.pending:
            self._frame_deadline = None
        elif is_new or self._frame_deadline is None:
            self._frame_deadline = time.monotonic() + _FRAME_TIMEOUT_S

    def _lose_framing(self, lost: FramingError) -> None:
        self._reporter.debug(f"bytes on the FIFO: {lost.offending}")
        if self._fifos is not None:
            with contextlib.suppress(ProtocolError):
                self._fifos.write(encode(Err()))
        self._fail(lost, is_deaf=True)

    def _fail(self, failure: CodspeedError, *, is_deaf: bool) -> None:
        """Stop the child.

        Args:
            failure: Why.
            is_deaf: What follows on the FIFO can't be understood; else it is answered Err.
        """
        self.failure = self.failure or failure
        self._frame_deadline = None
        if is_deaf and self._fifos is not None:
            self._is_deaf = True
            self._selector.unregister(self._fifos.ctl)
        if self.stopping is None:
            self._stop(_REFUSED_STEPS)

    def _pump(self, fd: int, stream: str) -> bool:
        """Hand on what the child wrote; return whether there may be more."""
        try:
            data = os.read(fd, _OUTPUT_BYTES)
        except BlockingIOError:
            return False
        if data:
            self._reporter.output(data, stream=stream)
            return True
        with contextlib.suppress(KeyError):
            self._selector.unregister(fd)  # end of file: it would be readable for ever
        return False

    def _on_signal(self, wakeup: socket.socket) -> None:
        """Act on signals; other code may have handlers for others, which arrive here too."""
        try:
            numbers = set(wakeup.recv(64))
        except BlockingIOError:
            return
        if signal.SIGCHLD in numbers and self._child.holds_terminal and self._child.is_stopped():
            suspend_with(self._child)
        if not numbers.isdisjoint(_numbers(_STOP_SIGNALS)):
            self._interrupt()

    def _interrupt(self) -> None:
        self.interrupted = True
        if self.stopping is None:
            self._stop(_INTERRUPT_STEPS)
        else:
            self._step_deadline = time.monotonic()  # asked twice: do not wait any longer

    def _stop(self, steps: tuple[tuple[float, str], ...]) -> None:
        self.stopping = list(steps)
        self._step_deadline = time.monotonic() + steps[0][0]

    def _on_time(self) -> None:
        now = time.monotonic()
        if self._frame_deadline is not None and now >= self._frame_deadline:
            self._lose_framing(self._decoder.stalled(_FRAME_TIMEOUT_S))
        if self.stopping and now >= self._step_deadline:
            _delay, name = self.stopping.pop(0)
            self._child.signal_group(getattr(signal, name))
            if self.stopping:
                self._step_deadline = now + self.stopping[0][0]
        if now >= self._next_tick and not self._conversation.is_open:
            self._reporter.tick()
            self._next_tick = now + _TICK_S

    def _has_timers(self) -> bool:
        """Whether time alone can change anything: not while a window is open and all is well."""
        return (
            not self._conversation.is_open
            or self._frame_deadline is not None
            or bool(self.stopping)
        )

    def _timeout(self) -> float | None:
        """Seconds until the next timer; None when only an event can change anything."""
        if not self._has_timers():
            return None
        due = [deadline for deadline in (self._frame_deadline,) if deadline is not None]
        if self.stopping:
            due.append(self._step_deadline)
        if not self._conversation.is_open:
            due.append(self._next_tick)
        return max(0.0, min(due) - time.monotonic())


def _numbers(names: Iterable[str]) -> list[int]:
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


@contextlib.contextmanager
def _wakeup_descriptor() -> Iterator[socket.socket]:
    """Turn the signals that ask us to stop into a readable socket."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.settimeout(0)
        writer.settimeout(0)
        if threading.current_thread() is not threading.main_thread():
            yield reader  # only the main thread gets signals; other callers handle them
            return
        handled = [
            number
            for number in _numbers(_STOP_SIGNALS)
            if signal.getsignal(number) is not signal.SIG_IGN  # nohup, or a script's background
        ]
        handled += _numbers(["SIGCHLD"])  # never ignored: a child's status would be lost
        handlers = {number: signal.signal(number, _noted) for number in handled}
        previous = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(previous)
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the wake-up descriptor tells the loop."""


@contextlib.contextmanager
def _exit_descriptor(child: Child) -> Iterator[int]:
    """Yield a descriptor that becomes readable when the child ends.

    A pidfd; where there is none, a pipe that a waiting thread closes.
    """
    fd = _pidfd(child.pid)
    try:
        yield fd
    finally:
        os.close(fd)


def _pidfd(pid: int) -> int:
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):  # Linux before 5.3, or a container that forbids it
            return os.pidfd_open(pid)
    reader, writer = os.pipe()
    threading.Thread(target=_close_at_exit, args=(pid, writer), daemon=True).start()
    return reader


def _close_at_exit(pid: int, writer: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    os.close(writer)


def failed(outcome: Outcome) -> BenchmarkFailedError | None:
    """Return the error for a child that did not end well; None if it did or was interrupted."""
    if outcome.interrupted or outcome.status == 0:
        return None
    problem = f"failed to execute the benchmark process: {describe_status(outcome.status)}"
    return BenchmarkFailedError(problem, hint="its own output above says why")


def describe_status(status: int) -> str:
    """Say a status as the reference does: `exit status: 1`, `signal: 9 (SIGKILL)`."""
    if status >= 0:
        return f"exit status: {status}"
    try:
        return f"signal: {-status} ({signal.Signals(-status).name})"
    except ValueError:
        return f"signal: {-status}"
