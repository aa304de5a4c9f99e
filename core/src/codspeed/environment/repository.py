"""What git knows of the folder we are in, asked with plumbing commands that write nothing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMEOUT_SECONDS: Final = 30.0

# Independent questions: one git process each, at the same time, so that together they take as long
# as the slowest. No single git command answers two of them.
_QUESTIONS: Final = {
    # Untracked files do not count as changes: results, caches and virtual environments are such.
    "status": ("status", "--porcelain=v2", "--branch", "--untracked-files=no", "--no-renames"),
    "time": ("log", "--max-count=1", "--no-show-signature", "--format=%ct", "HEAD"),
    "remote": ("remote", "get-url", "origin"),
}

# Set by git for its hooks; the answers must be about the folder, not about the hook's repository.
_HOOK_VARIABLES: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")


@attrs.frozen
class Repository:
    """A work tree.

    Attributes:
        root: Its top folder.
        common: The main work tree's top folder: the same for all work trees of a repository.
        remote: URL of `origin` without credentials; empty if there is none.
        commit: 40 hex digits (64 in a SHA-256 repository); empty before the first commit.
        commit_time: Seconds since the epoch; 0 if there is no commit.
        branch: Empty on a detached HEAD.
        dirty: Tracked files differ from `commit`.
        note: Why something above is missing, a sentence; empty if nothing is.
    """

    root: Path
    common: Path
    remote: str = ""
    commit: str = ""
    commit_time: int = 0
    branch: str = ""
    dirty: bool = False
    note: str = ""


@attrs.frozen
class Remote:
    """A remote URL, taken apart.

    Attributes:
        host: Lower case, without port or user.
        owner: All groups above the repository, joined by slashes (GitLab nests them).
        name: The repository, without ".git".
    """

    host: str
    owner: str
    name: str


@attrs.frozen
class _Answer:
    ok: bool
    text: str
    complaint: str = ""


def find_root(cwd: Path) -> Path | None:
    """Return the nearest folder at or above `cwd` with an entry ".git"; None if there is none."""
    here = cwd.resolve()
    return next((folder for folder in (here, *here.parents) if (folder / ".git").exists()), None)


def read_repository(cwd: Path, env: Mapping[str, str]) -> Repository | None:
    """Return what git knows of `cwd`; None outside of a work tree.

    Never fails: what git could not tell is explained by `Repository.note`.
    """
    root = find_root(cwd)
    if root is None:
        return None
    common = common_root(root)
    try:
        answers = _ask(root, env)
    except OSError as error:
        note = (
            f"git can't be started ({error.strerror or error}), so commit and branch are unknown."
        )
        return Repository(root=root, common=common, note=note)
    status = answers["status"]
    remote = answers["remote"]
    commit, branch, dirty = parse_status(status.text)
    time = answers["time"].text.strip()
    return Repository(
        root=root,
        common=common,
        remote=strip_credentials(remote.text.strip()) if remote.ok else "",
        commit=commit,
        commit_time=int(time) if time.isdecimal() else 0,
        branch=branch,
        dirty=dirty,
        note="" if status.ok else _explain(status.complaint, root),
    )


def second_parent(root: Path, env: Mapping[str, str]) -> str:
    """Return what was merged into HEAD's first parent; empty if HEAD is no merge, or can't be read.

    From the commit itself, because revision syntax (`HEAD^2`) sees no parents in a shallow clone.
    """
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "cat-file", "commit", "HEAD"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={key: value for key, value in env.items() if key not in _HOOK_VARIABLES},
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    header = done.stdout.partition(b"\n\n")[0].splitlines()
    parents = [line[7:].decode("ascii", "replace") for line in header if line[:7] == b"parent "]
    return parents[1] if len(parents) > 1 else ""


def common_root(root: Path) -> Path:
    """Return the main work tree's folder for a linked work tree, else `root` itself.

    Source: gitrepository-layout(5): `.git` as a file holds "gitdir: PATH", and PATH/commondir leads
    to the shared `.git`. A submodule has no `commondir`: it is a repository of its own.
    """
    try:
        git_dir = root / (root / ".git").read_text("utf-8").removeprefix("gitdir:").strip()
        shared = (git_dir / (git_dir / "commondir").read_text("utf-8").strip()).resolve()
    except (OSError, ValueError):
        return root
    return shared.parent if shared.name == ".git" else shared


def parse_status(text: str) -> tuple[str, str, bool]:
    """Return commit, branch and whether tracked files changed.

    Args:
        text: Output of `git status --porcelain=v2 --branch`.
    """
    headers: dict[str, str] = {}
    dirty = False
    for line in text.splitlines():
        if line.startswith("# "):
            key, _, value = line[2:].partition(" ")
            headers[key] = value
        else:
            dirty = dirty or line[:2] in {"1 ", "2 ", "u "}
    commit, branch = headers.get("branch.oid", ""), headers.get("branch.head", "")
    return (
        "" if commit == "(initial)" else commit,
        "" if branch == "(detached)" else branch,
        dirty,
    )


def _ask(root: Path, env: Mapping[str, str]) -> dict[str, _Answer]:
    """Put all questions to git at once.

    Raises:
        OSError: If git can't be started.
    """
    clean = {key: value for key, value in env.items() if key not in _HOOK_VARIABLES}
    # No locks: a reader must not disturb a git that the user runs at the same time.
    clean |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    children: dict[str, subprocess.Popen[str]] = {}
    try:
        for name, words in _QUESTIONS.items():
            children[name] = subprocess.Popen(
                ["git", "-C", str(root), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=clean,
                encoding="utf-8",
                errors="surrogateescape",
            )
        return {name: _answer(child) for name, child in children.items()}
    finally:
        for child in children.values():
            _end(child)


def _answer(child: subprocess.Popen[str]) -> _Answer:
    try:
        text, complaint = child.communicate(timeout=_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        return _Answer(ok=False, text="", complaint=f"no answer within {_TIMEOUT_SECONDS:.0f} s")
    ok = child.returncode == 0
    return _Answer(ok=ok, text=text if ok else "", complaint=complaint)


def _end(child: subprocess.Popen[str]) -> None:
    """Leave neither a process nor a pipe behind."""
    if child.poll() is None:
        child.kill()
    child.communicate()


def _explain(complaint: str, root: Path) -> str:
    if "dubious ownership" in complaint:
        remedy = f"git config --global --add safe.directory {root}"
        return f"git does not trust {root}, which another user owns; to trust it: {remedy}"
    first = complaint.strip().partition("\n")[0].removeprefix("fatal: ") or "no reason given"
    return f"git can't read {root} ({first}), so commit and branch are unknown."


# --- Remote URLs ---

_SCHEME: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<rest>.*)", re.IGNORECASE | re.DOTALL
)
# As in git: one letter before the colon is a drive of Windows, a slash before it makes it a path.
_SCP_LIKE: Final = re.compile(r"(?:[^@/]*@)?(?P<host>[^/:@]{2,}):(?P<path>(?!//).+)", re.DOTALL)


def strip_credentials(url: str) -> str:
    """Return the URL without user and password; a plain user name of ssh stays, it is no secret."""
    match = _SCHEME.fullmatch(url)
    if match is None:
        return url
    authority, slash, path = match["rest"].partition("/")
    user, at, host = authority.rpartition("@")
    if at and "ssh" in match["scheme"].lower():
        return f"{match['scheme']}://{user.partition(':')[0]}@{host}{slash}{path}"
    return f"{match['scheme']}://{host}{slash}{path}"


def parse_remote(url: str) -> Remote | None:
    """Take a remote URL apart; None if it names no host with an owner and a repository.

    Accepts more than spec/cli-upload.md 3.8, on purpose: the whole host counts, so that
    `git.corp.example` is not taken for `corp.example`; nested groups and `ssh://host:port/` are
    understood.
    """
    if match := _SCHEME.fullmatch(url):
        if match["scheme"].lower() == "file":
            return None
        authority, _, path = match["rest"].partition("/")
        host = re.sub(r":\d*$", "", authority.rpartition("@")[2])
    elif match := _SCP_LIKE.fullmatch(url):
        host, path = match["host"], match["path"]
    else:
        return None
    owner, _, name = path.strip("/").removesuffix(".git").rpartition("/")
    if not (host and owner and name):
        return None
    return Remote(host=host.lower(), owner=owner, name=name)
