"""Machine-wide resources, such as the FIFO paths that every client has compiled in.

A lock is a flock(2) on a file in the system's temporary folder, so it is gone with its holder,
however that ended.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Final

from codspeed.errors import LockedError
from codspeed.model import Sharing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_RETRY_S: Final = 0.05
# O_NOFOLLOW: the folder is writable for all, and a symbolic link there is nobody's friend.
_SAFELY: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def lock_path(resource: str, temp: Path) -> Path:
    """Return the lock file of a resource."""
    return temp / f"codspeed-{resource}.lock"


@contextlib.contextmanager
def hold(
    resource: str, sharing: Sharing, *, temp: Path, timeout: float, waiting: Callable[[str], None]
) -> Iterator[None]:
    """Hold a machine-wide resource.

    Args:
        temp: The system's temporary folder.
        timeout: Seconds to wait; 0 fails at once.
        waiting: Called once, with the holder's description, before waiting begins.

    Raises:
        LockedError: If the resource is not free in time, or its lock file can't be opened; names
            the holder.
    """
    import fcntl  # noqa: PLC0415 - not on Windows, where nothing is locked because nothing is measured

    path = lock_path(resource, temp)
    operation = fcntl.LOCK_SH if sharing is Sharing.SHARED else fcntl.LOCK_EX
    deadline = time.monotonic() + timeout
    announced = False
    while (fd := _acquired(path, operation)) is None:
        holder = _holder(path)
        if time.monotonic() >= deadline:
            problem = f"{resource} is held by {holder}"
            hint = "wait for it to end, or allow more time with --lock-timeout SECONDS"
            raise LockedError(problem, hint=hint)
        if not announced:
            waiting(holder)
            announced = True
        time.sleep(_RETRY_S)
    try:
        _sign(fd)
        yield
    finally:
        os.close(fd)


def _acquired(path: Path, operation: int) -> int | None:
    """Return the locked file, or None if somebody else holds it."""
    import fcntl  # noqa: PLC0415 - see above

    fd = _open(path)
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
        if _is_still(path, fd):
            return fd
    os.close(fd)
    return None


def _is_still(path: Path, fd: int) -> bool:
    """Whether others find the file that we locked; something may have cleaned the folder."""
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except OSError:
        return False


def _open(path: Path) -> int:
    """Open the lock file, making it if need be.

    Opening without O_CREAT comes first: with fs.protected_regular=2 (Debian's default) even root
    may not open another user's file in a sticky folder with O_CREAT (kernel, Documentation/admin-
    guide/sysctl/fs.rst).
    """
    try:
        for _attempt in range(100):
            with contextlib.suppress(FileNotFoundError):
                return _open_existing(path)
            with contextlib.suppress(FileExistsError):
                fd = os.open(path, os.O_RDWR | _SAFELY | os.O_CREAT | os.O_EXCL, 0o666)
                os.fchmod(fd, 0o666)  # whatever the umask: any user may be next
                return fd
    except OSError as failure:
        problem = f"the lock file {path} can't be opened: {failure.strerror}"
        raise LockedError(problem, hint="remove it if it is not a codspeed lock") from failure
    problem = f"the lock file {path} appears and disappears"
    raise LockedError(problem, hint="something cleans the temporary folder; try again")


def _open_existing(path: Path) -> int:
    """Open to write, so that we can sign; what only its owner may write can be locked too."""
    try:
        return os.open(path, os.O_RDWR | _SAFELY)
    except PermissionError:
        return os.open(path, os.O_RDONLY | _SAFELY)


def _sign(fd: int) -> None:
    """Leave our pid for the message of whoever waits; the lock itself does not depend on it."""
    with contextlib.suppress(OSError):
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()} {os.getuid()}\n".encode(), 0)


def _holder(path: Path) -> str:
    try:
        pid, uid = path.read_bytes().split()
        return f"process {int(pid)} of user {_user_name(int(uid))}"
    except (OSError, ValueError):
        return "another process"


def _user_name(uid: int) -> str:
    try:
        import pwd  # noqa: PLC0415 - not on Windows

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)
