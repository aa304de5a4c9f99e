"""The pair of FIFOs between the runner and the integration; the runner's side.

The paths are compiled into every client (spec/integrations.md 0), so there is one pair per
machine. They are removed on every way out: a FIFO that nobody serves costs new clients seconds and
hangs old ones for ever.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from codspeed.errors import LockedError, ProtocolError
from codspeed.hooks.paths import ACK_FIFO, CTL_FIFO

if TYPE_CHECKING:
    from collections.abc import Iterator

_READ_BYTES: Final = 1 << 16


@attrs.frozen
class FifoPaths:
    """Where the FIFOs are: the fixed paths, or others in tests.

    Attributes:
        ctl: From the integration to the runner.
        ack: From the runner to the integration.
    """

    ctl: Path = Path(CTL_FIFO)
    ack: Path = Path(ACK_FIFO)


@attrs.frozen
class FifoPair:
    """The two open descriptors, non-blocking."""

    ctl: int
    ack: int

    def read(self) -> bytes:
        """Return what has arrived; empty if nothing has."""
        try:
            return os.read(self.ctl, _READ_BYTES)
        except BlockingIOError:
            return b""

    def write(self, frame: bytes) -> None:
        """Answer.

        Raises:
            ProtocolError: If the integration has not read its answers for so long that the pipe is
                full.
        """
        try:
            written = os.write(self.ack, frame)
        except BlockingIOError:
            written = 0
        if written != len(frame):
            problem = "the integration sends commands but does not read the answers"
            raise ProtocolError(problem, hint="upgrade the integration")


@contextlib.contextmanager
def opened(paths: FifoPaths) -> Iterator[FifoPair]:
    """Make both FIFOs, open them, and remove them at the end.

    Raises:
        LockedError: If somebody else's FIFOs are in the way; names the user.
    """
    with contextlib.ExitStack() as stack:
        fds = []
        for path in (paths.ctl, paths.ack):
            _clear(path)
            stack.callback(_remove_own, path, _make(path))
            # O_RDWR: opening does not wait for the other side, and its going away is no end of
            # file.
            fds.append(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW))
            stack.callback(os.close, fds[-1])
        yield FifoPair(*fds)


def _clear(path: Path) -> None:
    """Remove a FIFO that a dead run left."""
    with contextlib.suppress(FileNotFoundError):
        _refuse_served(path)
        owner = _owner(path)
        try:
            path.unlink(missing_ok=True)
        except OSError as failure:
            problem = f"{path} belongs to user {owner} and can't be replaced: {failure.strerror}"
            raise LockedError(problem, hint=f"ask {owner} or root to remove it") from failure


def _make(path: Path) -> int:
    """Make a FIFO and return its inode number."""
    try:
        # 0600: only the user as whom the benchmark runs may speak with us; whatever the umask.
        os.mkfifo(path, 0o600)
        path.chmod(0o600)
    except FileExistsError as failure:
        problem = f"{path} was made by somebody else just now"
        raise LockedError(
            problem, hint="another benchmark runner is active; try again"
        ) from failure
    except OSError as failure:
        problem = f"{path} can't be made: {failure.strerror}"
        raise LockedError(
            problem, hint="integrations need that path; make it writable"
        ) from failure
    return path.lstat().st_ino


def _refuse_served(path: Path) -> None:
    """Refuse to take the FIFO of a runner that does not know our lock.

    Opening to write fails when nobody reads.
    """
    if not stat.S_ISFIFO(path.lstat().st_mode):
        problem = f"{path} is not a FIFO"
        raise LockedError(problem, hint="remove it; integrations need that path")
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW))
    except OSError:
        return
    reader = next(iter(holders(path)), None)
    problem = f"{path} is in use by {'another process' if reader is None else f'process {reader}'}"
    raise LockedError(
        problem,
        hint="another benchmark runner, or a benchmark it left behind, is active; end it first",
    )


def holders(path: Path) -> list[int]:
    """Return the processes that have the FIFO open, as far as /proc tells; takes milliseconds."""
    wanted = os.path.realpath(path)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(str(fd.readlink()) == wanted for fd in (process / "fd").iterdir()):
                found.append(int(process.name))
    return found


def _remove_own(path: Path, inode: int) -> None:
    with contextlib.suppress(OSError):
        if path.lstat().st_ino == inode:
            path.unlink()


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (OSError, KeyError, NotImplementedError):
        return "unknown"
