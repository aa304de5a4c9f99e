"""What docs/plugin-author.md shows works, and what it lists exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from codspeed.errors import UploadError
from codspeed.model import Bundle, Manifest, RunContext
from codspeed.protocols import API_VERSIONS

DOC = Path(__file__).parents[1] / "docs" / "plugin-author.md"


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """Return the names that the uploader's code defines."""
    (code,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", DOC.read_text("utf-8"), re.DOTALL)
        if "class " in block
    )
    names: dict[str, Any] = {}
    exec(compile(code, str(DOC), "exec"), names)
    return names


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    context = RunContext("local", "tool", "tool-01", tmp_path)
    folder = tmp_path / "20260101T000000-000-00000000"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    return Bundle(folder, Manifest(1, "id", 0, "0.1.0", {}, context, {}, {}, ()), ())


def uploader(shown: dict[str, Any], folder: Path) -> Any:
    descriptor = shown["descriptor"]
    options = attrs.evolve(descriptor.options(), share_folder=str(folder))
    return descriptor.load()(options)


def test_the_uploader_takes_a_bundle_twice(
    shown: dict[str, Any], bundle: Bundle, tmp_path: Path
) -> None:
    share = uploader(shown, tmp_path / "share")

    receipts = [share.upload(bundle) for _ in range(2)]

    assert receipts[0] == receipts[1]
    assert (tmp_path / "share" / bundle.path.name / "manifest.json").exists()


def test_the_uploader_says_where_it_failed(
    shown: dict[str, Any], bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UploadError) as caught:
        uploader(shown, tmp_path / "file").upload(bundle)

    assert str(tmp_path / "file") in caught.value.problem


def test_every_group_is_in_the_table() -> None:
    listed = set(
        re.findall(r"^\| [^|]+ \| `(codspeed\.\w+)` \|", DOC.read_text("utf-8"), re.MULTILINE)
    )

    assert listed == set(API_VERSIONS)


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\((\.\./[^)#]+)\)", DOC.read_text("utf-8"))

    assert [link for link in links if not (DOC.parent / link).exists()] == []
