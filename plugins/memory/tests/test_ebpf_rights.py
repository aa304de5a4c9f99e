"""Who may place probes: told from what the kernel says, with sudo where that helps."""

from __future__ import annotations

import errno
import os
import platform
from typing import TYPE_CHECKING, Any

import pytest

from codspeed_memory.ebpf import rights
from codspeed_memory.raw import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _ask_again() -> Iterator[None]:
    rights._sudo_helps.cache_clear()
    yield
    rights._sudo_helps.cache_clear()


def refuse(monkeypatch: pytest.MonkeyPatch, number: int, held: int) -> None:
    """Have the kernel refuse, and the process hold these capabilities."""

    def load(*_: object, **_unused: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("codspeed_memory.ebpf.syscalls.load", load)
    monkeypatch.setattr(rights, "_capabilities", lambda: held)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (0, "lacks: CAP_BPF and CAP_PERFMON"),
        (1 << 39, "lacks: CAP_PERFMON"),
        (1 << 38, "lacks: CAP_BPF"),
        (1 << 38 | 1 << 39, "lets nobody load eBPF programs here: Operation not permitted"),
        (1 << 21, "lets nobody load eBPF programs here: Operation not permitted"),
    ],
)
def test_it_says_which_capability_is_lacking(
    monkeypatch: pytest.MonkeyPatch, held: int, said: str
) -> None:
    refuse(monkeypatch, errno.EPERM, held)
    monkeypatch.setattr(rights, "SUDO", ("false",))

    refused = rights.lacking()

    assert refused is not None
    assert said in refused.problem
    assert "--memory-backend shim" in str(refused.hint)


def test_a_kernel_without_bpf_is_told_from_lacking_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, errno.ENOSYS, 1 << 21)
    monkeypatch.setattr(rights, "SUDO", ("no-such-program",))

    refused = rights.lacking()

    assert refused is not None
    assert "Function not implemented" in refused.problem


def test_other_architectures_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    monkeypatch.setattr(rights, "SUDO", ("false",))

    refused = rights.lacking()

    assert refused is not None
    assert "riscv64" in refused.problem


@pytest.mark.process
def test_the_worker_alone_gets_the_rights_that_sudo_gives(
    probe: Callable[..., Any], program: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`env` stands for sudo: this test has the rights already."""
    refuse(monkeypatch, errno.EPERM, 0)
    monkeypatch.setattr(rights, "SUDO", ("env",))

    assert rights.lacking() is None
    assert rights.prefix() == ("env",)
    recorded = probe(program("behaviours"), "malloc_free")

    kinds = [event.kind for event in recorded.events]
    assert kinds == [Kind.ATTACH, Kind.MALLOC, Kind.FREE, Kind.DETACH]
