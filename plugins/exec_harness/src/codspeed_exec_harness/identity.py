"""Who the harness is on the wire, and how it names what it measures. No I/O here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

HARNESS_NAME: Final = "exec-harness"

# The release of the reference's harness whose contract we speak; memory mode refuses older ones.
HARNESS_VERSION: Final = "1.3.0"

URI_PREFIX: Final = "exec_harness::"

# spec/executors.md 6.3: 1024 bytes less a margin of 100.
NAME_LIMIT_BYTES: Final = 924


def full_name(argv: Sequence[str], name: str | None) -> str:
    """Return the given name or the words of the command; bytes that are not UTF-8 become U+FFFD."""
    text = " ".join(argv) if name is None else name
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def uri_of(name: str) -> str:
    """Return the identity over time of the benchmark with this full name."""
    return URI_PREFIX + name


def shortened(name: str) -> str:
    """Return at most the first 924 bytes of `name`, never cutting a character in two."""
    return name.encode()[:NAME_LIMIT_BYTES].decode(errors="ignore")
