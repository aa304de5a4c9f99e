"""Find the tracer, or install it with its publisher's script, of which the checksum must be known.

Source: spec/executors.md 8.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import requests

from codspeed.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM: Final = "cs-mongo-tracer"
INSTALLER_URL: Final = (
    "https://codspeed-public-assets.s3.eu-west-1.amazonaws.com/mongo-tracer/"
    "cs-mongo-tracer-v0.2.0/cs-mongo-tracer-installer.sh"
)
# Of the script above (spec/executors.md 2.6): we do not run what we can't recognise. Whoever trusts
# another copy names its checksum in CHECKSUM_VARIABLE.
INSTALLER_SHA256: Final = "685f1d540cb24c2aa6f447991958339c6b70ec7664df2dba2713b8b3d77687e7"
CHECKSUM_VARIABLE: Final = "CODSPEED_MONGO_TRACER_INSTALLER_SHA256"

_TIMEOUT_SECONDS: Final = (10.0, 60.0)  # to connect, and between two pieces
_INSTALL_SECONDS: Final = 300.0
_LOST: Final = (
    "Without it the run can't tell which MongoDB queries a benchmark makes; everything else works: "
    "leave out `--instruments mongodb`"
)
_BY_HAND: Final = f"To have it, put {PROGRAM} v0.2.0 on PATH."


def find(env: Mapping[str, str]) -> Path | None:
    """Return the tracer on PATH, or where its installer puts it; None if it is missing."""
    home = Path(env.get("HOME", "/nonexistent"))
    cargo = Path(env.get("CARGO_HOME") or home / ".cargo") / "bin"
    path = ":".join([env.get("PATH", ""), str(cargo), str(home / ".local" / "bin")])
    found = shutil.which(PROGRAM, path=path)
    return None if found is None else Path(found)


def ensure(env: Mapping[str, str], *, url: str = INSTALLER_URL) -> Path:
    """Return the tracer, installed if need be.

    Raises:
        ToolError: If it is missing and can't be installed; says what is lost.
    """
    found = find(env)
    if found is not None:
        return found
    _install(url, (env.get(CHECKSUM_VARIABLE) or INSTALLER_SHA256).lower(), env)
    found = find(env)
    if found is None:
        why = "and its installer ended well without leaving it"
        raise _unavailable(why)
    return found


def _install(url: str, checksum: str, env: Mapping[str, str]) -> None:
    script = _download(url)
    actual = hashlib.sha256(script).hexdigest()
    if actual != checksum:
        why = f"and what {url} gave is not its installer: SHA-256 {actual}, not {checksum}"
        raise _unavailable(why)
    with tempfile.TemporaryDirectory(prefix="codspeed-mongodb-") as folder:
        path = Path(folder) / "cs-mongo-tracer-installer.sh"
        path.write_bytes(script)
        _run(path, env)


def _download(url: str) -> bytes:
    try:
        answer = requests.get(url, timeout=_TIMEOUT_SECONDS)
        answer.raise_for_status()
    except requests.RequestException as error:
        why = f"and its installer can't be had: {error}"
        raise _unavailable(why) from error
    return answer.content


def _run(script: Path, env: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            ["bash", str(script)],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = f"and its installer can't be run: {error}"
        raise _unavailable(why) from error
    if done.returncode != 0:
        last = done.stdout.decode(errors="replace").strip().rpartition("\n")[2]
        why = f"and its installer ended with status {done.returncode}: {last}"
        raise _unavailable(why)


def _unavailable(why: str) -> ToolError:
    return ToolError(f"{PROGRAM} is missing, {why}", hint=f"{_LOST}. {_BY_HAND}")
