"""Which part of a run an upload is: its id, and the counter that tells repetitions in a job apart.

Source: spec/cli-upload.md 3.6 and, for local runs, 3.5.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from codspeed.environment import compact
from codspeed_service import contract
from codspeed_service.metadata import JobPart, root_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from codspeed.model import Manifest

_LOCAL_JOB: Final = "local-job"
_KEY: Final = "run_index"


def base_part(manifest: Manifest) -> JobPart | None:
    """Return the part without suffix; None where the provider has no such thing (Buildkite)."""
    context = manifest.context
    if context.provider not in contract.RUN_ENVIRONMENTS:
        return JobPart(_local_run_id(manifest.run_id), _LOCAL_JOB, _LOCAL_JOB, {})
    facts = context.facts
    if "run_part_id" not in facts:
        return None
    try:
        metadata = compact.parse(facts.get("run_part_metadata", "{}"))
    except ValueError:
        metadata = {}
    return JobPart(
        facts.get("run_id", ""),
        facts["run_part_id"],
        facts.get("job", ""),
        metadata if isinstance(metadata, dict) else {},
    )


def _local_run_id(run_id: str) -> str:
    """Return a UUID that is the bundle's own: the upload of the same bundle again is the same run.

    The reference draws a new one for each invocation, which can't repeat an upload.
    """
    digest = hashlib.sha256(run_id.encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def suffixed(base: JobPart, suffix: Mapping[str, Any]) -> JobPart:
    """Return the part whose id and metadata say what `suffix` does."""
    ordered = {key: suffix[key] for key in sorted(suffix)}
    return JobPart(
        base.run_id,
        f"{base.id}-{compact.dump(ordered)}",
        base.job,
        {**base.metadata, **ordered},
    )


def upload_part(
    manifest: Manifest,
    executor: str,
    *,
    index: int,
    count: int,
    warn: Callable[[str], None],
) -> JobPart | None:
    """Return the part of one upload, and count it.

    Args:
        index: Position among the uploads of this invocation, from 0.
        count: How many there are.
        warn: Told if the counter can't be kept.
    """
    base = base_part(manifest)
    if base is None:
        return None
    suffix: dict[str, Any] = {"executor": executor}
    if count > 1:
        suffix["run-part-index"] = index
    if manifest.context.provider in contract.RUN_ENVIRONMENTS:
        suffix["run-index"] = next_index(state_file(root_path(manifest), base), warn)
    return suffixed(base, suffix)


def state_file(root: str, base: JobPart) -> Path:
    """Return where the counter of a run part is; the id is hashed, it may hold any character."""
    name = hashlib.sha256(base.id.encode("utf-8", "surrogateescape")).hexdigest()
    # A run id is a number; anything else in it must not lead out of the folder.
    folder = base.run_id.replace("/", "_").replace("\\", "_").strip(".") or "_"
    return Path(root) / ".codspeed" / "run-state" / folder / f"{name}.json"


def next_index(path: Path, warn: Callable[[str], None]) -> int:
    """Return the counter in `path` and write it one higher; 0 with a warning if that fails.

    The file changes in one step: a reader, or who comes after a crash, never sees half of it.
    """
    try:
        if not path.parents[3].is_dir():  # a bundle that was measured elsewhere
            warn(f"{path.parents[3]} is not here, so this upload counts as the first of its job")
            return 0
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_suffix(".lock")):
            value = _read(path, warn)
            _write(path, value + 1)
    except OSError as failure:
        warn(f"uploads of this job can't be counted in {path}: {failure.strerror}; using 0")
        return 0
    return value


def _read(path: Path, warn: Callable[[str], None]) -> int:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return 0
    try:
        value = json.loads(text)[_KEY]
    except (ValueError, TypeError, KeyError, RecursionError):
        value = None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    warn(f"{path} does not hold a count; starting again from 0")
    return 0


def _write(path: Path, value: int) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".run-index-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({_KEY: value}, file, indent=2)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock while parallel steps of a job count; without fcntl (Windows) there is none."""
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        yield
        return
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
