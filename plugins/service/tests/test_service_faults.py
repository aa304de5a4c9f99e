"""Two hundred seeds of three random faults per request, on one recorded bundle."""

from __future__ import annotations

import hashlib
import tarfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from codspeed.errors import UploadError
from codspeed.testing import FakeService
from codspeed.testing.service_faults import Faults

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = range(200)


def fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


@pytest.mark.timeout(120)  # 1,800 faults, some of which wait for a time limit
def test_every_seed_ends_with_a_whole_upload_or_exit_8(make: Any, part: Any, account: Any) -> None:
    bundle = make(part("walltime"), files={"results/1.json": b"{}", "perf.data": bytes(300_000)})
    before = fingerprint(bundle.path)

    def replay(seed: int) -> str:
        with FakeService(Faults.seeded(seed)) as service:
            client = account.client(answer_seconds=0.15)
            uploader = account.uploader(
                service.oidc_variables, client, upload_url=service.upload_url
            )
            try:
                uploader.upload(bundle)
            except UploadError as error:  # exit code 8; any other error fails the test
                return "refused" if "codspeed upload" in str(error.hint) else "no remedy"
            # Reported as done: then it is there, to the last byte.
            assert service.uploads, seed
            assert service.uploads[-1].archive is not None, seed
            with tarfile.open(service.uploads[-1].archive) as tar:
                assert tar.getmember("perf.data").size == 300_000, seed
            return "accepted"

    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(replay, SEEDS))

    assert fingerprint(bundle.path) == before
    assert list(account.temp.iterdir()) == []
    assert ends.count("accepted") > 100
    assert ends.count("refused") == len(SEEDS) - ends.count("accepted") > 0
