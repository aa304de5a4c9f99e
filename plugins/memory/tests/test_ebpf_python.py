"""Free-threaded CPython refuses PYTHONMALLOC=malloc: under probes nothing hides it in time."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from codspeed.model import Launch
from codspeed_memory import coverage
from codspeed_memory.ebpf.backend import EbpfBackend

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.process

FREE_THREADED = "void _Py_DecRefShared(void) {}\nint main(void) { return 0; }\n"
OTHER = "int main(void) { return 0; }\n"


@pytest.fixture
def script(compiler: str, tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that makes a script of an interpreter with this source."""

    def make(source: str) -> Path:
        (tmp_path / "python.c").write_text(source)
        command = [compiler, str(tmp_path / "python.c"), "-o", str(tmp_path / "python")]
        subprocess.run(command, check=True)
        path = tmp_path / "pytest"
        path.write_text(f"#!{tmp_path / 'python'}\n")
        return path

    return make


@pytest.mark.parametrize(
    ("source", "value", "expected"),
    [
        (FREE_THREADED, "malloc", ""),
        (FREE_THREADED, "mimalloc", "mimalloc"),
        (OTHER, "malloc", "malloc"),
    ],
)
def test_the_variable_is_hidden_only_from_who_refuses_it(
    script: Callable[[str], Path], source: str, value: str, expected: str
) -> None:
    target = Launch((str(script(source)),), env={"PYTHONMALLOC": value})

    launch = EbpfBackend().target_launch(target)

    assert launch.env["PYTHONMALLOC"] == expected


def test_what_can_not_be_found_is_no_free_threaded_build(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")

    assert not coverage.is_free_threaded(Launch(("no-such-program-here",)))
    assert not coverage.is_free_threaded(Launch((str(tmp_path / "text"),)))
