"""How still simulation is: one suite in the environments of ten CI jobs, every second under load.

The jobs differ as real ones do: run ids, refs, actors and tokens of other lengths, push and pull
request. Target: the counters of all ten are the same, for C and for CPython. Then a variable of the
user's own gets ten lengths: its effect is shown, and that `--environment strict` removes it.

    python benchmarks/stillness.py [--runs 10] [--python PYTHON-WITH-PYTEST-CODSPEED]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import string
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import simulated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CHOSEN = "json or regex or words or deepcopy or format"


def main() -> None:
    """Measure and print a table."""
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = simulated.interpreter(options.python, folder)
        suite = simulated.copied_suite(folder)
        commands = {
            "C": ("exec", [simulated.compiled(folder)]),
            "CPython": ("run", [python, "-m", "pytest", "-q", "-k", options.chosen]),
        }
        print(f"{'':45}{'Ir spread':>22}{'cycles spread':>22}")
        for label, make, mode in (case for case in CASES if options.case in case[0]):
            for what, (verb, command) in commands.items():
                campaign = Campaign(verb, command, suite, make, mode)
                _print(f"{what}, {label}", campaign.runs(options.runs))


class Campaign(NamedTuple):
    """Runs of one command in environments that differ."""

    verb: str
    command: list[str]
    suite: Path
    make: Callable[[int, Path], dict[str, str]]
    mode: str

    def runs(self, count: int) -> list[simulated.Run]:
        """Measure; every second run while all cores are busy."""
        return [self._run(number) for number in range(count)]

    def _run(self, number: int) -> simulated.Run:
        home = self.suite.parent
        env = {**simulated.base_environment(home), **self.make(number, home)}
        with _load() if number % 2 else contextlib.nullcontext():
            flags = ["--environment", self.mode]
            return simulated.measure(
                self.verb, self.command, cwd=self.suite, env=env, options=flags
            )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--python", default="")
    parser.add_argument("-k", dest="chosen", default=CHOSEN, help="benchmarks of the suite")
    parser.add_argument("--case", default="", help="measure only cases whose name holds this")
    return parser.parse_args()


def _print(label: str, runs: Sequence[simulated.Run]) -> None:
    cells = []
    for metric in simulated.METRICS:
        spreads = {
            name: _spread([run.values[metric][name] for run in runs])
            for name in runs[0].values[metric]
        }
        moved = sum(spread > 0 for spread in spreads.values())
        cells.append(f"{max(spreads.values()):.4%} ({moved} of {len(spreads)})")
    print(f"{label:45}{cells[0]:>22}{cells[1]:>22}", flush=True)


def _spread(values: Sequence[float]) -> float:
    return (max(values) - min(values)) / statistics.median(values)


@contextlib.contextmanager
def _load() -> Iterator[None]:
    """Keep every core busy."""
    busy = ["nice", sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(busy) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


# --- the environments of CI jobs ------------------------------------------------------------------


def _word(number: int, salt: str, shortest: int, longest: int) -> str:
    """Return a name whose length and content depend on the job."""
    chance = random.Random(f"{number}{salt}")  # noqa: S311 - no secret
    return "".join(chance.choices(string.ascii_lowercase, k=chance.randint(shortest, longest)))


def _commit(number: int) -> str:
    return f"{random.Random(number).getrandbits(160):040x}"  # noqa: S311 - no secret


def github(number: int, folder: Path) -> dict[str, str]:
    """Return the variables of a job; every third is of a pull request."""
    branch = _word(number, "branch", 3, 40)
    is_request = number % 3 == 2
    ref = f"refs/pull/{number * 37 + 5}/merge" if is_request else f"refs/heads/{branch}"
    event = folder / "event.json"
    repository = {"id": 1, "full_name": "owner/name", "private": False}
    head = {"ref": branch, "repo": repository, "sha": _commit(number)}
    request = {"number": 5, "head": head, "base": {"ref": "main", "repo": repository}}
    told = {"repository": repository, **({"pull_request": request} if is_request else {})}
    event.write_text(json.dumps(told))
    return {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_ACTION": f"__run_{number * 3}",
        "GITHUB_ACTOR": _word(number, "actor", 3, 24),
        "GITHUB_ACTOR_ID": str(7 ** (number + 1)),
        "GITHUB_BASE_REF": "main" if is_request else "",
        "GITHUB_EVENT_NAME": "pull_request" if is_request else "push",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_HEAD_REF": branch if is_request else "",
        "GITHUB_JOB": "benchmarks",
        "GITHUB_REF": ref,
        "GITHUB_REF_NAME": ref.split("/", 2)[2],
        "GITHUB_REF_PROTECTED": "true" if number % 4 else "false",
        "GITHUB_REF_TYPE": "branch",
        "GITHUB_REPOSITORY": "owner/name",
        "GITHUB_RUN_ATTEMPT": str(1 + number),
        "GITHUB_RUN_ID": str(11 ** (number + 1)),
        "GITHUB_RUN_NUMBER": str(3**number),
        "GITHUB_SHA": _commit(number),
        "GITHUB_TOKEN": _word(number, "token", 40, 300),
        "GITHUB_TRIGGERING_ACTOR": _word(number, "trigger", 3, 24),
        "GITHUB_WORKFLOW_REF": f"owner/name/.github/workflows/ci.yml@{ref}",
        "GITHUB_WORKFLOW_SHA": _commit(number),
        "ImageVersion": f"2026{number * 11:04}.{number}.{3**number}",
        "RUNNER_NAME": f"GitHub Actions {5**number}",
        **({"RUNNER_DEBUG": "1"} if number == 4 else {}),
        **({"ACTIONS_RUNTIME_TOKEN": _word(number, "oidc", 900, 1400)} if number % 2 else {}),
    }


def gitlab(number: int, folder: Path) -> dict[str, str]:
    """Return the variables of a job; every third is of a merge request."""
    branch = _word(number, "branch", 3, 40)
    is_request = number % 3 == 2
    request = {
        "CI_MERGE_REQUEST_IID": str(number),
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": branch,
        "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": "group/name",
        "CI_MERGE_REQUEST_TITLE": _word(number, "title", 10, 80),
    }
    return {
        "CI": "true",
        "GITLAB_CI": "true",
        "CI_COMMIT_AUTHOR": f"{_word(number, 'author', 5, 20)} <a@b.invalid>",
        "CI_COMMIT_MESSAGE": _word(number, "message", 5, 400),
        "CI_COMMIT_REF_NAME": branch,
        "CI_COMMIT_REF_SLUG": branch,
        "CI_COMMIT_SHA": _commit(number),
        "CI_COMMIT_TIMESTAMP": f"2026-01-01T00:00:0{number % 10}+0{number % 2}:00",
        "CI_COMMIT_TITLE": _word(number, "title", 5, 70),
        "CI_JOB_ID": str(9 ** (number + 1)),
        "CI_JOB_NAME": "benchmarks",
        "CI_JOB_TOKEN": _word(number, "token", 20, 300),
        "CI_JOB_URL": f"https://gitlab.invalid/group/name/-/jobs/{9 ** (number + 1)}",
        "CI_PIPELINE_ID": str(8 ** (number + 1)),
        "CI_PIPELINE_SOURCE": "merge_request_event" if is_request else "push",
        "CI_PROJECT_DIR": str(folder / "suite"),
        "CI_PROJECT_NAME": "name",
        "CI_PROJECT_NAMESPACE": "group",
        "CI_PROJECT_PATH": "group/name",
        "CI_RUNNER_DESCRIPTION": _word(number, "runner", 4, 30),
        "GITLAB_USER_EMAIL": f"{_word(number, 'mail', 4, 30)}@b.invalid",
        "GITLAB_USER_ID": str(4**number),
        "GITLAB_USER_LOGIN": _word(number, "login", 3, 20),
        "GITLAB_USER_NAME": _word(number, "name", 3, 30),
        **(request if is_request else {"CI_COMMIT_BRANCH": branch}),
    }


def buildkite(number: int, _folder: Path) -> dict[str, str]:
    """Return the variables of a job; every third is of a pull request."""
    is_request = number % 3 == 2
    return {
        "CI": "true",
        "BUILDKITE": "true",
        "BUILDKITE_AGENT_ACCESS_TOKEN": _word(number, "token", 20, 100),
        "BUILDKITE_AGENT_NAME": _word(number, "agent", 5, 40),
        "BUILDKITE_BRANCH": _word(number, "branch", 3, 40),
        "BUILDKITE_BUILD_AUTHOR": _word(number, "author", 3, 30),
        "BUILDKITE_BUILD_NUMBER": str(6**number),
        "BUILDKITE_BUILD_URL": f"https://buildkite.com/org/name/builds/{6**number}",
        "BUILDKITE_COMMIT": _commit(number),
        "BUILDKITE_JOB_ID": "0190046e-e199-453b-a302-a21a4d649d31",
        "BUILDKITE_MESSAGE": _word(number, "message", 3, 300),
        "BUILDKITE_ORGANIZATION_SLUG": "org",
        "BUILDKITE_PIPELINE_SLUG": "name",
        "BUILDKITE_PULL_REQUEST": str(7**number) if is_request else "false",
        "BUILDKITE_PULL_REQUEST_BASE_BRANCH": "main" if is_request else "",
        "BUILDKITE_REPO": "https://github.com/owner/name.git",
        "BUILDKITE_RETRY_COUNT": str(number),
    }


def own_variable(number: int, _folder: Path) -> dict[str, str]:
    """Return a variable that no table can know, of ten lengths."""
    return {"MY_LABEL": "x" * (1 + number * 411)}


CASES: Final[Sequence[tuple[str, Callable[[int, Path], dict[str, str]], str]]] = (
    ("jobs of GitHub Actions", github, "inherit"),
    ("jobs of GitLab CI", gitlab, "inherit"),
    ("jobs of Buildkite", buildkite, "inherit"),
    ("a user's own variable", own_variable, "inherit"),
    ("a user's own variable, strict", own_variable, "strict"),
)

if __name__ == "__main__":
    main()
