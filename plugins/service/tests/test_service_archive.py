"""The tar of a profile folder: what is in it, its MD5, and that memory stays flat."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import os
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from codspeed.errors import UploadError
from codspeed_service import archive, contract
from codspeed_service.archive import folder_bytes, packed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from codspeed_service.archive import Archive

GNU_MAGIC = b"ustar  \0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "profile"
    (made / "results").mkdir(parents=True)
    (made / "results" / "123.json").write_text("{}")
    (made / "runner.log").write_text("log")
    return made


@contextlib.contextmanager
def opened(made: Archive) -> Iterator[tarfile.TarFile]:
    data = made.path.read_bytes()
    plain = gzip.decompress(data) if made.encoding == "gzip" else data
    with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as tar:
        yield tar


@pytest.mark.parametrize("kind", ["plain", "gzip"])
def test_members_are_named_without_a_leading_dot(folder: Path, tmp_path: Path, kind: str) -> None:
    with packed(folder, kind, temp=tmp_path) as made, opened(made) as tar:
        assert tar.getnames() == [".", "results", "runner.log", "results/123.json"]
        assert tar.extractfile("results/123.json").read() == b"{}"  # type: ignore[union-attr]  # None fails the test as well


def test_the_root_entry_and_the_headers_are_the_references(folder: Path, tmp_path: Path) -> None:
    with packed(folder, "plain", temp=tmp_path) as made:
        head = made.path.read_bytes()[:512]

    assert head[:4] == b"./\0\0"
    assert head[257:265] == GNU_MAGIC


@pytest.mark.parametrize(("kind", "encoding"), [("plain", None), ("gzip", "gzip")])
def test_size_and_md5_are_those_of_the_file(
    folder: Path, tmp_path: Path, kind: str, encoding: str | None
) -> None:
    (folder / "perf.data").write_bytes(os.urandom(3_000_001))

    with packed(folder, kind, temp=tmp_path) as made:
        data = made.path.read_bytes()

        assert made.size == len(data)
        assert made.md5 == base64.b64encode(hashlib.md5(data).digest()).decode()
        assert made.encoding == encoding


def test_real_modes_owners_and_times_are_kept(folder: Path, tmp_path: Path) -> None:
    path = folder / "runner.log"
    path.chmod(0o640)
    os.utime(path, (1_700_000_000, 1_700_000_000))

    with packed(folder, "plain", temp=tmp_path) as made, opened(made) as tar:
        member = tar.getmember("runner.log")

    assert (member.mode, member.mtime) == (0o640, 1_700_000_000)
    assert (member.uid, member.gid) == (path.stat().st_uid, path.stat().st_gid)


def test_links_are_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "link").symlink_to("runner.log")
    (folder / "same").symlink_to("results")

    with packed(folder, "plain", temp=tmp_path) as made, opened(made) as tar:
        assert tar.getmember("link").isreg()
        assert tar.extractfile("link").read() == b"log"  # type: ignore[union-attr]  # None fails the test as well
        assert tar.extractfile("same/123.json").read() == b"{}"  # type: ignore[union-attr]  # None fails the test as well


def test_what_leads_elsewhere_or_nowhere_is_left_out(folder: Path, tmp_path: Path) -> None:
    """A bundle of a stranger's pull request must not fetch files of the machine that uploads it."""
    (tmp_path / "secret").write_text("s3cret")
    (folder / "out").symlink_to(tmp_path / "secret")
    (folder / "gone").symlink_to("nothing")
    (folder / "results" / "up").symlink_to("..")
    os.mkfifo(folder / "fifo")
    warnings: list[str] = []

    with packed(folder, "plain", temp=tmp_path, warn=warnings.append) as made, opened(made) as tar:
        assert tar.getnames() == [".", "results", "runner.log", "results/123.json"]
        assert b"s3cret" not in made.path.read_bytes()

    assert sorted(line.split(" is left out")[0] for line in warnings) == [
        "fifo",
        "gone",
        "out",
        "results/up",
    ]


def test_long_and_odd_names_survive(folder: Path, tmp_path: Path) -> None:
    names = ["d" * 120 + "/" + "f" * 120, "\u00e9 \n.json", os.fsdecode(b"caf\xe9")]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")

    with packed(folder, "plain", temp=tmp_path) as made, opened(made) as tar:
        assert set(names) <= set(tar.getnames())


def test_very_large_folders_are_compressed_whatever_the_executor_says(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "LARGE_FOLDER_BYTES", folder_bytes(folder))
    with packed(folder, "plain", temp=tmp_path) as made:
        assert made.encoding == "gzip"

    monkeypatch.setattr(contract, "LARGE_FOLDER_BYTES", folder_bytes(folder) + 1)
    with packed(folder, "plain", temp=tmp_path) as made:
        assert made.encoding is None


def test_the_size_of_a_folder_does_not_follow_links(folder: Path) -> None:
    (folder / "link").symlink_to("runner.log")

    assert folder_bytes(folder) == len("{}") + len("log")


def test_zlib_stands_in_for_isal(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "isal", None)

    with packed(folder, "gzip", temp=tmp_path) as made, opened(made) as tar:
        assert made.path.read_bytes()[:2] == b"\x1f\x8b"
        assert "runner.log" in tar.getnames()


@pytest.mark.parametrize("kind", ["plain", "gzip"])
def test_the_archive_is_deleted_on_every_path(folder: Path, tmp_path: Path, kind: str) -> None:
    temp = tmp_path / "temp"
    temp.mkdir()
    with pytest.raises(KeyError), packed(folder, kind, temp=temp):
        raise KeyError
    with pytest.raises(UploadError), packed(tmp_path / "nothing", kind, temp=temp):
        pass

    assert list(temp.iterdir()) == []


@pytest.mark.parametrize("kind", ["plain", "gzip"])
def test_a_full_disk_is_an_upload_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (folder / "perf.data").write_bytes(bytes(3_000_000))

    def full(*_args: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive._Hashing, "write", full)
    with pytest.raises(UploadError) as caught, packed(folder, kind, temp=tmp_path):
        pass

    assert "No space left on device" in caught.value.problem
    assert "TMPDIR" in str(caught.value.hint)
