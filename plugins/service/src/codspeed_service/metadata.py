"""The document that announces an upload: version 10, in the order of the contract. No I/O here.

The service checks a tokenless upload by the hash of the very bytes, so order and spacing count.
Source: spec/cli-upload.md 4.2, 4.5.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed.environment import compact
from codspeed_service import contract

if TYPE_CHECKING:
    from codspeed.model import Manifest, PartRecord

_GIB: Final = 1024**3
# How core names an ARM part it does not know; the reference says "unknown".
_NAMELESS_CPU: Final = re.compile(r"0x[0-9a-f]+/0x[0-9a-f]+", re.IGNORECASE)
# The service's own spelling of the one instrument it knows.
_INSTRUMENTS: Final = {"mongodb": "MongoDB"}


@attrs.frozen
class Destination:
    """The repository on the service, and what of it was measured.

    Attributes:
        provider: "GITHUB", "GITLAB" or "PROJECT".
    """

    provider: str
    owner: str
    name: str
    commit: str
    ref: str
    head_ref: str | None
    base_ref: str | None


@attrs.frozen
class JobPart:
    """Which of the parallel parts of a run this upload is (3.2.3, 3.6).

    Attributes:
        id: With the suffix, if there is one.
        metadata: Any JSON by key; sorted when it is written.
    """

    run_id: str
    id: str
    job: str
    metadata: Mapping[str, Any]


@attrs.frozen
class Packed:
    """What the document says of the archive.

    Attributes:
        md5: Base64 with padding, of the bytes as they are sent.
        encoding: "gzip", or None for a plain tar.
    """

    md5: str
    encoding: str | None


def document(
    manifest: Manifest,
    record: PartRecord,
    *,
    destination: Destination,
    part: JobPart | None,
    archive: Packed,
    is_tokenless: bool,
    local_parts: int,
) -> dict[str, Any]:
    """Return the document of one part.

    Args:
        local_parts: How many parts this run uploads; only a local run says so.
    """
    facts, provider = manifest.context.facts, manifest.context.provider
    environment = contract.RUN_ENVIRONMENTS.get(provider, contract.LOCAL)
    is_local = environment == contract.LOCAL
    return {
        "repositoryProvider": destination.provider,
        "version": contract.METADATA_VERSION,
        "tokenless": is_tokenless,
        "profileMd5": archive.md5,
        "profileEncoding": archive.encoding,
        "runner": _runner(manifest, record),
        "runEnvironment": environment,
        "runPart": None if part is None else _part(part),
        "commitHash": destination.commit,
        "allowEmpty": manifest.allow_empty,
        "ref": destination.ref,
        "headRef": destination.head_ref,
        "baseRef": destination.base_ref,
        "owner": destination.owner,
        "repository": destination.name,
        "event": "local" if is_local else manifest.context.event,
        "sender": _sender(facts),
        "ghData": _job(facts) if environment == "GITHUB_ACTIONS" else None,
        "glData": _job(facts) if environment == "GITLAB_CI" else None,
        "localData": {"expectedRunPartsCount": local_parts} if is_local else None,
        "repositoryRootPath": root_path(manifest),
    }


def dump(plain: Mapping[str, Any]) -> bytes:
    """Return the bytes that are hashed and sent; bytes of names that are no UTF-8 become "?"."""
    return compact.dump(plain).encode("utf-8", "replace")


def run_hash(body: bytes) -> str:
    """Return what a tokenless upload prints into the job's log."""
    return hashlib.sha256(body).hexdigest()


def root_path(manifest: Manifest) -> str:
    """Return the repository's root as the service wants it; outside of one there is no slash."""
    context = manifest.context
    told = context.facts.get("repository_root_path")
    if told is not None:
        return told
    return f"{context.root}/" if context.commit else str(context.root)


def _runner(manifest: Manifest, record: PartRecord) -> dict[str, Any]:
    machine = manifest.fingerprint
    model = str(machine.get("cpu_model") or "")
    # An option of the simulation, and said of any executor (spec/cli-upload.md 4.2).
    excludes = manifest.options.get("exclude_allocations") is True
    return {
        "name": contract.RUNNER_NAME,
        "version": contract.RUNNER_VERSION,
        "instruments": _instruments(manifest),
        "executor": record.executor,
        **({"excludeAllocations": True} if excludes else {}),
        "os": machine.get("distribution") or machine.get("os") or "linux",
        "osVersion": machine.get("distribution_version") or "",
        "arch": machine.get("arch") or "",
        "host": machine.get("host") or "",
        "user": machine.get("user") or "",
        "cpuBrand": "unknown" if not model or _NAMELESS_CPU.fullmatch(model) else model,
        "cpuName": machine.get("cpu_name") or "",
        "cpuVendorId": machine.get("cpu_vendor") or "",
        "cpuCores": int(machine.get("cpu_cores") or 0),
        "totalMemoryGb": math.ceil(int(machine.get("memory_bytes") or 0) / _GIB),
        "cpuFlags": sorted(machine.get("cpu_flags") or ()),
    }


def _instruments(manifest: Manifest) -> list[str]:
    names = (name.rpartition(":")[2] for name in manifest.instruments)
    return [_INSTRUMENTS[name] for name in names if name in _INSTRUMENTS]


def _part(part: JobPart) -> dict[str, Any]:
    return {
        "runId": part.run_id,
        "runPartId": part.id,
        "jobName": part.job,
        "metadata": {key: part.metadata[key] for key in sorted(part.metadata)},
    }


def _sender(facts: Mapping[str, str]) -> dict[str, str] | None:
    if "sender_id" not in facts:
        return None
    return {"id": facts["sender_id"], "login": facts.get("sender_login", "")}


def _job(facts: Mapping[str, str]) -> dict[str, str] | None:
    if "run_id" not in facts:
        return None
    return {"runId": facts["run_id"], "job": facts.get("job", "")}
