"""Who allocates: planted shares are found again, in every way that code comes to run."""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from codspeed_memory import raw, ring, shim, stacks
from codspeed_memory.clock import Clock
from codspeed_memory.raw import Kind
from codspeed_memory.recording import Recording
from codspeed_memory.summary import Measured
from codspeed_memory.usage import Fate, Usage, fate
from codspeed_native import fold

if TYPE_CHECKING:
    from collections.abc import Callable

    from codspeed.model import CallTree

INTERVAL = 16_384


def shares(tree: CallTree) -> dict[str, float]:
    """Return the percent that is below each function."""
    total = fold.cost(tree)
    return {row.frame.function: 100 * row.total_cost / total for row in fold.table(tree)}


def names(tree: CallTree) -> set[tuple[str, ...]]:
    return {tuple(frame.function for frame in stack) for stack in tree.stacks}


# --- Figures --------------------------------------------------------------------------------------


def test_a_block_stands_for_its_size_by_its_chance_to_be_taken() -> None:
    """In the mean the sum is what was allocated, whatever the sizes are."""
    numbers = random.Random(7)
    sizes = [numbers.choice([16, 100, 5000, 100_000]) for _ in range(200_000)]
    chance = [-math.expm1(-size / INTERVAL) for size in sizes]
    taken = sum(
        stacks.weight(size, INTERVAL)
        for size, each in zip(sizes, chance, strict=True)
        if numbers.random() < each
    )

    assert taken == pytest.approx(sum(sizes), rel=0.01)
    assert stacks.weight(1, INTERVAL) == pytest.approx(INTERVAL, rel=0.001)
    assert stacks.weight(100 * INTERVAL, INTERVAL) == pytest.approx(100 * INTERVAL)


@pytest.mark.process
def test_the_shim_s_logarithm_is_one(compiler: str, tmp_path: Path) -> None:
    numbers = [1, 2, 3, 12_345, 2**40 + 1, 3 * 2**50, 2**53 - 1, 2**53]
    prints = "".join(f'printf("%.9f ", minus_log({number}ull));' for number in numbers)
    (tmp_path / "log.c").write_text(
        f'#include <errno.h>\n#include <stdio.h>\n#include "process.h"\n'
        f"int main(void) {{ (void)real_malloc; {prints} return 0; }}"
    )
    native = Path(shim.__file__).with_name("native")
    command = [compiler, "-D_GNU_SOURCE", "-w", "-I", str(native), str(tmp_path / "log.c")]
    subprocess.run([*command, "-ldl", "-o", str(tmp_path / "log")], check=True)
    done = subprocess.run([tmp_path / "log"], capture_output=True, text=True, check=True)

    expected = [-math.log(number / 2**53) for number in numbers]
    assert [float(word) for word in done.stdout.split()] == pytest.approx(expected, abs=1e-6)


@pytest.mark.process
@pytest.mark.parametrize("threads", [1, 4])
def test_the_sum_of_what_was_taken_estimates_the_total(
    record: Callable[..., Any], program: Callable[..., Path], threads: int, tmp_path: Path
) -> None:
    recorded = record(program("pairs"), "200000", str(threads), stack_interval=INTERVAL)
    path = tmp_path / "data"
    path.write_bytes(recorded.data)
    with path.open("rb") as file:
        chains = stacks.chains(Recording(file=file, clock=Clock()), {})[1]["allocated"]

    assert sum(chains.values()) == pytest.approx(recorded.usage.total, rel=0.05)
    assert fold.cost(recorded.trees["allocated"]) == pytest.approx(recorded.usage.total, abs=9)


@pytest.mark.process
def test_figures_are_the_same_with_and_without_stacks(
    record: Callable[..., Any], program: Callable[..., Path]
) -> None:
    without = record(program("pairs"), "200000", "1")
    recorded = record(program("pairs"), "200000", "1", stack_interval=INTERVAL)

    def figures(usage: Usage) -> Usage:
        return attrs.evolve(usage, timeline=(), processes=())

    assert without.trees == {}
    assert not any(event.kind == Kind.STACK for event in without.events)
    assert figures(recorded.usage) == figures(without.usage)
    assert recorded.dropped == 0


@pytest.mark.process
def test_a_program_that_runs_alike_is_sampled_alike(
    record: Callable[..., Any], program: Callable[..., Path]
) -> None:
    one, other = (record(program("sites"), "split", stack_interval=INTERVAL) for _ in range(2))

    def costs(recorded: Any) -> dict[tuple[str, ...], float]:
        tree = recorded.trees["allocated"]
        return {tuple(f.function for f in stack): cost for stack, cost in tree.stacks.items()}

    assert costs(one) == costs(other)


# --- Paths ----------------------------------------------------------------------------------------


@pytest.mark.process
@pytest.mark.parametrize("how", ["split", "child", "refused"])
def test_planted_shares_are_found(
    record: Callable[..., Any], program: Callable[..., Path], how: str
) -> None:
    recorded = record(program("sites"), how, stack_interval=INTERVAL)
    tree = recorded.trees["allocated"]

    assert recorded.status == 0
    assert shares(tree)["large"] == pytest.approx(70, abs=5)
    assert shares(tree)["small"] == pytest.approx(30, abs=5)
    assert {stack[-2:] for stack in names(tree)} == {("split", "large"), ("split", "small")}
    assert {stack[0] for stack in names(tree)} == {"_start"}


@pytest.mark.process
def test_of_a_deep_stack_only_what_is_new_is_recorded(
    record: Callable[..., Any], program: Callable[..., Path]
) -> None:
    recorded = record(program("sites"), "deep", stack_interval=INTERVAL)
    taken = [
        raw.stack(recorded.data, place)
        for place in raw.alone(recorded.data)
        if place.kind is Kind.STACK
    ]

    assert len(taken[0].stack) > 40_000
    assert sum(len(each.stack) for each in taken[1:]) < 4000 * len(taken)
    assert {stack.count("deep") for stack in names(recorded.trees["allocated"])} == {200}
    assert {stack[0] for stack in names(recorded.trees["allocated"])} == {"_start"}


@pytest.mark.process
def test_what_is_held_at_the_peak_and_what_is_leaked_have_trees_of_their_own(
    record: Callable[..., Any], program: Callable[..., Path]
) -> None:
    recorded = record(program("sites"), "views", stack_interval=4096)
    at_peak, leaked = shares(recorded.trees["peak"]), shares(recorded.trees["leaked"])

    assert shares(recorded.trees["allocated"]).keys() >= {"small", "holds", "leaks", "moves"}
    assert {"holds", "leaks"} < at_peak.keys()
    assert not {"small", "moves"} & at_peak.keys()
    assert at_peak["holds"] == pytest.approx(75, abs=6)
    assert leaked["leaks"] == 100
    assert fold.cost(recorded.trees["peak"]) == pytest.approx(recorded.usage.peak, abs=9)
    assert fold.cost(recorded.trees["leaked"]) == pytest.approx(recorded.usage.leaked, abs=9)


@pytest.mark.process
def test_a_list_of_code_may_be_longer_than_a_chunk(
    record: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of 1 KB, where a stack is cut."""
    defaults = {**(ring.Ring.__init__.__kwdefaults__ or {}), "chunk_bytes": 1024}
    monkeypatch.setattr(ring.Ring.__init__, "__kwdefaults__", defaults)
    script = "import ctypes, decimal; [bytes(9000) for _ in range(100)]"
    recorded = record(sys.executable, "-c", script, stack_interval=INTERVAL)
    of_code = _code(recorded.data)
    last = [set(note.text.splitlines()) for note in of_code[-2:]]
    every = [line for note in of_code for line in note.text.splitlines()]

    assert "[vsyscall]" not in of_code[-2].text, "the list ends with it"
    assert not last[0] & last[1], "the second goes on where the first ends"
    assert all(line.split()[1][2] == "x" for line in every)
    for name in ("/libc.so", "/_ctypes", "/_decimal", "[vdso]"):
        assert any(name in line for line in last[0] | last[1])


def _code(data: bytes) -> list[raw.Note]:
    return [raw.note(data, place) for place in raw.alone(data) if place.kind is Kind.CODE]


@pytest.mark.process
def test_code_that_is_loaded_later_is_named(
    record: Callable[..., Any], program: Callable[..., Path]
) -> None:
    library = program("late", "-shared", "-fPIC")
    recorded = record(program("sites"), "library", library, stack_interval=INTERVAL)

    assert recorded.status == 0
    assert shares(recorded.trees["allocated"])["late"] == pytest.approx(50, abs=5)


def _python(version: str) -> Path:
    """A Python of this version, pyenv's included."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    public = Path(f"/usr/bin/python{version}")
    found = [*versions.glob(f"{version}.*/bin/python{version}"), public]
    if not found[0].exists():
        pytest.skip(f"no Python {version}")
    return found[0]


_SCRIPT = """
def large():
    return [bytes(7000) for _ in range(4000)]

def small():
    return [bytes(3000) for _ in range(4000)]

def both():
    large()
    small()

both()
"""


@pytest.mark.process
@pytest.mark.tool
@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_functions_of_python_are_named(record: Callable[..., Any], version: str) -> None:
    env = {"PYTHONMALLOC": "malloc", "PYTHONPERFSUPPORT": "1", "PYTHONHASHSEED": "0"}
    recorded = record(_python(version), "-c", _SCRIPT, env=env, stack_interval=INTERVAL)
    found = shares(recorded.trees["allocated"])

    assert found["large"] / found["both"] == pytest.approx(0.7, abs=0.05)
    assert found["large"] + found["small"] == pytest.approx(found["both"], abs=1)
    assert any(
        frame.function == "large" and frame.kind == "python"
        for stack in recorded.trees["allocated"].stacks
        for frame in stack
    )


# --- Windows --------------------------------------------------------------------------------------


def test_windows_of_one_benchmark_are_added_up_and_the_highest_peak_counts() -> None:
    def window(uri: str | None, peak: int) -> Measured:
        return Measured(uri, 0, 1, Usage(peak=peak))

    windows = {1: window("a", 5), 2: window("a", 9), 3: window(None, 99), 4: window("b", 1)}
    found: Any = {
        number: {view: {f"chain {number}": 10.0, "same": 1.0} for view in stacks.VIEWS}
        for number in windows
    }

    leaked: Any = stacks._by_uri(found, windows, "leaked")
    at_peak: Any = stacks._by_uri(found, windows, "peak")

    assert leaked["a"] == {"chain 1": 10, "chain 2": 10, "same": 2}
    assert at_peak["a"] == {"chain 2": 10, "same": 1}
    assert stacks._by_uri(found, windows, "allocated").keys() == {"a", "b"}


def test_fates_follow_from_when_a_block_came_and_went() -> None:
    assert fate(3, 0, 3, is_freed=False) == Fate(at_peak=True, is_leaked=True)
    assert fate(3, 4, 3, is_freed=True) == Fate(at_peak=True, is_leaked=False)
    assert fate(3, 5, 5, is_freed=True) == Fate(at_peak=False, is_leaked=False)
    assert fate(4, 0, 3, is_freed=False) == Fate(at_peak=False, is_leaked=True)
    assert fate(0, 0, 3, is_freed=False) == Fate(at_peak=False, is_leaked=False)
