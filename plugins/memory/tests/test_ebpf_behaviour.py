"""Uprobes see what the shim sees: the same behaviours, edges and figures, in every form."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codspeed.errors import ToolError
from codspeed_memory import compiled
from codspeed_memory.raw import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

# To remove the probes of perf events takes a second and more, so they are shown less often.
FORMS = ["session", "multi"]
ALL_FORMS = [*FORMS, "perf"]
SIZE = 4242  # SIZE of programs/edges.c
FREE = ("FREE", 0)


def sized(kind: str, *sizes: int) -> list[tuple[str, int]]:
    return [(kind, size) for size in sizes]


# spec/executors.md 4.7
BEHAVIOURS = {
    "malloc_free": [*sized("MALLOC", 512), FREE],
    "double_malloc": [*sized("MALLOC", 1024, 2048), FREE, FREE],
    "calloc_test": [*sized("CALLOC", 1000), FREE],
    "realloc_test": [*sized("MALLOC", 100), *sized("REALLOC", 200), FREE],
    "aligned_alloc_test": [*sized("ALIGNED", 512), FREE],
    "posix_memalign_test": [*sized("ALIGNED", 768), FREE],
    "posix_memalign_einval": [*sized("MALLOC", 512), FREE],
    "many_allocs": [*sized("MALLOC", 800), *sized("MALLOC", 64) * 100, *[FREE] * 101],
    "alloc_size": [*sized("MALLOC", 1024, 2048, 512, 4096), *[FREE] * 4],
    "fork_test": [*sized("MALLOC", 256, 512), FREE, FREE],
}


def by_program(recorded: Any) -> list[list[tuple[str, int]]]:
    """Return the events of each program that was started, in the order of their starts.

    Children that fork without an exec belong to the program that forked them.
    """
    programs: list[list[tuple[str, int]]] = []
    started: dict[int, int] = {}
    for event in recorded.events:
        if event.kind == Kind.ATTACH:
            started[event.pid] = len(programs)
            programs.append([])
        elif event.kind < Kind.REALLOC_BEGIN:
            of = started.get(event.pid, len(programs) - 1)
            programs[of].append((Kind(event.kind).name, event.size))
    return programs


@pytest.mark.parametrize("link", ["", "-static"])
@pytest.mark.parametrize("form", ALL_FORMS)
def test_exactly_these_events(
    probe: Callable[..., Any], program: Callable[..., Any], form: str, link: str
) -> None:
    """In a static program, behind what glibc itself allocates before main."""
    binary = program("behaviours", *filter(None, [link]))
    script = f"{binary}; for name in {' '.join(BEHAVIOURS)}; do {binary} $name || exit; done"

    recorded = probe("sh", "-c", script, form=form)

    _shell, start, *seen = by_program(recorded)
    assert (recorded.status, recorded.dropped, recorded.gaps) == (0, 0, ())
    assert bool(start) == bool(link)
    assert seen == [start + events for events in BEHAVIOURS.values()]


# --- Edges ---


EDGES = {
    "vfork": (0, 2),
    "spawn": (0, 2),
    "raw_clone": (0, 2),
    "bare_fork": (0, 2),
    "self_exec": (0, 31),
    "abort": (128 + signal.SIGABRT, 1),
    "kill": (128 + signal.SIGKILL, 1),
    "_exit": (0, 1),
    "short_threads": (0, 6000),
    "thread_exec": (0, 3),
    "first_thread_leaves": (0, 2),
    "errno": (0, 5000),
    "many_forks": (0, 200 * 100 + 66),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_allocation_is_seen_once(
    probe: Callable[..., Any], program: Callable[..., Any], form: str
) -> None:
    binary = program("edges")
    script = f"for name in {' '.join(EDGES)}; do {binary} $name; echo $?; done 2>/dev/null"

    recorded = probe("sh", "-c", script, form=form)

    statuses, pairs = zip(*EDGES.values(), strict=True)
    assert (recorded.dropped, recorded.gaps) == (0, ())
    assert recorded.output.split() == [str(status) for status in statuses]
    assert recorded.blocks_of(SIZE) == {"allocations": sum(pairs), "frees": sum(pairs)}


@pytest.mark.parametrize("form", FORMS)
def test_realloc_in_all_its_forms(
    probe: Callable[..., Any], program: Callable[..., Any], form: str
) -> None:
    """What it calls inside, a malloc or a free, is no event of its own."""
    recorded = probe(program("edges"), "realloc", form=form)

    assert recorded.status == 0
    assert [Kind(event.kind).name for event in recorded.events] == [
        "ATTACH",
        "REALLOC",  # of nothing
        *("REALLOC_BEGIN", "REALLOC_FAILED"),
        *("MALLOC", "REALLOC_BEGIN", "REALLOC", "FREE"),
        *("REALLOC_BEGIN", "REALLOC_FAILED"),  # to nothing: a free
        "DETACH",
    ]
    assert (recorded.usage.allocations, recorded.usage.frees, recorded.usage.leaked) == (3, 3, 0)


# --- The same figures as the shim's ---


@pytest.mark.parametrize("form", ALL_FORMS)
def test_figures_equal_the_shims(
    probe: Callable[..., Any], record: Callable[..., Any], program: Callable[..., Any], form: str
) -> None:
    command = (program("pairs"), "200000")

    probed, shimmed = probe(*command, form=form).usage, record(*command).usage

    names = ("allocations", "frees", "total", "peak", "leaked", "live_at_end", "unknown_frees")
    figures = {name: getattr(probed, name) for name in names}
    assert figures == {name: getattr(shimmed, name) for name in names}
    assert (probed.histogram, probed.process_count) == (shimmed.histogram, shimmed.process_count)


@pytest.mark.parametrize("command", [("pairs", "200000", "4"), ("edges", "many_forks")])
def test_figures_of_threads_and_forks_equal_the_shims(
    probe: Callable[..., Any],
    record: Callable[..., Any],
    program: Callable[..., Any],
    command: tuple[str, ...],
) -> None:
    """The shim has a thread-local variable, which makes each thread's table of them 16 B larger."""
    binary, *words = command

    probed, shimmed = (run(program(binary), *words).usage for run in (probe, record))

    names = ("allocations", "frees", "leaked_blocks", "unknown_frees", "process_count")
    figures = {name: getattr(probed, name) for name in names}
    assert figures == {name: getattr(shimmed, name) for name in names}
    assert shimmed.total - probed.total == (4 * 16 if binary == "pairs" else 0)


# --- Allocators that the shim never meets ---


@pytest.mark.parametrize(
    ("library", "form"),
    [
        *((name, "session") for name in ("", "-static", "libtcmalloc_minimal.a", "libmimalloc.so")),
        *(("libjemalloc.a", form) for form in FORMS),
    ],
)
def test_cpp_operators_are_one_event_each(
    probe: Callable[..., Any], operators: Callable[[str], Path], library: str, form: str
) -> None:
    recorded = probe(operators(library), form=form)

    events = [(Kind(e.kind).name, e.size) for e in recorded.events if e.kind <= Kind.ALIGNED]
    marks = [index for index, event in enumerate(events) if event == ("MALLOC", 0xC0D59EED)]
    assert (recorded.status, recorded.gaps) == (0, ())
    assert events[marks[0] + 2 : marks[1]] == [
        *sized("MALLOC", 44444),
        FREE,
        *sized("MALLOC", 8),
        FREE,
        *sized("MALLOC", 88888),
        *sized("ALIGNED", 32768),
        FREE,
        *sized("ALIGNED", 16384),
        FREE,
    ]


@pytest.fixture
def operators(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that links programs/operators.cpp with an allocator."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler: apt-get install g++")

    def make(library: str) -> Path:
        source = Path(__file__).parent / "programs" / "operators.cpp"
        words = [library] if library.startswith("-") else [f"-l:{library}"] * bool(library)
        command = [compiler, "-O1", str(source), "-o", str(tmp_path / "operators"), *words]
        done = subprocess.run([*command, "-pthread"], capture_output=True, text=True, check=False)
        if "cannot find" in done.stderr:
            pytest.skip(f"no {library}: apt-get install libjemalloc-dev libgoogle-perftools-dev")
        assert done.returncode == 0, done.stderr
        return tmp_path / "operators"

    return make


def test_allocators_that_two_threads_load_at_once_are_seen_from_the_first_call(
    probe: Callable[..., Any], program: Callable[..., Any]
) -> None:
    flags = ("-shared", "-fPIC")
    libraries = [program("bump", *flags, f"-DFAMILY(x)={prefix}##x") for prefix in ("mi_", "je_")]

    recorded = probe(program("loads"), *libraries)

    sizes = Counter(event.size for event in recorded.events if event.kind == Kind.MALLOC)
    assert (recorded.status, recorded.gaps) == (0, ())
    assert (sizes[4242], sizes[4243]) == (100, 100)


def test_a_program_in_the_place_of_another_is_looked_at_anew(
    probe: Callable[..., Any], program: Callable[..., Any], tmp_path: Path
) -> None:
    """File systems give the number of a file that was removed to the next one."""
    static = program("behaviours", "-static")
    place = tmp_path / "place"
    turn = f"cp /bin/true {place}; {place}; rm {place}; cp {static} {place}; {place} calloc_test"

    recorded = probe("sh", "-c", f"for turn in 1 2 3 4 5; do {turn}; rm {place}; done")

    found = [event for event in recorded.events if event.kind == Kind.CALLOC and event.size == 1000]
    assert len(found) == 5


def test_generated_code_in_a_file_is_no_program(
    probe: Callable[..., Any], program: Callable[..., Any]
) -> None:
    recorded = probe(program("generated"))

    assert (recorded.status, recorded.gaps) == (0, ())
    assert (recorded.usage.allocations, recorded.usage.frees) == (1, 1)


def test_a_static_program_without_symbols_is_named(
    probe: Callable[..., Any], program: Callable[..., Any]
) -> None:
    stripped = program("behaviours", "-static", "-s")

    recorded = probe("sh", "-c", f"{stripped} malloc_free")

    assert recorded.status == 0
    (gap,) = recorded.gaps
    assert gap.startswith(f"allocations of {stripped} are not counted: ")
    assert "no symbols" in gap


def test_nothing_has_to_be_compiled(
    probe: Callable[..., Any], program: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        problem = "no C compiler is on PATH"
        raise ToolError(problem)

    monkeypatch.setattr(compiled, "helper", refuse)

    recorded = probe(program("behaviours"), "many_allocs")

    assert (recorded.usage.allocations, recorded.usage.frees) == (101, 101)
    assert recorded.usage.peak == 800 + 100 * 64
