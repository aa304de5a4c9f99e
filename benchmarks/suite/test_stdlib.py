"""Twenty benchmarks of the standard library: what `stillness.py` and `jobs.py` measure.

Each does about the same work in each run, allocates in its own way and leaves other things behind
in its process: caches, interned strings, freed memory.
"""

from __future__ import annotations

import ast
import base64
import collections
import copy
import decimal
import difflib
import fractions
import functools
import hashlib
import heapq
import itertools
import json
import pickle
import random
import re
import statistics
import string
import textwrap
import tokenize
import zlib
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDS = [{"id": i, "name": f"name {i}", "tags": list(range(i % 9))} for i in range(400)]
TEXT = " ".join(random.Random(1).choices(string.ascii_lowercase, k=4_000))  # noqa: S311 - no secret
SOURCE = textwrap.dedent(
    """
    def work(items, *, limit=10):
        found = {}
        for index, item in enumerate(items):
            if item % 2 and index < limit or not found:
                found[item] = [index, *found.get(item, [])]
        return sorted(found.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    """
) * 20  # fmt: skip


def _fib(n: int) -> int:
    return n if n < 2 else _fib(n - 1) + _fib(n - 2)


def _sieve(limit: int) -> int:
    is_prime = bytearray([1]) * limit
    for number in range(2, int(limit**0.5) + 1):
        if is_prime[number]:
            is_prime[number * number :: number] = bytes(len(is_prime[number * number :: number]))
    return sum(is_prime)


def _count_words() -> Any:
    counts: collections.Counter[str] = collections.Counter()
    for size in range(1, 9):
        counts.update(TEXT[i : i + size] for i in range(0, len(TEXT), 3))
    return counts.most_common(20)


def _heap() -> int:
    heap: list[tuple[int, str]] = []
    for number in range(3_000):
        heapq.heappush(heap, (number * 7919 % 3001, str(number)))
    return sum(heapq.heappop(heap)[0] for _ in range(3_000))


def _memoised() -> int:
    @functools.cache
    def ways(amount: int, coin: int) -> int:
        if amount == 0:
            return 1
        if amount < 0 or coin == 0:
            return 0
        return ways(amount - coin, coin) + ways(amount, coin - 1)

    return ways(90, 40)


def _format() -> int:
    return sum(len(f"{i:>8}|{i / 7:.3f}|{i!r:<6}|{i:x}") for i in range(4_000))


def _tokens() -> int:
    return sum(1 for _ in tokenize.generate_tokens(StringIO(SOURCE).readline))


# How often each is done, so that all cost about 100 million instructions, and how.
WORK: dict[str, tuple[int, Callable[[], Any]]] = {
    "fib": (8, lambda: _fib(19)),
    "json": (14, lambda: json.loads(json.dumps(RECORDS))),
    "pickle": (6, lambda: [pickle.loads(pickle.dumps(RECORDS)) for _ in range(6)]),  # noqa: S301 - its own data
    "deepcopy": (15, lambda: copy.deepcopy(RECORDS[:150])),
    "regex": (17, lambda: re.sub(r"(\w) (\w)", r"\2-\1", TEXT)),
    "parse": (3, lambda: ast.dump(ast.parse(SOURCE))),
    "compile": (7, lambda: compile(SOURCE, "source", "exec")),
    "tokens": (7, _tokens),
    "sort": (4, lambda: sorted(RECORDS * 12, key=lambda record: (record["tags"], -record["id"]))),
    "sieve": (4, lambda: [_sieve(60_000) for _ in range(4)]),
    "words": (2, _count_words),
    "heap": (4, _heap),
    "fractions": (40, lambda: sum(fractions.Fraction(1, i) for i in range(1, 160))),
    "decimal": (1, lambda: sum(decimal.Decimal(i).sqrt() for i in range(4_000))),
    "statistics": (7, lambda: [statistics.stdev(range(i, i + 60)) for i in range(40)]),
    "diff": (2, lambda: list(difflib.ndiff(TEXT[:220].split(), TEXT[110:330].split()))),
    "permutations": (3, lambda: sum(each[0] for each in itertools.permutations(range(8)))),
    "memoised": (11, _memoised),
    "format": (2, _format),
}


@pytest.mark.parametrize("name", WORK)
def test_stdlib(benchmark: Callable[[Callable[[], Any]], Any], name: str) -> None:
    """Measure one kind of work, often enough to outweigh starting pytest."""
    times, work = WORK[name]
    benchmark(lambda: [work() for _ in range(times)])


def test_bytes(benchmark: Callable[[Callable[[], Any]], Any]) -> None:
    """Measure what is done in C: hashing, packing and encoding."""
    data = TEXT.encode() * 160

    benchmark(lambda: (hashlib.sha256(data), base64.b64encode(zlib.compress(data))))
