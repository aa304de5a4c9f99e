"""Real repositories, made by the git that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from codspeed.environment import data_folder, git_context, read_context, repository_key
from codspeed.environment.repository import common_root, parse_status, read_repository
from codspeed.errors import ConfigError
from codspeed.model import RunContext
from codspeed.protocols import EnvironmentDescriptor

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(shutil.which("git") is None, reason="needs git"),
]

# 2026-01-02 03:04:05 UTC
COMMIT_TIME = 1_767_323_045


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment in which git knows nothing of whoever runs the test."""
    kept = {key: os.environ[key] for key in ("PATH", "SYSTEMROOT") if key in os.environ}
    person = {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", "A"), ("EMAIL", "a@b.c"), ("DATE", f"@{COMMIT_TIME} +0000"))
    }
    nowhere = str(tmp_path / "nothing")
    return kept | person | {"HOME": nowhere, "GIT_CONFIG_NOSYSTEM": "1", "XDG_CONFIG_HOME": nowhere}


@pytest.fixture
def git(env: dict[str, str], tmp_path: Path) -> Git:
    return Git(tmp_path / "tool", env)


class Git:
    """A repository with one commit on `main`."""

    def __init__(self, root: Path, env: dict[str, str]) -> None:
        self.root = root
        self.env = env
        root.mkdir()
        (root / "file").write_text("one\n")
        self("init", "-q", "-b", "main")
        self("add", "file")
        self("commit", "-q", "-m", "first")

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=self.root, env=self.env, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()


def test_a_clean_clone(git: Git) -> None:
    git("remote", "add", "origin", "https://me:s3cret@github.com/acme/tool.git")

    context = git_context("local", git.env, git.root)

    assert context == RunContext(
        provider="local",
        repository="acme/tool",
        repository_key=context.repository_key,
        root=git.root,
        remote="https://github.com/acme/tool.git",
        commit=git("rev-parse", "HEAD"),
        commit_time=COMMIT_TIME,
        branch="main",
    )


def test_a_folder_below_the_root_is_in_the_repository(git: Git) -> None:
    below = git.root / "a" / "b"
    below.mkdir(parents=True)

    assert git_context("local", git.env, below).root == git.root


def test_a_changed_file_makes_it_dirty(git: Git) -> None:
    (git.root / "file").write_text("two\n")

    assert git_context("local", git.env, git.root).dirty is True


def test_a_staged_file_makes_it_dirty(git: Git) -> None:
    (git.root / "other").write_text("two\n")
    git("add", "other")

    assert git_context("local", git.env, git.root).dirty is True


def test_an_untracked_file_does_not(git: Git) -> None:
    (git.root / "results.json").write_text("{}")

    assert git_context("local", git.env, git.root).dirty is False


def test_a_detached_head_has_no_branch(git: Git) -> None:
    git("checkout", "-q", "--detach")

    context = git_context("local", git.env, git.root)

    assert (context.branch, context.commit) == ("", git("rev-parse", "HEAD"))


def test_before_the_first_commit_there_is_a_branch_only(
    tmp_path: Path, env: dict[str, str]
) -> None:
    subprocess.run(["git", "init", "-q", "-b", "trunk", str(tmp_path)], env=env, check=True)

    context = git_context("local", env, tmp_path)

    assert (context.branch, context.commit, context.commit_time) == ("trunk", "", 0)
    assert context.facts == {}


def test_outside_of_a_repository_the_folder_names_it(tmp_path: Path, env: dict[str, str]) -> None:
    context = git_context("local", env, tmp_path)

    assert (context.repository, context.root, context.commit) == (tmp_path.name, tmp_path, "")


def test_work_trees_of_one_repository_share_their_data(git: Git, tmp_path: Path) -> None:
    git("worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))

    main, linked = (git_context("local", git.env, root) for root in (git.root, tmp_path / "tree"))

    assert (linked.root, linked.branch) == (tmp_path / "tree", "other")
    assert linked.repository_key == main.repository_key


def test_a_submodule_is_a_repository_of_its_own(git: Git, tmp_path: Path) -> None:
    inner = Git(tmp_path / "inner", git.env)
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner.root), "sub")

    assert common_root(git.root / "sub") == git.root / "sub"


def test_variables_of_a_git_hook_do_not_lead_elsewhere(git: Git, tmp_path: Path) -> None:
    elsewhere = Git(tmp_path / "elsewhere", git.env)
    (elsewhere.root / "file").write_text("changed\n")
    hook = {"GIT_DIR": str(elsewhere.root / ".git"), "GIT_WORK_TREE": str(elsewhere.root)}

    assert git_context("local", git.env | hook, git.root).dirty is False


def test_reading_leaves_the_index_alone(git: Git) -> None:
    index = git.root / ".git" / "index"
    os.utime(git.root / "file")
    before = index.read_bytes()

    read_repository(git.root, git.env)

    assert index.read_bytes() == before


def test_without_git_the_reason_is_noted(git: Git, tmp_path: Path) -> None:
    context = git_context("local", git.env | {"PATH": str(tmp_path / "nothing")}, git.root)

    assert (context.root, context.commit) == (git.root, "")
    assert context.facts["repository_note"].startswith("git can't be started")


def test_a_repository_of_another_user_is_noted_with_the_remedy(git: Git) -> None:
    # Git's own switch for its tests: every repository looks foreign.
    context = git_context("local", git.env | {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}, git.root)

    assert context.commit == ""
    assert (
        f"git config --global --add safe.directory {git.root}" in (context.facts["repository_note"])
    )


def test_a_broken_repository_is_noted(git: Git) -> None:
    (git.root / ".git" / "HEAD").write_text("rubbish")

    assert (
        "so commit and branch are unknown"
        in (git_context("local", git.env, git.root).facts["repository_note"])
    )


def test_status_with_merge_conflict_is_dirty() -> None:
    text = "# branch.oid 0123\n# branch.head main\nu UU N... 1 2 3 4 a b c file\n"

    assert parse_status(text) == ("0123", "main", True)


def test_ssh_and_https_clones_share_their_data() -> None:
    ssh = repository_key("git@github.com:Acme/tool.git", Path("/a"))
    https = repository_key("https://github.com/acme/tool", Path("/b"))

    assert ssh == https
    assert ssh.startswith("tool-")


@pytest.mark.parametrize(
    ("remote", "root"),
    [
        pytest.param("https://github.com/other/tool", "/a", id="another owner"),
        pytest.param("https://gitlab.com/acme/tool", "/a", id="another forge"),
        pytest.param("", "/a/tool", id="no remote"),
    ],
)
def test_repositories_of_one_name_do_not_share_data(remote: str, root: str) -> None:
    assert repository_key(remote, Path(root)) != repository_key(
        "https://github.com/acme/tool", Path("/a")
    )


@pytest.mark.parametrize("root", ["/", "/a/..b c/", "/x/été"])
def test_a_key_is_one_plain_file_name(root: str) -> None:
    key = repository_key("", Path(root))

    assert "/" not in key
    assert not key.startswith(".")
    assert key.isascii()


# --- Choosing the environment, and the data folder ---


class Registry:
    """Serves descriptors as the real one does."""

    def __init__(self, *found: EnvironmentDescriptor) -> None:
        self.found = found

    def descriptors(self, group: str, /) -> tuple[EnvironmentDescriptor, ...]:
        assert group == "codspeed.environments"
        return self.found


def provider(name: str, order: int, *, detected: bool) -> EnvironmentDescriptor:
    def read(env: dict[str, str], cwd: Path) -> RunContext:
        return RunContext(name, name, name, cwd)

    return EnvironmentDescriptor(
        name=name, label=name, order=order, detect=lambda env: detected, load=lambda: read
    )


def test_the_first_environment_that_recognises_itself_is_asked(tmp_path: Path) -> None:
    registry = Registry(
        provider("last", 30, detected=True),
        provider("second", 20, detected=True),
        provider("first", 10, detected=False),
    )

    assert read_context(registry, {}, tmp_path).provider == "second"


def test_without_any_environment_it_is_local(tmp_path: Path) -> None:
    assert read_context(Registry(), {}, tmp_path).provider == "local"


def test_an_environment_with_bad_data_says_so(tmp_path: Path) -> None:
    def load() -> object:
        msg = "GITHUB_SHA environment variable not found"
        raise ConfigError(msg)

    broken = EnvironmentDescriptor(
        name="ci", label="CI", order=1, detect=lambda env: True, load=load
    )

    with pytest.raises(ConfigError):
        read_context(Registry(broken), {}, tmp_path)


def test_the_data_folder_follows_xdg(tmp_path: Path) -> None:
    context = RunContext("local", "tool", "tool-01", tmp_path)

    assert data_folder(context, {"XDG_DATA_HOME": str(tmp_path)}) == (
        tmp_path / "codspeed" / "tool-01"
    )


def test_a_relative_xdg_folder_is_ignored(tmp_path: Path) -> None:
    context = RunContext("local", "tool", "tool-01", tmp_path)

    folder = data_folder(context, {"XDG_DATA_HOME": "relative"})

    assert folder.is_absolute()
    assert folder.parts[-2:] == ("codspeed", "tool-01")
