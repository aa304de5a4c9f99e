"""The demo does what README.md promises of it.

Cost: about 10 s, and once the installation of what the demo's benchmarks need.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.process
@pytest.mark.timeout(300)  # the first time, pip installs pytest-codspeed
def test_the_demo_measures_stores_and_compares(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "scripts/demo"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    comparison = done.stdout.partition("==> codspeed compare")[2]

    assert done.returncode == 0, done.stdout
    assert len(list(tmp_path.glob("codspeed-demo.*/data/**/manifest.json"))) == 3
    assert "test_most_common[5]" in comparison
    assert "test_split" in comparison
