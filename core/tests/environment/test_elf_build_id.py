from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed.environment.elf import build_id


def note(name: bytes, kind: int, body: bytes) -> bytes:
    padded = name + bytes(-len(name) % 4)
    return struct.pack("<III", len(name), len(body), kind) + padded + body + bytes(-len(body) % 4)


def elf(notes: bytes, *, ident: bytes = b"\x7fELF\x02\x01\x01") -> bytes:
    """Return the head of an ELF file with one PT_LOAD and one PT_NOTE segment."""
    at = 64 + 2 * 56
    header = bytearray(64)
    header[: len(ident)] = ident
    struct.pack_into("<Q", header, 32, 64)
    struct.pack_into("<HH", header, 54, 56, 2)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 4096, 4096, 4096)
    segment = struct.pack("<IIQQQQQQ", 4, 4, at, at, at, len(notes), len(notes), 4)
    return bytes(header) + load + segment + notes


def test_the_build_id_is_found_behind_another_note() -> None:
    notes = note(b"GNU\0", 1, bytes(16)) + note(b"GNU\0", 3, bytes.fromhex("00ff10"))

    assert build_id(elf(notes)) == "00ff10"


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"#!/bin/sh\n", id="script"),
        pytest.param(elf(b""), id="no notes"),
        pytest.param(elf(note(b"Go\0\0", 3, b"abcd")), id="a note of another owner"),
        pytest.param(elf(note(b"GNU\0", 3, b"abcd"))[:80], id="cut short"),
        pytest.param(elf(note(b"GNU\0", 3, b"ab"), ident=b"\x7fELF\x01\x01"), id="32 bits"),
    ],
)
def test_without_a_build_id_there_is_none(head: bytes) -> None:
    assert build_id(head) == ""


@given(st.binary(max_size=400))
def test_any_bytes_are_taken(junk: bytes) -> None:
    assert isinstance(build_id(elf(junk)), str)
    assert isinstance(build_id(b"\x7fELF\x02\x01" + junk), str)
