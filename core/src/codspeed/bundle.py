"""The immutable record of a run: made under a hidden name, then renamed.

A reader never sees half of one:

    <run id>/manifest.json          what was run where, and how it ended
             results.json           every benchmark with its metrics
             outcomes/<part>.msgpack windows, rounds and resources of each part
             profiles/<folder>/     the profile folders, as the executors left them
             log.txt                the log, without secrets
"""

from __future__ import annotations

import atexit
import contextlib
import lzma
import os
import re
import secrets as random_source
import shutil
import stat
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

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
# In a hidden folder: locked by the run that writes there, for as long as it lives.
_OWNER: Final = ".owner"
_PENDING: Final = ".pending"  # beside it: which profile folder is to come, and its name
_FICLONE: Final = 0x40049409  # linux/fs.h
_RUN_ID = re.compile(r"\d{8}T\d{6}-\d{3}-[0-9a-f]{8}")


def new_run_id(now_ns: int) -> str:
    """Return an id that sorts by time: UTC time to the millisecond and 32 random bits."""
    seconds, rest = divmod(now_ns, 1_000_000_000)
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))
    return f"{stamp}-{rest // 1_000_000:03d}-{random_source.token_hex(4)}"


@attrs.define
class BundleWriter:
    """A bundle that is being made, in a hidden folder beside its final place.

    Attributes:
        folder: Where bundles are.
        redact: Takes secrets out of a text; commands and messages may quote the environment.
    """

    folder: Path
    run_id: str
    redact: Callable[[str], str] = str
    _owner: int | None = attrs.field(default=None, repr=False)

    @property
    def partial(self) -> Path:
        """The hidden folder."""
        return self.folder / f"{_PARTIAL_PREFIX}{self.run_id}"

    def profile_folder(self, name: str) -> Path:
        """Return where the profile folder `name` goes."""
        return self.partial / PROFILES / name

    def take_profile(self, source: Path, name: str, *, keep: bool) -> None:
        """Bring a profile folder in: moved, or with `keep` copied (by reflink where possible).

        What is neither file, folder nor link is left out: a FIFO can't be copied.

        Raises:
            BundleError: If it can't be copied; the source is untouched then.
        """
        target = self.profile_folder(name)
        with _as_bundle_error(target), contextlib.ExitStack() as undo:
            target.parent.mkdir(parents=True, exist_ok=True)
            (self.partial / _PENDING).unlink(missing_ok=True)
            if not keep:
                with contextlib.suppress(OSError):
                    source.rename(target)
                    return
            undo.callback(shutil.rmtree, target, ignore_errors=True)
            shutil.copytree(
                source, target, symlinks=True, copy_function=_copy_file, ignore=self._left_out
            )
            undo.pop_all()
        if not keep:
            shutil.rmtree(source, ignore_errors=True)

    def expect_profile(self, source: Path, name: str) -> None:
        """Note which folder `take_profile` will move in, for `adopt` if we are killed before.

        Raises:
            BundleError: If the note can't be written.
        """
        with _as_bundle_error(self.partial):
            _write(self.partial / _PENDING, wire.dump_json([str(source), name]))

    def _left_out(self, folder: str, names: list[str]) -> list[str]:
        """Name what is not copied: this bundle's own folder, and what has no content to copy."""
        return [
            name
            for name in names
            if _is_special(Path(folder, name)) or Path(folder, name) == self.partial
        ]

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
        manifest = self._without_secrets(manifest)
        final = self.folder / self.run_id
        with _as_bundle_error(self.partial):
            self._write_records(manifest, results, parts, is_durable=True)
            self._disown()
            self.partial.rename(final)
            _make_durable(self.folder)
        return Bundle(final, manifest, tuple(results))

    def checkpoint(
        self, manifest: Manifest, results: Sequence[PartResults], parts: Sequence[RunPart]
    ) -> None:
        """Write what is known so far into the hidden folder, in case we are killed; see `adopt`.

        Raises:
            BundleError: If anything can't be written.
        """
        with _as_bundle_error(self.partial):
            self._write_records(self._without_secrets(manifest), results, parts, is_durable=False)

    def _write_records(
        self,
        manifest: Manifest,
        results: Sequence[PartResults],
        parts: Sequence[RunPart],
        *,
        is_durable: bool,
    ) -> None:
        outcomes = self.partial / OUTCOMES
        outcomes.mkdir(parents=True, exist_ok=True)
        files = {
            outcomes / f"{part.index}.msgpack": wire.dump_outcome(part.outcome)
            for part in parts
            if part.outcome is not None
        }
        document = {"schema": BUNDLE_SCHEMA, "parts": list(results)}
        files[self.partial / RESULTS] = wire.dump_json(document)
        files[self.partial / MANIFEST] = wire.dump_json(manifest)
        for path, data in files.items():
            _write(path, data, is_durable=is_durable)

    def _without_secrets(self, manifest: Manifest) -> Manifest:
        """Redact what people and programs wrote freely; all else has values of ours."""
        context = manifest.context
        facts = _redacted(context.facts, self.redact)
        context = attrs.evolve(context, remote=self.redact(context.remote), facts=facts)
        parts = tuple(
            attrs.evolve(
                part,
                argv=tuple(map(self.redact, part.argv)),
                label=self.redact(part.label),
                error=self.redact(part.error),
                options=_redacted(wire.to_plain(part.options), self.redact),
            )
            for part in manifest.parts
        )
        return attrs.evolve(manifest, context=context, parts=parts)

    def _own(self) -> None:
        """Lock the hidden folder, so that nobody adopts it while we live."""
        try:
            import fcntl  # noqa: PLC0415 - not on Windows, where nothing is measured
        except ImportError:
            return
        self._owner = os.open(self.partial / _OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._owner, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """Leave the hidden folder to `adopt`: this run can't finish it."""
        owner, self._owner = self._owner, None
        if owner is not None:
            os.close(owner)

    def _disown(self) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            (self.partial / _PENDING).unlink(missing_ok=True)
            (self.partial / _OWNER).unlink()
            os.close(owner)


def create(folder: Path, run_id: str, *, redact: Callable[[str], str] = str) -> BundleWriter:
    """Begin a bundle in `folder`.

    Args:
        redact: Takes secrets out of a text that goes into the manifest.

    Raises:
        BundleError: If nothing can be written there.
    """
    writer = BundleWriter(folder, run_id, redact)
    with _as_bundle_error(folder):
        writer.partial.mkdir(parents=True)
        writer._own()  # noqa: SLF001 - the one maker of writers
    return writer


def adopt(folder: Path) -> list[Path]:
    """Give its final name to what a killed run left in `folder`; return the new bundles.

    What holds no result and no file of a profile is removed. A run that lives is left alone.
    """
    try:
        left = sorted(folder.glob(f"{_PARTIAL_PREFIX}*"))
    except OSError:
        return []
    adopted = []
    for partial in left:
        with contextlib.suppress(OSError, BundleError), _claimed(partial / _OWNER):
            writer = BundleWriter(folder, partial.name.removeprefix(_PARTIAL_PREFIX))
            _take_pending(writer)
            if not _is_worth_keeping(partial):
                shutil.rmtree(partial, ignore_errors=True)
                continue
            (partial / _OWNER).unlink()
            adopted.append(partial.rename(folder / writer.run_id))
    return adopted


def _take_pending(writer: BundleWriter) -> None:
    """Bring in the profile folder of the part that was being measured."""
    note = writer.partial / _PENDING
    if note.is_file():
        source, name = wire.load_json(note.read_bytes(), where=str(note))
        if Path(source).is_dir():
            writer.take_profile(Path(source), name, keep=False)


def _is_worth_keeping(partial: Path) -> bool:
    try:
        results = wire.load_results((partial / RESULTS).read_bytes(), where=RESULTS)
    except (OSError, BundleError):
        return False
    profiles = (path for path in (partial / PROFILES).rglob("*") if path.is_file())
    return any(part.benchmarks for part in results) or any(profiles)


@contextlib.contextmanager
def _claimed(owner: Path) -> Iterator[None]:
    """Hold the lock of a dead run; raises OSError if the run lives or another one was faster."""
    import fcntl  # noqa: PLC0415 - not on Windows, where nothing is measured

    fd = os.open(owner, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


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
    """Return the profile folder of a part; it may be gone (`codspeed store gc`).

    Raises:
        BundleError: If the manifest names a folder outside of the bundle.
    """
    folder = PurePosixPath(record.folder)
    if folder.is_absolute() or ".." in folder.parts:
        problem = f"{bundle.path / MANIFEST} names the profile folder {record.folder!r}"
        raise BundleError(problem, hint="it belongs inside of the bundle; do not use this bundle")
    return bundle.path / folder


def restore_part(bundle: Bundle, record: PartRecord) -> RunPart:
    """Return a part as its executor's `results` and `profile` read it.

    Raises:
        BundleError: If its outcome can't be read.
    """
    outcome_path = bundle.path / OUTCOMES / f"{record.index}.msgpack"
    outcome = None
    if outcome_path.is_file():
        try:
            outcome = wire.load_outcome(outcome_path.read_bytes(), where=str(outcome_path))
        except OSError as failure:
            problem = f"{outcome_path} can't be read: {failure.strerror}"
            raise BundleError(problem) from failure
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
        slices=record.slices,
    )


def _unpacked(path: Path) -> Path:
    """Unpack a packed bundle into a temporary folder that is removed when this process ends."""
    target = Path(tempfile.mkdtemp(prefix="codspeed-bundle-"))
    atexit.register(shutil.rmtree, target, ignore_errors=True)
    try:
        with _opened_tar(path) as archive:
            archive.extractall(target, filter="data")
    except (tarfile.TarError, zlib.error, lzma.LZMAError, OSError, EOFError) as failure:
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
    try:
        with (
            path.open("rb") as raw,
            zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as stream,
            tarfile.open(fileobj=stream, mode="r|") as archive,
        ):
            yield archive
    except zstandard.ZstdError as failure:
        raise tarfile.ReadError(str(failure)) from failure


def _write(path: Path, data: bytes, *, is_durable: bool = False) -> None:
    """Write a file that is never half there: a full disk leaves the one that was there before."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        with fresh.open("wb") as file:
            file.write(data)
            if is_durable:
                file.flush()
                os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def _copy_file(source: str, target: str) -> str:
    """Copy one file, sharing its blocks where the file system can."""
    try:
        import fcntl  # noqa: PLC0415 - not on Windows

        with Path(source).open("rb") as reader, Path(target).open("wb") as writer:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
        shutil.copystat(source, target)
    except (ImportError, OSError):
        shutil.copy2(source, target)
    return target


def _make_durable(folder: Path) -> None:
    """Wait until the folder's entries are on the disk, where a folder can be synced."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _is_special(path: Path) -> bool:
    """Whether it is a FIFO, socket or device."""
    mode = path.lstat().st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))


def _redacted(plain: Any, redact: Callable[[str], str]) -> Any:
    """Return JSON-ready values without secrets in any text."""
    if isinstance(plain, str):
        return redact(plain)
    if isinstance(plain, Mapping):
        return {key: _redacted(value, redact) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [_redacted(value, redact) for value in plain]
    return plain


@contextlib.contextmanager
def _as_bundle_error(place: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, shutil.Error, ValueError, TypeError) as failure:
        problem = f"the bundle can't be written to {place}: {failure}"
        raise BundleError(
            problem, hint="free space there or name another folder with --bundle-dir"
        ) from failure
