"""Two benchmarks of one extension: one of them leaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import leaky

if TYPE_CHECKING:
    from collections.abc import Callable

    Benchmark = Callable[..., Any]

SIZE = 3_000_000


def test_leaks(benchmark: Benchmark) -> None:
    benchmark(leaky.use, SIZE, True)  # noqa: FBT003 - as the extension has it


def test_cleans_up(benchmark: Benchmark) -> None:
    benchmark(leaky.use, SIZE, False)  # noqa: FBT003 - as the extension has it
