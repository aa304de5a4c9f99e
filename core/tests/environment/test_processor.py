from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed.environment.processor import (
    Processor,
    first_cpu_name,
    parse_cpuinfo,
    parse_memory_bytes,
)


def x86(*places: tuple[int, int], flags: str = "fpu sse2 avx") -> str:
    """Return /proc/cpuinfo of an x86 machine: one processor per (core, package)."""
    return "\n".join(
        f"processor\t: {index}\n"
        "vendor_id\t: GenuineIntel\n"
        "model name\t: Intel(R) Xeon(R) CPU @ 2.20GHz\n"
        f"physical id\t: {package}\n"
        f"core id\t\t: {core}\n"
        f"flags\t\t: {flags}\n"
        "power management:\n"
        for index, (core, package) in enumerate(places)
    )


def arm(implementer: str, part: str, count: int = 2) -> str:
    return "\n".join(
        f"processor\t: {index}\n"
        "BogoMIPS\t: 243.75\n"
        "Features\t: fp asimd atomics\n"
        f"CPU implementer\t: {implementer}\n"
        "CPU architecture: 8\n"
        f"CPU part\t: {part}\n"
        for index in range(count)
    )


def test_x86_server() -> None:
    assert parse_cpuinfo(x86((0, 0), (1, 0))) == Processor(
        model="Intel(R) Xeon(R) CPU @ 2.20GHz",
        vendor="GenuineIntel",
        flags=("avx", "fpu", "sse2"),
        cores=2,
        is_guest=False,
    )


def test_hyperthreads_share_a_core() -> None:
    assert parse_cpuinfo(x86((0, 0), (1, 0), (0, 0), (1, 0))).cores == 2


def test_equal_core_ids_of_two_packages_are_two_cores() -> None:
    assert parse_cpuinfo(x86((0, 0), (0, 1))).cores == 2


def test_the_hypervisor_flag_makes_a_guest() -> None:
    assert parse_cpuinfo(x86((0, 0), flags="fpu hypervisor")).is_guest is True


def test_arm_server_is_named_by_its_ids() -> None:
    assert parse_cpuinfo(arm("0x41", "0xd0c", count=4)) == Processor(
        model="Neoverse-N1", vendor="ARM", flags=("asimd", "atomics", "fp"), cores=4
    )


def test_an_arm_part_that_is_not_in_the_table_keeps_its_ids() -> None:
    processor = parse_cpuinfo(arm("0x41", "0xfff"))

    assert (processor.model, processor.vendor) == ("0x41/0xfff", "ARM")


def test_an_old_arm_board_has_a_model_name() -> None:
    text = "processor : 0\nmodel name : ARMv7 Processor rev 3 (v7l)\nCPU implementer : 0x99\n"

    assert parse_cpuinfo(text).model == "ARMv7 Processor rev 3 (v7l)"


def test_power_names_its_processor_otherwise() -> None:
    assert parse_cpuinfo("processor\t: 0\ncpu\t\t: POWER9, altivec supported\n").model == (
        "POWER9, altivec supported"
    )


@pytest.mark.parametrize("text", ["", "\n\n\n", "no colon", "flags: x"])
def test_without_a_processor_nothing_is_known(text: str) -> None:
    assert parse_cpuinfo(text) == Processor()


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    assert parse_cpuinfo(text).cores >= 0
    assert parse_memory_bytes(text) >= 0
    assert isinstance(first_cpu_name(text), str)


def test_the_first_processor_of_proc_stat() -> None:
    assert first_cpu_name("cpu  1 2 3\ncpu0 1 2 3\ncpu1 1 2 3\nintr 9\n") == "cpu0"


def test_memory_is_counted_in_bytes() -> None:
    assert parse_memory_bytes("MemTotal:       16384 kB\nMemFree: 1 kB\n") == 16_777_216


@pytest.mark.parametrize("text", ["", "MemTotal:\n", "MemTotal: many kB\n"])
def test_memory_that_is_not_said_is_0(text: str) -> None:
    assert parse_memory_bytes(text) == 0


_V1 = ("cmov", "cx8", "fxsr", "lm", "mmx", "sse", "sse2")
_V2 = (*_V1, "cx16", "lahf_lm", "pni", "popcnt", "sse4_1", "sse4_2", "ssse3")
_V3 = (*_V2, "abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave")


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        pytest.param((), "", id="unknown"),
        pytest.param(_V1, "x86-64-v1", id="oldest"),
        pytest.param(_V2, "x86-64-v2", id="without AVX"),
        pytest.param(_V3[:-1], "x86-64-v2", id="one short of the next"),
        pytest.param((*_V3, "avx512f"), "x86-64-v3", id="AVX-512 is no class of its own"),
        pytest.param(("asimd", "fp"), "aarch64", id="ARM"),
    ],
)
def test_the_class_is_what_libraries_choose_their_code_by(
    flags: tuple[str, ...], name: str
) -> None:
    assert Processor(flags=flags).instruction_class == name
