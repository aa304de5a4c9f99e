"""The kernel's type information: ids and offsets, also in parts without a name; and the cache."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import attrs
import pytest

from codspeed_memory.ebpf import kernel
from codspeed_memory.ebpf.btf import KERNEL, Btf, BtfError
from codspeed_memory.ebpf.syscalls import ProbesRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Described = tuple[str, int, int, Sequence[int | str]]

INT, POINTER, ARRAY, STRUCT, UNION, TYPEDEF, FUNCTION, PROTO = 1, 2, 3, 4, 5, 8, 12, 13
HEADER = 24


def built(*types: Described, bitfields: bool = False) -> bytes:
    """Return BTF of types: name, kind, size or type, and what follows, with names for strings."""
    strings = bytearray(b"\0")
    places: dict[str, int] = {"": 0}

    def text(name: str) -> int:
        if name not in places:
            places[name] = len(strings)
            strings.extend(name.encode() + b"\0")
        return places[name]

    body = bytearray()
    for name, kind, size, more in types:
        entries = len(more) // 3 if kind in {STRUCT, UNION} else 0
        flag = (1 << 31) if bitfields and kind == STRUCT else 0
        body += struct.pack("<III", text(name), kind << 24 | entries | flag, size)
        numbers = [text(word) if isinstance(word, str) else word for word in more]
        body += struct.pack(f"<{len(numbers)}I", *numbers)
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, HEADER, 0, len(body), len(body), len(strings))
    return header + bytes(body) + bytes(strings)


# Types count from 1.
SOME: tuple[Described, ...] = (
    ("int", INT, 4, [32]),
    ("", ARRAY, 0, [1, 1, 3]),
    ("", UNION, 8, ["hidden", 1, 0, "beside", 1, 32]),
    ("task", STRUCT, 32, ["pid", 1, 0, "", 3, 64, "inner", 5, 128]),
    ("inner_t", TYPEDEF, 6, []),
    ("inner", STRUCT, 16, ["deep", 1, 96]),
    ("", PROTO, 1, []),
    ("do_it", FUNCTION, 7, []),
    ("task", FUNCTION, 7, []),
)


@pytest.mark.parametrize(
    ("path", "offset"),
    [(("pid",), 0), (("hidden",), 8), (("beside",), 12), (("inner",), 16), (("inner", "deep"), 28)],
)
def test_a_field_is_found_however_it_is_nested(path: tuple[str, ...], offset: int) -> None:
    assert Btf(built(*SOME)).offset("task", *path) == offset


def test_a_bit_field_does_not_disturb_offsets() -> None:
    types: tuple[Described, ...] = (
        ("int", INT, 4, [32]),
        ("s", STRUCT, 8, ["bits", 1, 3 << 24 | 8, "next", 1, 32]),
    )

    assert Btf(built(*types, bitfields=True)).offset("s", "next") == 4


def test_a_function_is_told_from_a_structure_of_its_name() -> None:
    btf = Btf(built(*SOME))

    assert (btf.function("do_it"), btf.function("task")) == (8, 9)


@pytest.mark.parametrize(
    "ask",
    [
        lambda btf: btf.function("nobody"),
        lambda btf: btf.function("inner"),
        lambda btf: btf.offset("task", "nothing"),
        lambda btf: btf.offset("nobody", "pid"),
        lambda btf: btf.offset("task", "pid", "deeper"),
    ],
)
def test_what_is_not_there_is_an_error(ask: object) -> None:
    with pytest.raises(BtfError):
        ask(Btf(built(*SOME)))  # type: ignore[operator]


@pytest.mark.parametrize("data", [b"", b"x" * 10, b"x" * 100, b"\x9f\xeb"])
def test_what_is_no_type_information_is_an_error(data: bytes) -> None:
    with pytest.raises(BtfError):
        Btf(data)


@pytest.mark.parametrize("size", [30, 60, 100, 150, 170])
def test_what_is_cut_off_is_an_error(size: int) -> None:
    with pytest.raises(BtfError):
        Btf(built(*SOME)[:size]).function("task")


def test_an_older_kernel_has_no_sessions() -> None:
    names = sorted({path[0] for path in kernel._FIELDS.values()})
    types: list[Described] = [("int", INT, 4, [32]), ("inner", STRUCT, 4, ["inum", 1, 0])]
    for name in names:
        fields = [path[1:] for path in kernel._FIELDS.values() if path[0] == name]
        members = [part for at, path in enumerate(fields) for part in (path[0], len(path), at * 64)]
        types.append((name, STRUCT, 8 * len(fields), members))

    found = kernel.looked_up(Btf(built(*types)))

    assert found.calls is None
    assert (found.fields.task_pid, found.fields.task_tgid) == (0, 8)
    assert found.fields.number_bytes == 8


@pytest.mark.skipif(not KERNEL.exists(), reason="this kernel tells nothing of its types")
def test_what_the_kernel_said_once_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = kernel.known(tmp_path)
    monkeypatch.setattr(kernel, "KERNEL", tmp_path / "gone")
    (kept,) = tmp_path.iterdir()

    assert kernel.known(tmp_path) == first
    assert json.loads(kept.read_text())["fields"] == attrs.asdict(first.fields)
    kept.write_text('{"fields": {}}')
    with pytest.raises(ProbesRefusedError, match="type information"):
        kernel.known(tmp_path)
