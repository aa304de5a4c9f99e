"""What must be known of this machine before a run: read once, never fails."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codspeed.model import System

if TYPE_CHECKING:
    from collections.abc import Mapping

_OS_NAMES: Final = {"darwin": "macos", "win32": "windows", "cygwin": "windows"}
_ARCH_NAMES: Final = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}


def read_system(env: Mapping[str, str] | None = None, *, root: Path = Path("/")) -> System:
    """Return the facts of this machine.

    Args:
        env: The environment to go by; this process's own if None.
        root: Where the files of the system are found.
    """
    env = dict(os.environ if env is None else env)
    os_name = _OS_NAMES.get(sys.platform, sys.platform)
    distribution, version = _release(os_name, root)
    return System(
        os=os_name,
        distribution=distribution,
        version=version,
        arch=_architecture(env),
        uid=os.geteuid() if hasattr(os, "geteuid") else -1,
        temp=_temporary_folder(env),
        env=env,
    )


def parse_assignments(text: str) -> dict[str, str]:
    """Return the variables of an os-release or lsb-release file; lines that are none are skipped.

    Source: os-release(5), a subset of shell assignments.
    """
    values = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and key.isidentifier():
            values[key] = _unquote(value.strip())
    return values


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1]
    for escaped in '\\"$`':
        value = value.replace(f"\\{escaped}", escaped)
    return value


def _release(os_name: str, root: Path) -> tuple[str, str]:
    """Return `ID` and `VERSION_ID` of os-release, or what stands for them elsewhere."""
    if os_name == "linux":
        release = _first_assignments(root, "etc/os-release", "usr/lib/os-release")
        lsb = _first_assignments(root, "etc/lsb-release")
        version = release.get("VERSION_ID") or lsb.get("DISTRIB_RELEASE", "")
        return release.get("ID") or "linux", version
    if os_name == "macos":
        import platform  # noqa: PLC0415 - slow, and needed only here

        return "", platform.mac_ver()[0]
    if sys.platform == "win32":
        windows = sys.getwindowsversion()
        return "", f"{windows.major}.{windows.minor}.{windows.build}"
    return "", ""


def _first_assignments(root: Path, *names: str) -> dict[str, str]:
    for name in names:
        try:
            return parse_assignments((root / name).read_text("utf-8", "replace"))
        except OSError:
            continue
    return {}


def _architecture(env: Mapping[str, str]) -> str:
    if hasattr(os, "uname"):
        machine = os.uname().machine
    else:
        # A 32-bit process on 64-bit Windows reads the machine's own in the first of the two.
        machine = env.get("PROCESSOR_ARCHITEW6432") or env.get("PROCESSOR_ARCHITECTURE", "")
    return _ARCH_NAMES.get(machine.lower(), machine)


def _temporary_folder(env: Mapping[str, str]) -> Path:
    """Return what tempfile would, without its trial file and its slow import."""
    names = ("TMPDIR", "TEMP", "TMP")
    wanted = [env[name] for name in names if env.get(name)]
    candidates = [Path(text).absolute() for text in [*wanted, "/tmp", "/var/tmp"]]  # noqa: S108 - as tempfile does
    return next((path for path in candidates if path.is_dir()), Path.cwd())
