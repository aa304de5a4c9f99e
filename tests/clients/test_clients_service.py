"""A real client in a simulated job of GitHub Actions, uploaded to the fake service."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any, Final

import pytest

from codspeed.testing import FakeService, jobs

pytestmark = [pytest.mark.process, pytest.mark.tool]

CODSPEED: Final = Path(sys.executable).with_name("codspeed")
SUITE: Final = """
def test_sum(benchmark):
    benchmark(lambda: sum(range(100)))
"""
MATRIX: Final = '{"py":"3.11"}'
STRATEGY: Final = '{"fail-fast":true,"job-index":0,"job-total":2,"max-parallel":2}'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with one benchmark, as actions/checkout leaves it."""
    folder = tmp_path / "widgets"
    folder.mkdir()
    (folder / "test_sum.py").write_text(SUITE)
    jobs.commit_all(folder)
    return folder


@pytest.fixture
def job(checkout: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of one job of a matrix, for a pull request of a fork: it has no token."""
    head = {"ref": "feat/\u00e9", "repo": {"id": 2, "owner": {"login": "mallory"}}}
    pull_request = {"head": head, "base": {"repo": {"id": 1}}}
    push = jobs.github_push(checkout, tmp_path, event={"pull_request": pull_request})
    return push | {
        "GITHUB_EVENT_NAME": "pull_request",
        "GITHUB_REF": "refs/pull/41/merge",
        "GITHUB_BASE_REF": "main",
        "GITHUB_ACTOR": "mallory",
        "GITHUB_ACTOR_ID": "4242",
        "GH_MATRIX": MATRIX,
        "GH_STRATEGY": STRATEGY,
    }


@pytest.fixture
def command(workshop: Any) -> list[str]:
    python = workshop.python("3.11", "pytest-codspeed==5.0.4")
    return [str(python), "-m", "pytest", "--codspeed", "--codspeed-max-time=0.1", "test_sum.py"]


@pytest.mark.usefixtures("fifo_lock")
def test_a_job_uploads_both_modes_of_a_real_client(
    job: dict[str, str], command: list[str], modes: frozenset[str], tmp_path: Path
) -> None:
    if not {"walltime", "valgrind"} <= modes:
        pytest.skip("not both of walltime and simulation work here")
    log = tmp_path / "job.log"
    words = [str(CODSPEED), "run", "-m", "walltime,simulation", "--skip-setup", "--", *command]
    with FakeService(job_log=log.read_text) as service, log.open("ab") as file:
        env = job | {"CODSPEED_UPLOAD_URL": service.upload_url}
        cwd = job["GITHUB_WORKSPACE"]
        done = subprocess.run(words, cwd=cwd, env=env, stdout=file, stderr=file, check=False)
        members = {name_of(upload): archived(upload) for upload in service.uploads}
        documents = [upload.document for upload in service.uploads]

    assert (done.returncode, service.refusals) == (0, []), log.read_text()
    assert [document["runner"]["executor"] for document in documents] == ["walltime", "valgrind"]
    assert [document["profileEncoding"] for document in documents] == [None, "gzip"]
    assert {document["tokenless"] for document in documents} == {True}
    assert {document["headRef"] for document in documents} == {"mallory:feat/\u00e9"}
    base = 'bench-{"py":"3.11"}-{"job-total":2,"job-index":0}-'
    assert [document["runPart"]["runPartId"] for document in documents] == [
        base + '{"executor":"walltime","run-index":0,"run-part-index":0}',
        base + '{"executor":"valgrind","run-index":1,"run-part-index":1}',
    ]
    assert any(name.startswith("results/") for name in members["walltime"])
    assert any(name.endswith(".out") for name in members["valgrind"])
    assert all("runner.log" in names for names in members.values())
    assert {part["compat"] for part in parts(tmp_path / "data")} == {"codspeed"}


def name_of(upload: Any) -> str:
    return str(upload.document["runner"]["executor"])


def archived(upload: Any) -> list[str]:
    """Return the names in an archive, read as its encoding says."""
    opened = gzip.open if upload.document["profileEncoding"] == "gzip" else open
    with opened(upload.archive, "rb") as file, tarfile.open(fileobj=file, mode="r|") as archive:
        return archive.getnames()


def parts(data: Path) -> list[dict[str, Any]]:
    (manifest,) = data.rglob("manifest.json")
    found: list[dict[str, Any]] = json.loads(manifest.read_text())["parts"]
    return found
