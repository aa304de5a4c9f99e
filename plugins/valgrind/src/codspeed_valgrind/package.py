"""Debian packages: installed by apt, kept in a cache folder, and the fork's, which is downloaded.

Source: spec/executors.md 2.6. What is written on disk and run as root is checked before.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import tempfile
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

from codspeed.errors import ToolError
from codspeed.launch.privilege import elevated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from codspeed.model import System

APT_SYSTEMS: Final = ("debian", "ubuntu")
_CACHE_LIST: Final = "tmp/codspeed-cache-metadata.txt"
FORK_VERSION: Final = "3.26.0-0codspeed6"
_FORK_URL: Final = "https://github.com/CodSpeedHQ/valgrind-codspeed/releases/download"
# (Ubuntu release, architecture) -> sha256, for FORK_VERSION.
_FORK_HASHES: Final = {
    ("22.04", "amd64"): "d7ca177bbdacf69c4144a822488faca5f2e98b953bacf64831eb3fdbe599fdad",
    ("24.04", "amd64"): "454becce1a232bba1c408ed8aad4a20afa78acfbaba072cef2bf1c0a636ebd71",
    ("22.04", "arm64"): "79385d28546f711c4f3c000dbcf50362a2be13b1ce9c7c6746870bfe48ffcedf",
    ("24.04", "arm64"): "47e71ef8a095a8dc26e31e7a5d66c3665ff2d68a3f0350d351d7affe3aec2944",
}
# Debian 12 takes the build of Ubuntu 22.04.
_UBUNTU_RELEASES: Final = {
    ("ubuntu", "22.04"): "22.04",
    ("ubuntu", "24.04"): "24.04",
    ("debian", "12"): "22.04",
}
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_ATTEMPTS: Final = 6
_LONGEST_WAIT_S: Final = 30
_TIMEOUT_S: Final = 20
_TRANSIENT: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


def install(packages: Sequence[str], *, cache: Path | None, is_there: Callable[[], bool]) -> None:
    """Install packages, from the cache folder if they are in it; else keep them there.

    Args:
        packages: Names, or one path of a .deb file and names.
        cache: None for none.
        is_there: Whether what is wanted can be used now.

    Raises:
        ToolError: If apt fails, or root's rights can't be had.
    """
    if cache is not None:
        _restore(cache)
        if is_there():
            return
    _as_root("apt-get", "update")
    _as_root("apt-get", "install", "-y", "--allow-downgrades", *packages)
    if cache is not None:
        _save(cache, [_package_name(package) for package in packages])


def _package_name(package: str) -> str:
    return Path(package).name.partition("_")[0] if package.endswith(".deb") else package


def _restore(cache: Path) -> None:
    if cache.is_dir() and any(cache.iterdir()):
        _as_root("bash", "-c", f"cp -r {shlex.quote(str(cache))}/* /")


def _save(cache: Path, packages: Sequence[str]) -> None:
    """Copy the files of installed packages, and their names, to the cache folder."""
    cache.mkdir(parents=True, exist_ok=True)
    names = " ".join(map(shlex.quote, packages))
    script = (
        f'dpkg -L {names} | while IFS= read -r f; do if test -f "$f"; then echo "$f"; fi; done'
        f" | xargs cp --parents --target-directory {shlex.quote(str(cache))}"
    )
    done = subprocess.run(("sh", "-c", script), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        problem = f"Failed to save packages to cache {cache}: {done.stderr.strip()}"
        raise ToolError(problem, hint="check that the folder can be written")
    listed = cache / _CACHE_LIST
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text("".join(f"{package}\n" for package in packages), "utf-8")


def _as_root(*words: str) -> None:
    """Run a command as root, without asking for a password: nobody may be there to give it."""
    argv = elevated(words, announce=_ignore, interactive=False)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = "\n".join(done.stderr.strip().splitlines()[-4:])
        problem = f"`{shlex.join(words)}` failed with status {done.returncode}: {said}"
        raise ToolError(problem, hint="run it yourself to see all of its output")


def _ignore(_text: str) -> None:
    """Nothing is asked, so nothing is announced."""


# --- CodSpeed's Valgrind --------------------------------------------------------------------------


def fork_package(system: System) -> tuple[str, str] | None:
    """Return URL and sha256 of the fork's package for this system; None if there is none."""
    release = _UBUNTU_RELEASES.get((system.distribution, system.version), "")
    arch = _ARCHITECTURES.get(system.arch, "")
    digest = _FORK_HASHES.get((release, arch))
    if digest is None:
        return None
    name = f"valgrind_{FORK_VERSION}_ubuntu-{release}_{arch}.deb"
    return f"{_FORK_URL}/{FORK_VERSION}/{name}", digest


def download(
    url: str, digest: str, folder: Path, *, pause: Callable[[float], None] = time.sleep
) -> Path:
    """Download a file into `folder`; what may pass is tried again.

    Args:
        url: Where it is.
        digest: Its sha256, in hex.
        folder: Where it goes, under the last part of the URL.
        pause: Waits that many seconds.

    Raises:
        ToolError: If it can't be had, or is not the file it should be.
    """
    for attempt in range(_ATTEMPTS):
        if attempt:
            pause(min(2.0 ** (attempt - 1), _LONGEST_WAIT_S))
        data = _fetched(url, is_last=attempt == _ATTEMPTS - 1)
        if data is None:
            continue
        actual = hashlib.sha256(data).hexdigest()
        if actual != digest:
            problem = (
                f"Hash mismatch for {url}: expected {digest}, got {actual}. "
                "The downloaded file has been deleted."
            )
            raise ToolError(problem)
        path = folder / url.rpartition("/")[2]
        path.write_bytes(data)
        return path
    problem = f"{url} can't be downloaded"  # pragma: no cover - the last attempt raises
    raise ToolError(problem)  # pragma: no cover - as above


def _fetched(url: str, *, is_last: bool) -> bytes | None:
    """Return what is at `url`; None if another attempt may have more luck."""
    import urllib.error  # noqa: PLC0415 - slow, and needed once per machine
    import urllib.request  # noqa: PLC0415 - see above

    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - a constant
            data: bytes = answer.read()
            return data
    except urllib.error.HTTPError as failure:
        may_pass = failure.code >= HTTPStatus.INTERNAL_SERVER_ERROR or failure.code in _TRANSIENT
        reason = f"{failure.code} {failure.reason}"
    except urllib.error.URLError as failure:
        # Without a network, a name server or an answer the next second is not better.
        may_pass = isinstance(failure.reason, ConnectionResetError)
        reason = str(failure.reason)
    except OSError as failure:  # the connection broke, or fell silent, in the middle
        may_pass, reason = True, str(failure)
    if may_pass and not is_last:
        return None
    problem = f"{url} can't be downloaded: {reason}"
    raise ToolError(problem, hint="check the network, and the proxy in https_proxy")


def install_fork(system: System, *, cache: Path | None, is_there: Callable[[], bool]) -> None:
    """Download and install CodSpeed's Valgrind and the C library's debug symbols.

    Raises:
        ToolError: If there is no package for this system, or it can't be had or installed.
    """
    package = fork_package(system)
    if package is None:
        problem = f"there is no package of CodSpeed's Valgrind for {system.distribution}"
        msg = f"{problem} {system.version} on {system.arch}"
        raise ToolError(msg)
    with tempfile.TemporaryDirectory(prefix="codspeed-", dir=system.temp) as folder:
        Path(folder).chmod(0o755)  # apt reads it as another user
        path = download(*package, Path(folder))
        install((str(path), "libc6-dbg"), cache=cache, is_there=is_there)
