from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed.environment import parse_remote, strip_credentials
from codspeed.environment.repository import Remote


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("git@github.com:acme/tool.git", Remote("github.com", "acme", "tool")),
        ("git@github.com:acme/tool", Remote("github.com", "acme", "tool")),
        ("github.com:acme/tool", Remote("github.com", "acme", "tool")),
        ("https://github.com/acme/tool.git", Remote("github.com", "acme", "tool")),
        ("https://github.com/acme/tool/", Remote("github.com", "acme", "tool")),
        ("https://GitHub.com/Acme/Tool", Remote("github.com", "Acme", "Tool")),
        ("https://user:pass@gitlab.com/acme/tool", Remote("gitlab.com", "acme", "tool")),
        ("https://gitlab.com/a/b/c/tool.git", Remote("gitlab.com", "a/b/c", "tool")),
        ("ssh://git@git.corp.example:2222/a/b/tool.git", Remote("git.corp.example", "a/b", "tool")),
        ("git@git.corp.example:a/b/tool.git", Remote("git.corp.example", "a/b", "tool")),
        ("http://localhost:3000/acme/tool", Remote("localhost", "acme", "tool")),
        ("https://github.com/acme/tool.js.git", Remote("github.com", "acme", "tool.js")),
    ],
)
def test_remote_urls_are_taken_apart(url: str, expected: Remote) -> None:
    assert parse_remote(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/git/tool.git",
        "../tool.git",
        "./a:b/c",
        "file:///srv/git/acme/tool.git",
        "C:\\work\\acme\\tool",
        "c:/src/acme/tool",
        "https://github.com/",
        "https://github.com/tool",
        "git@github.com:tool.git",
    ],
)
def test_what_names_no_host_owner_and_repository_is_no_remote(url: str) -> None:
    assert parse_remote(url) is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://me:s3cret@github.com/a/b.git", "https://github.com/a/b.git"),
        ("https://s3cret@github.com/a/b", "https://github.com/a/b"),
        ("https://me:s3@cret@github.com/a/b", "https://github.com/a/b"),
        ("ssh://git@github.com:22/a/b", "ssh://git@github.com:22/a/b"),
        ("ssh://git:s3cret@github.com/a/b", "ssh://git@github.com/a/b"),
        ("git@github.com:a/b.git", "git@github.com:a/b.git"),
        ("/srv/git/a@b.git", "/srv/git/a@b.git"),
        ("https://github.com/a/b@c", "https://github.com/a/b@c"),
    ],
)
def test_credentials_are_taken_out(url: str, expected: str) -> None:
    assert strip_credentials(url) == expected


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    assert isinstance(strip_credentials(text), str)
    assert parse_remote(text) is None or "/" in text
