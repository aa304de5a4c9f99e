"""The reference's bytes: vectors of spec/executors.md 7."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
import zstandard

from codspeed_memory import artifact
from codspeed_memory.artifact import FRAME_EVENTS, FrameWriter
from codspeed_memory.raw import Event, Kind

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = (
    "a3706964cd03e8a3746964cd07d0a974696d657374616d70ce00bc614ea461646472cf00007f0000001000"
    "a474797065"
)
BASE = Event(12_345_678, 0x7F0000001000, 0, 0, 1000, 2000, Kind.FREE, 1)
# Written by the reference before memtrack 1.2.1: a realloc without its old address.
LEGACY = bytes.fromhex(
    "28b52ffd004879010086a370696401a37469640ba974696d657374616d7064a46164647210a474797065a7"
    "5265616c6c6f63a473697a652a"
)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (BASE._replace(kind=Kind.MALLOC, size=512), f"86{PREFIX}a64d616c6c6f63a473697a65cd0200"),
        (BASE, f"85{PREFIX}a446726565"),
        (
            BASE._replace(kind=Kind.REALLOC, size=42, aux=0x1000),
            f"87{PREFIX}a75265616c6c6f63a86f6c645f61646472cd1000a473697a652a",
        ),
        (
            BASE._replace(kind=Kind.ALIGNED, size=70_000),
            f"86{PREFIX}ac416c69676e6564416c6c6f63a473697a65ce00011170",
        ),
        (BASE._replace(kind=Kind.REALLOC_BEGIN), ""),
        (BASE._replace(kind=Kind.REALLOC_FAILED, size=9), ""),
        (BASE._replace(kind=Kind.REALLOC_FAILED), f"85{PREFIX}a446726565"),
    ],
    ids=["malloc", "free", "realloc", "aligned", "begin", "failed", "to nothing"],
)
def test_events_are_encoded_as_the_reference_does(event: Event, expected: str) -> None:
    assert artifact.encode(event).hex() == expected


def test_the_legacy_artifact_is_read(tmp_path: Path) -> None:
    path = tmp_path / "1.MemtrackArtifact.msgpack"
    path.write_bytes(LEGACY)

    assert list(artifact.read(path)) == [Event(100, 16, 42, 0, 1, 11, Kind.REALLOC, 0)]


def test_an_uncompressed_artifact_is_read_up_to_its_damage(tmp_path: Path) -> None:
    path = tmp_path / "1.MemtrackArtifact.msgpack"
    path.write_bytes(artifact.encode(BASE) * 2 + b"\xc1 no event")

    assert len(list(artifact.read(path))) == 2


def test_an_empty_artifact_is_one_empty_frame() -> None:
    file = io.BytesIO()
    with FrameWriter(file):
        pass

    data = file.getvalue()
    assert data[:4] == zstandard.FRAME_HEADER
    assert zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read() == b""


def test_a_frame_holds_65536_events(tmp_path: Path) -> None:
    path = tmp_path / "1.MemtrackArtifact.msgpack"
    with path.open("wb") as file, FrameWriter(file) as frames:
        for count in (FRAME_EVENTS, 3):
            frames.add(artifact.encode(BASE) * count, count)

    assert path.read_bytes().count(zstandard.FRAME_HEADER) == 2
    assert sum(1 for _ in artifact.read(path)) == FRAME_EVENTS + 3
