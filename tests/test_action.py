"""action.yml, run for real by a small runner of composite actions.

Cost: one installation with pip (10 to 40 s, third-party wheels from the index or cache of this
machine), shared by all tests; after it each use of the action takes a second or two.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from codspeed.testing import FakeService
from codspeed.testing.action import ActionResult, CompositeRunner, FolderCache
from codspeed.testing.fifo import fifo_lock
from codspeed.testing.forge import FakeForge

ROOT = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(300),  # the first one installs with pip; others may hold the FIFO paths
]

CONFIG = """
benchmarks:
  - name: quick
    exec: "true"
    options:
      max-rounds: 3
      warmup-time: 0
"""


@pytest.fixture(scope="session")
def action(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The action as GitHub brings it: files without a repository."""
    folder = tmp_path_factory.mktemp("_actions") / "codspeed"
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def temp(action: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RUNNER_TEMP with codspeed installed: an installation serves all uses in a job.

    It is made before any test holds what all tests of this machine share.
    """
    folder = tmp_path_factory.mktemp("_temp")
    files = {f"GITHUB_{name}": str(folder / name) for name in ("OUTPUT", "PATH")}
    env = os.environ | files | {"RUNNER_TEMP": str(folder), "INPUT_RUNNER_VERSION": ""}
    subprocess.run([action / "scripts" / "action-install"], env=env, check=True)
    return folder


class Repository:
    """A repository whose jobs use the action."""

    def __init__(self, folder: Path, action: Path, temp: Path, forge: FakeForge) -> None:
        self.workspace = folder / "widgets"
        self.workspace.mkdir()
        (self.workspace / "codspeed.yml").write_text(CONFIG)
        self.cache = FolderCache(folder / "caches")
        self.home = folder / "home"
        self.action = action
        self.temp = temp
        self.forge = forge
        self.jobs = 0
        self.extra: dict[str, str] = {}
        for words in (
            ("init", "-q", "-b", "main"),
            ("add", "."),
            ("-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-q", "-m", "first"),
        ):
            subprocess.run(["git", *words], cwd=self.workspace, check=True)

    def job(self, event: str = "push", **inputs: str) -> ActionResult:
        """Run one job on a machine that knows nothing of earlier ones."""
        self.jobs += 1
        shutil.rmtree(self.home, ignore_errors=True)
        done = self.runner(event).run(**{"mode": "walltime", **inputs})
        self.cache.save_pending()
        return done

    def runner(self, event: str) -> CompositeRunner:
        payload: dict[str, Any] = {"repository": {"private": False}}
        env = {"GITHUB_REF": "refs/heads/main", "GITHUB_BASE_REF": ""}
        if event != "push":
            of = {"fork": "mallory", "pull_request": "acme"}[event]
            payload["pull_request"] = {
                "head": {"ref": "feat/x", "repo": {"id": len(of), "owner": {"login": of}}},
                "base": {"repo": {"id": len("acme")}},
            }
            env = {"GITHUB_REF": "refs/pull/22/merge", "GITHUB_BASE_REF": "main"}
        path = self.workspace.parent / "event.json"
        path.write_text(json.dumps(payload))
        self.home.mkdir(exist_ok=True)
        known = {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.forge.url,
            "GITHUB_REPOSITORY": "acme/widgets",
            "GITHUB_EVENT_PATH": str(path),
            "GITHUB_EVENT_NAME": "push" if event == "push" else "pull_request",
            "GITHUB_JOB": "bench",
            "GITHUB_RUN_ID": str(1000 + self.jobs),
            "GITHUB_ACTOR": "jane",
            "GITHUB_ACTOR_ID": "7",
            "GITHUB_TOKEN": "",
            "HOME": str(self.home),
            "CODSPEED_ISOLATION": "false",
        }
        return CompositeRunner(
            self.action,
            self.workspace,
            self.temp,
            known | env | self.extra,
            self.cache.emulations,
            matrix={},
            strategy={"job-index": 0, "job-total": 1},
        )

    def publish(self, folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Hand the folder `bundle` on, as a job of the default branch."""
        program = self.temp / "codspeed" / "bin" / "codspeed"
        job = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.forge.url,
            "GITHUB_REPOSITORY": "acme/widgets",
            "GITHUB_TOKEN": self.forge.token,
        }
        return subprocess.run(
            [program, "upload", "bundle", "--uploader", "forge", "--comment"],
            cwd=folder,
            env=job | env,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def repository(action: Path, temp: Path, tmp_path: Path) -> Any:
    with FakeForge() as forge, fifo_lock(timeout=250):
        yield Repository(tmp_path, action, temp, forge)


def test_the_base_comes_from_the_cache_and_the_comment_needs_no_account(
    repository: Repository,
) -> None:
    """Two pushes to main, then a pull request that is pushed twice."""
    repository.extra = {"GITHUB_TOKEN": repository.forge.token}
    inputs = {"store_cache": "true", "comment": "true"}
    first = repository.job("push", **inputs)
    second = repository.job("push", **inputs)
    third = repository.job("pull_request", **inputs)
    fourth = repository.job("pull_request", **inputs)

    assert [job.status for job in (first, second, third, fourth)] == [0] * 4, third.log
    assert "nothing to compare with: no run of main is stored" in first.summary
    assert "1 benchmark compared" in second.summary
    assert list(repository.forge.comments) == [101]
    assert "`feat/x`" in repository.forge.comments[101]
    assert "new comment https://forge.example/acme/widgets/pull/22#101" in third.log
    assert "updated comment" in fourth.log
    assert repository.forge.refusals == []
    stores = [key for key in repository.cache.saved if key.startswith("codspeed-store-")]
    assert stores == [
        "codspeed-store-bench-Linux-X64-1001-1",
        "codspeed-store-bench-Linux-X64-1002-1",
    ]
    assert list(repository.cache.folder.rglob("*.perf")) == []
    assert repository.forge.token not in "".join(job.log for job in (first, second, third, fourth))


def test_outputs_log_and_summary(repository: Repository) -> None:
    done = repository.job(uploader="local,forge")

    bundle = Path(done.outputs["bundle-path"])
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["context"]["provider"] == "github-actions"
    assert done.outputs["run-url"] == ""
    assert done.outputs["regressions"] == ""
    assert "::group::Running the benchmarks\n" in done.log
    assert "| `quick` |" in done.summary
    assert done.log.count("::notice title=Benchmarks::") == 1


def test_a_fork_measures_and_the_default_branch_publishes(
    repository: Repository, tmp_path: Path
) -> None:
    """The recipe of docs/github.md."""
    measured = repository.job("fork", uploader="local,forge")
    assert measured.status == 0, measured.log
    assert repository.forge.requests == []

    shutil.copytree(measured.outputs["bundle-path"], tmp_path / "bundle")
    event = tmp_path / "workflow_run.json"
    event.write_text(json.dumps({"workflow_run": {"head_sha": "a" * 40}}))
    env = {"GITHUB_EVENT_NAME": "workflow_run", "GITHUB_EVENT_PATH": str(event)}
    repository.forge.head = "a" * 40
    right = repository.publish(tmp_path, env)
    repository.forge.head = "b" * 40
    wrong = repository.publish(tmp_path, env)

    assert (right.returncode, wrong.returncode) == (0, 8), right.stdout + wrong.stdout
    assert list(repository.forge.comments) == [101]
    assert "names pull request 22, which is not at commit" in wrong.stdout


@pytest.mark.parametrize(
    ("inputs", "has_oidc", "token"),
    [
        pytest.param({"token": "planted-token"}, False, "planted-token", id="token"),
        pytest.param({"store_cache": "true"}, True, "eyJ.oidc-token-0.sig", id="OpenID Connect"),
        pytest.param({"store_cache": "true"}, False, None, id="public, store-cache, no token"),
    ],
)
def test_when_the_service_gets_the_results(
    repository: Repository,
    inputs: dict[str, str],
    has_oidc: bool,  # noqa: FBT001 - a row
    token: str | None,
) -> None:
    """The table of tests/test_uploaders.py has the other cases."""
    with FakeService() as service:
        service.api.tokens["planted-token"] = "ada"
        repository.extra = service.oidc_variables if has_oidc else {}
        done = repository.job(upload_url=service.upload_url, **inputs)

    assert (done.status, service.refusals) == (0, []), done.log
    assert [upload.token for upload in service.uploads] == ([token] if token else [])
    assert "planted-token" not in done.log


HOSTILE = """$(touch pwned) `touch pwned` ' " ; touch pwned #
EOF
::set-output name=x::y"""


def test_what_is_in_an_input_is_never_run(repository: Repository) -> None:
    for name in ("working_directory", "config", "instruments", "uploader", "mode"):
        done = repository.job(**{"uploader": "none", name: HOSTILE})
        assert done.status == 2, (name, done.log)
    # Nobody asks for this one here; it is a word of its own all the same.
    assert repository.job(uploader="none", upload_url=HOSTILE).status == 0
    for name in ("cache_instruments", "allow_empty", "comment", "runner_version"):
        done = repository.job(**{name: HOSTILE})
        assert done.status == 1, (name, done.log)

    assert list(repository.workspace.rglob("pwned")) == []


def test_the_command_is_shell_text_as_it_is(repository: Repository) -> None:
    command = """printf '%s|' "it's" 'a "b"' $((1 + 1)) >told
printf '%s' "${CODSPEED_COMMENT_TOKEN-none}${INPUT_TOKEN-none}${ACTION_COMMENT_TOKEN-none}" >>told
"""
    repository.extra = {"GITHUB_TOKEN": repository.forge.token}
    done = repository.job(run=command, allow_empty="true", uploader="none", comment="true")

    assert done.status == 0, done.log
    assert (repository.workspace / "told").read_text() == 'it\'s|a "b"|2|nonenonenone'


def test_a_failing_benchmark_fails_the_step_and_keeps_the_bundle(repository: Repository) -> None:
    done = repository.job(run="exit 3", uploader="none")

    assert done.status == 4
    assert (Path(done.outputs["bundle-path"]) / "manifest.json").exists()
    assert "::error::" in done.log


def test_an_empty_mode_is_named(repository: Repository) -> None:
    done = repository.job(mode=" ")

    assert done.status == 1
    assert done.log.startswith("::error title=codspeed::The input `mode` is empty")
    assert len(done.steps) == 1


def test_caches_are_keyed_by_mode_system_and_version(repository: Repository) -> None:
    tools = str(repository.home / "tools")
    done = repository.job(
        mode="walltime,", instruments_cache_dir=tools, run="true", allow_empty="true"
    )

    keys = {step.name: step.outputs for step in done.steps}["prepare"]
    assert keys["instruments-prefix"].startswith("codspeed-instruments-walltime-")
    assert keys["instruments-cache-dir"] == tools
    assert keys["version"] == "checkout"
    assert keys["saves-store"] == "false"


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("9.9.9", "has no 9.9.9"),
        ("branch:nowhere", "has no branch:nowhere"),
        ("rev:--help", "has no rev:--help"),
        ("latest", "has no release yet"),
    ],
)
def test_versions_that_do_not_exist(repository: Repository, version: str, message: str) -> None:
    repository.extra = {"CODSPEED_ACTION_SOURCE": str(repository.workspace)}
    done = repository.job(runner_version=version)

    assert done.status == 1
    assert message in done.log


@pytest.mark.parametrize("version", ["1.2.3", "v1.2.3", "latest", "branch:main", "rev:HEAD"])
def test_versions_are_checked_out(repository: Repository, version: str) -> None:
    """A repository that is not codspeed is refused only after the version was found in it."""
    subprocess.run(["git", "tag", "v1.2.3"], cwd=repository.workspace, check=True)
    repository.extra = {"CODSPEED_ACTION_SOURCE": str(repository.workspace)}
    done = repository.job(runner_version=version)

    assert f"{version} of {repository.workspace} is no codspeed of this kind" in done.log
    is_release = not version.startswith(("branch:", "rev:"))
    assert ("is no release" not in done.log) == is_release


# --- The file itself ---


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
    return loaded


REFERENCE = {
    "run": "",
    "mode": None,
    "token": "",
    "working-directory": "",
    "upload-url": "",
    "runner-version": "",
    "instruments": "",
    "mongo-uri-env-name": "",
    "cache-instruments": "true",
    "instruments-cache-dir": "~/.cache/codspeed-action",
    "allow-empty": "false",
    "go-runner-version": "",
    "cycle-estimation": "",
    "exclude-allocations": "",
    "config": "",
    "skip-hash-check-warning": "false",
}


def test_every_input_of_the_reference_is_there_with_its_default() -> None:
    """Table of spec/cli-upload.md 7.1."""
    declared = {name: each.get("default") for name, each in document()["inputs"].items()}

    assert declared == REFERENCE | {"uploader": "", "store-cache": "false", "comment": "false"}


def test_no_expression_stands_in_shell_text() -> None:
    scripts = [step["run"] for step in document()["runs"]["steps"] if "run" in step]

    assert [script for script in scripts if "${{" in script] == []
    assert len(scripts) == 3


def test_every_input_is_used() -> None:
    text = (ROOT / "action.yml").read_text().split("\nruns:")[1]

    assert [name for name in document()["inputs"] if f"inputs.{name} " not in text] == []
