"""The uploader `forge` against strict fakes of both APIs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from codspeed.errors import AuthenticationError, CodspeedError, UploadError
from codspeed.model import Bundle, RunContext, System
from codspeed.testing.fakes import FakeReporter
from codspeed.testing.forge import FakeForge
from codspeed_report import forge_api
from codspeed_report.descriptor import ForgeOptions
from codspeed_report.descriptor import forge as descriptor
from codspeed_report.forge import ForgeUploader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from urllib3 import Retry

    from codspeed.protocols import Receipt

Make = Callable[..., Bundle]
HEAD = "h" * 40


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    retries: Retry = forge_api._RETRIES.new(backoff_factor=0)
    for kind in (forge_api.GitHub, forge_api.GitLab):
        defaults: tuple[Any, ...] = kind.__init__.__defaults__ or ()
        monkeypatch.setattr(kind.__init__, "__defaults__", (*defaults[:-1], retries))


@pytest.fixture
def github() -> Iterator[FakeForge]:
    with FakeForge("github", head=HEAD) as fake:
        yield fake


@pytest.fixture
def gitlab() -> Iterator[FakeForge]:
    with FakeForge("gitlab", project="77") as fake:
        yield fake


class Job:
    """A CI job with a pull request and a store that holds a run of its base."""

    def __init__(self, forge: FakeForge, make: Make, folder: Path) -> None:
        self.summary = folder / "summary.md"
        self.make = make
        self.days = itertools.count(5)
        self.facts = {"ref": "refs/pull/22/merge", "run_part_id": "bench", "job": "bench"}
        self.context = RunContext(
            "github-actions" if forge.kind == "github" else "gitlab-ci",
            "acme/widgets" if forge.kind == "github" else "acme/sub/widgets",
            "widgets-1",
            folder,
            base="main",
            branch="feat/x",
        )
        self.env = {
            "github": {
                "GITHUB_ACTIONS": "true",
                "GITHUB_API_URL": forge.url,
                "GITHUB_STEP_SUMMARY": str(self.summary),
                "GITHUB_TOKEN": forge.token,
            },
            "gitlab": {
                "CI_API_V4_URL": forge.url,
                "CI_PROJECT_ID": "5",
                "CI_MERGE_REQUEST_PROJECT_ID": "77",
                "GITLAB_TOKEN": forge.token,
            },
        }[forge.kind]

    def head(self, values: dict[str, float] | None = None) -> Bundle:
        bundle = self.make(next(self.days), values or {"a.py::fast": 2000.0}, branch="feat/x")
        context = attrs.evolve(self.context, facts=self.facts)
        return attrs.evolve(bundle, manifest=attrs.evolve(bundle.manifest, context=context))

    def upload(self, bundle: Bundle, **options: Any) -> Receipt:
        uploader = ForgeUploader(ForgeOptions(**options))
        system = System("linux", "debian", "12", "x86_64", 0, self.context.root, self.env)
        uploader.prepare(system, FakeReporter())
        return uploader.upload(bundle)


@pytest.fixture
def job(github: FakeForge, make: Make, tmp_path: Path) -> Job:
    make(1, {"a.py::fast": 1000.0}, branch="main")
    return Job(github, make, tmp_path)


def test_a_comment_is_created_once_then_updated(github: FakeForge, job: Job) -> None:
    first = job.upload(job.head())
    second = job.upload(job.head({"a.py::fast": 3000.0}))

    assert "new comment" in first.message
    assert first.url == "https://forge.example/acme/widgets/pull/22#101"
    assert "updated comment" in second.message
    assert list(github.comments) == [101]
    text = github.comments[101]
    assert text.startswith("<!-- codspeed:report:")
    assert "| `fast` | Time | 1.00 µs | 3.00 µs | +200.0% |" in text
    assert "`feat/x` (no commit) against `main` (no commit)" in text
    assert github.refusals == []


def test_jobs_have_a_comment_each(github: FakeForge, job: Job) -> None:
    job.upload(job.head())
    job.facts["run_part_id"] = 'bench-{"py":"3.12"}'
    job.upload(job.head())

    assert list(github.comments) == [101, 102]


def test_the_comment_is_found_on_a_later_page(github: FakeForge, job: Job) -> None:
    github.comments |= dict.fromkeys(range(1, 151), "LGTM")
    job.upload(job.head())
    job.upload(job.head())

    assert len(github.comments) == 151
    assert github.requests[-1] == "PATCH /repos/acme/widgets/issues/comments/151"


def test_a_merge_request_of_gitlab(
    gitlab: FakeForge, make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(1, {"a.py::fast": 1000.0}, branch="main")
    job = Job(gitlab, make, tmp_path)
    messages = [job.upload(job.head()).message, job.upload(job.head()).message]

    assert ["new comment" in messages[0], "updated comment" in messages[1]] == [True, True]
    assert "+100.0%" in gitlab.comments[101]
    assert gitlab.refusals == []
    assert capsys.readouterr().err == ""


def test_summary_and_annotation_need_no_token(
    github: FakeForge, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    del job.env["GITHUB_TOKEN"]
    receipt = job.upload(job.head())

    assert receipt.message == "1 benchmark compared; told in: job summary"
    assert "## Benchmarks: bench" in job.summary.read_text()
    assert "+100.0%" in job.summary.read_text()
    assert capsys.readouterr().err == "::notice title=Benchmarks::1 benchmark compared\n"
    assert github.requests == []


def test_without_a_base_the_values_are_told(job: Job) -> None:
    job.context = attrs.evolve(job.context, base="release")
    receipt = job.upload(job.head())

    why = "1 benchmark, nothing to compare with: no run of release is stored"
    assert receipt.message.startswith(why)
    assert "| `fast` | Time | 2.00 µs |" in job.summary.read_text()


def test_the_base_is_of_the_same_variant_and_mode(job: Job, make: Make) -> None:
    make(2, {"a.py::fast": 1.0}, branch="main", variant={"python": "3.12"})
    make(3, {"a.py::fast": 2.0}, branch="main", executor="memory")
    make(10, {"a.py::fast": 4.0}, branch="main")  # newer than the head

    assert job.upload(job.head()).message.startswith("1 benchmark compared")
    assert "1.00 µs | 2.00 µs" in job.summary.read_text()


@pytest.mark.parametrize(
    ("comment", "ref"), [(False, "refs/pull/22/merge"), (True, "refs/heads/m")]
)
def test_no_comment_where_none_is_to_be(
    github: FakeForge, job: Job, *, comment: bool, ref: str
) -> None:
    job.facts["ref"] = ref
    job.upload(job.head(), comment=comment)

    assert github.requests == []


# --- What goes wrong ---


def failing(job: Job, **options: Any) -> CodspeedError:
    with pytest.raises(CodspeedError) as caught:
        job.upload(job.head(), **options)
    assert job.env.get("GITHUB_TOKEN", "forge-secret") not in f"{caught.value!r} {caught.value}"
    assert job.summary.exists()
    return caught.value


def test_a_wrong_token(github: FakeForge, job: Job) -> None:
    job.env["GITHUB_TOKEN"] = "ghs_wrong"

    assert isinstance(failing(job), AuthenticationError)


def test_a_token_without_the_right_is_an_error_if_somebody_asked(
    github: FakeForge, job: Job
) -> None:
    github.is_read_only = True
    error = failing(job, comment=True)

    assert (error.slug, error.exit_code) == ("forge-forbidden", 8)
    assert "pull-requests: write" in (error.hint or "")
    assert "no comment (give the job" in job.upload(job.head()).message


def test_a_fork_gets_a_summary_and_a_hint(github: FakeForge, job: Job) -> None:
    github.is_read_only = True
    job.facts["is_fork"] = "true"

    assert "no comment (" in job.upload(job.head(), comment=True).message

    del job.env["GITHUB_TOKEN"]
    assert "docs/github.md has a way" in job.upload(job.head(), comment=True).message


def test_a_comment_that_was_asked_for_needs_a_token(job: Job) -> None:
    del job.env["GITHUB_TOKEN"]

    assert failing(job, comment=True).hint == "give the job the variable GITHUB_TOKEN"


def test_faults_that_pass_are_sat_out(github: FakeForge, job: Job) -> None:
    github.faults = [503, 500, 429]
    job.upload(job.head())

    assert list(github.comments) == [101]


@pytest.mark.parametrize("faults", [[503] * 4, [302], [200]])
def test_faults_that_stay(github: FakeForge, job: Job, faults: list[int]) -> None:
    github.faults = faults

    assert isinstance(failing(job), UploadError)


def test_a_comment_is_never_written_twice(github: FakeForge, job: Job) -> None:
    """An answer that got lost does not say whether the comment is there."""
    original = github.answer

    def answer(method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        status, document = original(method, target, headers, body)
        return (502, {}) if method == "POST" else (status, document)

    github.answer = answer  # type: ignore[method-assign]  # the fake misbehaves on purpose

    assert isinstance(failing(job), UploadError)
    assert list(github.comments) == [101]


def test_an_api_that_is_not_there(job: Job) -> None:
    job.env["GITHUB_API_URL"] = "http://127.0.0.1:1"

    assert "can't be reached" in failing(job).problem


def test_a_summary_that_can_not_be_written(job: Job, tmp_path: Path) -> None:
    job.env["GITHUB_STEP_SUMMARY"] = str(tmp_path)

    with pytest.raises(UploadError, match=r"the job summary .* can't be written"):
        job.upload(job.head())


# --- Publishing what a fork's job measured ---


@pytest.mark.parametrize(("sha", "is_right"), [(HEAD, True), ("e" * 40, False)])
def test_a_bundle_can_not_name_a_pull_request_of_others(
    github: FakeForge, job: Job, tmp_path: Path, sha: str, *, is_right: bool
) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"workflow_run": {"head_sha": sha}}))
    job.env |= {"GITHUB_EVENT_NAME": "workflow_run", "GITHUB_EVENT_PATH": str(event)}
    if is_right:
        job.upload(job.head(), comment=True)
    else:
        assert "names pull request 22" in failing(job, comment=True).problem

    assert bool(github.comments) == is_right


def test_the_repository_is_that_of_the_publishing_job(github: FakeForge, job: Job) -> None:
    job.context = attrs.evolve(job.context, repository="mallory/other")
    job.env["GITHUB_REPOSITORY"] = "acme/widgets"
    job.upload(job.head(), comment=True)

    assert list(github.comments) == [101]


def test_it_runs_unasked_only_in_ci(tmp_path: Path) -> None:
    def wanted(provider: str) -> str | None:
        return descriptor.wanted(RunContext(provider, "o/r", "k", tmp_path), ForgeOptions())

    assert wanted("local") is None
    assert wanted("github-actions") is not None
    assert wanted("gitlab-ci") is not None
