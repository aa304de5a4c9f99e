"""Benchmarks of every kind that a pytest suite may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Benchmark = Callable[..., Any]


def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def test_fib(benchmark: Benchmark) -> None:
    assert benchmark(fib, 10) == 55


@pytest.mark.benchmark
def test_marked() -> None:
    fib(8)


class TestGroup:
    @pytest.mark.parametrize("n", [5, 10])
    def test_param(self, benchmark: Benchmark, n: int) -> None:
        benchmark(fib, n)


@pytest.mark.parametrize("name", ["é", "a b::c"])
def test_names(benchmark: Benchmark, name: str) -> None:
    benchmark(name.upper)


@pytest.mark.skip(reason="never runs")
def test_skipped(benchmark: Benchmark) -> None:
    benchmark(fib, 5)


def test_of_nothing() -> None:
    """No benchmark: deselected."""
