"""The sampler on real processes, and its stream as our reader and `perf` see it."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codspeed_native import perf_data, perf_event
from codspeed_native.perf_event import SamplingRefusedError
from codspeed_native.perf_helper import open_with_sudo
from codspeed_native.perf_pipe import PipeWriter
from codspeed_native.perf_records import Comm, Lost, Mmap, Sample
from codspeed_native.perf_sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUSY = "import time\nwhile time.process_time() < 0.15: pass"


@pytest.fixture
def sampling() -> perf_event.Sampling:
    try:
        return perf_event.choose()
    except SamplingRefusedError as refused:
        pytest.skip(f"{refused}")


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextlib.contextmanager
def held(program: str) -> Iterator[tuple[int, Callable[[], None]]]:
    """Yield the pid of a process that waits, and what lets it run Python code to its end."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(reader, 1)
        os.execv(sys.executable, [sys.executable, "-S", "-c", program])

    def run() -> None:
        os.write(writer, b"g")
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    try:
        yield pid, run
    finally:
        os.close(reader)
        os.close(writer)
        os.waitpid(pid, 0)


def record(path: Path, sampling: perf_event.Sampling, program: str, **how: Any) -> PipeWriter:
    """Sample a whole program into `path`."""
    with path.open("wb") as file, held(program) as (pid, run):
        writer = PipeWriter(file, sampling.attribute())
        with Sampler(sampling, writer.write, **how) as sampler:
            sampler.attach(pid)
            sampler.enable()
            run()
            sampler.disable()
            sampler.drain()
        writer.finish_round()
    return writer


@pytest.mark.tool
def test_a_busy_program_leaves_samples_mappings_and_its_name(
    tmp_path: Path, sampling: perf_event.Sampling
) -> None:
    writer = record(tmp_path / "data", sampling, BUSY)
    records = list(perf_data.read(tmp_path / "data"))
    samples = [each for each in records if isinstance(each, Sample)]

    assert len(samples) == writer.samples > 20
    assert writer.lost == 0
    assert {each.pid for each in samples} == writer.pids
    assert any(isinstance(each, Mmap) and "libc" in each.path for each in records)
    assert [each.is_exec for each in records if isinstance(each, Comm)] == [True]


@pytest.mark.tool
def test_samples_have_registers_and_only_the_used_part_of_the_stack(
    tmp_path: Path, sampling: perf_event.Sampling
) -> None:
    record(tmp_path / "data", sampling, BUSY)
    samples = [each for each in perf_data.read(tmp_path / "data") if isinstance(each, Sample)]
    sizes = [len(each.stack) for each in samples if each.abi]

    assert sizes
    assert max(sizes) <= sampling.stack_bytes
    assert (tmp_path / "data").stat().st_size < sum(sizes)


@pytest.mark.tool
def test_perf_reads_what_we_write(tmp_path: Path, sampling: perf_event.Sampling) -> None:
    if shutil.which("perf") is None:
        pytest.skip("perf is not on PATH")
    writer = record(tmp_path / "data", sampling, BUSY)
    argv = ["perf", "script", "-f", "-G", "-i", str(tmp_path / "data"), "-F", "pid,time"]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split("\n")

    assert len([line for line in lines if line.strip()]) == writer.samples


@pytest.mark.tool
def test_nothing_is_sampled_while_it_is_off_but_mappings_are_recorded(
    tmp_path: Path, sampling: perf_event.Sampling
) -> None:
    with (tmp_path / "data").open("wb") as file, held(BUSY) as (pid, run):
        writer = PipeWriter(file, sampling.attribute())
        with Sampler(sampling, writer.write) as sampler:
            sampler.attach(pid)
            sampler.enable()
            sampler.disable()
            run()
            sampler.drain()
    records = list(perf_data.read(tmp_path / "data"))

    assert writer.samples == 0
    assert any(isinstance(each, Mmap) for each in records)


@pytest.mark.tool
def test_descendants_are_sampled_too(tmp_path: Path, sampling: perf_event.Sampling) -> None:
    program = f"import os, sys\nif os.fork(): os.wait()\nelse: exec({BUSY!r})"
    record(tmp_path / "data", sampling, program)
    samples = [each.pid for each in perf_data.read(tmp_path / "data") if isinstance(each, Sample)]

    assert len(set(samples)) == 2


@pytest.mark.tool
def test_every_descriptor_is_closed(tmp_path: Path, sampling: perf_event.Sampling) -> None:
    before = open_descriptors()
    record(tmp_path / "data", sampling, "pass")

    assert open_descriptors() == before


@pytest.mark.tool
def test_every_descriptor_is_closed_when_the_rings_are_refused(
    sampling: perf_event.Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr("codspeed_native.perf_ring.mmap.mmap", refuse)
    before = open_descriptors()
    with (
        pytest.raises(SamplingRefusedError, match="refuses to sample"),
        Sampler(sampling, print) as sampler,
    ):
        sampler.attach(os.getpid())

    assert open_descriptors() == before


@pytest.mark.tool
def test_a_helper_hands_descriptors_over_that_sample(
    tmp_path: Path, sampling: perf_event.Sampling
) -> None:
    def opener(pid: int, cpus: Any, attributes: Any) -> list[int]:
        return open_with_sudo(pid, cpus, attributes, sudo=())

    writer = record(tmp_path / "data", sampling, BUSY, opener=opener)

    assert writer.samples > 20


@pytest.mark.process
def test_a_helper_that_gets_no_rights_says_what_sudo_said() -> None:
    sudo = ("sh", "-c", "echo a password is required >&2; exit 1")
    with pytest.raises(SamplingRefusedError) as refused:
        open_with_sudo(os.getpid(), [0], [b""], sudo=sudo)

    assert str(refused.value) == "no root's rights to sample: a password is required"


def test_a_kernel_that_refuses_is_answered_with_the_line_that_changes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "perf_event_paranoid").write_text("4\n")

    def refuse(*_arguments: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(perf_event, "_open", refuse)
    monkeypatch.setattr(perf_event, "_SETTINGS", tmp_path)
    with pytest.raises(SamplingRefusedError) as refused:
        perf_event.choose()

    assert refused.value.hint == "sudo sysctl -w kernel.perf_event_paranoid=2 (it is 4)"


def _mapping(protection: int, size: int = 96) -> bytes:
    head = struct.pack("<IHHIIQQQ24sII", 10, 2, size, 7, 7, 0, 0, 0, bytes(24), protection, 2)
    return head.ljust(size, b"\0")


def test_what_is_mapped_to_be_run_is_kept_apart_if_asked_for(tmp_path: Path) -> None:
    sampling = perf_event.Sampling(perf_event.CPU_CLOCK, has_kernel=False)
    code, data = _mapping(5), _mapping(1)
    fork = struct.pack("<IHHIIIIQIIQ", 7, 0, 48, 8, 7, 8, 7, 1, 7, 7, 1)
    with (tmp_path / "data").open("wb") as file:
        asked = PipeWriter(file, sampling.attribute(), with_side_band=True)
        asked.write(data + code)
        asked.write(fork)
        other = PipeWriter(file, sampling.attribute())
        other.write(code)

    assert asked.side_band == bytearray(code + fork)
    assert other.side_band is None


def test_too_much_of_it_is_left_to_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codspeed_native.perf_pipe._SIDE_BAND_BYTES", 150)
    sampling = perf_event.Sampling(perf_event.CPU_CLOCK, has_kernel=False)
    with (tmp_path / "data").open("wb") as file:
        writer = PipeWriter(file, sampling.attribute(), with_side_band=True)
        writer.write(_mapping(5) + _mapping(5) + _mapping(5))

    assert writer.side_band is None


@pytest.mark.tool
def test_what_is_lost_at_the_end_is_written_down(
    tmp_path: Path, sampling: perf_event.Sampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells of a loss with the next record that has room; here none comes any more."""
    if int(platform.release().partition(".")[0]) < 6:
        pytest.skip("kernels before 6.0 do not count what was lost")
    monkeypatch.setattr("codspeed_native.perf_sampler.wanted_pages", lambda _rings: 32)
    with (tmp_path / "data").open("wb") as file:
        writer = PipeWriter(file, sampling.attribute())
        with Sampler(sampling, writer.write) as sampler:
            sampler.attach(os.getpid())
            sampler.enable()
            end = time.process_time() + 0.1
            while time.process_time() < end:
                pass
            sampler.disable()
            sampler.drain()
            told = writer.lost
            writer.add_lost(sampler.lost())
            writer.add_lost(sampler.lost())
    records = list(perf_data.read(tmp_path / "data"))

    assert told == 0
    assert writer.lost > 10
    assert sum(each.records for each in records if isinstance(each, Lost)) == writer.lost


def test_what_is_written_in_a_hurry_is_compressed_later(tmp_path: Path) -> None:
    sampling = perf_event.Sampling(perf_event.CPU_CLOCK, has_kernel=False)
    comms = [
        struct.pack("<IHHII8sIIQ", 3, 0, 40, pid, pid, b"name", pid, pid, 100 + pid)
        for pid in range(1, 6)
    ]
    sizes = []
    with (tmp_path / "data").open("wb", buffering=0) as file:
        writer = PipeWriter(file, sampling.attribute())
        for index, is_hurried in enumerate((False, True, True, False)):
            writer.is_hurried = is_hurried
            writer.write(comms[index])
            writer.finish_round()
            sizes.append(file.tell())
        writer.is_hurried = True
        writer.write(comms[4])
        writer.flush()
    records = list(perf_data.read(tmp_path / "data"))

    assert sizes[0] == sizes[1] == sizes[2] < sizes[3]
    assert [each.pid for each in records] == [1, 2, 3, 4, 5]
    assert writer.pids == {1, 2, 3, 4, 5}


def test_lost_records_are_counted(tmp_path: Path) -> None:
    sampling = perf_event.Sampling(perf_event.CPU_CLOCK, has_kernel=False)
    lost = struct.pack("<IHHQQIIQ", 2, 0, 40, 7, 12, 1, 1, 5)
    lost_samples = struct.pack("<IHHQIIQ", 13, 0, 32, 3, 1, 1, 5)
    with (tmp_path / "data").open("wb") as file:
        writer = PipeWriter(file, sampling.attribute())
        writer.write(lost + lost_samples)

    assert writer.lost == 15


def test_online_cpus_are_read_as_the_kernel_lists_them(tmp_path: Path) -> None:
    (tmp_path / "online").write_text("0-2,5\n")

    assert perf_event.online_cpus(tmp_path / "online") == [0, 1, 2, 5]
