"""Connection strings: vectors of spec/executors.md 8, and what is refused."""

from __future__ import annotations

import pytest

from codspeed.errors import ConfigError
from codspeed_mongodb.uri import destination, proxied

PROXY = "mongodb://127.0.0.1:27018"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mongodb://localhost:27017/my-database", "/my-database?directConnection=true"),
        ("mongodb://localhost:27017", "?directConnection=true"),
        (
            "mongodb://localhost:27017?w=majority&directConnection=false",
            "?w=majority&directConnection=true",
        ),
        ("mongodb://me:hush@h:1/db?tls=true", "/db?tls=true&directConnection=true"),
        ("mongodb://h:1/?appName=a%26b", "/?appName=a%26b&directConnection=true"),
    ],
)
def test_the_way_through_the_proxy(uri: str, expected: str) -> None:
    assert proxied(uri, PROXY, variable="URI") == f"{PROXY}{expected}"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mongodb://localhost:27017/db", "localhost:27017"),
        ("mongodb://me:hush@db.example:1", "db.example:1"),
        ("mongodb://[::1]:27017", "[::1]:27017"),
    ],
)
def test_destination(uri: str, expected: str) -> None:
    assert destination(uri, variable="URI") == expected


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("mongodb://me:hush@host/db", "host or port is missing"),
        ("mongodb+srv://me:hush@cluster.example/db", "host or port is missing"),
        ("mongodb://me:hush@a:1,b:2/db", "one server, not several"),
        ("mongodb://me:hush@h:x/db", "its port is no number"),
        ("mongodb://me:hush@h:99999", "its port is no number"),
        ("mongodb://me:hush@[::1", "it is no URI"),
        ("mongodb://:1", "host or port is missing"),
        ("hush", "host or port is missing"),
        ("", "host or port is missing"),
    ],
)
def test_what_is_refused_without_showing_it(uri: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        destination(uri, variable="MONGO_URL")

    shown = f"{caught.value} {caught.value.__cause__!r}"
    assert "MONGO_URL" in shown
    assert "hush" not in shown
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
