"""sudo, used only when an executor needs it (spec/executors.md 1.8), and never asked for in CI."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING, Final

from codspeed.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SUDO_PREFIX: Final = ("sudo", "--non-interactive", "--preserve-env")


def is_root() -> bool:
    """Whether this process has root's rights already."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def can_elevate_without_prompt() -> bool:
    """Whether root's rights are at hand without asking anybody."""
    return is_root() or _succeeds("sudo", "--non-interactive", "true")


def elevated(
    argv: Sequence[str], *, announce: Callable[[str], None], interactive: bool
) -> tuple[str, ...]:
    """Return `argv` so that it runs as root; asks for the password if it must and may.

    Args:
        announce: Told before the password is asked for.
        interactive: Whether somebody may be asked; never in CI.

    Raises:
        ToolError: If sudo is missing or root's rights can't be had.
    """
    if is_root():
        return tuple(argv)
    if not _succeeds("sudo", "--version"):
        problem = f"Sudo is not available to run the command: {shlex.join(argv)}"
        raise ToolError(problem, hint="install sudo, or run codspeed as root")
    if not can_elevate_without_prompt():
        _ask_for_password(argv, announce=announce, interactive=interactive)
    return (*SUDO_PREFIX, *argv)


def _ask_for_password(
    argv: Sequence[str], *, announce: Callable[[str], None], interactive: bool
) -> None:
    problem = f"root's rights are needed to run the command: {shlex.join(argv)}"
    if not interactive or not _has_terminal():
        raise ToolError(problem, hint="allow sudo without a password, or run codspeed as root")
    announce("Sudo privileges are required to continue.")
    if subprocess.run(["sudo", "--validate"], check=False).returncode != 0:
        raise ToolError(problem, hint="sudo refused the password")


def _has_terminal() -> bool:
    try:
        with open("/dev/tty", "rb") as terminal:  # noqa: PTH123 - a device, not a path of ours
            return terminal.isatty()
    except OSError:
        return False


def _succeeds(*argv: str) -> bool:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0
