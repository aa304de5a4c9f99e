"""The rules that every instrument keeps, each a test of its own. Subclass it, give it two fixtures.

    class TestSysload(InstrumentContract):
        @pytest.fixture
        def descriptor(self) -> InstrumentDescriptor:
            return descriptor

        @pytest.fixture
        def instrument(self) -> Sysload:
            return Sysload()

Nothing is measured: the rules open and close windows themselves.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import attrs
import pytest

from codspeed.environment import read_system
from codspeed.model import BenchmarkResult, Launch, Metric, Outcome, Reporter, Rounds, Window
from codspeed.protocols import API_VERSIONS, ExecutorDefaults, Hooks
from codspeed.testing.checks import check_options, check_results, check_support
from codspeed.testing.light import heavy_imports
from codspeed.testing.parts import make_part

if TYPE_CHECKING:
    from pathlib import Path

    from codspeed.model import RunPart
    from codspeed.protocols import Instrument, InstrumentDescriptor

_GROUP: Final = "codspeed.instruments"
_RESULTS: Final = tuple(
    BenchmarkResult(uri, uri, (Metric("wall_time", 1.0, "ns", headline=True),), ("a note",))
    for uri in ("contract::one", "contract::two")
)


class BodyError(Exception):
    """What a failing run raises in the rules."""


class InstrumentContract:
    """Rules of `codspeed.protocols.Instrument` and its descriptor."""

    # --- To be given ---

    @pytest.fixture
    def descriptor(self) -> InstrumentDescriptor:
        """Return the instrument's descriptor."""
        raise NotImplementedError

    @pytest.fixture
    def instrument(self) -> Instrument:
        """Return an instrument as core would make it."""
        raise NotImplementedError

    @pytest.fixture
    def part(self, tmp_path: Path) -> RunPart:
        """Return the part that is observed."""
        return make_part(tmp_path / "profile", ("./tool", "a b"))

    # --- The descriptor ---

    def test_descriptor_is_light(self, descriptor: InstrumentDescriptor) -> None:
        """Core reads every installed descriptor for its help: none may pull in more than attrs."""
        assert heavy_imports(descriptor, _GROUP) == []

    def test_descriptor_is_complete(self, descriptor: InstrumentDescriptor) -> None:
        """It has a label, core understands its version, and its options and support are told."""
        oldest, newest = API_VERSIONS[_GROUP]
        assert oldest <= descriptor.api_version <= newest, descriptor.api_version
        assert descriptor.label.strip(), "the label is empty"
        check_options(descriptor.options)
        check_support(descriptor.support(read_system()))

    @pytest.mark.parametrize("rounds", Rounds)
    def test_wanted_says_why_or_nothing(
        self, descriptor: InstrumentDescriptor, part: RunPart, rounds: Rounds
    ) -> None:
        """Asked for every part, under any executor."""
        executor: Any = type("Executor", (ExecutorDefaults,), {"rounds": rounds})()
        reason = descriptor.wanted(part, executor, descriptor.options())

        assert reason is None or reason.strip(), "wanted for an empty reason"

    def test_load_makes_an_instrument_from_the_options(
        self, descriptor: InstrumentDescriptor
    ) -> None:
        """Core calls what `load` returned with the options, and nothing else."""
        made = descriptor.load()(descriptor.options())

        missing = [
            name for name in ("environment", "wrap", "run", "annotate") if not hasattr(made, name)
        ]
        assert missing == []

    # --- Observing ---

    def test_the_command_stays_what_it_is(self, instrument: Instrument, part: RunPart) -> None:
        """Whatever is put in front, the user's words come last, and variables are text."""
        launch = instrument.wrap(part, part.launch)
        variables = instrument.environment(part)

        assert isinstance(launch, Launch), launch
        assert launch.argv[-2:] == part.launch.argv
        assert all(isinstance(text, str) for pair in variables.items() for text in pair)

    def test_results_are_kept_with_what_was_seen(
        self, instrument: Instrument, part: RunPart
    ) -> None:
        """Metrics and notes of the executor stay, in order, and what is added is well formed."""
        windows = _observed(instrument, part)
        annotated = list(instrument.annotate(part, Outcome(0, windows=windows), _RESULTS))

        check_results(annotated)
        _check_kept(annotated)

    def test_without_windows_results_are_kept(self, instrument: Instrument, part: RunPart) -> None:
        """A command that failed at once, or was measured in slices, has none that were seen."""
        _observed(instrument, part)
        annotated = list(instrument.annotate(part, Outcome(1), _RESULTS))

        check_results(annotated)
        _check_kept(annotated)

    def test_windows_may_come_in_any_order(self, instrument: Instrument, part: RunPart) -> None:
        """Integrations crash between Start and Stop, or send a Stop too many."""
        _prepare(instrument)
        with instrument.run(part) as hooks:
            hooks.stopped()
            hooks.started()
            hooks.started()
            hooks.integration("contract", "1")
            hooks.stopped()
            hooks.stopped()
            hooks.benchmark(1, "contract::one")

    def test_a_failing_run_keeps_its_reason(self, instrument: Instrument, part: RunPart) -> None:
        """What ended the run must not hide behind what the instrument says of it."""
        _prepare(instrument)
        with pytest.raises(BodyError), instrument.run(part):
            raise BodyError


def _prepare(instrument: Instrument) -> None:
    prepare = getattr(instrument, "prepare", None)
    if prepare is not None:
        prepare(read_system(), Reporter())


def _observed(instrument: Instrument, part: RunPart) -> tuple[Window, ...]:
    """Let the instrument see a window for each result."""
    windows = []
    _prepare(instrument)
    with instrument.run(part) as hooks:
        assert isinstance(hooks, Hooks), hooks
        hooks.spawned(1)
        hooks.integration("contract", "1")
        for result in _RESULTS:
            hooks.started()
            start = time.monotonic_ns()
            hooks.stopped()
            windows.append(Window(result.uri, (1,), start, time.monotonic_ns()))
            hooks.benchmark(1, result.uri)
    return tuple(windows)


def _check_kept(annotated: list[BenchmarkResult]) -> None:
    cut = [
        attrs.evolve(
            new, metrics=new.metrics[: len(old.metrics)], notes=new.notes[: len(old.notes)]
        )
        for new, old in zip(annotated, _RESULTS, strict=True)
    ]
    assert tuple(cut) == _RESULTS
