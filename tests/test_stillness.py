"""Simulation of CPython in the environments of different CI jobs.

`benchmarks/stillness.py` asks the same of more jobs and of whole suites.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.tool,
    pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed"),
    pytest.mark.timeout(180),  # two whole interpreters each under Valgrind, on a busy machine
]

WORK = "print(sum(len(name) for name in sorted(map(str, range(500)))))"


def instructions(folder: Path, env: dict[str, str], *options: str) -> tuple[float, str]:
    """Return the instructions that CPython took, and the hash of its environment."""
    program = [sys.executable, "-m", "codspeed.cli", "exec", "--mode", "simulation", "--json"]
    flags = ["--compat", "native", "--uploader", "none", "--bundle-dir", str(folder / "bundles")]
    done = subprocess.run(
        [*program, *flags, *options, "--", sys.executable, "-S", "-c", WORK],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **env},
        stdout=subprocess.PIPE,
        check=True,
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (part,) = (event for event in events if event["event"] == "part_finished")
    (result,) = part["benchmarks"]
    (value,) = (each["value"] for each in result["metrics"] if each["name"] == "ir")
    (bundle,) = (event["bundle"] for event in events if event["event"] == "finished")
    manifest = json.loads(Path(bundle, "manifest.json").read_text("utf-8"))
    return value, manifest["fingerprint"]["environment_hash"]


def job(number: int) -> dict[str, str]:
    """Return what changes from job to job of Jenkins, which needs no more to be recognised."""
    return {
        "JENKINS_URL": "https://jenkins.invalid/",
        "BUILD_NUMBER": str(10**number),
        "BUILD_TAG": "job-" * (number + 1),
        "GIT_BRANCH": "branch" * (3 * number + 1),
        "SHLVL": str(number),
        **({"CHANGE_TITLE": "a title" * 30} if number else {}),
    }


def test_cpython_takes_the_same_instructions_in_each_job(tmp_path: Path) -> None:
    seen = {instructions(tmp_path, job(number)) for number in (0, 3)}

    assert len(seen) == 1


def test_strict_makes_ones_own_variables_harmless(tmp_path: Path) -> None:
    options = ("--environment", "strict")

    seen = {instructions(tmp_path, {"MINE": "x" * length}, *options) for length in (3, 3000)}

    assert len(seen) == 1
