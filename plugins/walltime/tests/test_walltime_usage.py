"""What the benchmark's processes used: out of made-up readings, and as a real command leaves it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from codspeed.launch.processes import TICK_NS, Reading
from codspeed.model import Window
from codspeed.testing import make_part, session
from codspeed.testing.sample import Script, Step
from codspeed_walltime import usage
from codspeed_walltime.descriptor import descriptor as walltime
from codspeed_walltime.rounds import Reading as CpuReading
from codspeed_walltime.usage import USAGE, Seen, Usage, Watch, WindowUsage, summed

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /proc")

S = 1_000_000_000
WINDOW = Window("a", (7,), 100, 100 + S, rounds=((100, 100 + S),))


def seen(**changes: Any) -> Seen:
    """Return a window of one second in which process 7 used half of it, and 6 nothing."""
    before = Reading({6: 50, 7: 1_000}, {6: 0, 7: 0}, {"6": (0, 0), "7": (10, 1)})
    after = Reading({6: 50, 7: 1_000 + S // 2}, {6: 0, 7: 0}, {"6": (0, 0), "7": (20, 4)})
    return attrs.evolve(Seen(90, before, 100 + S, after), **changes)


def test_a_window_has_the_sums_of_its_processes() -> None:
    found = summed([WINDOW], [seen()])["a"]

    assert attrs.evolve(found, rounds=None) == WindowUsage(S, S // 2, 10, 3)
    assert found.rounds is not None
    assert found.rounds.share == pytest.approx(0.5)


def test_the_latest_window_of_a_benchmark_counts() -> None:
    later = attrs.evolve(WINDOW, start=2 * S, end=3 * S, rounds=())
    windows = [seen(), seen(start_ns=2 * S - 1, end_ns=3 * S - 1)]
    found = summed([WINDOW, later], windows)["a"]

    assert found.rounds is None


def test_of_an_earlier_window_nothing_is_kept() -> None:
    later = attrs.evolve(WINDOW, start=2 * S, end=3 * S)
    lost = seen(start_ns=2 * S - 1, end_ns=3 * S - 1, is_whole=False)

    assert summed([WINDOW, later], [seen(), lost]) == {}


@pytest.mark.parametrize(
    "windows",
    [
        pytest.param([], id="none was seen"),
        pytest.param([seen(start_ns=200)], id="it began later"),
        pytest.param([seen(end_ns=2 * S)], id="it ended later"),
        pytest.param([seen(is_whole=False)], id="a process was not followed"),
        pytest.param([seen(after=Reading({}, {}, {}))], id="all are gone"),
    ],
)
def test_what_was_not_seen_has_no_numbers(windows: list[Seen]) -> None:
    assert summed([WINDOW], windows) == {}


def test_a_window_without_a_name_has_no_numbers() -> None:
    assert summed([attrs.evolve(WINDOW, uri=None)], [seen()]) == {}


def test_cpu_time_of_processes_that_began_in_the_window_counts() -> None:
    assert summed([WINDOW], [seen(born_ns=5)])["a"].cpu_ns == S // 2 + 5


def test_ticks_that_are_more_than_five_percent_leave_cpu_time_unknown() -> None:
    ended = Reading({7: 1_000 + 10 * TICK_NS}, {7: TICK_NS}, {"7": (20, 4)})
    found = summed([WINDOW], [seen(before=Reading({7: 1_000}, {7: 0}, {}), after=ended)])["a"]

    assert (found.cpu_ns, found.rounds, found.queue_ns) == (None, None, 20)


def alternating() -> Seen:
    """Return a window of four rounds of 0.2 s, each of half a CPU, with both markers behind it."""
    markers = []
    for number in range(1, 5):
        for late in (1, 2):
            moment = 100 + number * S // 5 + late
            markers.append((7, CpuReading(moment, 1_000 + number * S // 10)))
    return seen(markers=markers)


ROUNDS = tuple((102 + number * S // 5, 100 + (number + 1) * S // 5) for number in range(4))


def test_rounds_are_read_at_their_markers() -> None:
    found = summed([attrs.evolve(WINDOW, rounds=ROUNDS)], [alternating()])["a"]

    assert found.rounds is not None
    assert (found.rounds.count, found.rounds.is_each) == (4, True)
    assert found.rounds.median_ns == pytest.approx(S / 10)


def test_if_another_process_does_part_of_the_work_rounds_are_not_read_one_by_one() -> None:
    busy = alternating()
    assert busy.after is not None
    busy.after.cpu[6] += S // 10
    found = summed([attrs.evolve(WINDOW, rounds=ROUNDS)], [busy])["a"]

    assert found.cpu_ns == S // 2 + S // 10
    assert found.rounds is None  # they are four fifths of the window


def test_markers_of_several_processes_are_not_taken_for_one() -> None:
    mixed = alternating()
    mixed.markers[0] = (6, mixed.markers[0][1])
    found = summed([attrs.evolve(WINDOW, rounds=ROUNDS)], [mixed])["a"]

    assert found.rounds is None


# --- The file -------------------------------------------------------------------------------------


def test_the_file_is_read_back(tmp_path: Path) -> None:
    written = Usage(notes=("x",), windows=summed([WINDOW], [seen()]))
    (tmp_path / USAGE).write_bytes(usage.dump(written))

    assert usage.read(tmp_path) == written


def test_without_the_file_nothing_was_used(tmp_path: Path) -> None:
    assert usage.read(tmp_path) == Usage()


@pytest.mark.parametrize("text", ["", '{"windows": 3}', '{"version": 2}'])
def test_a_file_that_is_not_understood_is_a_note_and_no_error(tmp_path: Path, text: str) -> None:
    (tmp_path / USAGE).write_text(text)
    found = usage.read(tmp_path)

    assert dict(found.windows) == {}
    assert [note.partition(":")[0] for note in found.notes] == ["CPU time is not known"]


# --- Real processes -------------------------------------------------------------------------------


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.mark.process
def test_a_process_that_begins_in_a_window_counts_with_what_it_used(watch: Watch) -> None:
    watch.spawned(os.getpid())
    watch.started()
    began = time.monotonic_ns()
    with subprocess.Popen(["sleep", "60"]) as child:
        while ") S " not in Path(f"/proc/{child.pid}/stat").read_text():
            time.sleep(0.001)  # what runs right now is not counted yet
        watch.stopped()
        watch.named(os.getpid())
        child.kill()
    watch.close()
    (window,) = watch.windows

    assert window.start_ns <= began <= window.end_ns
    assert window.born_ns > 0
    assert window.is_whole


@pytest.mark.process
def test_a_window_that_somebody_else_names_has_no_numbers(watch: Watch) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        watch.spawned(child.pid)
        watch.started()
        watch.stopped()
        watch.named(os.getppid())  # lives, and is none of the command's
        child.kill()
    watch.close()

    assert not watch.windows[0].is_whole


@pytest.mark.process
def test_a_tool_that_starts_the_command_is_not_counted(watch: Watch) -> None:
    words = ["sh", "-c", "sleep 60 >&2 & echo $!; wait"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as tool:
        assert tool.stdout is not None, "asked for"
        command = int(tool.stdout.readline())
        watch.spawned(tool.pid, is_tool=True)
        watch.refresh()
        watch.started()
        watch.stopped()
        os.kill(command, signal.SIGKILL)
    watch.close()

    assert set(watch.windows[0].before.cpu) == {command}


@pytest.mark.process
def test_a_process_that_is_found_in_a_window_began_there_or_nothing_is_known(watch: Watch) -> None:
    watch.spawned(os.getpid())
    with subprocess.Popen(["sleep", "60"]) as old:
        time.sleep(2 * TICK_NS / S)  # the kernel tells beginnings in ticks
        watch.started()
        watch.refresh()
        watch.stopped()
        old.kill()
    watch.started()
    with subprocess.Popen(["sleep", "60"]) as fresh:
        watch.refresh()
        watch.stopped()
        fresh.kill()
    watch.close()

    assert [each.is_whole for each in watch.windows] == [False, True]


@pytest.mark.process
def test_of_a_crowd_nothing_is_said(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "_MOST_PROCESSES", 1)
    watch.spawned(os.getpid())
    with subprocess.Popen(["sleep", "60"]) as child:
        watch.refresh()
        watch.started()
        watch.stopped()
        child.kill()
    watch.started()
    watch.stopped()
    watch.named(os.getpid())
    watch.close()

    assert [each.is_whole for each in watch.windows] == [False, False]


@pytest.mark.process
def test_markers_are_read_while_a_window_is_open(watch: Watch) -> None:
    watch.spawned(os.getpid())
    watch.marker(os.getpid())
    watch.started()
    watch.marker(os.getpid())
    watch.stopped()
    watch.marker(os.getpid())
    watch.close()

    assert [pid for pid, _reading in watch.windows[0].markers] == [os.getpid()]


@pytest.fixture
def measured(tmp_path: Path) -> Callable[..., Path]:
    """Measure one window of a command, or of a harness, with the product's session."""

    def measure(*, harnessed: bool = False) -> Path:
        script = Script(steps=(Step("a"), Step("b")))
        part = make_part(tmp_path / "profile", script.argv, harnessed=harnessed, mode="walltime")
        executor = walltime.load()(walltime.options(walltime_profiler="none"))
        executor.measure(part, session(part, executor))
        return part.folder

    return measure


@pytest.mark.process
def test_a_command_leaves_what_each_window_used(measured: Callable[..., Path]) -> None:
    windows = usage.read(measured()).windows

    assert sorted(windows) == ["a", "b"]
    assert [each.cpu_ns is not None and each.cpu_ns > 0 for each in windows.values()] == [True] * 2


@pytest.mark.process
def test_a_harness_reads_its_rounds_itself(measured: Callable[..., Path]) -> None:
    assert not (measured(harnessed=True) / USAGE).exists()
