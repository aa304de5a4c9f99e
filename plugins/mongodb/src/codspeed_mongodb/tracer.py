"""The program `cs-mongo-tracer`: a proxy before the MongoDB server that counts what passes.

Source of addresses, variables and requests: spec/executors.md 8.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import sys
import threading
import time
from typing import IO, TYPE_CHECKING, Final

import attrs

from codspeed.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_READY_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02
_ANSWER_SECONDS: Final = 30.0
_END_SECONDS: Final = 2.0
_MOST_BYTES: Final = 1 << 30
_TO_DEBUG: Final = "CODSPEED_LOG=debug shows what it says"


@attrs.frozen
class Addresses:
    """Where the tracer listens, as host:port.

    Attributes:
        server: For the integration's messages and for us.
        proxy: For the benchmark's MongoDB client.
    """

    server: str = "0.0.0.0:55581"  # the contract's constant; it is the tracer that binds it
    proxy: str = "127.0.0.1:27018"

    @property
    def reachable(self) -> tuple[str, int]:
        """Return host and port by which we reach the server: any address is none to connect to."""
        host, _, port = self.server.rpartition(":")
        return ("127.0.0.1" if host == "0.0.0.0" else host, int(port))  # noqa: S104 - see above


class Tracer:
    """A running tracer. Made by `running`."""

    def __init__(self, process: subprocess.Popen[bytes], addresses: Addresses) -> None:
        self._process = process
        self._addresses = addresses

    def wait_until_ready(self) -> None:
        """Return when the tracer listens.

        Raises:
            ToolError: If it ends or does not listen in time.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while not _is_listening(self._addresses):
            status = self._process.poll()
            if status is not None:
                problem = f"cs-mongo-tracer ended at once, with status {status}"
                raise ToolError(problem, hint=_TO_DEBUG)
            if time.monotonic() > deadline:
                where = self._addresses.server
                problem = f"cs-mongo-tracer does not listen at {where} after {_READY_SECONDS:.0f} s"
                raise ToolError(problem, hint=_TO_DEBUG)
            time.sleep(_POLL_SECONDS)

    def terminate(self) -> bytes:
        """Ask the tracer to end, and return what it counted: a JSON document.

        Raises:
            ToolError: If it does not answer, or with an error.
        """
        problem = "Failed to terminate the MongoDB tracer"
        hint = f"what it counted is lost; the measurements are not. {_TO_DEBUG}"
        connection = http.client.HTTPConnection(*self._addresses.reachable, timeout=_ANSWER_SECONDS)
        try:
            connection.request("POST", "/terminate")
            answer = connection.getresponse()
            body = answer.read(_MOST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            problem = f"{problem}: {error!r}"
            raise ToolError(problem, hint=hint) from error
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            problem = f"{problem}: it answered {answer.status}"
            raise ToolError(problem, hint=hint)
        return body


@contextlib.contextmanager
def running(
    program: Path, addresses: Addresses, env: Mapping[str, str], *, server: str | None
) -> Iterator[Tracer]:
    """Start the tracer and wait until it listens; whatever happens, it is gone afterwards.

    Args:
        program: The tracer.
        addresses: Where it is to listen.
        env: What it inherits.
        server: "host:port" of MongoDB; None if the benchmarks name it while they run.

    Raises:
        ToolError: If it can't be started.
    """
    if _is_listening(addresses):
        # Its addresses are fixed; ours would fail to bind, and we would end a stranger's.
        problem = f"something listens at {addresses.server} already, where cs-mongo-tracer is to"
        raise ToolError(problem, hint="end the other run or tracer first")
    own = {
        "RUST_LOG": "debug",
        "CODSPEED_MONGO_INSTR_SERVER_ADDRESS": addresses.server,
        "CODSPEED_MONGO_PROXY_HOST_PORT": addresses.proxy,
    }
    if server is not None:
        own["CODSPEED_MONGO_DEST_HOST_PORT"] = server
    process = _spawn(program, dict(env) | own)
    is_shown = env.get("CODSPEED_LOG", "").lower() in {"debug", "trace"}
    pump = threading.Thread(target=_pump, args=(process.stdout,), kwargs={"is_shown": is_shown})
    pump.start()
    try:
        tracer = Tracer(process, addresses)
        tracer.wait_until_ready()
        yield tracer
    finally:
        _end(process)
        pump.join()


def _spawn(program: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [str(program)],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the benchmarks; we end it after them
        )
    except OSError as error:
        problem = f"{program} can't be started: {error.strerror or error}"
        raise ToolError(problem, hint="reinstall cs-mongo-tracer") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _pump(stream: IO[bytes], *, is_shown: bool) -> None:
    """Read what the tracer says, so that it never waits for us; show it if asked."""
    with stream:
        for line in stream:
            if is_shown:
                sys.stderr.write(f"[MONGO TRACER LOGS] {line.decode(errors='replace').rstrip()}\n")


def _is_listening(addresses: Addresses) -> bool:
    try:
        socket.create_connection(addresses.reachable, timeout=1).close()
    except OSError:
        return False
    return True
