"""An unmodified client, uploaded with its profile: the service finds what burned."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from codspeed.testing import FakeService, jobs
from codspeed.testing.uploaded_profile import UploadedProfile

pytestmark = [pytest.mark.process, pytest.mark.tool]

CODSPEED: Final = Path(sys.executable).with_name("codspeed")
NEWEST: Final = "5.0.4"
WITHIN: Final = 10  # points; some hundred samples scatter by two
LIBRARY: Final = """volatile unsigned long sink;
__attribute__((noinline)) void seventy(void) { for (long i = 0; i < 14000000; i++) sink += i; }
__attribute__((noinline)) void thirty(void) { for (long i = 0; i < 6000000; i++) sink += i; }
"""
SUITE: Final = """
import ctypes
library = ctypes.CDLL("./libburn.so")

def burn_both():
    library.seventy()
    library.thirty()

def test_burn(benchmark):
    benchmark(burn_both)

def test_again(benchmark):
    benchmark(burn_both)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a suite that calls compiled code, as actions/checkout leaves it."""
    for tool in ("gcc", "perf"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not on PATH")
    folder = tmp_path / "widgets"
    folder.mkdir()
    (folder / "burn.c").write_text(LIBRARY)
    (folder / "test_burn.py").write_text(SUITE)
    compiler = ["gcc", "-O2", "-g", "-shared", "-fPIC", "burn.c", "-o", "libburn.so"]
    subprocess.run(compiler, cwd=folder, check=True)
    jobs.commit_all(folder)
    return folder


@pytest.fixture
def job(checkout: Path, tmp_path: Path) -> dict[str, str]:
    return jobs.github_push(checkout, tmp_path)


def uploaded(job: dict[str, str], command: list[str], tmp_path: Path) -> UploadedProfile:
    """Measure, upload, and return the profile as it was unpacked from the archive."""
    log = tmp_path / "job.log"
    words = [str(CODSPEED), "run", "-m", "walltime", "--skip-setup", "--", *command]
    with FakeService(job_log=log.read_text) as service, log.open("ab") as file:
        env = job | {"CODSPEED_UPLOAD_URL": service.upload_url}
        cwd = job["GITHUB_WORKSPACE"]
        done = subprocess.run(words, cwd=cwd, env=env, stdout=file, stderr=file, check=False)
        assert (done.returncode, service.refusals) == (0, []), log.read_text()
        (upload,) = service.uploads
        assert upload.archive is not None
        with tarfile.open(upload.archive) as archive:
            archive.extractall(tmp_path / "unpacked", filter="data")
    return UploadedProfile(tmp_path / "unpacked")


@pytest.mark.usefixtures("fifo_lock")
@pytest.mark.parametrize("python", ["3.12", "3.13"])
def test_pytest_codspeed(python: str, job: dict[str, str], workshop: Any, tmp_path: Path) -> None:
    interpreter = workshop.python(python, f"pytest-codspeed=={NEWEST}")
    options = ("--codspeed", "--codspeed-max-time=0.7", "test_burn.py")
    profile = uploaded(job, [str(interpreter), "-m", "pytest", *options], tmp_path)
    document = profile.metadata
    suite = f"{job['GITHUB_WORKSPACE']}/test_burn.py"
    found = Counter(name for name in profile.leaves() if name in {"seventy", "thirty"})
    (perf_map,) = profile.folder.glob("perf-*.map")
    pid = perf_map.stem.removeprefix("perf-")
    generated = profile.generated(pid, "py::burn_both:")

    assert found.total() > 200
    assert 100 * found["seventy"] / found.total() == pytest.approx(70, abs=WITHIN)
    assert profile.inside() > 98
    assert [uri for _time, uri in document["uri_by_ts"]] == [
        "test_burn.py::test_burn",
        "test_burn.py::test_again",
    ]
    assert "py::burn_both:" in perf_map.read_text()
    (ignored,) = {path for path, *_ in document["ignored_modules_by_pid"][pid]}
    assert Path(ignored).name.startswith((f"python{python}", f"libpython{python}"))
    # CPython tells how to unwind its trampolines since 3.13.
    assert generated == ([f"jit_py::burn_both:{suite}"] if python == "3.13" else [])
    assert not list(profile.folder.glob("jit-*.dump"))
