"""The machine's fingerprint: what makes two measurements comparable, or explains why they differ.

Starts no program and never fails: unknown text is "", an unknown number 0.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from codspeed.environment.elf import HEAD_BYTES, build_id
from codspeed.environment.processor import (
    Processor,
    first_cpu_name,
    parse_cpuinfo,
    parse_memory_bytes,
)
from codspeed.environment.virtual import container, image, virtualization

if TYPE_CHECKING:
    from codspeed.model import System

_FIRMWARE_FILES: Final = ("product_name", "sys_vendor", "board_vendor", "bios_vendor")


def read_fingerprint(system: System, *, root: Path = Path("/")) -> dict[str, Any]:
    """Return the fingerprint: plain values, ready for JSON.

    Args:
        system: Where we are.
        root: Where /proc and /sys are found; recorded machines in tests.
    """
    processor = _read_processor(system, root)
    kernel = _read_kernel()
    return {
        "os": system.os,
        "distribution": system.distribution,
        "distribution_version": system.version,
        "arch": system.arch,
        "kernel": kernel,
        "cpu_model": processor.model,
        "cpu_vendor": processor.vendor,
        "cpu_name": first_cpu_name(_read(root / "proc/stat")),
        "cpu_class": processor.instruction_class,
        "cpu_flags": list(processor.flags),
        "cpu_cores": processor.cores,
        "cpu_count": os.cpu_count() or 0,
        "cpu_available": _count_available(),
        "memory_bytes": parse_memory_bytes(_read(root / "proc/meminfo")) or _memory_from_libc(),
        "governor": _read_governor(root),
        "virtualization": _read_virtualization(system, processor, kernel, root),
        "container": _read_container(system, root),
        "image": image(system.env),
        "python": f"{sys.implementation.name} {'.'.join(map(str, sys.version_info[:3]))}",
        "host": _read_host(system),
        "user": _read_user(system),
        **_read_libc(root),
    }


def _read(path: Path) -> str:
    """Return a file's text; empty if it can't be read."""
    try:
        return path.read_text("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def _read_processor(system: System, root: Path) -> Processor:
    if system.os == "macos":
        return Processor(model=_sysctl("machdep.cpu.brand_string"))
    if system.os == "windows":
        return Processor(model=system.env.get("PROCESSOR_IDENTIFIER", ""))
    return parse_cpuinfo(_read(root / "proc/cpuinfo"))


def _sysctl(name: str) -> str:
    """Return a text value of macOS's sysctl(3)."""
    import ctypes  # noqa: PLC0415 - slow, and needed on macOS only

    try:
        function = ctypes.CDLL(None).sysctlbyname
    except (OSError, AttributeError, TypeError):
        return ""
    value = ctypes.create_string_buffer(256)
    size = ctypes.c_size_t(len(value))
    failed = function(name.encode(), value, ctypes.byref(size), None, ctypes.c_size_t(0))
    return "" if failed else value.value.decode("utf-8", "replace")


def _read_kernel() -> str:
    if sys.platform == "win32":
        return ".".join(map(str, sys.getwindowsversion()[:3]))
    return os.uname().release


def _count_available() -> int:
    """Count the processors this process may use, which taskset and containers restrict."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 0


def _memory_from_libc() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def _read_governor(root: Path) -> str:
    """Return the frequency governors in use, joined by commas; empty where there is no cpufreq."""
    policies = (root / "sys/devices/system/cpu/cpufreq").glob("policy*/scaling_governor")
    return ",".join(sorted({_read(policy).strip() for policy in policies} - {""}))


def _read_virtualization(system: System, processor: Processor, kernel: str, root: Path) -> str:
    if system.os != "linux":
        return ""
    firmware = [_read(root / "sys/class/dmi/id" / name).strip() for name in _FIRMWARE_FILES]
    device_tree = _read(root / "proc/device-tree/hypervisor/compatible").partition("\0")[0]
    return virtualization(
        arch=system.arch,
        is_guest=processor.is_guest,
        hypervisor=_read(root / "sys/hypervisor/type").strip() or device_tree.strip(),
        firmware=firmware,
        kernel=kernel,
    )


def _read_container(system: System, root: Path) -> str:
    marks = ("/.dockerenv", "/run/.containerenv")
    return container(
        env=system.env,
        files=[mark for mark in marks if (root / mark[1:]).exists()],
        manager=_read(root / "run/systemd/container").strip(),
        cgroup=_read(root / "proc/1/cgroup"),
    )


def _read_host(system: System) -> str:
    return os.uname().nodename if hasattr(os, "uname") else system.env.get("COMPUTERNAME", "")


def _read_user(system: System) -> str:
    try:
        import pwd  # noqa: PLC0415 - absent on Windows

        return pwd.getpwuid(system.uid).pw_name
    except (ImportError, KeyError, OverflowError):
        return system.env.get("USER") or system.env.get("USERNAME", "")


def _read_libc(root: Path) -> dict[str, str]:
    """Return name and version of the C library that this process uses, and the id of its build."""
    mapped = _mapped_libc(_read(root / "proc/self/maps"))
    try:
        version = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, ValueError, OSError):
        version = "musl" if "musl" in mapped else ""
    return {"libc": version, "libc_build": _read_build_id(Path(mapped)) if mapped else ""}


def _mapped_libc(maps: str) -> str:
    """Return the path of the C library in /proc/self/maps; empty if it is linked statically."""
    for line in maps.splitlines():
        path = line[line.find("/") :] if "/" in line else ""
        name = path.rpartition("/")[2]
        if name.startswith(("libc.so", "libc-2.", "ld-musl-")):
            return path
    return ""


def _read_build_id(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return build_id(file.read(HEAD_BYTES))
    except OSError:
        return ""
