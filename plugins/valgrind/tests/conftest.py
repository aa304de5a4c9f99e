"""Fixtures of the simulation executor's tests."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codspeed.launch.lock import hold
from codspeed.model import Sharing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Prints what CodSpeed's build or a stock one would, records how it was called, runs the command.
_STAND_IN = """#!{python}
import json, os, sys
words = sys.argv[1:]
if words == ["--version"]:
    print("valgrind-{version}")
elif words[-1] == "--help":
    if words[0] == "--tool=tracegrind" and not {options!r}:
        sys.exit(1)
    print("    --tracegrind-out-file=<f>" if "tracegrind" in words[0] else "")
    print("\\n".join(f"    {{option}}=no|yes" for option in ("--combine-dumps", *{options!r})))
else:
    with open(os.environ["STAND_IN_RECORD"], "a") as file:
        print(json.dumps([words, dict(os.environ)]), file=file)
    command = next(i for i, word in enumerate(words) if not word.startswith("-"))
    os.execvp(words[command], words[command:])
"""


@pytest.fixture(scope="module")
def no_uprobes() -> Iterator[None]:
    """Keep tests that put uprobes into the C library off this machine; they kill Valgrind."""
    temp = Path(tempfile.gettempdir())
    with hold("libc-probes", Sharing.SHARED, temp=temp, timeout=600, waiting=print):
        yield


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that puts a Valgrind in front on PATH that only records."""

    def install(version: str, *options: str) -> Path:
        folder = tmp_path / "stand-in"
        folder.mkdir()
        program = folder / "valgrind"
        text = _STAND_IN.format(python=sys.executable, version=version, options=options)
        program.write_text(text, "utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("STAND_IN_RECORD", str(tmp_path / "record"))
        return tmp_path / "record"

    return install
