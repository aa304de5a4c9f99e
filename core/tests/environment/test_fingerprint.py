from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from codspeed.environment import read_fingerprint, read_system
from codspeed.model import System

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="recorded Linux machines")


def record(root: Path, files: dict[str, str]) -> Path:
    """Lay out the files of a recorded machine."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System("linux", "debian", "12", "x86_64", 0, tmp_path, {"ImageOS": "ubuntu24"})


def test_recorded_cloud_machine(tmp_path: Path, system: System) -> None:
    root = record(
        tmp_path,
        {
            "proc/cpuinfo": "processor: 0\nvendor_id: AuthenticAMD\nmodel name: AMD EPYC\n"
            "flags: sse2 hypervisor\n",
            "proc/stat": "cpu 1\ncpu0 1\n",
            "proc/meminfo": "MemTotal: 1024 kB\n",
            "sys/class/dmi/id/sys_vendor": "Amazon EC2\n",
            "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "powersave\n",
            "sys/devices/system/cpu/cpufreq/policy1/scaling_governor": "performance\n",
            "run/.containerenv": "",
        },
    )

    found = read_fingerprint(system, root=root)

    expected = {
        "os": "linux",
        "distribution": "debian",
        "distribution_version": "12",
        "arch": "x86_64",
        "cpu_model": "AMD EPYC",
        "cpu_vendor": "AuthenticAMD",
        "cpu_name": "cpu0",
        "cpu_class": "",
        "cpu_flags": ["hypervisor", "sse2"],
        "cpu_cores": 1,
        "memory_bytes": 1_048_576,
        "governor": "performance,powersave",
        "virtualization": "amazon",
        "container": "podman",
        "image": "ubuntu24",
    }
    assert {key: found[key] for key in expected} == expected


def test_a_machine_that_shows_nothing_is_unknown_not_an_error(
    tmp_path: Path, system: System
) -> None:
    found = read_fingerprint(system, root=tmp_path)

    silent = ("cpu_model", "cpu_vendor", "cpu_name", "governor", "container", "libc_build")
    assert {key: found[key] for key in silent} == dict.fromkeys(silent, "")
    assert (found["cpu_flags"], found["cpu_cores"]) == ([], 0)


def test_binary_rubbish_in_the_files_is_no_error(tmp_path: Path, system: System) -> None:
    names = ("proc/cpuinfo", "proc/stat", "proc/meminfo", "proc/self/maps")
    root = record(tmp_path, dict.fromkeys(names, ""))
    for name in names:
        (root / name).write_bytes(bytes(range(256)) * 8)

    assert read_fingerprint(system, root=root)["cpu_cores"] == 0


def test_the_build_of_the_mapped_c_library_is_named(tmp_path: Path, system: System) -> None:
    library = tmp_path / "libc.so.6"
    library.write_bytes(b"not an ELF file")
    maps = f"7f00-7f01 r-xp 00000000 fe:00 12   {library}\n"

    assert (
        read_fingerprint(system, root=record(tmp_path, {"proc/self/maps": maps}))["libc_build"]
        == ""
    )


def test_this_machine_is_described_in_plain_values() -> None:
    found = read_fingerprint(read_system())

    assert json.loads(json.dumps(found)) == found
    assert found["memory_bytes"] > 1 << 20
    assert found["python"].startswith(sys.implementation.name)
