"""The process that has the probes: `python -m codspeed_memory.ebpf.worker SOCKET`.

A process of its own, because the runner's one loop must answer the benchmark at once while here
files are read and processes are stopped; and because it outlives a runner that is killed, just long
enough to continue what is stopped. The runner speaks JSON over a socket; its end is the socket's.
All probes are descriptors of this process, so however it ends they are gone.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from codspeed.errors import CodspeedError
from codspeed_memory.ebpf import kernel, layout, maps, probing
from codspeed_memory.ebpf.handlers import Form
from codspeed_memory.ebpf.ring_reader import RingReader, written_to
from codspeed_memory.ebpf.tracepoints import Tracepoints
from codspeed_memory.ebpf.watcher import Request, Watcher

if TYPE_CHECKING:
    from codspeed_memory.ebpf.maps import Maps

MESSAGE_BYTES: Final = 1 << 16
# A program in the kernel may be under way when its tracepoint is let go.
_LAST_REQUESTS_S: Final = 0.02
_COUNTERS: Final = {
    "dropped": layout.DROPPED,
    "unfollowed": layout.UNFOLLOWED,
    "unasked": layout.UNASKED,
}


class Drain:
    """A thread that moves events from the kernel's ring to a file."""

    def __init__(self, made: Maps, control: mmap.mmap, file: int) -> None:
        self._control = control
        self._reader = RingReader(made.events, made.ring_bytes, layout.EVENT_STRIDE)
        self._lock = threading.Lock()
        self._append = written_to(file)
        self._stop, self._asked = os.pipe()
        self._epoll = select.epoll()
        # By edge: that there is something unread is no reason to wake up.
        self._epoll.register(made.events, select.EPOLLIN | select.EPOLLET)
        self._epoll.register(self._stop, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="drain", daemon=True)
        self.failure = ""  # a text: the error itself would keep the ring mapped
        self._thread.start()

    def store(self, data: memoryview) -> None:
        """Append to the file, from any thread."""
        with self._lock:
            self._append(data)

    def _run(self) -> None:
        try:
            while True:
                self._reader.take(self.store)
                struct.pack_into("<I", self._control, layout.SLEEPING, 1)
                if any(fd == self._stop for fd, _ in self._epoll.poll()):
                    break
            self._reader.take(self.store)
        except OSError as failure:
            self.failure = failure.strerror or str(failure)

    def finish(self) -> None:
        """Take what is there, and stop."""
        os.close(self._asked)
        self._thread.join()
        self._epoll.close()
        os.close(self._stop)
        with self._reader:
            pass


class Worker:
    """One run."""

    def __init__(self, peer: socket.socket, file: int, options: dict[str, Any]) -> None:
        self._peer = peer
        self._file = file
        self._is_alone = bool(options["alone"])
        self._form = Form(options["form"]) if options["form"] else None
        self._ring_bytes = int(options["ring_bytes"])
        self._threads = int(options["threads"])

    def run(self) -> None:
        """Serve until the runner has enough, or is gone."""
        with contextlib.ExitStack() as stack:
            try:
                self._begin(stack)
            except CodspeedError as failure:
                self._say(failed=failure.problem)
                return
            except OSError as failure:
                self._say(failed=f"the probes can't be set up: {failure.strerror}")
                return
            self._say_ready()
            self._serve()
            self._end()

    def _begin(self, stack: contextlib.ExitStack) -> None:
        system = kernel.known()
        self._maps = stack.enter_context(maps.made(self._ring_bytes, self._threads))
        self._prober = stack.enter_context(probing.prober(self._maps, system.calls, self._form))
        self._control = stack.enter_context(mmap.mmap(self._maps.control, mmap.PAGESIZE))
        self._requests = stack.enter_context(
            RingReader(self._maps.requests, layout.REQUESTS_BYTES, layout.REQUEST_STRIDE)
        )
        self._drain = Drain(self._maps, self._control, self._file)
        self._watcher = Watcher(
            self._maps, self._prober, self._drain.store, is_alone=self._is_alone
        )
        self._tracepoints = Tracepoints(self._maps, system.fields, is_alone=self._is_alone)
        stack.callback(self._let_go)

    def _say(self, **message: object) -> None:
        with contextlib.suppress(OSError):  # the runner is gone
            self._peer.send(json.dumps(message).encode())

    def _say_ready(self) -> None:
        text = json.dumps({"ready": self._prober.form.value}).encode()
        with contextlib.suppress(OSError):
            socket.send_fds(self._peer, [text], [self._maps.control])

    def _serve(self) -> None:
        """Answer the runner and look at files until it has enough, or is gone."""
        poll = select.poll()
        poll.register(self._peer, select.POLLIN)
        poll.register(self._maps.requests, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._maps.requests in ready:
                self._watcher.serve(self._asked)
            if self._peer.fileno() not in ready:
                continue
            data = self._peer.recv(MESSAGE_BYTES)
            if not data:
                return
            message = json.loads(data)
            if message["do"] == "finish":
                return
            self._follow(message["pid"], is_silent=message["silent"])
            self._say(followed=message["pid"])

    def _asked(self) -> list[Request]:
        found: list[Request] = []

        def note(chunk: memoryview) -> None:
            starts = range(layout.RING_HEADER_BYTES, len(chunk), layout.REQUEST_STRIDE)
            for at in starts:
                pid, tid, why, key, *file = layout.REQUEST.unpack_from(chunk, at)
                found.append(Request(pid, tid, why, key, (file[0], file[1], file[2])))

        self._requests.take(note)
        return found

    def _follow(self, pid: int, *, is_silent: bool) -> None:
        """Have the kernel's side know the child when it executes its program."""
        namespace = Path("/proc/self/ns/pid").stat().st_ino
        struct.pack_into("<I", self._control, layout.NAMESPACE, namespace)
        struct.pack_into("<I", self._control, layout.SILENT, pid if is_silent else 0)
        struct.pack_into("<I", self._control, layout.ROOT, pid)

    def _let_go(self) -> None:
        """Stop nobody any more, and continue who is stopped; also when something went wrong."""
        if self._tracepoints.close():
            time.sleep(_LAST_REQUESTS_S)
            self._watcher.serve(self._asked)

    def _end(self) -> None:
        """Let all go, take the last events, remove the probes, and tell."""
        self._let_go()
        self._drain.finish()
        counters = {
            name: struct.unpack_from("<Q", self._control, offset)[0]
            for name, offset in _COUNTERS.items()
        }
        self._prober.close()
        self._say(
            finished=True,
            counters=counters,
            gaps=list(self._watcher.gaps),
            failed=self._drain.failure,
        )


def main(arguments: list[str]) -> int:
    """Serve one run: options and the file for events come first."""
    # To be ended politely is no reason to leave processes stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.connect(arguments[0])
        options, (file,), _, _ = socket.recv_fds(peer, MESSAGE_BYTES, 1)
        Worker(peer, file, json.loads(options)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
