"""A profile folder as one tar on disk, with the MD5 computed while it is written.

Memory stays flat: blocks of one MiB are read, written, and hashed in a second thread (hashing alone
takes as long as copying). Gzip is Intel's isal with two threads where it is installed, else zlib.
Source: spec/cli-upload.md 4.1.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import os
import queue
import stat
import tarfile
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Self, cast

import attrs

from codspeed.errors import UploadError
from codspeed_service import contract

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK_BYTES: Final = 1 << 20
_WAITING_BLOCKS: Final = 4  # between writer and hasher
# Measured on callgrind-like text: level 3 with two threads is 30 times as fast as `gzip -6`.
_ISAL_LEVEL: Final = 3
_ISAL_THREADS: Final = 2
_ZLIB_LEVEL: Final = 6  # the reference's


@attrs.frozen
class Archive:
    """A packed folder, in a file that is deleted when the context ends.

    Attributes:
        size: Bytes, as they are sent.
        md5: Base64 with padding, of the same bytes.
        encoding: "gzip", or None for a plain tar.
    """

    path: Path
    size: int
    md5: str
    encoding: str | None


@contextlib.contextmanager
def packed(
    folder: Path, kind: str, *, temp: Path, warn: Callable[[str], None] | None = None
) -> Iterator[Archive]:
    """Pack `folder` into a file in `temp`.

    Args:
        kind: "gzip" or "plain", as the executor declares it; very large folders are always "gzip".
        warn: Told of what is left out.

    Raises:
        UploadError: If the folder can't be read or the archive not be written.
    """
    with _explained(folder, temp):
        is_gzip = kind == "gzip" or folder_bytes(folder) >= contract.LARGE_FOLDER_BYTES
        handle, name = tempfile.mkstemp(dir=temp, prefix="codspeed-", suffix=".tar")
    path = Path(name)
    try:
        with _explained(folder, temp):
            with os.fdopen(handle, "wb") as file, _Hashing(file) as sink:
                _pack(folder, sink, is_gzip=is_gzip, warn=warn or _ignore)
            size, md5 = sink.size, base64.b64encode(sink.digest).decode()
        yield Archive(path, size, md5, "gzip" if is_gzip else None)
    finally:
        path.unlink(missing_ok=True)


def folder_bytes(folder: Path) -> int:
    """Return the sum of the sizes of regular files; links are not followed."""
    total = 0
    for place, _folders, files in os.walk(folder):
        for name in files:
            status = os.lstat(os.path.join(place, name))  # noqa: PTH118 - thousands of files
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def _ignore(_text: str) -> None:
    """Tell nobody."""


def _pack(folder: Path, sink: _Hashing, *, is_gzip: bool, warn: Callable[[str], None]) -> None:
    with contextlib.ExitStack() as stack:
        target: Any = stack.enter_context(_compressor(sink)) if is_gzip else sink
        tar = tarfile.TarFile(
            fileobj=cast("IO[bytes]", _Target(target.write)),
            mode="w",
            format=tarfile.GNU_FORMAT,
            encoding="utf-8",
            errors="surrogateescape",
            copybufsize=_BLOCK_BYTES,
        )
        root = folder.resolve()
        for path, name in _members(root, warn):
            _add(tar, path, name)
        tar.close()


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    status = path.stat()
    member = tarfile.TarInfo(name)
    member.mode = stat.S_IMODE(status.st_mode)
    member.uid, member.gid = status.st_uid, status.st_gid
    member.mtime = int(status.st_mtime)
    if stat.S_ISDIR(status.st_mode):
        member.type = tarfile.DIRTYPE
        tar.addfile(member)
    else:
        member.size = status.st_size
        with path.open("rb") as file:
            tar.addfile(member, file)
    # Nobody asks for them, and a folder may hold very many files.
    tar.members.clear()  # type: ignore[attr-defined]  # absent from tarfile's stub; keeps memory flat


def _members(root: Path, warn: Callable[[str], None]) -> Iterator[tuple[Path, str]]:
    """Yield folders before their content, sorted; the root is ".", no other name starts with it."""
    pending: list[tuple[Path, str, frozenset[Path]]] = [(root, "", frozenset({root}))]
    yield root, "."
    while pending:
        folder, prefix, above = pending.pop()
        for entry in sorted(folder.iterdir()):
            name = f"{prefix}{entry.name}"
            kind = _kind(entry, root, above)
            if kind == "file":
                yield entry, name
            elif kind == "folder":
                yield entry, name
                pending.append((entry, f"{name}/", above | {entry.resolve()}))
            else:
                warn(f"{name} is left out of the upload: {kind}")


def _kind(entry: Path, root: Path, above: frozenset[Path]) -> str:
    """Return "file", "folder", or why the entry is left out."""
    try:
        status = entry.stat()
    except OSError as failure:
        if not entry.is_symlink():
            raise
        return f"a link that leads nowhere ({failure.strerror})"
    if entry.is_symlink():
        target = entry.resolve()
        # A bundle may come from a stranger's pull request: it must not fetch files of this machine.
        if not target.is_relative_to(root):
            return "a link out of the profile folder"
        if target in above:
            return "a link to a folder that it is in"
    if stat.S_ISDIR(status.st_mode):
        return "folder"
    return "file" if stat.S_ISREG(status.st_mode) else "neither file nor folder"


@attrs.frozen
class _Target:
    """All that tarfile needs of a file it writes: not every writer can say where it is."""

    write: Callable[[bytes], int]

    def tell(self) -> int:
        """Return where the archive starts."""
        return 0


class _Hashing:
    """A file that is hashed while it is written; the hash is ready when the context ended."""

    def __init__(self, file: IO[bytes]) -> None:
        self.size = 0
        self._file = file
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._blocks: queue.Queue[bytes | None] = queue.Queue(_WAITING_BLOCKS)
        self._small: list[bytes] = []
        self._small_bytes = 0
        self._thread = threading.Thread(target=self._hash, name="md5", daemon=True)

    @property
    def digest(self) -> bytes:
        """The MD5 of everything written."""
        return self._md5.digest()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._pass_on()
        self._blocks.put(None)
        self._thread.join()

    def write(self, data: Any) -> int:
        """Write; headers are gathered, since handing each over alone would take longer."""
        block = data if isinstance(data, bytes) else bytes(data)
        self._file.write(block)
        self.size += len(block)
        self._small.append(block)
        self._small_bytes += len(block)
        if self._small_bytes >= _BLOCK_BYTES // 2:
            self._pass_on()
        return len(block)

    def flush(self) -> None:
        """Leave it to the end: nobody reads before."""

    def _pass_on(self) -> None:
        for block in self._small if self._small_bytes >= _BLOCK_BYTES else [b"".join(self._small)]:
            self._blocks.put(block)
        self._small, self._small_bytes = [], 0

    def _hash(self) -> None:
        while (block := self._blocks.get()) is not None:
            self._md5.update(block)


def _compressor(sink: _Hashing) -> Any:
    """Return a writer that compresses into `sink`."""
    try:
        from isal import igzip_threaded  # noqa: PLC0415 - no wheel fits everywhere
    except ImportError:
        return gzip.GzipFile(
            fileobj=cast("IO[bytes]", sink), mode="wb", compresslevel=_ZLIB_LEVEL, mtime=0
        )
    return igzip_threaded.open(  # type: ignore[no-untyped-call]  # isal has no types
        sink, "wb", compresslevel=_ISAL_LEVEL, threads=_ISAL_THREADS
    )


@contextlib.contextmanager
def _explained(folder: Path, temp: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, tarfile.TarError, ValueError) as failure:
        problem = f"the profile folder {folder} can't be packed into {temp}: {failure}"
        hint = "free space there, or name another folder for temporary files with TMPDIR"
        raise UploadError(problem, hint=hint) from failure
