"""The processor as /proc/cpuinfo tells it. No I/O here: parsers over recorded text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Designer and part numbers of ARM processors that run servers, laptops and boards in use.
# Source: "Main ID Register" of each maker's manual, names as util-linux (sys-utils/lscpu-arm.c).
_ARM_MAKERS: Final[Mapping[int, tuple[str, Mapping[int, str]]]] = {
    0x41: (
        "ARM",
        {
            0xD03: "Cortex-A53",
            0xD04: "Cortex-A35",
            0xD05: "Cortex-A55",
            0xD07: "Cortex-A57",
            0xD08: "Cortex-A72",
            0xD09: "Cortex-A73",
            0xD0A: "Cortex-A75",
            0xD0B: "Cortex-A76",
            0xD0C: "Neoverse-N1",
            0xD0D: "Cortex-A77",
            0xD40: "Neoverse-V1",
            0xD41: "Cortex-A78",
            0xD44: "Cortex-X1",
            0xD46: "Cortex-A510",
            0xD47: "Cortex-A710",
            0xD48: "Cortex-X2",
            0xD49: "Neoverse-N2",
            0xD4A: "Neoverse-E1",
            0xD4F: "Neoverse-V2",
            0xD84: "Neoverse-V3",
            0xD8E: "Neoverse-N3",
        },
    ),
    0x43: ("Cavium", {0x0A1: "ThunderX-88XX", 0x0AF: "ThunderX2-99xx"}),
    0x46: ("FUJITSU", {0x001: "A64FX"}),
    0x48: ("HiSilicon", {0xD01: "TaiShan-v110"}),
    0x4E: ("NVIDIA", {0x004: "Carmel"}),
    0x51: ("Qualcomm", {0x001: "Oryon", 0xC00: "Falkor"}),
    0x61: (
        "Apple",
        {
            0x022: "Icestorm-M1",
            0x023: "Firestorm-M1",
            0x032: "Blizzard-M2",
            0x033: "Avalanche-M2",
        },
    ),
    0x6D: ("Microsoft", {0xD49: "Azure-Cobalt-100"}),
    0xC0: ("Ampere", {0xAC3: "Ampere-1", 0xAC4: "Ampere-1a"}),
}

# x86-64 psABI, "Micro-Architecture Levels", in the kernel's words (pni is SSE3, abm has LZCNT).
_X86_V2: Final = frozenset({"cx16", "lahf_lm", "pni", "popcnt", "sse4_1", "sse4_2", "ssse3"})
_X86_LEVELS: Final = {
    "x86-64-v3": _X86_V2 | {"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"},
    "x86-64-v2": _X86_V2,
    "x86-64-v1": frozenset({"cmov", "cx8", "fxsr", "lm", "mmx", "sse", "sse2"}),
}


@attrs.frozen
class Processor:
    """The first processor, and how many cores there are.

    Attributes:
        model: Marketing name; an ARM part that is not in the table is "0xMAKER/0xPART", so that two
            unknown parts never look equal. Empty if nothing is known.
        vendor: As the processor names it ("GenuineIntel"), or the designer of an ARM core.
        flags: Features of the first processor, sorted bytewise.
        cores: Physical cores; 0 if unknown.
        is_guest: The kernel sees a hypervisor; always False where only x86 would tell.
    """

    model: str = ""
    vendor: str = ""
    flags: tuple[str, ...] = ()
    cores: int = 0
    is_guest: bool = False

    @property
    def instruction_class(self) -> str:
        """The instruction set that libraries choose their code by; empty if it can't be told.

        The levels of the x86-64 psABI, without the fourth: AVX-512 is not there under Valgrind, and
        simulation is what this is compared for.
        """
        flags = frozenset(self.flags)
        levels = (name for name, needed in _X86_LEVELS.items() if needed <= flags)
        return next(levels, "aarch64" if "asimd" in flags else "")


def parse_cpuinfo(text: str) -> Processor:
    """Return what /proc/cpuinfo says, by the rules of spec/cli-upload.md 6.1; never fails."""
    processors = [block for block in _blocks(text) if "processor" in block]
    if not processors:
        return Processor()
    first = processors[0]
    flags = tuple(sorted((first.get("flags") or first.get("Features") or "").split()))
    maker, part = _arm_names(first)
    return Processor(
        model=part or first.get("model name") or first.get("cpu") or _arm_id(first),
        vendor=first.get("vendor_id") or maker,
        flags=flags,
        cores=_count_cores(processors),
        is_guest="hypervisor" in flags,
    )


def first_cpu_name(stat: str) -> str:
    """Return the first single processor of /proc/stat ("cpu0"), empty if there is none."""
    names = (line.split(maxsplit=1)[0] for line in stat.splitlines() if line.startswith("cpu"))
    return next((name for name in names if name != "cpu"), "")


def parse_memory_bytes(meminfo: str) -> int:
    """Return MemTotal of /proc/meminfo in bytes; 0 if it is not there."""
    for line in meminfo.splitlines():
        key, _, value = line.partition(":")
        if key == "MemTotal":
            digits = value.split()[0] if value.split() else ""
            return int(digits) * 1024 if digits.isdecimal() else 0
    return 0


def _blocks(text: str) -> list[dict[str, str]]:
    """Return the paragraphs of /proc/cpuinfo as dictionaries."""
    blocks: list[dict[str, str]] = [{}]
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            blocks[-1].setdefault(key.strip(), value.strip())
        elif not line.strip():
            blocks.append({})
    return blocks


def _count_cores(processors: Sequence[Mapping[str, str]]) -> int:
    """Count distinct (core, package) pairs; a processor that lacks either counts for itself."""
    placed = {(p["core id"], p["physical id"]) for p in processors if _is_placed(p)}
    return len(placed) + sum(not _is_placed(p) for p in processors)


def _is_placed(processor: Mapping[str, str]) -> bool:
    return "core id" in processor and "physical id" in processor


def _arm_names(processor: Mapping[str, str]) -> tuple[str, str]:
    """Return designer and part name, each empty if it is not in the table."""
    maker, parts = _ARM_MAKERS.get(_number(processor.get("CPU implementer", "")), ("", {}))
    return maker, parts.get(_number(processor.get("CPU part", "")), "")


def _arm_id(processor: Mapping[str, str]) -> str:
    ids = [processor.get(key, "") for key in ("CPU implementer", "CPU part")]
    return "/".join(ids) if all(ids) else ""


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return -1
