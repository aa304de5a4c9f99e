"""The immutable record of a run: made under a hidden name, then renamed.

A reader never sees half of one:

    <run id>/manifest.json          what was run where, and how it ended
             results.json           every benchmark with its metrics
             outcomes/<part>.msgpack windows, rounds and resources of each part
             profiles/<folder>/     the profile folders, as the executors left them
             log.txt                the log, without secrets
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tarfile
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from codspeed import wire
from codspeed.errors import BundleError
from codspeed.model import BUNDLE_SCHEMA, Bundle, Launch, RunPart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from codspeed.model import Manifest, PartRecord, PartResults

MANIFEST: Final = "manifest.json"
RESULTS: Final = "results.json"
OUTCOMES: Final = "outcomes"
PROFILES: Final = "profiles"
LOG: Final = "log.txt"
_PARTIAL_PREFIX: Final = ".partial-"
_RUN_ID = re.compile(r"\d{8}T\d{6}-\d{3}-[0-9a-f]{8}")


def new_run_id(now_ns: int) -> str:
    """Return an id that sorts by time: UTC time to the millisecond and 32 random bits."""
    seconds, rest = divmod(now_ns, 1_000_000_000)
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))
    return f"{stamp}-{rest // 1_000_000:03d}-{secrets.token_hex(4)}"


@attrs.frozen
class BundleWriter:
    """A bundle that is being made, in a hidden folder beside its final place."""

    folder: Path
    run_id: str

    @property
    def partial(self) -> Path:
        """The hidden folder."""
        return self.folder / f"{_PARTIAL_PREFIX}{self.run_id}"

    def profile_folder(self, name: str) -> Path:
        """Return where the profile folder `name` goes."""
        return self.partial / PROFILES / name

    def take_profile(self, source: Path, name: str, *, keep: bool) -> None:
        """Bring a profile folder in: moved, or with `keep` copied (by reflink where possible).

        Raises:
            BundleError: If it can't be copied; the source is untouched then.
        """
        target = self.profile_folder(name)
        with _as_bundle_error(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            if not keep:
                with contextlib.suppress(OSError):
                    source.rename(target)
                    return
            shutil.copytree(
                source, target, symlinks=True, copy_function=_copy_file, dirs_exist_ok=True
            )
        if not keep:
            shutil.rmtree(source, ignore_errors=True)

    @property
    def log(self) -> Path:
        """Where the log is written while the run goes on."""
        return self.partial / LOG

    def write(
        self, manifest: Manifest, results: Sequence[PartResults], parts: Sequence[RunPart]
    ) -> Bundle:
        """Write everything but the profiles, make it durable and give it its final name.

        Raises:
            BundleError: If anything can't be written; the hidden folder stays, and the error names
                it.
        """
        with _as_bundle_error(self.partial):
            (self.partial / OUTCOMES).mkdir(parents=True, exist_ok=True)
            for part in parts:
                if part.outcome is not None:
                    _write(
                        self.partial / OUTCOMES / f"{part.index}.msgpack",
                        wire.dump_outcome(part.outcome),
                    )
            _write(
                self.partial / RESULTS,
                wire.dump_json({"schema": BUNDLE_SCHEMA, "parts": list(results)}),
            )
            _write(self.partial / MANIFEST, wire.dump_json(manifest))
            final = self.folder / self.run_id
            self.partial.rename(final)
        return Bundle(final, manifest, tuple(results))


def create(folder: Path, run_id: str) -> BundleWriter:
    """Begin a bundle in `folder`.

    Raises:
        BundleError: If nothing can be written there.
    """
    writer = BundleWriter(folder, run_id)
    with _as_bundle_error(folder):
        writer.partial.mkdir(parents=True)
    return writer


def read(path: Path) -> Bundle:
    """Read a bundle: a folder, or one packed as tar, .tar.gz, .tar.xz or .tar.zst.

    Raises:
        BundleError: If it is no whole bundle of a known schema.
    """
    folder = _unpacked(path) if path.is_file() else path
    manifest_path = folder / MANIFEST
    try:
        manifest_bytes = manifest_path.read_bytes()
        results_bytes = (folder / RESULTS).read_bytes()
    except OSError as failure:
        problem = f"{path} is not a bundle: {failure}"
        raise BundleError(
            problem, hint="name a folder that holds manifest.json and results.json"
        ) from failure
    document = wire.load_json(manifest_bytes, where=str(manifest_path))
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != BUNDLE_SCHEMA:
        problem = f"{path} has bundle schema {schema!r}; this codspeed reads {BUNDLE_SCHEMA}"
        raise BundleError(problem, hint="upgrade codspeed if the bundle is newer")
    manifest = wire.load_manifest(manifest_bytes, where=str(manifest_path))
    return Bundle(folder, manifest, wire.load_results(results_bytes, where=str(folder / RESULTS)))


def find(folder: Path) -> list[Path]:
    """Return the whole bundles in `folder`, oldest first; empty if the folder does not exist."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as failure:
        problem = f"bundles in {folder} can't be listed: {failure}"
        raise BundleError(problem) from failure
    return [
        folder / name
        for name in sorted(names)
        if _RUN_ID.fullmatch(name) and (folder / name / MANIFEST).is_file()
    ]


def part_folder(bundle: Bundle, record: PartRecord) -> Path:
    """Return the profile folder of a part; it may be gone (`codspeed store gc`)."""
    return bundle.path / record.folder


def restore_part(bundle: Bundle, record: PartRecord) -> RunPart:
    """Return a part as its executor's `results` and `profile` read it.

    Raises:
        BundleError: If its outcome can't be read.
    """
    outcome_path = bundle.path / OUTCOMES / f"{record.index}.msgpack"
    outcome = None
    if outcome_path.is_file():
        with _as_bundle_error(outcome_path):
            outcome = wire.load_outcome(outcome_path.read_bytes(), where=str(outcome_path))
    return RunPart(
        index=record.index,
        executor=record.executor,
        mode=record.mode,
        label=record.label,
        launch=Launch(record.argv, cwd=Path(record.cwd) if record.cwd else None),
        folder=part_folder(bundle, record),
        harnessed=record.harnessed,
        compat=record.compat,
        options=record.options,
        outcome=outcome,
        model=record.model,
        error=record.error,
        error_slug=record.error_slug,
    )


def _unpacked(path: Path) -> Path:
    """Unpack a packed bundle into a temporary folder that lives as long as the machine keeps it."""
    target = Path(tempfile.mkdtemp(prefix="codspeed-bundle-"))
    try:
        with _opened_tar(path) as archive:
            archive.extractall(target, filter="data")
    except (tarfile.TarError, OSError, EOFError) as failure:
        shutil.rmtree(target, ignore_errors=True)
        problem = f"{path} is not a packed bundle: {failure}"
        raise BundleError(problem) from failure
    inside = [entry for entry in target.iterdir() if (entry / MANIFEST).is_file()]
    return inside[0] if len(inside) == 1 else target


@contextlib.contextmanager
def _opened_tar(path: Path) -> Iterator[tarfile.TarFile]:
    if path.suffix not in {".zst", ".zstd"}:
        with tarfile.open(path) as archive:
            yield archive
        return
    try:
        import zstandard  # noqa: PLC0415 - only packed bundles need it
    except ImportError as failure:
        problem = f"{path} is compressed with zstd and the package zstandard is not installed"
        raise BundleError(
            problem, hint="install zstandard, or unpack it with: tar --zstd -xf"
        ) from failure
    with (
        path.open("rb") as raw,
        zstandard.ZstdDecompressor().stream_reader(raw) as stream,
        tarfile.open(fileobj=stream, mode="r|") as archive,
    ):
        yield archive


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _copy_file(source: str, target: str) -> str:
    """Copy one file, sharing its blocks where the file system can (FICLONE, linux/fs.h)."""
    try:
        import fcntl  # noqa: PLC0415 - not on Windows

        with Path(source).open("rb") as reader, Path(target).open("wb") as writer:
            fcntl.ioctl(writer.fileno(), 0x40049409, reader.fileno())
        shutil.copystat(source, target)
    except (ImportError, OSError):
        shutil.copy2(source, target)
    return target


@contextlib.contextmanager
def _as_bundle_error(place: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, shutil.Error) as failure:
        problem = f"the bundle can't be written to {place}: {failure}"
        raise BundleError(
            problem, hint="free space there or name another folder with --bundle-dir"
        ) from failure
