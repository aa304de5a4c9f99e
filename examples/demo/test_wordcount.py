"""Benchmarks of the demo, in the words of pytest-codspeed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from wordcount import most_common, words

if TYPE_CHECKING:
    from pytest_codspeed import BenchmarkFixture

VOCABULARY = ["measure", "twice", "cut", "once", "and", "never", "guess,", "Guess.", "a", "number!"]
TEXT = " ".join(random.Random(1).choices(VOCABULARY, k=2_000))


@pytest.mark.benchmark
def test_split() -> None:
    assert len(words(TEXT)) == 2_000


@pytest.mark.parametrize("limit", [1, 5])
def test_most_common(benchmark: BenchmarkFixture, limit: int) -> None:
    found = benchmark(most_common, TEXT, limit)

    assert len(found) == limit
