"""The program itself in a simulated GitHub job, uploading to the fake service."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from codspeed.testing import FakeService, jobs
from codspeed.testing.service_faults import Fault, Mischief

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]  # starts the program several times

PLANTED = ("planted-token-4711", "planted-mongo-4711")
PROGRAM = Path(sys.executable).with_name("codspeed")


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    """The environment of a push to a public repository, in its checkout."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    jobs.commit_all(checkout)
    return jobs.github_push(checkout, tmp_path) | {
        "MONGO_URI": f"mongodb://ada:{PLANTED[1]}@db.example/x",
        "XDG_RUNTIME_DIR": str(tmp_path),
    }


def start(job: dict[str, str], *words: str, log: Path) -> int:
    """Run the program with its output in `log`, as a CI job keeps it; return its exit code."""
    with log.open("ab") as file:
        return subprocess.run(
            [PROGRAM, *words],
            cwd=job["GITHUB_WORKSPACE"],
            env=job,
            stdout=file,
            stderr=file,
            check=False,
        ).returncode


def exec_words(*options: str) -> tuple[str, ...]:
    bounds = ("--max-rounds", "1", "--warmup-time", "0")
    return ("exec", "-m", "walltime", *bounds, *options, "--", "true")


@pytest.mark.usefixtures("fifo_lock")
@pytest.mark.parametrize("level", ["info", "warn"])
def test_a_public_job_uploads_without_a_token(
    job: dict[str, str], tmp_path: Path, level: str
) -> None:
    log = tmp_path / "job.log"
    with FakeService(job_log=log.read_text) as service:
        job |= {"CODSPEED_UPLOAD_URL": service.upload_url, "CODSPEED_LOG": level}
        code = start(job, *exec_words(), log=log)

    assert (code, service.refusals) == (0, []), log.read_text()
    (upload,) = service.uploads
    assert upload.document["runner"]["executor"] == "walltime"
    assert upload.document["runPart"]["runPartId"] == 'bench-{"executor":"walltime","run-index":0}'


@pytest.mark.usefixtures("fifo_lock")
def test_a_failed_upload_is_repeated_by_the_command_it_prints(
    job: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "job.log"
    with FakeService() as service:
        token = service.add_user("ada")
        job |= {"CODSPEED_UPLOAD_URL": service.upload_url, "CODSPEED_TOKEN": token}
        service.faults.plan("announce", Fault(Mischief.STATUS, 400))
        failed = start(job, *exec_words(), log=log)
        text = log.read_text()
        command = text.partition("codspeed upload ")[2].splitlines()[0].split()
        repeated = start(job, "upload", *command, log=log)

    assert (failed, repeated) == (8, 0), log.read_text()
    assert command[1:] == ["--uploader", "codspeed"]
    assert len(service.uploads) == 1


@pytest.mark.usefixtures("fifo_lock")
def test_no_planted_secret_is_anywhere(job: dict[str, str], tmp_path: Path) -> None:
    """Not in the job's log, the bundle, the archive, or the arguments of any process."""
    log, seen = tmp_path / "job.log", tmp_path / "processes"
    script = (
        "import contextlib, pathlib, sys\n"
        "texts = []\n"
        "for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
        "    with contextlib.suppress(OSError):\n"  # others come and go
        "        texts.append(path.read_bytes())\n"
        "pathlib.Path(sys.argv[1]).write_bytes(b''.join(texts))"
    )
    with FakeService() as service:
        service.api.tokens[PLANTED[0]] = "ada"
        job |= {
            "CODSPEED_UPLOAD_URL": service.upload_url,
            "CODSPEED_TOKEN": PLANTED[0],
            "CODSPEED_LOG": "trace",
            **service.oidc_variables,
        }
        words = exec_words()[:-1]
        code = start(job, *words, sys.executable, "-c", script, str(seen), log=log)
        assert code == 0, log.read_text()
        archive = service.uploads[0].archive
        assert archive is not None
        shown = archive.read_bytes()

    for path in [log, seen, *tmp_path.joinpath("data").rglob("*")]:
        shown += path.read_bytes() if path.is_file() else b""
    planted = [*PLANTED, service.oidc_request_token]
    assert [secret for secret in planted if secret.encode() in shown] == []


@pytest.mark.usefixtures("fifo_lock")
def test_a_run_by_hand_asks_for_no_login(job: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    by_hand = {name: value for name, value in job.items() if not name.startswith("GITHUB_A")}
    by_hand.pop("CI")

    code = start(by_hand, *exec_words(), log=log)

    assert code == 0, log.read_text()
    assert "login" not in log.read_text()
    assert "stored in" in log.read_text()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--uploader", "codspeed", "--provider", "gitlab"], "--provider needs --repository"),
        (["--uploader", "codspeed", "-r", "a/b"], "is not supported for GitHub Actions"),
        (["-r", "a/b"], "is not supported for GitHub Actions"),
    ],
)
def test_options_are_refused_before_anything_runs(
    job: dict[str, str], tmp_path: Path, words: list[str], problem: str
) -> None:
    log, trace = tmp_path / "log", tmp_path / "trace"

    code = start(job, "exec", "-m", "walltime", *words, "--", "touch", str(trace), log=log)

    assert (code, trace.exists()) == (2, False), log.read_text()
    assert problem in log.read_text()


@pytest.mark.usefixtures("fifo_lock")
@pytest.mark.parametrize(("token", "expected"), [("refused-token", 7), ("", 7)])
def test_a_token_that_is_missing_or_refused_ends_with_seven(
    job: dict[str, str], tmp_path: Path, token: str, expected: int
) -> None:
    log = tmp_path / "log"
    Path(job["GITHUB_EVENT_PATH"]).write_text(json.dumps({"repository": {"private": True}}))
    with FakeService() as service:
        job |= {"CODSPEED_UPLOAD_URL": service.upload_url, "CODSPEED_TOKEN": token}
        code = start(job, *exec_words("--uploader", "codspeed"), log=log)
        optional = start(job, *exec_words("--uploader", "codspeed", "--upload-optional"), log=log)

    assert (code, optional) == (expected, 0), log.read_text()
    assert "to repeat the upload: codspeed upload" in log.read_text()


@pytest.mark.usefixtures("fifo_lock")
def test_a_private_job_without_a_token_says_why_nothing_was_uploaded(
    job: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    Path(job["GITHUB_EVENT_PATH"]).write_text(json.dumps({"repository": {"private": True}}))

    code = start(job, *exec_words(), log=log)

    assert code == 0, log.read_text()
    assert "not uploaded to CodSpeed: this private repository has no token" in log.read_text()
