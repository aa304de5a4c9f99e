"""Whole runs with fake plugins: what was measured is kept, and the exit code tells the rest."""

from __future__ import annotations

import contextlib
import decimal
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from codspeed import bundle, orchestrate
from codspeed.environment import read_system
from codspeed.errors import (
    BundleError,
    CodspeedError,
    PluginCrashError,
    PluginError,
    ToolError,
    UnsupportedError,
    UploadError,
    UsageError,
)
from codspeed.hooks.paths import CTL_FIFO
from codspeed.model import (
    BenchmarkResult,
    Compat,
    Entrypoint,
    ExecTarget,
    Launch,
    MarkerKind,
    Metric,
    Outcome,
    Rounds,
    RunContext,
    RunPart,
    RunReport,
    RunRequest,
    Sharing,
    Support,
    System,
    Tool,
    option,
    option_specs,
)
from codspeed.orchestrate.part import _Chain
from codspeed.protocols import (
    ExecutorDefaults,
    ExecutorDescriptor,
    HarnessDescriptor,
    Hooks,
    InstrumentDefaults,
    InstrumentDescriptor,
    Receipt,
    Session,
    Target,
    UploaderDefaults,
    UploaderDescriptor,
)
from codspeed.registry import Plugin, PluginState
from codspeed.testing import FakeReporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from codspeed.model import Bundle, OptionSpec
    from codspeed.protocols import Descriptor

pytestmark = pytest.mark.process

SECRET = "s3cr3t-t0ken"
GROUPS = {
    ExecutorDescriptor: "codspeed.executors",
    InstrumentDescriptor: "codspeed.instruments",
    UploaderDescriptor: "codspeed.uploaders",
    HarnessDescriptor: "codspeed.harnesses",
}


# --- Fakes ----------------------------------------------------------------------------------------


class FakeRegistry:
    """The part of `Registry` that runs use, with the given descriptors."""

    def __init__(self, *descriptors: Descriptor) -> None:
        self._plugins = [
            Plugin(
                each.name,
                GROUPS[type(each)],
                f"dist-{each.name}",
                "1",
                1,
                PluginState.OK,
                descriptor=each,
            )
            for each in descriptors
        ]

    def get(self, group: str, name: str) -> Plugin:
        for plugin in self.plugins(group):
            if plugin.name == name:
                return plugin
        problem = f"no {name} in {group}"
        raise PluginError(problem)

    def plugins(self, group: str) -> list[Plugin]:
        return [plugin for plugin in self._plugins if plugin.group == group]

    def options(self) -> dict[str, tuple[OptionSpec, Any, Plugin]]:
        return {
            name: (spec, default, plugin)
            for plugin in self._plugins
            for name, (spec, default) in option_specs(plugin.descriptor.options).items()
        }


class Lines(ExecutorDefaults):
    """Each line of the file `uris` in the profile folder is a benchmark."""

    def measure(self, part: RunPart, session: Session) -> Outcome:
        return session.run(part.launch)

    def results(self, part: RunPart) -> Sequence[BenchmarkResult]:
        path = part.folder / "uris"
        uris = path.read_text().split() if path.exists() else []
        return [BenchmarkResult(uri, uri, (Metric("n", float(len(uri)), "count"),)) for uri in uris]


class NoLight:
    """Stands for an executor that can't even be made."""

    def __init__(self, _options: Any) -> None:
        raise ZeroDivisionError


def executor(name: str = "lines", kind: type = Lines, **fields: Any) -> ExecutorDescriptor:
    return ExecutorDescriptor(name=name, label=name, mode=name, load=lambda: kind, **fields)


def broken(**members: Any) -> type[Lines]:
    """Return an executor with some members replaced."""
    return type("Broken", (Lines,), members)


def crash(*_anything: Any) -> Any:
    raise ZeroDivisionError


class Watcher(InstrumentDefaults):
    """Remembers what it is told, in one list for all instruments of a test."""

    events: list[str]
    name = "watcher"
    fails = ""

    def environment(self, _part: RunPart) -> Mapping[str, str]:
        return {"WATCHED": self.name}

    @contextlib.contextmanager
    def run(self, _part: RunPart) -> Iterator[Hooks]:
        self.seen = 0
        self.events.append(f"{self.name} on")
        if self.fails == "run":
            raise ZeroDivisionError
        try:
            yield Hooks()
            self.seen = 7
        finally:
            self.events.append(f"{self.name} off")
            if self.fails == "stop":
                raise ZeroDivisionError

    def annotate(
        self, _part: RunPart, _outcome: Outcome, results: Sequence[BenchmarkResult]
    ) -> Sequence[BenchmarkResult]:
        if self.fails == "annotate":
            raise ZeroDivisionError
        return [attrs.evolve(result, notes=(f"{self.name} saw {self.seen}",)) for result in results]


def instrument(
    events: list[str], name: str, fails: str = "", **fields: Any
) -> InstrumentDescriptor:
    kind = type(name, (Watcher,), {"events": events, "name": name, "fails": fails})
    return InstrumentDescriptor(name=name, label=name, load=lambda: kind, **fields)


class Taker(UploaderDefaults):
    taken: list[Bundle]

    def upload(self, kept: Bundle) -> Receipt:
        self.taken.append(kept)
        return Receipt("took it", "fake://it")


def uploader(
    name: str, *, wanted: str | None = "it is a test", **members: Any
) -> UploaderDescriptor:
    compat = members.pop("compat", None)
    kind = type(name, (Taker,), {"taken": [], **members})
    return UploaderDescriptor(
        name=name, label=name, load=lambda: kind, wanted=lambda *_: wanted, compat=compat
    )


def taken_by(descriptor: UploaderDescriptor) -> list[Bundle]:
    taken: list[Bundle] = descriptor.load().taken
    return taken


@attrs.frozen
class Bounds:
    max_rounds: int = option(3)


class Harness:
    """Runs all targets one after the other with a shell."""

    def target(self, launch: Launch, name: str | None, bounds: Bounds) -> Target:
        name = name or launch.argv[0]
        return Target(name, f"harness::{name}", launch, bounds)

    def command(self, targets: Sequence[Target], _rounds: object) -> Launch:
        lines = [f"{target.launch.argv[-1]} # {target.bounds.max_rounds}" for target in targets]
        return Launch(("sh", "-c", "\n".join(lines)))


harness = HarnessDescriptor(
    name="exec-harness", label="harness", load=lambda: Harness, options=Bounds
)

# --- Running --------------------------------------------------------------------------------------


def says(*uris: str, then: str = "true") -> Entrypoint:
    """Return a command that leaves these benchmarks."""
    lines = [f"echo {uri} >>$CODSPEED_PROFILE_FOLDER/uris" for uri in uris]
    return Entrypoint("; ".join([*lines, then]))


@attrs.define
class World:
    """Everything around a run, in a folder of its own."""

    folder: Path
    env: dict[str, str]
    reporter: FakeReporter

    @property
    def system(self) -> System:
        return attrs.evolve(read_system(self.env), temp=self.folder / "temp", env=self.env)

    @property
    def bundles(self) -> Path:
        return self.folder / "bundles"

    @property
    def context(self) -> RunContext:
        return RunContext("local", "owner/name", "name-123", self.folder)

    def run(
        self, *entrypoints: Entrypoint, plugins: Sequence[Any] = (), **request: Any
    ) -> RunReport:
        descriptors = plugins or (executor(),)
        names = tuple(each.name for each in descriptors if isinstance(each, ExecutorDescriptor))
        fields: dict[str, Any] = {
            "executors": names,
            "bundle_dir": self.bundles,
            "lock_timeout": 0.0,
        }
        fields |= request
        return orchestrate.run(
            RunRequest(entrypoints=entrypoints, **fields),
            registry=FakeRegistry(*descriptors),  # type: ignore[arg-type]  # a fake, or a value of the wrong type: the point
            system=self.system,
            context=self.context,
            reporter=self.reporter,
        )

    def slugs(self) -> list[str]:
        return [error.slug for error in self.reporter.told("error")]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "temp").mkdir()
    yield World(tmp_path, dict(os.environ), FakeReporter())
    # Whatever happened: nothing of ours stays in the temporary folder but locks.
    left = [path.name for path in (tmp_path / "temp").iterdir() if path.suffix != ".lock"]
    assert [name for name in left if not name.startswith(f"codspeed-{os.geteuid()}")] == []


def uris(report: RunReport) -> dict[int, list[str]]:
    """Return the benchmarks by part, as read from the bundle on disk."""
    assert report.bundle is not None
    found = bundle.read(report.bundle.path)
    return {part.part: [result.uri for result in part.benchmarks] for part in found.results}


# --- Order and parts ------------------------------------------------------------------------------


def test_parts_run_command_by_command_and_targets_first(world: World) -> None:
    target = ExecTarget(
        ("sh", "-c", "echo t >>$CODSPEED_PROFILE_FOLDER/uris"), bounds={"max_rounds": 2}
    )
    report = world.run(
        says("a"),
        says("b"),
        plugins=(executor("one"), executor("two"), harness),
        targets=(target,),
    )
    assert report.bundle is not None
    parts = report.bundle.manifest.parts

    assert [(part.index, part.executor, part.harnessed) for part in parts] == [
        (0, "one", True), (1, "two", True), (2, "one", False), (3, "two", False),
        (4, "one", False), (5, "two", False),
    ]  # fmt: skip
    assert uris(report) == {0: ["t"], 1: ["t"], 2: ["a"], 3: ["a"], 4: ["b"], 5: ["b"]}
    assert parts[0].argv[-1].endswith("# 2")
    assert parts[0].label.startswith("Running `sh -c ")
    assert report.exit_code == 0


def test_several_targets_are_one_part(world: World) -> None:
    target = ExecTarget(("sh", "-c", "echo t >>$CODSPEED_PROFILE_FOLDER/uris"))
    other = attrs.evolve(target, name="other")
    report = world.run(plugins=(executor(), harness), targets=(target, other))
    assert report.bundle is not None

    assert [part.label for part in report.bundle.manifest.parts] == [
        "Running 2 commands with exec-harness"
    ]
    assert uris(report) == {0: ["t", "t"]}


def test_two_targets_of_one_name_are_refused(world: World) -> None:
    target = ExecTarget(("true",), name="same")
    report = world.run(plugins=(executor(), harness), targets=(target, target))

    assert report.exit_code == 2
    assert [error.problem for error in report.errors] == ["two targets are called 'same'"]


def test_words_of_a_command_are_kept_and_text_is_for_the_shell(world: World) -> None:
    program = "import sys; print(sys.argv[1:])"
    world.run(
        Entrypoint((sys.executable, "-c", program, "a b", "$X", "*")),
        Entrypoint("x='a  b'; echo \"$x\" | cat"),
        allow_empty=True,
    )

    assert world.reporter.text == "['a b', '$X', '*']\na  b\n"


def test_commands_get_what_integrations_read(world: World) -> None:
    names = "CODSPEED_ENV CODSPEED_RUNNER_MODE PYTHONHASHSEED PYTHON_PERF_JIT_SUPPORT MINE"
    world.env["MINE"] = "mine"
    world.run(
        Entrypoint(f"for n in {names}; do printenv $n; done"),
        plugins=(executor(runner_mode="instrumentation"),),
        allow_empty=True,
    )

    assert world.reporter.text.split() == ["runner", "instrumentation", "0", "0", "mine"]


def test_a_strict_environment_holds_only_what_is_needed(world: World) -> None:
    world.env["MINE"] = "mine"
    world.run(Entrypoint("echo [$MINE] [$PATH]"), environment="strict", allow_empty=True)

    assert world.reporter.text.startswith("[] [")
    assert world.reporter.text.endswith(f"{world.env['PATH']}]\n")


# --- Failures -------------------------------------------------------------------------------------


def test_a_part_that_fails_does_not_discard_the_others(world: World) -> None:
    report = world.run(says("a"), says("half", then="exit 3"), says("c"))

    assert report.exit_code == 4
    assert uris(report) == {0: ["a"], 1: ["half"], 2: ["c"]}
    assert report.bundle is not None
    failed = report.bundle.manifest.parts[1]
    assert (failed.status, failed.error_slug, failed.benchmarks) == (3, "benchmark-failed", 1)
    assert failed.error == "failed to execute the benchmark process: exit status: 3"
    assert report.bundle.manifest.exit_code == 4


def test_a_missing_program_is_a_failed_benchmark(world: World) -> None:
    report = world.run(Entrypoint(("no-such-program-here",)), says("b"))

    assert report.exit_code == 4
    assert uris(report) == {1: ["b"]}


def test_a_missing_working_directory_is_said_as_such(world: World) -> None:
    report = world.run(Entrypoint("true", cwd=world.folder / "absent"), says("b"))

    assert report.exit_code == 2
    assert "working directory" in report.errors[0].problem
    assert uris(report) == {1: ["b"]}


CRASHES: dict[str, Any] = {
    "when it is made": NoLight,
    "before the command": broken(environment=crash),
    "in measure": broken(measure=crash),
    "in results": broken(results=crash),
    "in its resources": broken(resources=crash),
    "in comparability": broken(comparability=crash),
    "in its model": broken(measurement_model=crash),
    "with a model that is no text": broken(measurement_model=lambda *_: 5),
    "with comparability of its own": broken(comparability=lambda _: 5),
    "with results of its own": broken(results=lambda *_: [object()]),
    "with numbers of its own": broken(
        results=lambda *_: [BenchmarkResult("a", "a", (Metric("n", decimal.Decimal(1), "u"),))]  # type: ignore[arg-type]  # a fake, or a value of the wrong type: the point
    ),
}


@pytest.mark.parametrize("kind", CRASHES.values(), ids=CRASHES.keys())
def test_a_plugin_that_crashes_loses_only_its_own_part(world: World, kind: type) -> None:
    report = world.run(says("a"), plugins=(executor("bad", kind), executor("good")))

    assert report.exit_code == 1
    assert uris(report)[1] == ["a"]
    assert report.bundle is not None
    assert report.bundle.manifest.parts[0].error_slug in {"plugin-crash", "bundle"}


def test_a_crash_names_the_plugin_and_its_distribution(world: World) -> None:
    report = world.run(says("a"), plugins=(executor("bad", broken(results=crash)),))

    assert report.errors[0].problem == "plugin bad (dist-bad 1) failed: ZeroDivisionError()"
    assert isinstance(report.errors[0].__cause__, ZeroDivisionError)


@pytest.mark.parametrize("failure", [ZeroDivisionError(), ToolError("the profiler died")])
def test_what_was_measured_before_an_executor_failed_is_read(
    world: World, failure: Exception
) -> None:
    def measure(_self: Lines, part: RunPart, session: Session) -> Outcome:
        session.run(part.launch)
        raise failure

    report = world.run(says("a"), plugins=(executor("late", broken(measure=measure)),))

    assert report.exit_code == 1
    assert uris(report) == {0: ["a"]}
    assert report.bundle is not None
    assert report.bundle.manifest.parts[0].status == 0


def test_numbers_that_are_none_are_left_out_and_the_rest_is_kept(world: World) -> None:
    results = [
        BenchmarkResult("good", "good", (Metric("n", 1.0, "u"),)),
        BenchmarkResult("bad", "bad", (Metric("n", float("nan"), "u"),)),
    ]
    report = world.run(says(), plugins=(executor("odd", broken(results=lambda *_: results)),))

    assert report.exit_code == 1
    assert report.errors[0].problem == "results that are not finite are left out: bad"
    assert uris(report) == {0: ["good"]}


def test_arguments_that_are_no_utf8_lose_nothing(world: World) -> None:
    report = world.run(Entrypoint(("printf", "caf\udce9")), allow_empty=True)

    assert report.exit_code == 0
    assert report.bundle is not None
    assert bundle.read(report.bundle.path).manifest.parts[0].argv == ("printf", "caf\udce9")


def test_no_benchmarks_is_an_error_of_its_own(world: World) -> None:
    report = world.run(says())

    assert report.exit_code == 5
    assert report.errors[0].problem.startswith(
        "The command did not produce any CodSpeed result to process, did you run your benchmarks"
    )
    assert "no integration introduced itself" in str(report.errors[0].hint)
    assert "--allow-empty" in str(report.errors[0].hint)


def test_no_benchmarks_may_be_accepted(world: World) -> None:
    report = world.run(says(), allow_empty=True)

    assert report.exit_code == 0
    assert uris(report) == {0: []}


def test_a_failed_command_without_benchmarks_is_only_a_failed_command(world: World) -> None:
    world.run(says(then="exit 1"))

    assert world.slugs() == ["benchmark-failed"]


def test_a_tool_that_stays_missing_fails_the_part_unless_it_is_optional(world: World) -> None:
    gone = Tool("gadget", None, remedy="apt install gadget")
    optional = attrs.evolve(gone, required=False)
    report = world.run(
        says("a"),
        plugins=(
            executor("needs", broken(tools=lambda *_: [gone])),
            executor("likes", broken(tools=lambda *_: [optional])),
        ),
    )

    assert report.exit_code == 1
    assert str(report.errors[0]) == "gadget: not found\napt install gadget"
    assert world.reporter.told("warning") == ["gadget: not found; apt install gadget"]
    assert uris(report) == {1: ["a"]}


def test_a_resource_that_another_run_holds_fails_the_part(world: World) -> None:
    """Also a run with another TMPDIR, as this one has: locks are with the fixed FIFOs."""
    gate = f"gate-{os.getpid()}"
    path = Path(CTL_FIFO).parent / f"codspeed-{gate}.lock"
    hold = (
        "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2);"
        "print(flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", hold, str(path)]
    kind = broken(resources=lambda *_: {gate: Sharing.EXCLUSIVE})
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        report = world.run(says("a"), plugins=(executor("gated", kind), executor("free")))
        other.communicate(b"")
    path.unlink()

    assert [error.slug for error in report.errors] == ["locked"]
    assert uris(report) == {1: ["a"]}


def test_an_executor_that_does_not_work_here_is_refused_before_anything_runs(world: World) -> None:
    descriptor = executor(support=lambda _: Support.unsupported("no such thing"))
    with pytest.raises(UnsupportedError, match=r"lines executor is not supported on .*: no such"):
        world.run(says("a"), plugins=(descriptor,))

    assert not world.bundles.exists()


def test_a_support_check_that_crashes_is_blamed_on_its_plugin(world: World) -> None:
    with pytest.raises(PluginCrashError, match="plugin lines"):
        world.run(says("a"), plugins=(executor(support=crash),))


# --- Instruments ----------------------------------------------------------------------------------


def test_instruments_start_in_order_stop_in_reverse_and_annotate(world: World) -> None:
    events: list[str] = []
    report = world.run(
        says("a", then="echo $WATCHED"),
        plugins=(executor(), instrument(events, "one"), instrument(events, "two")),
        instruments=("one", "two"),
    )
    assert report.bundle is not None

    assert events == ["one on", "two on", "two off", "one off"]
    assert world.reporter.text == "two\n"
    assert report.bundle.results[0].benchmarks[0].notes == ("two saw 7",)


@pytest.mark.parametrize("count", [1, 2])
def test_markers_are_told_to_the_instruments_that_want_them(count: int) -> None:
    told: list[int] = []

    class Marked(Hooks):
        def marker(self, pid: int, kind: MarkerKind, timestamp: int) -> None:
            del kind, timestamp
            told.append(pid)

    plugins = FakeRegistry(executor()).plugins("codspeed.executors") * 3
    hooks = [Hooks(), *(Marked() for _ in range(count))]
    chain = _Chain(list(zip(plugins, hooks, strict=False)))
    chain.marker(7, MarkerKind.ROUND_END, 1)

    assert told == [7] * count


def test_instruments_are_stopped_also_when_the_command_fails(world: World) -> None:
    events: list[str] = []
    world.run(
        Entrypoint(("no-such-program-here",)),
        plugins=(executor(), instrument(events, "one"), instrument(events, "two")),
        instruments=("one", "two"),
    )

    assert events == ["one on", "two on", "two off", "one off"]


def test_an_instrument_that_cannot_start_stops_those_before_it(world: World) -> None:
    events: list[str] = []
    report = world.run(
        says("a"),
        plugins=(executor(), instrument(events, "one"), instrument(events, "bad", "run")),
        instruments=("one", "bad"),
    )

    assert events == ["one on", "bad on", "one off"]
    assert "plugin bad (dist-bad 1)" in report.errors[0].problem


@pytest.mark.parametrize("when", ["stop", "annotate"])
def test_an_instrument_that_fails_afterwards_is_blamed_and_loses_no_result(
    world: World, when: str
) -> None:
    events: list[str] = []
    report = world.run(
        says("a"), plugins=(executor(), instrument(events, "bad", when)), instruments=("bad",)
    )

    assert report.exit_code == 1
    assert "plugin bad (dist-bad 1)" in report.errors[0].problem
    assert uris(report) == {0: ["a"]}


def timed_only(_part: RunPart, executor: Any, _options: Any) -> str | None:
    return "times vary" if executor.rounds is Rounds.TIMED else None


def test_an_instrument_that_is_wanted_observes_unasked(world: World) -> None:
    events: list[str] = []
    timed = executor("timed", broken(rounds=Rounds.TIMED))
    lens = instrument(events, "lens", wanted=timed_only)
    report = world.run(says("a"), plugins=(executor(), timed, lens))
    assert report.bundle is not None

    assert events == ["lens on", "lens off"]
    assert [each.benchmarks[0].notes for each in report.bundle.results] == [(), ("lens saw 7",)]
    assert bundle.read(report.bundle.path).manifest.instruments == ("lens",)


@pytest.mark.parametrize(
    ("named", "seen"),
    [
        pytest.param(None, ["lens on", "lens off"], id="nothing said"),
        pytest.param((), [], id="none"),
        pytest.param(("one",), ["one on", "lens on", "lens off", "one off"], id="another"),
        pytest.param(("lens",), ["lens on", "lens off"], id="itself"),
    ],
)
def test_what_is_named_observes_beside_what_is_wanted(
    world: World, named: tuple[str, ...] | None, seen: list[str]
) -> None:
    events: list[str] = []
    lens = instrument(events, "lens", wanted=lambda *_: "always")
    world.run(says("a"), plugins=(executor(), instrument(events, "one"), lens), instruments=named)

    assert events == seen


def test_an_instrument_is_not_wanted_where_it_does_not_work(world: World) -> None:
    events: list[str] = []
    lens = instrument(
        events,
        "lens",
        wanted=lambda *_: "always",
        support=lambda _: Support.unsupported("no /proc"),
    )
    world.run(says("a"), plugins=(executor(), lens))

    assert events == []


def test_an_instrument_that_nobody_named_and_that_is_broken_is_left_out(world: World) -> None:
    lens = InstrumentDescriptor(name="lens", label="L", load=crash, wanted=lambda *_: "always")
    report = world.run(says("a"), plugins=(executor(), lens))

    assert report.exit_code == 0
    assert uris(report) == {0: ["a"]}
    assert [text for text in world.reporter.told("warning") if "it is left out" in text] != []


# --- Folders --------------------------------------------------------------------------------------


def test_a_profile_folder_is_temporary_and_moves_into_the_bundle(world: World) -> None:
    report = world.run(says("a", then="echo $CODSPEED_PROFILE_FOLDER"))
    assert report.bundle is not None
    used = Path(world.reporter.text.strip())

    assert re.fullmatch(r"profile\.[A-Za-z0-9]{10}\.out", used.name)
    assert used.parent == world.system.temp
    assert not used.exists()
    assert (report.bundle.path / "profiles/lines-0/uris").read_text() == "a\n"
    assert "[TRACE]" in (report.bundle.path / "profiles/lines-0/runner.log").read_text()


def test_one_part_uses_a_given_profile_folder_as_it_is(world: World) -> None:
    given = world.folder / "mine"
    report = world.run(says("a"), profile_folder=given)
    assert report.bundle is not None

    assert sorted(path.name for path in given.iterdir()) == ["runner.log", "uris"]
    assert (report.bundle.path / "profiles/lines-0/uris").exists()
    assert world.reporter.told("warning") == []


def test_several_parts_get_a_folder_each_in_the_given_one(world: World) -> None:
    given = world.folder / "mine"
    world.run(says("a"), says("b"), plugins=(executor("x"), executor("y")), profile_folder=given)

    assert sorted(path.name for path in given.iterdir()) == ["x-0", "x-2", "y-1", "y-3"]
    assert (given / "y-3/uris").read_text() == "b\n"


def test_results_of_an_earlier_run_in_a_given_folder_are_warned_of(world: World) -> None:
    given = world.folder / "mine"
    given.mkdir()
    (given / "uris").write_text("old\n")
    report = world.run(says("a"), profile_folder=given)

    assert world.reporter.told("warning") == [
        f"{given} is not empty: results of an earlier run in it count too"
    ]
    assert uris(report) == {0: ["old", "a"]}


def test_an_earlier_run_s_folder_can_be_read_without_running(world: World) -> None:
    given = world.folder / "mine"
    given.mkdir()
    (given / "uris").write_text("a\n")
    report = world.run(says("never"), profile_folder=given, skip_run=True)

    assert uris(report) == {0: ["a"]}
    assert not (given / "runner.log").exists()
    with pytest.raises(UsageError, match="does not exist"):
        world.run(says(), profile_folder=world.folder / "absent", skip_run=True)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_profile_folder_that_cannot_be_written_is_found_before_anything_runs(
    world: World, parts: int
) -> None:
    given = world.folder / "mine"
    given.mkdir()
    (given / ("x" if parts == 1 else "lines-1")).write_text("in the way")
    folder = given / "x" if parts == 1 else given
    witness = world.folder / "ran"
    with pytest.raises(UsageError, match="can't be written"):
        world.run(*[Entrypoint(f"touch {witness}")] * parts, profile_folder=folder)

    assert not witness.exists()
    assert not world.bundles.exists()


def test_a_bundle_folder_that_cannot_be_written_is_found_before_anything_runs(world: World) -> None:
    world.bundles.write_text("in the way")
    witness = world.folder / "ran"
    with pytest.raises(BundleError, match="--bundle-dir"):
        world.run(Entrypoint(f"touch {witness}"))

    assert not witness.exists()


@pytest.fixture
def homeless(world: World) -> World:
    """Return a world in which the user's data folder can't be written."""
    (world.folder / "data").write_text("in the way")
    world.env["XDG_DATA_HOME"] = str(world.folder / "data")
    return world


def test_without_a_data_folder_the_bundle_goes_to_a_private_temporary_one(homeless: World) -> None:
    report = homeless.run(says("a"), bundle_dir=None)
    own = homeless.system.temp / f"codspeed-{os.geteuid()}"
    assert report.bundle is not None

    assert own in report.bundle.path.parents
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert str(own) in homeless.reporter.told("warning")[0]


@pytest.mark.parametrize("trap", ["link", "open"])
def test_a_temporary_folder_that_somebody_else_prepared_is_not_used(
    homeless: World, trap: str
) -> None:
    own = homeless.system.temp / f"codspeed-{os.geteuid()}"
    elsewhere = homeless.folder / "elsewhere"
    elsewhere.mkdir()
    if trap == "link":
        own.symlink_to(elsewhere)
    else:
        own.mkdir()
        own.chmod(0o777)
    report = homeless.run(says("a"), bundle_dir=None)
    assert report.bundle is not None

    assert own not in report.bundle.path.parents
    assert list(elsewhere.iterdir()) == []
    assert report.bundle.path.parents[2].name.startswith(f"{own.name}-")


@pytest.mark.tool
def test_a_disk_that_fills_up_ends_with_an_error_that_says_where_things_are(world: World) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    world.bundles.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(world.bundles)]
    if (done := subprocess.run(mount, capture_output=True, check=False)).returncode:
        pytest.skip(f"no mount here: {done.stderr.decode()}")
    try:
        fill = Entrypoint("head -c 1000000 /dev/zero >$CODSPEED_PROFILE_FOLDER/big")
        report = world.run(says("a"), fill, says("c"))
    finally:
        subprocess.run(["umount", "--lazy", world.bundles], check=True)
    places = [text for text in world.reporter.told("info") if "still at" in text]
    left = Path(places[0].rpartition(" ")[2])
    size = (left / "big").stat().st_size
    shutil.rmtree(left)

    assert report.exit_code == 1
    assert "bundle" in world.slugs()
    assert size == 1_000_000
    finished = [results for _, results in world.reporter.told("part_finished")]
    assert [len(part.benchmarks) for part in finished] == [1, 0, 1]


# --- Uploaders ------------------------------------------------------------------------------------


def test_wanted_uploaders_take_the_bundle_and_others_do_not(world: World) -> None:
    wanted, other = uploader("wanted"), uploader("other", wanted=None)
    report = world.run(says("a"), plugins=(executor(), wanted, other))
    assert report.bundle is not None

    assert [kept.path for kept in taken_by(wanted)] == [report.bundle.path]
    assert taken_by(other) == []
    assert world.reporter.told("finished")[0][1] == ("took it fake://it",)


def test_named_uploaders_are_used_wanted_or_not(world: World) -> None:
    wanted, other = uploader("wanted"), uploader("other", wanted=None)
    world.run(says("a"), plugins=(executor(), wanted, other), uploaders=("other",))

    assert (len(taken_by(wanted)), len(taken_by(other))) == (0, 1)


def test_a_failing_uploader_leaves_the_bundle_and_the_others_alone(world: World) -> None:
    def refuse(_self: Taker, _kept: Bundle) -> Receipt:
        problem = "the server is down"
        raise UploadError(problem)

    bad, good = uploader("bad", upload=refuse), uploader("good")
    report = world.run(says("a"), plugins=(executor(), bad, good))

    assert report.exit_code == 8
    assert uris(report) == {0: ["a"]}
    assert len(taken_by(good)) == 1


def test_a_crashing_uploader_is_blamed(world: World) -> None:
    report = world.run(says("a"), plugins=(executor(), uploader("bad", upload=crash)))

    assert report.exit_code == 1
    assert "plugin bad (dist-bad 1)" in report.errors[0].problem
    assert uris(report) == {0: ["a"]}


def test_parts_that_are_not_accepted_are_named_and_the_rest_goes(world: World) -> None:
    picky = uploader("picky", accepts=lambda _, part: "odd" if part.executor == "x" else None)
    world.run(says("a"), plugins=(executor("x"), executor("y"), picky))
    (kept,) = taken_by(picky)

    assert [part.executor for part in kept.manifest.parts] == ["y"]
    assert [results.part for results in kept.results] == [1]
    assert "picky does not take x-0: odd" in world.reporter.told("info")


def test_an_uploader_that_accepts_nothing_is_not_bothered(world: World) -> None:
    picky = uploader("picky", accepts=lambda *_: "odd")
    report = world.run(says("a"), plugins=(executor(), picky))

    assert report.exit_code == 0
    assert taken_by(picky) == []


def test_an_uploader_that_cannot_say_whether_it_is_wanted_is_left_out(world: World) -> None:
    bad = attrs.evolve(uploader("bad"), wanted=crash)
    report = world.run(says("a"), plugins=(executor(), bad))

    assert report.exit_code == 0
    assert world.reporter.told("warning") == [
        "plugin bad (dist-bad 1) failed: ZeroDivisionError(); it is left out"
    ]


@pytest.mark.parametrize(
    ("request_", "names"),
    [({"skip_upload": True}, ["local"]), ({"store": False}, ["remote"])],
)
def test_the_store_and_the_upload_are_skipped_one_by_one(
    world: World, request_: dict[str, bool], names: list[str]
) -> None:
    local, remote = uploader("local"), uploader("remote")
    world.run(says("a"), plugins=(executor(), local, remote), **request_)

    assert [each.name for each in (local, remote) if taken_by(each)] == names


@pytest.mark.parametrize(
    ("given", "wish", "compat"),
    [
        (None, "codspeed", Compat.CODSPEED),
        (None, None, Compat.NATIVE),
        (Compat.NATIVE, "codspeed", Compat.NATIVE),
        (Compat.CODSPEED, None, Compat.CODSPEED),
    ],
)
def test_an_uploader_decides_on_compatibility_unless_the_user_does(
    world: World, given: Compat | None, wish: str | None, compat: Compat
) -> None:
    report = world.run(says("a"), plugins=(executor(), uploader("up", compat=wish)), compat=given)
    assert report.bundle is not None

    assert report.bundle.manifest.parts[0].compat is compat


def test_a_bundle_can_be_handed_over_later(world: World) -> None:
    report = world.run(says("a"))
    assert report.bundle is not None
    late = uploader("late", wanted=None)
    done = orchestrate.upload(
        report.bundle.path,
        uploaders=("late",),
        registry=FakeRegistry(late),  # type: ignore[arg-type]  # a fake, or a value of the wrong type: the point
        system=world.system,
        context=world.context,
        plugin_options={},
        reporter=world.reporter,
    )

    assert done.exit_code == 0
    assert [kept.manifest for kept in taken_by(late)] == [report.bundle.manifest]


# --- Interruption ---------------------------------------------------------------------------------


def strike(number: signal.Signals) -> Callable[..., Any]:
    """Return a callable in whose middle a signal arrives."""

    def struck(*_anything: Any) -> Any:
        os.kill(os.getpid(), number)
        signal.pause()

    return struck


STOPS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", STOPS)
def test_an_interrupted_command_keeps_its_results_and_ends_the_run(
    world: World, number: signal.Signals
) -> None:
    self_pid = os.getpid()
    report = world.run(
        says("a"), says("b", then=f"kill -{int(number)} {self_pid}; sleep 60"), says("never")
    )
    assert report.bundle is not None

    assert report.exit_code == 130
    assert uris(report) == {0: ["a"], 1: ["b"]}
    assert [part.interrupted for part in report.bundle.manifest.parts] == [False, True]


@pytest.mark.parametrize("number", STOPS)
@pytest.mark.parametrize("member", ["tools", "results", "comparability", "measurement_model"])
def test_a_signal_between_the_steps_of_a_part_loses_no_other_part(
    world: World, member: str, number: signal.Signals
) -> None:
    report = world.run(
        says("a"),
        plugins=(
            executor("good"),
            executor("slow", broken(**{member: strike(number)})),
            executor("z"),
        ),
    )

    assert report.exit_code == 130
    assert uris(report)[0] == ["a"]
    assert 2 not in uris(report)
    assert world.slugs() == ["interrupted"]


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_during_an_upload_leaves_the_bundle(world: World, number: signal.Signals) -> None:
    slow, never = uploader("slow", upload=strike(number)), uploader("z-never")
    report = world.run(says("a"), plugins=(executor(), slow, never))
    assert report.bundle is not None

    assert report.exit_code == 130
    assert uris(report) == {0: ["a"]}
    assert taken_by(never) == []
    assert report.errors[0].hint == (
        f"the bundle is whole; later: codspeed upload {report.bundle.path}"
    )


def test_a_signal_while_the_bundle_is_written_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = bundle.BundleWriter.write

    def struck(*what: Any) -> Bundle:
        os.kill(os.getpid(), signal.SIGTERM)
        return write(*what)

    monkeypatch.setattr(bundle.BundleWriter, "write", struck)
    report = world.run(says("a"))

    assert report.exit_code == 130
    assert uris(report) == {0: ["a"]}


def test_afterwards_signals_mean_what_they_meant_before(world: World) -> None:
    before = [signal.getsignal(number) for number in STOPS]
    world.run(says("a"))

    assert [signal.getsignal(number) for number in STOPS] == before


# --- Killed runs ----------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_orchestrate as t
world = t.World(Path(sys.argv[1]), dict(os.environ), t.FakeReporter())
world.run(t.says("a"), t.says("b", then=f"kill -9 {os.getpid()}"))
"""


def test_the_next_run_keeps_what_a_killed_one_had_measured(world: World) -> None:
    argv = [sys.executable, "-c", KILLED, str(world.folder), str(Path(__file__).parent)]
    done = subprocess.run(argv, check=False)
    before = bundle.find(world.bundles)
    world.run(says("c"))
    adopted, _ = bundle.find(world.bundles)
    for wrappers in world.system.temp.glob("codspeed-wrappers-*"):
        shutil.rmtree(wrappers)  # of the killed run; nobody looks for them yet
    found = bundle.read(adopted)

    assert done.returncode == -signal.SIGKILL
    assert before == []
    assert world.reporter.told("info")[0] == (
        f"kept what a run that was killed had measured: {adopted}"
    )
    assert [[each.uri for each in part.benchmarks] for part in found.results] == [["a"]]
    assert [part.error_slug for part in found.manifest.parts] == ["", "interrupted"]
    assert found.manifest.exit_code == 130
    # Not read any more, but there: the part that was being measured.
    assert (adopted / "profiles/lines-1/uris").read_text() == "b\n"


# --- Secrets --------------------------------------------------------------------------------------


def test_no_file_of_a_bundle_holds_a_secret_of_the_environment(world: World) -> None:
    world.env["CODSPEED_TOKEN"] = SECRET
    report = world.run(
        Entrypoint(
            ("sh", "-c", "echo $CODSPEED_TOKEN $0; echo a >$CODSPEED_PROFILE_FOLDER/uris", SECRET)
        ),
        Entrypoint(f"echo {SECRET} >&2; exit 1"),
        Entrypoint((f"no-such-{SECRET}",)),
    )
    assert report.bundle is not None
    files = [path for path in report.bundle.path.rglob("*") if path.is_file()]
    holders = [path for path in files if SECRET.encode() in path.read_bytes()]

    assert uris(report)[0] == ["a"]
    assert holders == []
    assert "*** ***" in (report.bundle.path / "log.txt").read_text()
    assert f"{SECRET} {SECRET}" in world.reporter.text  # the user's own terminal


@attrs.frozen
class Account:
    """Options of a made-up uploader."""

    token: str | None = option(None, secret=True, in_file=False)
    address: str | None = option(None, in_file=False)
    shelf: str | None = option(None)


def test_options_are_kept_but_no_secret_among_them(world: World) -> None:
    taker = UploaderDescriptor(name="x", label="X", load=lambda: UploaderDefaults, options=Account)
    given = {"token": SECRET, "address": "https://x.example/", "shelf": "left"}
    plugins = (executor(), taker)
    command = says("a", then=f"echo {SECRET}")
    report = world.run(command, plugins=plugins, plugin_options=given, uploaders=())
    assert report.bundle is not None
    files = [path for path in report.bundle.path.rglob("*") if path.is_file()]

    assert report.bundle.manifest.options == {"shelf": "left"}
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_an_instrument_that_does_not_exist_is_refused_before_anything_runs(world: World) -> None:
    with pytest.raises(UsageError, match="Invalid instrument name: mongo"):
        world.run(says("a"), instruments=("mongo",))

    assert not world.bundles.exists()


def test_the_environment_is_not_kept(world: World) -> None:
    world.env["PLAIN"] = "nobody needs to know"
    report = world.run(says("a"))
    assert report.bundle is not None
    files = [path for path in report.bundle.path.rglob("*") if path.is_file()]

    assert [path for path in files if b"nobody needs" in path.read_bytes()] == []


# --- Around ---------------------------------------------------------------------------------------


def test_a_user_who_cannot_be_told_loses_nothing(world: World) -> None:
    class Closed(FakeReporter):
        def output(self, data: bytes, *, stream: str) -> None:
            raise BrokenPipeError

        def info(self, text: str) -> None:
            raise BrokenPipeError

    world.reporter = Closed()
    report = world.run(says("a", then="echo hello"))

    assert report.exit_code == 0
    assert uris(report) == {0: ["a"]}


def test_the_manifest_says_what_ran_where(world: World) -> None:
    world.env["PATH"] = os.environ["PATH"]
    report = world.run(says("a"), variant={"python": "3.12"})
    assert report.bundle is not None
    plain = json.loads((report.bundle.path / "manifest.json").read_text())

    assert plain["schema"] == 1
    assert plain["plugins"] == {"dist-lines": "1"}
    assert plain["variant"] == {"python": "3.12"}
    assert plain["fingerprint"]["cpu_count"] == os.cpu_count()
    assert plain["parts"][0]["model"] == "lines"
    assert plain["parts"][0]["folder"] == "profiles/lines-0"


def test_setup_installs_what_is_missing_and_skips_what_cannot_work(world: World) -> None:
    have: list[Tool] = []

    def tools(*_: Any) -> list[Tool]:
        return [Tool("gadget", Path("/gadget") if have else None)]

    kind = broken(tools=tools, setup=lambda _, missing: have.extend(missing))
    orchestrate.setup(
        ["works", "cannot"],
        registry=FakeRegistry(  # type: ignore[arg-type]  # a fake, or a value of the wrong type: the point
            executor("works", kind), executor("cannot", support=lambda _: Support.unsupported("no"))
        ),
        system=world.system,
        reporter=world.reporter,
        plugin_options={},
    )

    assert [tool.name for tool in have] == ["gadget"]
    assert world.reporter.told("info") == ["works: ready", "cannot: skipped, no"]


def test_an_unknown_harness_is_a_plugin_error() -> None:
    with pytest.raises(CodspeedError):
        orchestrate.harness_plugin(FakeRegistry())  # type: ignore[arg-type]  # a fake, or a value of the wrong type: the point
