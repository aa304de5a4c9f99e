"""Two hundred seeds of three random faults per request, on one recorded bundle."""

from __future__ import annotations

import hashlib
import tarfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from codspeed import orchestrate
from codspeed.model import Reporter, System
from codspeed.registry import Registry
from codspeed.testing import FakeService
from codspeed.testing.service_faults import Faults
from codspeed_service import uploader

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = range(200)


def fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


@pytest.mark.timeout(120)  # 3,000 faults, some of which wait for a time limit
def test_every_seed_ends_with_whole_uploads_or_exit_8(
    make: Any, part: Any, account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `codspeed upload BUNDLE` does, with a client that does not wait between tries."""
    monkeypatch.setattr(uploader, "Client", lambda: account.client(answer_seconds=0.15))
    parts = (part("walltime"), part("valgrind", 1))
    bundle = make(*parts, files={"results/1.json": b"{}", "perf.data": bytes(300_000)})
    before = fingerprint(bundle.path)
    registry = Registry({})

    def replay(seed: int) -> int:
        with FakeService(Faults.seeded(seed)) as service:
            env = service.oidc_variables
            report = orchestrate.upload(
                bundle.path,
                uploaders=("codspeed",),
                registry=registry,
                system=System("linux", "debian", "12", "x86_64", 0, account.temp, env),
                context=bundle.manifest.context,
                plugin_options={"upload_url": service.upload_url},
                reporter=Reporter(),
            )
            if report.exit_code == 0:  # reported as done: then all is there, to the last byte
                done = {upload.document["runner"]["executor"] for upload in service.uploads}
                assert done == {"walltime", "valgrind"}, seed
                assert {content_bytes(upload) for upload in service.uploads} == {300_000}, seed
            else:
                (failure,) = report.errors
                assert "codspeed upload" in str(failure.hint), seed
            return report.exit_code

    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(replay, SEEDS))

    assert fingerprint(bundle.path) == before
    assert list(account.temp.iterdir()) == []
    assert set(ends) == {0, 8}
    assert ends.count(0) > 50


def content_bytes(upload: Any) -> int:
    with tarfile.open(upload.archive) as tar:  # compressed or not
        return tar.getmember("perf.data").size
