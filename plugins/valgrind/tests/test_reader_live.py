"""The reader on what a real Valgrind writes."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from codspeed.model import Launch, RunPart
from codspeed_native import fold, perf_map
from codspeed_valgrind import results
from codspeed_valgrind.reader import body as bodies
from codspeed_valgrind.reader import tree as trees
from codspeed_valgrind.reader.totals import PartKind, scan

if TYPE_CHECKING:
    from pathlib import Path

# The parts of the tool that these tests need are missing where it is not installed.
pytestmark = [pytest.mark.tool, pytest.mark.usefixtures("no_uprobes"), pytest.mark.timeout(120)]

# Who called what: edges alone can't tell, since both ways go through `backup`.
SOURCE: Final = r"""
#include <stdlib.h>
#include <string.h>
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_STOP_INSTRUMENTATION
#define CALLGRIND_DUMP_STATS_AT(x)
#endif
#define KEEP __attribute__((noinline, noclone))
volatile long sink;
KEEP void reading(void) { for (int i = 0; i < 3000; i++) sink += i; }
KEEP void writing(void) { for (int i = 0; i < 1000; i++) sink += i; }
KEEP void backup(int is_read) { if (is_read) reading(); else writing(); sink++; }
KEEP void start(void) { backup(1); sink++; }
KEEP void end(void) { backup(0); sink++; }
KEEP int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
KEEP void __codspeed_root_frame__way(void) { start(); end(); sink++; }
KEEP void __codspeed_root_frame__heap(void) {
  for (int i = 1; i < 40; i++) {
    char *volatile p = malloc(i * 100);
    memset(p, i, i * 100);
    free(p);
  }
  sink += fib(9);
}
static void measure(void (*work)(void)) {
  CALLGRIND_START_INSTRUMENTATION;
  CALLGRIND_ZERO_STATS;
  work();
  CALLGRIND_STOP_INSTRUMENTATION;
}
int main(void) {
  measure(__codspeed_root_frame__way);
  CALLGRIND_DUMP_STATS_AT("live.c::way");
  measure(__codspeed_root_frame__heap);
  CALLGRIND_DUMP_STATS_AT("live.c::heap");
  return 0;
}
"""
CHAINS: Final = ("--separate-callers=100", "--compress-strings=yes")
WAYS: Final = {
    "references": (*CHAINS, "--compress-mangled=yes", "--combine-dumps=yes"),
    "names": (*CHAINS, "--compress-mangled=no", "--combine-dumps=yes"),
    "edges": ("--compress-strings=no", "--combine-dumps=yes"),
    "files": (*CHAINS, "--compress-mangled=yes", "--combine-dumps=no"),
    "instructions": (*CHAINS, "--compress-mangled=yes", "--combine-dumps=yes", "--dump-instr=yes"),
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for tool in ("valgrind", "gcc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    folder = tmp_path_factory.mktemp("live")
    (folder / "live.c").write_text(SOURCE)
    subprocess.run(["gcc", "-g", "-O1", "live.c", "-o", "live"], cwd=folder, check=True)
    return folder / "live"


@pytest.fixture(scope="module")
def recorded(program: Path) -> dict[str, RunPart]:
    """The program run once in every way, each in a folder of its own."""
    parts = {}
    for way, options in WAYS.items():
        folder = program.parent / way
        folder.mkdir()
        command = [
            "valgrind",
            "-q",
            "--tool=callgrind",
            "--instr-atstart=no",
            "--cache-sim=yes",
            "--collect-systime=nsec",
            f"--callgrind-out-file={folder}/%p.out",
            f"--log-file={folder}/%p.log",
            *options,
            str(program),
        ]
        subprocess.run(command, check=True)
        parts[way] = RunPart(0, "valgrind", "simulation", way, Launch(("x",)), folder)
    if not results.read_results(parts["files"]):
        pytest.skip("valgrind's header callgrind.h is not installed")
    return parts


def _counters(part: RunPart) -> dict[str, dict[str, float]]:
    return {
        result.uri: {
            metric.name: metric.value
            for metric in result.metrics
            if metric.name not in {"sys_time", "sys_cpu_time"}
        }
        for result in results.read_results(part)
    }


@pytest.mark.parametrize("way", WAYS)
def test_self_costs_add_up_to_the_totals_of_every_part(
    recorded: dict[str, RunPart], way: str
) -> None:
    checked = 0
    for path in recorded[way].folder.glob("*.out*"):
        data = path.read_bytes()
        for part in scan(data, where=path.name):
            body = bodies.read(data, part, where=path.name)
            shown = trees.call_tree(body, perf_map.PerfMap())
            assert sum(body.costs.values()) == part.costs["Ir"] == fold.cost(shown)
            checked += part.kind is PartKind.BENCHMARK

    assert checked == 2


def test_the_options_that_name_callers_change_no_counter(recorded: dict[str, RunPart]) -> None:
    counters = {way: _counters(part) for way, part in recorded.items()}

    assert set(counters["edges"]) == {"live.c::way", "live.c::heap"}
    assert all(found == counters["edges"] for found in counters.values())


@pytest.mark.parametrize("way", sorted(set(WAYS) - {"edges"}))
def test_no_stack_is_shown_that_never_was(recorded: dict[str, RunPart], way: str) -> None:
    tree = results.call_tree(recorded[way], "live.c::way")

    assert tree is not None
    shown = {
        ";".join(frame.function for frame in stack): cost for stack, cost in tree.stacks.items()
    }
    root = "__codspeed_root_frame__"
    inside = {names for names in shown if names.startswith(root)}
    assert inside == {
        root,
        f"{root};start",
        f"{root};start;backup",
        f"{root};start;backup;reading",
        f"{root};end",
        f"{root};end;backup",
        f"{root};end;backup;writing",
    }
    assert shown[f"{root};start;backup;reading"] > 2 * shown[f"{root};end;backup;writing"]


def test_recursion_and_allocators_of_a_real_program(recorded: dict[str, RunPart]) -> None:
    tree = results.call_tree(recorded["references"], "live.c::heap")
    counters = _counters(recorded["references"])["live.c::heap"]

    assert tree is not None
    rows = {row.frame.function: row for row in fold.table(tree)}
    assert rows["fib"].self_cost == rows["fib"].total_cost > 500
    assert rows["malloc"].frame.module.endswith("libc.so.6")
    own = sum(row.self_cost for name, row in rows.items() if "malloc" in name or "free" in name)
    assert counters["ir"] - counters["ir_no_alloc"] >= own > 0


def test_edges_are_shown_as_functions_without_callers(recorded: dict[str, RunPart]) -> None:
    tree = results.call_tree(recorded["edges"], "live.c::way")

    assert tree is not None
    assert {stack[0].function for stack in tree.stacks} == {"[callers not recorded]"}
    assert {len(stack) for stack in tree.stacks} == {2}
    assert {"reading", "writing"} <= {stack[1].function for stack in tree.stacks}
