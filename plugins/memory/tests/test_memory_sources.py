"""Our C sources: warnings are faults, and Python's mirrors of their records have their sizes."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest

from codspeed_memory import compiled

NATIVE = Path(compiled.__file__).with_name("native")

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    ("source", "flags"),
    [
        ("shim.c", ("-shared", "-fPIC", *compiled.shim_flags("x86_64"))),
        ("shim.c", ("-shared", "-fPIC", *compiled.shim_flags("x86_64", families=True))),
        ("drain.c", ()),
        ("helper.c", ("-shared", "-fPIC")),
    ],
    ids=["shim", "families", "drain", "helper"],
)
def test_sources_compile_without_a_warning(
    compiler: str, tmp_path: Path, source: str, flags: tuple[str, ...]
) -> None:
    command = [compiler, "-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", source]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "out"), *flags],
        cwd=NATIVE,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""


def test_mirrors_have_the_size_of_what_they_mirror(compiler: str, tmp_path: Path) -> None:
    mirrors = {
        "event": compiled.Event,
        "clock_pair": compiled.ClockPair,
        "process_usage": compiled.ProcessUsage,
        "usage": compiled.Usage,
    }
    sizes = "".join(f'printf("%zu ", sizeof(struct {name}));' for name in mirrors)
    (tmp_path / "sizes.c").write_text(
        f'#include <stdio.h>\n#include "helper.c"\nint main(void) {{ {sizes} }}\n'
    )
    command = [compiler, "-I", str(NATIVE), str(tmp_path / "sizes.c"), "-o", str(tmp_path / "out")]
    subprocess.run(command, check=True)
    done = subprocess.run([tmp_path / "out"], capture_output=True, text=True, check=False)

    expected = [ctypes.sizeof(mirror) for mirror in mirrors.values()]
    assert [int(word) for word in done.stdout.split()] == expected
