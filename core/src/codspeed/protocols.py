"""What plugins implement and what core gives them: the whole surface between the two.

A plugin is an entry point that names a *descriptor*: a light record whose module imports attrs and
`codspeed.model` at most. Core reads descriptors to build its command line and its plan, and calls
`load` only for what was selected. All protocols are structural: no base class is needed.
`ExecutorDefaults`, `InstrumentDefaults` and `UploaderDefaults` exist for those who like to
inherit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

import attrs

from codspeed.errors import Refused
from codspeed.model import (
    ArchiveKind,
    Comparability,
    Compat,
    IntegrationMode,
    Launch,
    MarkerKind,
    NoOptions,
    Privileges,
    Rounds,
    RunContext,
    RunPart,
    Sharing,
    Support,
    System,
    Tool,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    import click

    from codspeed.model import (
        BenchmarkResult,
        Bundle,
        CallTree,
        Outcome,
        Reporter,
        RunReport,
        RunRequest,
        Timeline,
    )

__all__ = [
    "API_VERSIONS",
    "CommandApp",
    "CommandDescriptor",
    "EnvironmentDescriptor",
    "Executor",
    "ExecutorDefaults",
    "ExecutorDescriptor",
    "Harness",
    "HarnessDescriptor",
    "Hooks",
    "Instrument",
    "InstrumentDefaults",
    "InstrumentDescriptor",
    "Receipt",
    "Refused",
    "Session",
    "Target",
    "Uploader",
    "UploaderDefaults",
    "UploaderDescriptor",
]

# The api_version that core understands, per entry-point group, as an inclusive range. Additive
# changes keep the number. History: 1 first version.
API_VERSIONS: Final[Mapping[str, tuple[int, int]]] = {
    "codspeed.executors": (1, 1),
    "codspeed.instruments": (1, 1),
    "codspeed.uploaders": (1, 1),
    "codspeed.harnesses": (1, 1),
    "codspeed.commands": (1, 1),
    "codspeed.environments": (1, 1),
}


def _supported_everywhere(_system: System) -> Support:
    return Support.ok()


# --- Descriptors ----------------------------------------------------------------------------------
# -------------------


@attrs.frozen(kw_only=True)
class Descriptor:
    """What every plugin says about itself.

    Attributes:
        name: The entry point's name; lower case with dashes.
        label: For people: headings and lists.
        load: Import and return what does the work; may be slow, called only when selected.
        options: attrs class of `codspeed.model.option` fields; core hands an instance to what
            `load` returned.
        support: What the plugin can do on a system; must not be slow.
        status: Lines for `codspeed status`; None for none.
        api_version: The version of the group's protocol the plugin was written for.
    """

    name: str
    label: str
    load: Callable[[], Any]
    options: type = NoOptions
    support: Callable[[System], Support] = _supported_everywhere
    status: Callable[[System], Sequence[str]] | None = None
    api_version: int = 1


@attrs.frozen(kw_only=True)
class ExecutorDescriptor(Descriptor):
    """An executor: measures in one mode.

    Attributes:
        mode: What the user picks with --mode.
        aliases: Other accepted --mode values.
        runner_mode: What integrations read in CODSPEED_RUNNER_MODE; the mode if empty.
    """

    mode: str
    aliases: tuple[str, ...] = ()
    runner_mode: str = ""


def _never_wanted(*_facts: Any) -> str | None:
    return None


@attrs.frozen(kw_only=True)
class InstrumentDescriptor(Descriptor):
    """An instrument: adds observation to a run of any executor.

    Attributes:
        wanted: Why it observes this part under this executor unasked, in a few words; None if only
            `--instruments` brings it. Asked only where `support` does not say "unsupported". What
            is always there must cost next to nothing.
    """

    wanted: Callable[[RunPart, Executor, Any], str | None] = _never_wanted


@attrs.frozen(kw_only=True)
class UploaderDescriptor(Descriptor):
    """An uploader: takes a bundle somewhere.

    Attributes:
        wanted: Why it runs unasked in this context, in a few words; None if it does not. May raise
            `UsageError` for options that make no sense in this context.
        lacking: Of one that does not: what it lacks in a context in which people expect it, in a
            line that is shown at the end of the run; None for silence.
        compat: "codspeed" if what it uploads must be measured the reference's way.
    """

    wanted: Callable[[RunContext, Any], str | None] = _never_wanted
    lacking: Callable[[RunContext, Any], str | None] = _never_wanted
    compat: str | None = None


@attrs.frozen(kw_only=True)
class HarnessDescriptor(Descriptor):
    """A harness: turns plain commands into benchmarks. Its options are the bounds of a target."""


@attrs.frozen(kw_only=True)
class CommandDescriptor(Descriptor):
    """A verb of the command line.

    Attributes:
        help: One line for `codspeed --help`.

    `load` returns `build(app: CommandApp) -> click.Command`.
    """

    help: str


@attrs.frozen(kw_only=True)
class EnvironmentDescriptor(Descriptor):
    """A place where codspeed runs, such as a CI provider.

    Attributes:
        order: Providers are asked in ascending order; `local` is last.
        detect: Whether these variables are this provider's.

    `load` returns `read(env: Mapping[str, str], cwd: Path) -> RunContext`, or raises
    `CodspeedError` for bad data.
    """

    order: int
    detect: Callable[[Mapping[str, str]], bool]


# --- What core gives an executor
# ---------------------------------------------------------------------------------------


class Hooks:
    """Callbacks of a session: no-ops to override; the reply is sent after they returned.

    Any of them may raise `Refused`: the integration gets Err and the run ends with that error.
    """

    def spawned(self, pid: int) -> None:
        """The child exists and is held before its exec."""

    def released(self) -> None:
        """The command starts, and measures nothing yet: time for what the end will need."""

    def integration(self, name: str, version: str) -> None:
        """The integration introduced itself."""

    def started(self) -> None:
        """A window opens; SampleStart is stamped when this returned."""

    def stopped(self) -> None:
        """A window closes; SampleEnd is stamped when this returned."""

    def benchmark(self, pid: int, uri: str) -> None:
        """The last window got its name; markers may still follow."""

    def marker(self, pid: int, kind: MarkerKind, timestamp: int) -> None:
        """`pid` marked a moment, in CLOCK_MONOTONIC nanoseconds; thousands come, so be quick."""

    def healthy(self) -> bool:
        """Answer PingProfiler."""
        return True


class Session(Protocol):
    """One run part: FIFO, child, signals and output in one loop."""

    @property
    def system(self) -> System:
        """The machine."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The whole environment of the command."""

    def run(self, launch: Launch, hooks: Hooks = ...) -> Outcome:
        """Run `launch` to its end; may be called again for a second pass.

        Raises:
            CodspeedError: If the child can't be started, the protocol is lost or a callback
                refused. Core keeps what was measured before.
        """

    def note(self, text: str) -> None:
        """Tell the user something, now."""

    def watch(self, fd: int, ready: Callable[[], None]) -> None:
        """Call `ready` whenever `fd` is readable while `run` runs; for rings and workers."""

    def pids(self) -> frozenset[int]:
        """Return the child and every process that spoke on the FIFO so far."""


# --- What plugins implement
# --------------------------------------------------------------------------------------------


class Executor(Protocol):
    """Measures one run part. Core makes it by calling what `load` returned with the options."""

    integration_mode: IntegrationMode | None
    min_protocol: int
    min_clients: Mapping[str, str]
    still_environment: bool
    deterministic: bool
    rounds: Rounds
    archive: ArchiveKind

    def tools(self, system: System) -> Sequence[Tool]:
        """Return what it needs, found or not, and how to get it."""

    def privileges(self) -> Privileges:
        """Return what needs root's rights, and why."""

    def setup(self, tools: Sequence[Tool]) -> None:
        """Bring the tools that are missing."""

    def environment(self, part: RunPart) -> Mapping[str, str]:
        """Return variables for the benchmarked command."""

    def resources(self, part: RunPart) -> Mapping[str, Sharing]:
        """Return the machine-wide resources that this part holds while it is measured."""

    def target_launch(self, part: RunPart, target: Launch, uri: str) -> Launch:
        """Return how a harness starts one target; asked before the harness starts."""

    def measure(self, part: RunPart, session: Session) -> Outcome:
        """Run `part.launch`; leave what was measured in `part.folder` and the outcome."""

    def measurement_model(self, part: RunPart, outcome: Outcome) -> str:
        """Return what a number of this part means, as a slash-separated id."""

    def comparability(self) -> Comparability:
        """Return which fingerprint fields refuse a comparison, and which only warn."""

    def results(self, part: RunPart) -> Sequence[BenchmarkResult]:
        """Read the benchmarks of a measured part; also works on a part restored from a bundle.

        Raises:
            ResultsError: If what the integration wrote can't be understood.
        """

    def profile(self, part: RunPart, uri: str) -> CallTree | None:
        """Return where the benchmark spent its cost; None if that was not recorded."""

    def timeline(self, part: RunPart, uri: str) -> Timeline | None:
        """Return the benchmark's course over time; None if that was not recorded."""


class ExecutorDefaults:
    """Everything of `Executor` but `measure` and `results`.

    Attributes:
        integration_mode: The answer to GetIntegrationMode; None: no FIFO is created.
        min_protocol: Oldest protocol served; 0 also serves the ping-only clients.
        min_clients: Oldest version served, by name of integration.
        still_environment: Whether variables that change from run to run are made still.
        deterministic: Whether slices of a suite may be measured in parallel and merged.
        compat: Whose tools are wanted; core sets it before `tools`, where the executor has it.
        setup_cache_dir: Where `setup` keeps packages; set as `compat`.
    """

    integration_mode: IntegrationMode | None = None
    min_protocol: int = 0
    min_clients: Mapping[str, str] = {}
    still_environment: bool = False
    deterministic: bool = False
    rounds: Rounds = Rounds.ONCE
    archive: ArchiveKind = ArchiveKind.PLAIN
    compat: Compat = Compat.NATIVE
    setup_cache_dir: Path | None = None
    name: ClassVar[str] = ""

    def __init__(self, options: Any = None) -> None:
        self.options = options

    def tools(self, _system: System) -> Sequence[Tool]:
        """Need nothing."""
        return ()

    def privileges(self) -> Privileges:
        """Need no rights."""
        return Privileges()

    def setup(self, _tools: Sequence[Tool]) -> None:
        """Have nothing to install."""

    def environment(self, _part: RunPart) -> Mapping[str, str]:
        """Add no variables."""
        return {}

    def resources(self, _part: RunPart) -> Mapping[str, Sharing]:
        """Hold the FIFO paths if there is a FIFO."""
        return {} if self.integration_mode is None else {"hook-fifo": Sharing.EXCLUSIVE}

    def target_launch(self, _part: RunPart, target: Launch, _uri: str) -> Launch:
        """Start targets as they are."""
        return target

    def measurement_model(self, part: RunPart, _outcome: Outcome) -> str:
        """Name the executor."""
        return part.executor

    def comparability(self) -> Comparability:
        """Compare results of equal machines."""
        return Comparability(
            refuses=("cpu_model", "cpu_cores", "virtualization"), warns=("kernel", "image")
        )

    def profile(self, _part: RunPart, _uri: str) -> CallTree | None:
        """Have no profile."""
        return None

    def profiles(self, _part: RunPart, _uri: str) -> Mapping[str, CallTree]:
        """Have no other profiles, by name, than the one of `profile`: `codspeed flame --of`."""
        return {}

    def timeline(self, _part: RunPart, _uri: str) -> Timeline | None:
        """Have no timeline."""
        return None


class Instrument(Protocol):
    """Adds observation to a run part.

    At Start the instruments come first, then the executor; at Stop the reverse. One that has
    `prepare(system, reporter)` is called with this machine and whom to tell, first.
    """

    def environment(self, part: RunPart) -> Mapping[str, str]:
        """Return variables for the benchmarked command."""

    def wrap(self, part: RunPart, launch: Launch) -> Launch:
        """Return how the command is started under this instrument."""

    def run(self, part: RunPart) -> AbstractContextManager[Hooks]:
        """Observe while the context is open; it is closed on every path."""

    def annotate(
        self, part: RunPart, outcome: Outcome, results: Sequence[BenchmarkResult]
    ) -> Sequence[BenchmarkResult]:
        """Return the results with what was observed."""


class InstrumentDefaults:
    """Everything of `Instrument` but `run`."""

    def __init__(self, options: Any = None) -> None:
        self.options = options

    def prepare(self, _system: System, _reporter: Reporter) -> None:
        """Need to know nothing."""

    def environment(self, _part: RunPart) -> Mapping[str, str]:
        """Add no variables."""
        return {}

    def wrap(self, _part: RunPart, launch: Launch) -> Launch:
        """Start the command as it is."""
        return launch

    def annotate(
        self, _part: RunPart, _outcome: Outcome, results: Sequence[BenchmarkResult]
    ) -> Sequence[BenchmarkResult]:
        """Add nothing."""
        return results


@attrs.frozen
class Receipt:
    """Where an uploader took a bundle.

    Attributes:
        message: One line for the user.
        url: Where to look, or empty.
    """

    message: str
    url: str = ""


class Uploader(Protocol):
    """Takes bundles somewhere.

    One that has `prepare(system, reporter)` is called with this machine and whom to tell, first.
    """

    def accepts(self, part: Any) -> str | None:
        """Return why this `PartRecord` is not taken; None if it is."""

    def upload(self, bundle: Bundle) -> Receipt:
        """Take the bundle; may be called again for the same one, later, on another machine.

        Raises:
            UploadError: If it could not be taken.
            AuthenticationError: If the other side refused us.
        """


class UploaderDefaults:
    """Everything of `Uploader` but `upload`."""

    def __init__(self, options: Any = None) -> None:
        self.options = options

    def prepare(self, _system: System, _reporter: Reporter) -> None:
        """Need to know nothing."""

    def accepts(self, _part: Any) -> str | None:
        """Take every part."""
        return None


@attrs.frozen
class Target:
    """One plain command that a harness measures as a benchmark.

    Attributes:
        bounds: An instance of the harness's options.
    """

    name: str
    uri: str
    launch: Launch
    bounds: Any = None


class Harness(Protocol):
    """Turns plain commands into benchmarks."""

    def target(self, launch: Launch, name: str | None, bounds: Any) -> Target:
        """Name a command: the benchmark's name and URI.

        Raises:
            UsageError: If the bounds contradict each other.
        """

    def command(self, targets: Sequence[Target], rounds: Rounds) -> Launch:
        """Return the process that measures `targets` in order."""


# --- What core gives a verb
# --------------------------------------------------------------------------------------------


class CommandApp(Protocol):
    """What `build` of a verb gets."""

    system: System

    def option(self, name: str) -> Any:
        """Return the resolved value of an option: flag, environment, codspeed.yml, default."""

    def context(self) -> RunContext:
        """Return where we are."""

    def data_folder(self) -> Any:
        """Return the `Path` under which this repository's bundles and index live."""

    def run(self, request: RunRequest) -> RunReport:
        """Measure as `codspeed run` does."""

    def executor(self, name: str, options: Mapping[str, Any]) -> Executor:
        """Return an executor that reads what it measured before, made of its recorded options.

        Raises:
            PluginError: If it is not installed or can't be used.
            PluginCrashError: If it fails to load or to start.
        """

    def print(self, renderable: Any) -> None:
        """Show human text on standard error (rich renderables allowed)."""

    def write(self, text: str) -> None:
        """Write data to standard output."""


class CommandBuilder(Protocol):
    """What `load` of a `CommandDescriptor` returns."""

    def __call__(self, app: CommandApp) -> click.Command:
        """Build the verb."""
