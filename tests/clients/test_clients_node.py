"""The plugins of CodSpeed for tinybench and vitest, as npm installs them; through our `node`."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.process,
    pytest.mark.tool,
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on PATH"),
]

PACKAGE: Final = Path(__file__).parent / "projects" / "node" / "package.json"
VERSIONS: Final = json.loads(PACKAGE.read_text("utf-8"))["dependencies"]
TINYBENCH: Final = ["bench.mjs::suite::fib10", "bench.mjs::suite::größe [n=15]"]
VITEST: Final = ["fib.bench.js::fibs::fib10", "fib.bench.js::fibs::größe [n=15]"]

whole_matrix = pytest.mark.whole_matrix


@pytest.fixture
def node_project(node_modules: Path, project: Callable[[str], Path], tmp_path: Path) -> Path:
    """Return the project, in a folder with a bad name, with what npm installed."""
    folder = project("node").rename(tmp_path / 'it\'s a "folder"')
    (folder / "node_modules").symlink_to(node_modules)
    return folder


def label(plugin: str) -> str:
    return f"@codspeed/{plugin} {VERSIONS[f'@codspeed/{plugin}']}, protocol 2"


@pytest.mark.parametrize(
    "mode", ["walltime", "memory", pytest.param("simulation", marks=whole_matrix)]
)
def test_tinybench(mode: str, node_project: Path, measure: Any, cells: Any) -> None:
    run = measure(node_project, mode, "node", "bench.mjs")

    assert run.status == 0, run.log
    assert sorted(run.results) == sorted(TINYBENCH)
    if mode == "memory":
        metrics = [{m["name"]: m["value"] for m in run.results[u]["metrics"]} for u in TINYBENCH]
        assert all(each["allocations"] > 0 < each["peak_memory"] for each in metrics)
    if mode == "simulation":  # time depends on the machine, memory on what V8 does meanwhile
        assert run.headline(TINYBENCH[1]) > run.headline(TINYBENCH[0]) > 0
    assert "missing required flags" not in run.log  # our `node` gave them
    cells.note(label("tinybench-plugin"), mode)


@whole_matrix
@pytest.mark.parametrize("mode", ["walltime", "simulation", "memory"])
def test_vitest(mode: str, node_project: Path, measure: Any, cells: Any) -> None:
    """Its first names on the FIFO lack the file; the results file has them."""
    run = measure(node_project, mode, "npx", "vitest", "bench", "--run")

    assert run.status == 0, run.log
    assert sorted(run.results) == sorted(VITEST)
    cells.note(label("vitest-plugin"), mode)


def test_no_jq_is_needed(node_project: Path, measure: Any, tmp_path: Path, cells: Any) -> None:
    """PATH holds node, git and what a shell needs, nothing else."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("node", "git", "sh", "bash", "rm", "env"):
        (tools / name).symlink_to(str(shutil.which(name)))

    run = measure(node_project, "walltime", "node", "bench.mjs", PATH=str(tools))

    assert run.status == 0, run.log
    assert list(run.results) == TINYBENCH


def test_flags_stand_before_the_script(node_project: Path, measure: Any) -> None:
    script = node_project / "flags.mjs"
    script.write_text(
        (node_project / "bench.mjs").read_text("utf-8")
        + '\nconsole.log("argv:", process.execArgv.length > 0, process.argv.slice(2));\n',
        "utf-8",
    )

    run = measure(node_project, "walltime", "node", "flags.mjs", "two words", 'a "quote"')

    assert re.search(r"argv: true \[ 'two words', 'a \"quote\"' \]", run.log), run.log
