"""The rules that every executor keeps, each a test of its own. Subclass it, give it two fixtures.

    class TestMemoryExecutor(ExecutorContract):
        @pytest.fixture
        def descriptor(self) -> ExecutorDescriptor:
            return descriptor

        @pytest.fixture
        def executor(self) -> MemoryExecutor:
            return MemoryExecutor(MemoryOptions())

Commands run in the product's own session, on private FIFOs. Each kind of command is measured once
per class and shared by the rules that read it. A rule is skipped, with the reason, where the
executor's tools are missing.
"""

from __future__ import annotations

import inspect
import json
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

import attrs
import pytest

from codspeed import wire
from codspeed.environment import read_system
from codspeed.errors import ResultsError
from codspeed.model import (
    ArchiveKind,
    Comparability,
    IntegrationMode,
    Launch,
    Outcome,
    Privileges,
    Rounds,
    RunPart,
    Sharing,
    SupportLevel,
    System,
    Tool,
)
from codspeed.orchestrate.slices import profiles_of
from codspeed.testing.checks import (
    check_call_tree,
    check_descriptor,
    check_options,
    check_results,
    check_timeline,
)
from codspeed.testing.light import heavy_imports
from codspeed.testing.parts import make_part, restored
from codspeed.testing.sample import Script, Step, step_of
from codspeed.testing.sessions import RecordingSession, session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from codspeed.protocols import Executor, ExecutorDescriptor

URIS: Final = ("contract/test_one.py::test_one", "contract/test_two.py::test_two[a b]")


@attrs.frozen
class Measured:
    """A part that was measured.

    Attributes:
        part: With its outcome and model.
        session: What the executor asked of it.
        starts: How often the command was started.
        strays: Files that appeared in the working directory.
        files: What the profile folder held right after the measurement.
    """

    part: RunPart
    session: RecordingSession
    starts: int
    strays: tuple[str, ...]
    files: Mapping[str, tuple[int, int]]

    @property
    def outcome(self) -> Outcome:
        """What `measure` returned."""
        assert self.part.outcome is not None
        return self.part.outcome


class ExecutorContract:
    """Rules of `codspeed.protocols.Executor` and its descriptor.

    Attributes:
        passes: How often `measure` starts the command; more than once is for executors whose
            documentation says so.
    """

    passes: ClassVar[int] = 1

    # --- To be given, and what may be replaced ---

    @pytest.fixture
    def descriptor(self) -> ExecutorDescriptor:
        """Return the executor's descriptor."""
        raise NotImplementedError

    @pytest.fixture
    def executor(self) -> Executor:
        """Return an executor as core would make it."""
        raise NotImplementedError

    @pytest.fixture
    def machine(self) -> System:
        """Return the system the rules are checked on: this one."""
        return read_system()

    # --- What the rules use ---

    @pytest.fixture
    def usable(self, descriptor: ExecutorDescriptor, executor: Executor, machine: System) -> None:
        """Skip where the executor can't measure."""
        support = descriptor.support(machine)
        if support.level is SupportLevel.UNSUPPORTED:
            pytest.skip(f"{descriptor.name} is not supported here: {support.reason}")
        for tool in executor.tools(machine):
            if tool.required and not tool.is_usable:
                pytest.skip(f"{descriptor.name} needs {tool.name}: {tool.remedy}")

    @pytest.fixture
    def measure(
        self,
        usable: None,  # noqa: ARG002 - skips
        descriptor: ExecutorDescriptor,
        executor: Executor,
        tmp_path_factory: pytest.TempPathFactory,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Callable[..., Measured]:
        """Return a function that measures a script, and remembers it for the class."""

        def run(script: Script, *, harnessed: bool = False) -> Measured:
            work = tmp_path_factory.mktemp("work")
            monkeypatch.chdir(work)
            return _measure(descriptor, executor, script, work, harnessed=harnessed)

        return run

    @pytest.fixture
    def entrypoint(
        self, request: pytest.FixtureRequest, measure: Callable[..., Measured]
    ) -> Measured:
        """Return a command that was measured: it opens a window for each of `URIS`."""
        script = Script(steps=tuple(Step(uri) for uri in URIS))
        return _remembered(request, "entrypoint", lambda: measure(script))

    @pytest.fixture
    def harness(self, request: pytest.FixtureRequest, measure: Callable[..., Measured]) -> Measured:
        """Return a harness that was measured: it starts a target for each of `URIS`."""
        target = (sys.executable, "-c", "sum(range(10_000))")
        script = Script(steps=tuple(Step(uri, target) for uri in URIS))
        return _remembered(request, "harness", lambda: measure(script, harnessed=True))

    @pytest.fixture(params=["entrypoint", "harness"])
    def measured(self, request: pytest.FixtureRequest) -> Measured:
        """Return either."""
        found: Measured = request.getfixturevalue(request.param)
        return found

    # --- The descriptor ---

    def test_descriptor_is_light(self, descriptor: ExecutorDescriptor) -> None:
        """Core reads every installed descriptor for its help: none may pull in more than attrs."""
        assert heavy_imports(descriptor, "codspeed.executors") == []

    def test_descriptor_is_complete(self, descriptor: ExecutorDescriptor, machine: System) -> None:
        """Names are words, the version is understood, support is explained."""
        check_descriptor(descriptor, machine)

    def test_options_are_declared(self, descriptor: ExecutorDescriptor) -> None:
        """Every option has a default and, unless hidden, a help text."""
        check_options(descriptor.options)

    def test_options_survive_json(self, descriptor: ExecutorDescriptor) -> None:
        """Options are kept in the manifest as plain values, and read back."""
        options = descriptor.options()
        plain = json.loads(json.dumps(wire.to_plain(options)))

        assert wire.from_plain(plain, descriptor.options, where="options") == options

    def test_status_is_lines(self, descriptor: ExecutorDescriptor, machine: System) -> None:
        """What `codspeed status` shows is text."""
        lines = () if descriptor.status is None else descriptor.status(machine)

        assert all(isinstance(line, str) for line in lines), lines

    def test_load_makes_an_executor_from_the_options(self, descriptor: ExecutorDescriptor) -> None:
        """Core calls what `load` returned with the options, and nothing else."""
        made = descriptor.load()(descriptor.options())

        assert _missing_members(made) == []

    # --- What an executor says before the run ---

    def test_attributes_are_of_their_kind(self, executor: Executor) -> None:
        """The planner branches on these."""
        assert executor.integration_mode is None or isinstance(
            executor.integration_mode, IntegrationMode
        )
        assert isinstance(executor.min_protocol, int)
        assert _is_text_to_text(executor.min_clients), executor.min_clients
        assert isinstance(executor.still_environment, bool)
        assert isinstance(executor.deterministic, bool)
        assert isinstance(executor.rounds, Rounds)
        assert isinstance(executor.archive, ArchiveKind)

    def test_tools_and_privileges_are_told(self, executor: Executor, machine: System) -> None:
        """A tool that is missing comes with its remedy, a right with its purpose."""
        for tool in executor.tools(machine):
            assert isinstance(tool, Tool), tool
            assert tool.is_usable or tool.remedy, f"{tool.name} is missing, and no remedy is named"
        privileges = executor.privileges()
        assert isinstance(privileges, Privileges), privileges
        assert privileges.purpose or not privileges.sudo, "sudo is asked for without a purpose"

    def test_environment_is_text(self, executor: Executor, tmp_path: Path) -> None:
        """Variables are names and values."""
        environment = executor.environment(make_part(tmp_path / "profile"))

        assert _is_text_to_text(environment), environment

    def test_resources_are_told(self, executor: Executor, tmp_path: Path) -> None:
        """Whoever serves the FIFO holds its paths for himself."""
        resources = executor.resources(make_part(tmp_path / "profile"))

        assert all(isinstance(sharing, Sharing) for sharing in resources.values()), resources
        if executor.integration_mode is not None:
            assert resources.get("hook-fifo") is Sharing.EXCLUSIVE

    def test_comparability_names_fields(self, executor: Executor) -> None:
        """No field both refuses and only warns."""
        comparability = executor.comparability()

        assert isinstance(comparability, Comparability), comparability
        assert set(comparability.refuses).isdisjoint(comparability.warns)

    def test_target_launch_keeps_the_target(self, executor: Executor, tmp_path: Path) -> None:
        """However a target is started, its own words come last and its folder stays."""
        part = make_part(tmp_path / "profile", harnessed=True)
        target = Launch(("./tool", "--flag", "a b"), env={"NAME": "value"}, cwd=tmp_path)

        launch = executor.target_launch(part, target, URIS[0])

        assert launch.argv[-3:] == target.argv
        assert launch.cwd == target.cwd
        assert launch.env.get("NAME") == "value"

    # --- Measuring ---

    def test_measure_returns_the_outcome(self, measured: Measured) -> None:
        """A command that ends well has status 0."""
        assert isinstance(measured.outcome, Outcome)
        assert (measured.outcome.status, measured.outcome.interrupted) == (0, False)

    def test_measure_starts_the_command_once(self, measured: Measured) -> None:
        """A benchmark may write to a database: it runs as often as the user asked for."""
        assert measured.starts == self.passes

    def test_measure_passes_the_command_on(self, measured: Measured) -> None:
        """Whatever is put in front, the user's words come last, and standard input arrives."""
        last = measured.session.launches[-1]

        argv = measured.part.launch.argv
        assert last.argv[-len(argv) :] == argv
        assert last.stdin == measured.part.launch.stdin

    def test_hooks_are_called_in_order(self, executor: Executor, entrypoint: Measured) -> None:
        """The integration's frames reach the executor's hooks, and it refuses none of them."""
        window = ["started", "stopped", "benchmark"]
        windows = [] if executor.integration_mode is None else ["integration", *window * len(URIS)]

        assert entrypoint.session.events == ["spawned", *windows] * self.passes

    def test_a_window_without_a_name_is_no_benchmark(
        self, executor: Executor, measure: Callable[..., Measured]
    ) -> None:
        """A benchmark that raised leaves an open window behind; the others count."""
        if executor.integration_mode is None:
            pytest.skip("serves no FIFO, so there are no windows")
        part = measure(Script(steps=(Step(""), Step(URIS[0])))).part

        assert [result.uri for result in executor.results(part)] == [URIS[0]]

    @pytest.mark.parametrize("harnessed", [False, True], ids=["entrypoint", "harness"])
    def test_a_failing_command_is_an_outcome(
        self, executor: Executor, measure: Callable[..., Measured], *, harnessed: bool
    ) -> None:
        """The status is in the outcome; what was measured before is read, not lost to an error."""
        steps = (Step(URIS[0], (sys.executable, "-c", "") if harnessed else ()),)
        measured = measure(Script(steps=steps, status=3), harnessed=harnessed)

        assert measured.outcome.status == 3
        assert executor.results(measured.part) is not None

    def test_a_killed_command_has_a_negative_status(self, measure: Callable[..., Measured]) -> None:
        """As in `subprocess`: minus the number of the signal."""
        assert measure(Script(signal=signal.SIGKILL)).outcome.status == -signal.SIGKILL

    def test_nothing_is_written_outside_of_the_profile_folder(self, measured: Measured) -> None:
        """The working directory is the user's."""
        assert measured.strays == ()

    def test_the_measurement_model_is_one_stable_word(
        self, executor: Executor, measured: Measured
    ) -> None:
        """It is compared, stored and shown."""
        model = executor.measurement_model(measured.part, measured.outcome)

        assert model
        assert not any(letter.isspace() for letter in model), model
        assert model == measured.part.model

    # --- Reading ---

    def test_results_are_well_formed(self, executor: Executor, measured: Measured) -> None:
        """Store, table and compare rely on names, units and kinds."""
        check_results(executor.results(measured.part))

    def test_every_window_is_a_benchmark(self, executor: Executor, entrypoint: Measured) -> None:
        """A benchmark keeps the URI that its integration gave it."""
        if executor.integration_mode is None:
            pytest.skip("serves no FIFO, so the command has no windows")

        assert sorted(result.uri for result in executor.results(entrypoint.part)) == sorted(URIS)

    def test_every_target_is_a_benchmark(self, executor: Executor, harness: Measured) -> None:
        """`codspeed exec` works under every executor."""
        assert sorted(result.uri for result in executor.results(harness.part)) == sorted(URIS)

    def test_results_are_the_same_from_a_bundle(
        self, descriptor: ExecutorDescriptor, executor: Executor, measured: Measured, tmp_path: Path
    ) -> None:
        """Months later, elsewhere, in another process: no path and no state may be needed."""
        part = restored(measured.part, tmp_path / "elsewhere")
        reader = descriptor.load()(descriptor.options())

        assert list(reader.results(part)) == list(executor.results(measured.part))

    def test_reading_changes_nothing(self, executor: Executor, measured: Measured) -> None:
        """Bundles are immutable: what reads them writes nothing into them."""
        part = measured.part
        for result in executor.results(part):
            executor.profile(part, result.uri)
            executor.timeline(part, result.uri)

        assert _snapshot(part.folder) == measured.files

    def test_profiles_and_timelines_are_well_formed(
        self, executor: Executor, measured: Measured
    ) -> None:
        """Flame graphs and plots need no knowledge of the executor."""
        for result in executor.results(measured.part):
            check_call_tree(executor.profile(measured.part, result.uri))
            for tree in profiles_of(executor, measured.part, result.uri).values():
                check_call_tree(tree)
            check_timeline(executor.timeline(measured.part, result.uri))

    def test_an_unknown_benchmark_has_no_profile(
        self, executor: Executor, measured: Measured
    ) -> None:
        """None, not an error: `codspeed flame` asks every part."""
        assert executor.profile(measured.part, "no::such::benchmark") is None
        assert executor.timeline(measured.part, "no::such::benchmark") is None

    def test_an_empty_folder_has_no_results(self, executor: Executor, tmp_path: Path) -> None:
        """A command that failed at once leaves nothing, and that must be sayable."""
        part = make_part(tmp_path / "profile", ("true",), outcome=Outcome(1), harnessed=True)
        try:
            results = executor.results(part)
        except ResultsError:
            return

        assert list(results) == []


def _measure(
    descriptor: ExecutorDescriptor,
    executor: Executor,
    script: Script,
    work: Path,
    *,
    harnessed: bool,
) -> Measured:
    """Measure `script` as core does: targets are asked for first, then the command is run."""
    part = make_part(
        work.with_name(f"{work.name}.profile"),
        executor=descriptor.name,
        mode=descriptor.mode,
        harnessed=harnessed,
    )
    steps = tuple(_under(executor, part, step) for step in script.steps)
    trace = work.with_name(f"{work.name}.trace")
    command = attrs.evolve(script, steps=steps, trace=str(trace)).argv
    part = attrs.evolve(part, launch=Launch(command, stdin=b"input"), label="contract")
    recording = RecordingSession(session(part, executor, runner_mode=descriptor.runner_mode))
    outcome = executor.measure(part, recording)
    part = attrs.evolve(part, outcome=outcome)
    return Measured(
        part=attrs.evolve(part, model=executor.measurement_model(part, outcome)),
        session=recording,
        starts=len(trace.read_text("utf-8").splitlines()),
        strays=tuple(sorted(path.name for path in work.iterdir())),
        files=_snapshot(part.folder),
    )


def _under(executor: Executor, part: RunPart, step: Step) -> Step:
    if not (part.harnessed and step.argv):
        return step
    return step_of(step.uri, executor.target_launch(part, Launch(step.argv), step.uri))


def _remembered(
    request: pytest.FixtureRequest, kind: str, make: Callable[[], Measured]
) -> Measured:
    """Return what `make` gave when this class first asked, per parameter of its `executor`."""
    memory: dict[tuple[type, str, str], Measured] = request.config.stash.setdefault(_MEMORY, {})
    variant = ""
    if "executor" in (parameters := getattr(request.node, "callspec", _NONE).params):
        variant = repr(parameters["executor"])
    key = (request.cls, kind, variant)
    if key not in memory:
        memory[key] = make()
    return memory[key]


class _NoParameters:
    params: Mapping[str, Any] = {}


_NONE: Final = _NoParameters()
_MEMORY: Final = pytest.StashKey[dict[tuple[type, str, str], Measured]]()


# Methods of an executor and how many arguments core gives them.
_METHODS: Final = {
    "tools": 1,
    "privileges": 0,
    "setup": 1,
    "environment": 1,
    "resources": 1,
    "target_launch": 3,
    "measure": 2,
    "measurement_model": 2,
    "comparability": 0,
    "results": 1,
    "profile": 2,
    "timeline": 2,
}
_ATTRIBUTES: Final = (
    "integration_mode",
    "min_protocol",
    "min_clients",
    "still_environment",
    "deterministic",
    "rounds",
    "archive",
)


def _missing_members(executor: Any) -> list[str]:
    """Return the members of the protocol that are absent or can't be called as core calls them."""
    missing = [name for name in _ATTRIBUTES if not hasattr(executor, name)]
    for name, count in _METHODS.items():
        try:
            inspect.signature(getattr(executor, name)).bind(*range(count))
        except (AttributeError, TypeError) as error:
            missing.append(f"{name}: {error}")
    return missing


def _is_text_to_text(mapping: Mapping[str, str]) -> bool:
    return all(isinstance(text, str) for pair in mapping.items() for text in pair)


def _snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of every file below `folder`."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in files
    }
