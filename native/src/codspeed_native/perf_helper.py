"""Open perf events with root's rights and hand the descriptors over.

For kernels that refuse unprivileged users (perf_event_paranoid 3 of Debian, 4 of Ubuntu). Run as a
program it is the helper: it opens what it is told to, sends the descriptors through a socket and
ends. It gives nobody rights that he did not have: whoever can run it through sudo can run anything.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codspeed_native.perf_event import SamplingRefusedError, open_directly

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIMEOUT_S: Final = 10.0
_LINGER_S: Final = 1.0
_PER_MESSAGE: Final = 128  # the kernel takes at most 253 descriptors at once
_LONGEST_REASON: Final = 1024
# -I: nothing of the user's working directory or variables is imported with root's rights.
_HELPER: Final = (sys.executable, "-I", "-m", "codspeed_native.perf_helper")
_SUDO: Final = ("sudo", "--non-interactive")


def open_with_sudo(
    pid: int,
    cpus: Sequence[int],
    attributes: Sequence[bytes],
    *,
    sudo: Sequence[str] = _SUDO,
) -> list[int]:
    """Open events as root; see `open_directly`.

    Args:
        sudo: What gives root's rights without asking; tests pass nothing.

    Raises:
        SamplingRefusedError: If there are no such rights, or the kernel refuses root too.
    """
    with tempfile.TemporaryDirectory(prefix="codspeed-perf-") as folder:
        path = str(Path(folder) / "socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
            server.bind(path)
            server.listen(1)
            server.settimeout(_TIMEOUT_S)
            words = [str(pid), ",".join(map(str, cpus)), *(each.hex() for each in attributes)]
            return _received(server, [*sudo, *_HELPER, path, *words], len(cpus) * len(attributes))


def _received(server: socket.socket, argv: Sequence[str], count: int) -> list[int]:
    try:
        helper = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
    except OSError as failure:
        problem = f"{argv[0]} can't be run: {failure.strerror}"
        raise SamplingRefusedError(problem) from failure
    with helper:
        try:
            return _taken(server, helper, count)
        finally:
            _end(helper)


def _end(helper: subprocess.Popen[bytes]) -> None:
    """Wait for the helper, which has nothing left to do; what is root's we may not end."""
    try:
        helper.wait(_LINGER_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(PermissionError):
            helper.terminate()


def _taken(server: socket.socket, helper: subprocess.Popen[bytes], count: int) -> list[int]:
    # The helper connects, or ends without having done so: its standard error tells when.
    assert helper.stderr is not None
    descriptors: list[int] = []
    connection = _connection(server, helper)
    with connection:
        connection.settimeout(_TIMEOUT_S)
        _require_friend(connection)
        while len(descriptors) < count:
            data, fds, _flags, _address = socket.recv_fds(connection, _LONGEST_REASON, _PER_MESSAGE)
            descriptors.extend(fds)
            if not fds:
                for fd in descriptors:
                    os.close(fd)
                raise SamplingRefusedError(data.decode(errors="replace") or "the helper failed")
    return descriptors


def _connection(server: socket.socket, helper: subprocess.Popen[bytes]) -> socket.socket:
    """Wait for the helper; sudo that refuses says why and ends."""
    import selectors  # noqa: PLC0415 - only where the kernel refuses

    with selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        assert helper.stderr is not None
        selector.register(helper.stderr, selectors.EVENT_READ)
        ready = {key.fileobj for key, _events in selector.select(_TIMEOUT_S)}
        if server in ready:
            return server.accept()[0]
        reason = helper.stderr.read().decode(errors="replace").strip() if ready else "no answer"
    problem = f"no root's rights to sample: {reason or 'the helper failed'}"
    raise SamplingRefusedError(problem)


def _require_friend(connection: socket.socket) -> None:
    """Take descriptors from root or ourselves only."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _pid, uid, _gid = struct.unpack("iII", credentials)
    if uid not in {0, os.geteuid()}:
        problem = f"somebody else (uid {uid}) answered in place of the helper"
        raise SamplingRefusedError(problem)


def main(argv: Sequence[str]) -> int:
    """Be the helper: `SOCKET PID CPU,CPU ATTRIBUTE...`, attributes in hex."""
    path, pid, cpus, *attributes = argv
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(path)
        try:
            wanted = [bytes.fromhex(attribute) for attribute in attributes]
            descriptors = open_directly(int(pid), list(map(int, cpus.split(","))), wanted)
        except SamplingRefusedError as refused:
            connection.send(str(refused).encode()[:_LONGEST_REASON])
            return 1
        for start in range(0, len(descriptors), _PER_MESSAGE):
            socket.send_fds(connection, [b"f"], descriptors[start : start + _PER_MESSAGE])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
