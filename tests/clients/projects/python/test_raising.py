"""One benchmark that works after two that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Benchmark = Callable[..., Any]

calls = iter(range(10**9))


def test_raises_at_once(benchmark: Benchmark) -> None:
    benchmark(int, "no number")


def test_raises_later(benchmark: Benchmark) -> None:
    """In a measured round: its Start never gets a Stop."""

    def work() -> int:
        return 10 // (20_000 - next(calls))

    benchmark(work)


def test_after_them(benchmark: Benchmark) -> None:
    benchmark(abs, -1)
