"""What `stillness.py` and `jobs.py` share: an interpreter, a suite and measured runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SUITE = Path(__file__).with_name("suite") / "test_stdlib.py"
METRICS = ("ir", "estimated_cycles")


class Run(NamedTuple):
    """What one run measured.

    Attributes:
        values: Metric -> benchmark -> value.
        model: The measurement-model id.
    """

    values: dict[str, dict[str, float]]
    model: str


def interpreter(wanted: str, folder: Path) -> str:
    """Return the wanted interpreter, or one of a fresh venv in `folder`."""
    if wanted:
        return str(Path(wanted).absolute())  # not resolved: a venv is found by its link
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    python = str(venv / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "pytest", "pytest-codspeed"]
    subprocess.run(install, check=True)
    return python


def copied_suite(folder: Path) -> Path:
    """Return a repository that holds the suite alone: what lies beside it moves counters too."""
    suite = folder / "suite"
    suite.mkdir()
    shutil.copy(SUITE, suite)
    author = ("-c", "user.name=ci", "-c", "user.email=ci@ci.invalid")
    for words in (("init", "-q"), ("add", "."), (*author, "commit", "-q", "-m", "suite")):
        subprocess.run(["git", *words], cwd=suite, check=True)
    return suite


def measure(
    verb: str, command: Sequence[str], *, cwd: Path, env: Mapping[str, str], options: Sequence[str]
) -> Run:
    """Run `codspeed VERB` in simulation mode, natively, and return what it measured."""
    program = [sys.executable, "-m", "codspeed.cli", verb, "--mode", "simulation"]
    flags = ["--compat", "native", "--uploader", "none", "--json", *options]
    with tempfile.TemporaryDirectory() as bundles:
        done = subprocess.run(
            [*program, *flags, "--bundle-dir", bundles, "--", *command],
            cwd=cwd,
            env=dict(env),
            capture_output=True,
            check=False,
        )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr.decode('utf-8', 'replace')}")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (part,) = (event for event in events if event["event"] == "part_finished")
    return Run({name: _metric(part, name) for name in METRICS}, part["model"])


def _metric(part: Mapping[str, Any], name: str) -> dict[str, float]:
    return {
        result["name"]: metric["value"]
        for result in part["benchmarks"]
        for metric in result["metrics"]
        if metric["name"] == name
    }


def base_environment(home: Path) -> dict[str, str]:
    """Return what any program needs, and a home that nobody else writes to."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "USER": "ci", "LANG": "C.UTF-8"}


def compiled(folder: Path) -> str:
    """Return a small C program that allocates, walks memory and calculates."""
    source = folder / "work.c"
    source.write_text(_C_SOURCE)
    program = folder / "work"
    subprocess.run(["cc", "-O1", "-g", "-o", str(program), str(source)], check=True)
    return str(program)


_C_SOURCE = """\
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv)
{
    unsigned long sum = argc;
    char *kept[512] = {0};
    for (int i = 0; i < 40000; i++) {
        char **slot = &kept[(i * 7919) % 512];
        free(*slot);
        *slot = malloc(16 + i % 900);
        memset(*slot, i, 16 + i % 900);
        sum += (unsigned char)(*slot)[i % 16];
    }
    printf("%lu %s\\n", sum, getenv("HOME") ? "home" : "");
    return 0;
}
"""
