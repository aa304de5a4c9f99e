"""What is this executor's own: the numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from codspeed.model import Outcome, Rusage
from codspeed.testing import make_part
from codspeed_example_rusage.descriptor import RusageOptions
from codspeed_example_rusage.executor import RECORDS, RusageExecutor

if TYPE_CHECKING:
    from pathlib import Path

RECORD = {"uri": "tool::a", "user_ns": 30, "system_ns": 12, "max_rss_bytes": 100, "floor_bytes": 1}


def numbers(folder: Path, *records: dict[str, Any], model: str = "rusage/cpu/v1") -> list[Any]:
    part = make_part(folder, harnessed=True, model=model)
    text = "".join(json.dumps(record) + "\n" for record in records)
    (folder / RECORDS).write_text(text, "utf-8")
    results = RusageExecutor(RusageOptions()).results(part)
    return [(result.name, *(metric.value for metric in result.metrics)) for result in results]


def test_cpu_time_is_user_and_system_time(tmp_path: Path) -> None:
    assert numbers(tmp_path / "p", RECORD) == [("a", 42, 100)]


def test_the_model_decides_whether_the_kernel_counts(tmp_path: Path) -> None:
    assert numbers(tmp_path / "p", RECORD, model="rusage/user/v1") == [("a", 30, 100)]


def test_a_command_of_run_is_one_benchmark(tmp_path: Path) -> None:
    outcome = Outcome(0, rusage=Rusage(user_ns=1, system_ns=2, max_rss_bytes=3))
    part = make_part(tmp_path / "p", label="make all", outcome=outcome)

    (result,) = RusageExecutor(RusageOptions()).results(part)

    assert (result.uri, result.metrics[0].value) == ("rusage::make all", 3)


def test_a_command_that_failed_is_none(tmp_path: Path) -> None:
    part = make_part(tmp_path / "p", label="make all", outcome=Outcome(2))

    assert RusageExecutor(RusageOptions()).results(part) == []


@pytest.mark.process
@pytest.mark.parametrize(
    ("code", "status"), [("", 0), ("raise SystemExit(4)", 4), ("import os; os.abort()", -6)]
)
def test_the_wrapper_ends_as_its_command_did(tmp_path: Path, code: str, status: int) -> None:
    command = [sys.executable, "-c", code]
    wrapper = [sys.executable, "-m", "codspeed_example_rusage.wrapper", str(tmp_path / "r"), "u"]

    done = subprocess.run([*wrapper, "--", *command], check=False)

    assert done.returncode == status
    assert (tmp_path / "r").exists() is (status == 0)
