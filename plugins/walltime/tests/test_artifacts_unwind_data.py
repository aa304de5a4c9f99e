"""Unwind data files: the reference's own bytes, versions that refuse each other, damage."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed_walltime.artifacts import unwind_data
from codspeed_walltime.artifacts.unwind_data import (
    ProcessUnwindData,
    UnwindData,
    UnwindDataError,
    decode,
    decode_per_process,
    encode,
)

# spec/executors.md 3.10: files of the reference's tests.
PATH = "0c00000000000000 2f6c69622f746573742e736f"
HEADER = "0400000000000000 01020304 0001000000000000 0002000000000000"
FRAMES = "0400000000000000 05060708 0002000000000000 0003000000000000"
PLACE = "0010000000000000 0020000000000000 0010000000000000 0000000000000000"
V1 = bytes.fromhex(f"00000000 {PATH} {PLACE} {HEADER} {FRAMES}")
V2 = bytes.fromhex(f"01000000 {PATH} 01 3930000000000000 {PLACE} {HEADER} {FRAMES}")
V3 = bytes.fromhex(f"02000000 {PATH} 0000000000000000 {HEADER} {FRAMES}")
V4 = bytes.fromhex(f"03000000 {PATH} 0000000000000000 00 00 {FRAMES}")

FULL = UnwindData("/lib/test.so", 0, b"\1\2\3\4", (0x100, 0x200), b"\5\6\7\x08", (0x200, 0x300))
BARE = UnwindData("/lib/test.so", 0, None, None, b"\5\6\7\x08", (0x200, 0x300))


def test_the_newest_version_is_written() -> None:
    assert encode(BARE) == V4


def test_the_third_version_is_read_as_the_fourth() -> None:
    assert decode(V3) == FULL
    assert decode(V4) == BARE


def test_the_first_version_is_read_as_the_second() -> None:
    second = ProcessUnwindData(
        "/lib/test.so", 12345, (0x1000, 0x2000), 0x1000, 0,
        b"\1\2\3\4", (0x100, 0x200), b"\5\6\7\x08", (0x200, 0x300),
    )  # fmt: skip

    assert decode_per_process(V2) == second
    first = decode_per_process(V1)
    assert first.timestamp is None
    assert first.avma_range == second.avma_range


def test_versions_that_lack_fields_are_refused_in_the_references_words() -> None:
    with pytest.raises(UnwindDataError) as older:
        decode(V2)
    with pytest.raises(UnwindDataError) as newer:
        decode_per_process(V3)

    assert older.value.problem == "Cannot parse V2 unwind data as V4 (breaking changes)"
    assert newer.value.problem == "Cannot parse V3 unwind data as V2 (missing per-pid fields)"


U64 = st.integers(0, 2**64 - 1)
RANGE = st.tuples(U64, U64)


@given(
    st.builds(
        UnwindData,
        path=st.text(),
        base_svma=U64,
        eh_frame_hdr=st.none() | st.binary(max_size=20),
        eh_frame_hdr_svma=st.none() | RANGE,
        eh_frame=st.binary(max_size=20),
        eh_frame_svma=RANGE,
    )
)
def test_what_is_written_is_read(data: UnwindData) -> None:
    assert decode(encode(data)) == data


@given(st.sampled_from([V1, V2, V3, V4]), st.data())
def test_garbage_raises_unwind_data_error_only(raw: bytes, data: st.DataObject) -> None:
    damaged = bytearray(raw)
    for at in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=4)):
        damaged[at] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(raw)))])

    for read in (decode, decode_per_process):
        with contextlib.suppress(UnwindDataError):
            read(cut)
    assert unwind_data.VERSION == 4
