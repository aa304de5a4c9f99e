"""Whole runs for the service: what it would make of the files is what really burned.

perf and pyelftools are the oracles: nothing of what wrote the files reads them here.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from codspeed import bundle
from codspeed.testing import fifo_lock
from codspeed.testing.profile_rules import check_profile, wanted
from codspeed.testing.uploaded_profile import UploadedProfile
from codspeed_native import perf_event

pytestmark = [pytest.mark.tool, pytest.mark.process]

# Turns are long beside the time between samples: short ones may keep step with it.
C_PROGRAM = """volatile unsigned long sink;
__attribute__((noinline)) void seventy(void) { for (long i = 0; i < 14000000; i++) sink += i; }
__attribute__((noinline)) void thirty(void) { for (long i = 0; i < 6000000; i++) sink += i; }
int main(void) { for (int i = 0; i < 12; i++) { seventy(); thirty(); } return 0; }
"""
NODE_PROGRAM = """
let sink = 0;
function burn(n) { let x = 0; for (let i = 0; i < n; i++) x = (x * 31 + i) | 0; return x; }
const turn = (n, name) => new Function('burn', `return function ${name}() {
  let x = 0; for (let i = 0; i < ${n}; i++) x = (x * 31 + i) | 0; return x; }`)(burn);
const seventy = turn(14000000, 'seventy'), thirty = turn(6000000, 'thirty');
for (let i = 0; i < 20; i++) { sink += seventy(); sink += thirty(); }
"""

# Points. A few hundred samples of a 70/30 split scatter by two points (one sigma) by themselves.
WITHIN = 10


@pytest.fixture(autouse=True)
def _sampled() -> None:
    if shutil.which("perf") is None:
        pytest.skip("perf is not on PATH")
    try:
        perf_event.choose()
    except perf_event.SamplingRefusedError as refused:
        pytest.skip(f"{refused}")


def measured(tmp_path: Path, *words: str) -> Path:
    """Run `codspeed exec` on the paths that clients have compiled in; return the profile folder."""
    argv = [sys.executable, "-m", "codspeed.cli", "exec", "--mode", "walltime", "--no-store"]
    argv += ["--bundle-dir", str(tmp_path / "bundles"), "--warmup-time", "0", "--max-rounds", "2"]
    environment = {**os.environ, "CODSPEED_SKIP_UPLOAD": "true"}
    environment |= {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment.pop("CI", None)
    with fifo_lock():
        command = [*argv, *words]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    (found,) = bundle.find(tmp_path / "bundles")
    folder = found / bundle.read(found).manifest.parts[0].folder
    names = frozenset(path.name for path in folder.iterdir())
    check_profile(names, {name: (folder / name).read_bytes() for name in names if wanted(name)})
    return folder


@pytest.fixture
def split(tmp_path: Path) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler on PATH")
    (tmp_path / "split.c").write_text(C_PROGRAM)
    command = [compiler, "-O2", "-g", "-o", "split", "split.c"]
    subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path / "split"


def _share(profile: UploadedProfile) -> float:
    """Return how many percent of the samples in one of both functions are in `seventy`."""
    found = Counter(
        word for name in profile.leaves() for word in ("seventy", "thirty") if word in name
    )
    assert found.total() > 100
    return 100 * found["seventy"] / found.total()


def _eh_frame(path: str) -> tuple[int, bytes, int]:
    """Return where the program begins as linked, and `.eh_frame` with its address."""
    with Path(path).open("rb") as stream:
        file = ELFFile(stream)
        segment = next(each for each in file.iter_segments() if each["p_type"] == "PT_LOAD")
        section = file.get_section_by_name(".eh_frame")
        assert section is not None, path
        return segment["p_vaddr"], section.data(), section["sh_addr"]


def _decoded(data: bytes) -> tuple[int, bytes, int]:
    """Read a file of unwind data V4 with a header, field by field (spec/executors.md 3.10)."""
    at = 4
    (size,) = struct.unpack_from("<Q", data, at)
    at += 8 + size
    (base,) = struct.unpack_from("<Q", data, at)
    assert data[at + 8] == 1
    (size,) = struct.unpack_from("<Q", data, at + 9)
    at += 17 + size
    assert data[at] == 1
    (size,) = struct.unpack_from("<Q", data, at + 17)
    frames = data[at + 25 : at + 25 + size]
    (address, end) = struct.unpack_from("<QQ", data, at + 25 + size)
    assert end == address + size
    assert at + 25 + size + 16 == len(data)
    return base, frames, address


@pytest.mark.parametrize("how", ["builtin", "perf"])
def test_a_program_in_c(tmp_path: Path, split: Path, how: str) -> None:
    options = ("--compat", "codspeed", "--walltime-profiler", how, "--name", "x")
    profile = UploadedProfile(measured(tmp_path, *options, "--", str(split)))
    document = profile.metadata

    assert _share(profile) == pytest.approx(70, abs=WITHIN)
    assert profile.inside() > 98
    assert document["uri_by_ts"][0][1] == "exec_harness::x"
    paths = document["path_key_to_path"]
    (key,) = [key for key, path in paths.items() if path == str(split)]
    lines = {each["name"]: each["line"] for each in document["debug_info"][key]["debug_infos"]}
    assert [lines[name] for name in ("seventy", "thirty", "main")] == [2, 3, 4]
    mapped = document["mapped_process_unwind_data_by_pid"].values()
    for key in {each["unwind_data_key"] for entries in mapped for each in entries}:
        data = (profile.folder / f"{key}.unwind_data").read_bytes()
        assert _decoded(data) == _eh_frame(paths[key]), paths[key]


def test_generated_code_of_node_has_names_and_node_is_ignored(tmp_path: Path) -> None:
    """Under perf, nobody tells of the process: it is known by the names it left."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not on PATH")
    (tmp_path / "split.js").write_text(NODE_PROGRAM)
    options = ("--compat", "codspeed", "--walltime-profiler", "perf")
    profile = UploadedProfile(measured(tmp_path, *options, "--", node, "split.js"))
    ignored = profile.metadata["ignored_modules_by_pid"]

    assert _share(profile) == pytest.approx(70, abs=WITHIN)
    assert os.path.realpath(node) in {path for entries in ignored.values() for path, *_ in entries}


def test_natively_nobody_reads_them_and_they_are_not_written(tmp_path: Path, split: Path) -> None:
    folder = measured(tmp_path, "--", str(split))

    assert (folder / "perf.pipedata").is_file()
    assert not (folder / "walltime.metadata").exists()
