from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from codspeed import bundle as bundles
from codspeed.errors import UsageError
from codspeed.model import Bundle
from codspeed_report import retention

if TYPE_CHECKING:
    from pathlib import Path

Make = Callable[..., Bundle]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("10B", 10),
        ("2GB", 2 * 1024**3),
        ("1.5 k", 1536),
        ("3MiB", 3 * 1024**2),
        ("1tb", 1024**4),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert retention.parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "2 apples"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        retention.parse_bytes(text)

    assert "--keep-bytes 2GB" in str(caught.value.hint)


def test_the_oldest_go_first_until_the_rest_fits(make: Make, root: Path) -> None:
    for day in (2, 1, 3):
        make(day, profile_bytes=100)

    profiles = retention.measure(root / "bundles")

    assert [each.size for each in profiles] == [100, 100, 100]
    assert retention.choose(profiles, 300) == ()
    assert retention.choose(profiles, 250) == profiles[:1]
    assert retention.choose(profiles, 100) == profiles[:2]
    assert retention.choose(profiles, 0) == profiles


def test_a_bundle_without_profiles_stays_readable_and_says_so(make: Make, root: Path) -> None:
    bundle = make(1, profile_bytes=100)
    manifest = (bundle.path / "manifest.json").read_bytes()
    (profiles,) = retention.measure(root / "bundles")

    retention.remove(profiles, now_ns=5)

    assert bundles.read(bundle.path) == bundle
    assert (bundle.path / "manifest.json").read_bytes() == manifest
    assert not (bundle.path / "profiles").exists()
    assert retention.are_removed(bundle.path)
    marker = json.loads((bundle.path / retention.MARKER).read_text())
    assert marker == {"schema": 1, "removed_ns": 5, "bytes": 100}
