"""What a stopped process has mapped to execute, and how to reach those files. Reads /proc only."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_STOP_S: Final = 1.0
_ASK_AGAIN_S: Final = 0.02
_PENDING: Final = ("SigPnd:", "ShdPnd:")
_STOPS: Final = sum(
    1 << number - 1 for number in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
)
_LOOK_S: Final = 0.0005
_STOPPED: Final = frozenset("tT")
_GONE: Final = frozenset("ZX")


class Image(NamedTuple):
    """A file that is mapped to be executed.

    Attributes:
        device: As the kernel counts: major and minor number in one.
        mapping: Its address range as /proc names it.
        path: As the process knows it.
    """

    device: int
    inode: int
    mapping: str
    path: str


def await_stop(pid: int, tid: int) -> bool:
    """Wait until a thread is stopped; return whether it is still there.

    A signal that is on its way stops it within microseconds. Another thread's SIGCONT may have
    swallowed it: then it is sent again, and after a second nobody waits any more.
    """
    begun = time.monotonic()
    is_asked = False
    while True:
        state = _state(pid, tid)
        if state is None or state in _GONE:
            return False
        waited_s = time.monotonic() - begun
        if state in _STOPPED or waited_s > _STOP_S:
            return True
        if waited_s > _ASK_AGAIN_S and not is_asked:
            is_asked = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        time.sleep(_LOOK_S)


def resume(pid: int, *, keep_stops: bool) -> None:
    """Let a stopped process go on.

    Args:
        keep_stops: If somebody else wants it stopped too, it stops again: SIGCONT takes away every
            stop that waits.
    """
    is_wanted = keep_stops and _has_pending_stop(pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGCONT)
        if is_wanted:
            os.kill(pid, signal.SIGSTOP)


def _has_pending_stop(pid: int) -> bool:
    """Whether a stop signal has arrived that a stopped process can't take yet."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    except OSError:
        return False
    pending = (line.split()[1] for line in status.splitlines() if line.startswith(_PENDING))
    return any(int(mask, 16) & _STOPS for mask in pending)


def _state(pid: int, tid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/task/{tid}/stat").read_bytes()
    except OSError:
        return None
    return chr(stat[stat.rindex(b")") + 2])


def of(pid: int) -> list[Image]:
    """Return the images of a process, each once; none if it is gone."""
    try:
        text = os.fsdecode(Path(f"/proc/{pid}/maps").read_bytes())
    except OSError:
        return []
    found: dict[tuple[int, int], Image] = {}
    for image in _parsed(text):
        found.setdefault((image.device, image.inode), image)
    return list(found.values())


def _parsed(text: str) -> Iterator[Image]:
    for line in text.splitlines():
        mapping, rights, _offset, device, inode, *path = line.split(None, 5)
        if "x" not in rights or inode == "0":
            continue
        major, minor = (int(number, 16) for number in device.split(":"))
        yield Image(major << 20 | minor, int(inode), mapping, path[0] if path else "")


def opened(pid: int, image: Image) -> int:
    """Return a descriptor of an image's file, also when it was renamed, deleted or is elsewhere.

    Raises:
        OSError: If it can't be reached.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a device may make us wait
    try:
        return os.open(f"/proc/{pid}/map_files/{image.mapping}", flags)
    except OSError:
        return os.open(f"/proc/{pid}/root{image.path}", flags)


def program_of(pid: int) -> str:
    """Return the path of the program that a process runs; empty if it is gone."""
    try:
        return os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115 - the text is wanted, not a path
    except OSError:
        return ""
