"""The contract of instruments refuses those that break it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from codspeed.model import BenchmarkResult, Launch, Metric, Rounds
from codspeed.protocols import Hooks, InstrumentDefaults, InstrumentDescriptor
from codspeed.testing import make_part
from codspeed.testing.instrument_contract import BodyError, InstrumentContract

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from codspeed.model import Outcome, RunPart

pytest_plugins = ["codspeed.testing.plugin"]


class Quiet(InstrumentDefaults):
    """Observes nothing, and keeps every rule."""

    @contextlib.contextmanager
    def run(self, _part: RunPart) -> Iterator[Hooks]:
        yield Hooks()


def _load() -> type[Quiet]:
    return Quiet


class TestQuiet(InstrumentContract):
    @pytest.fixture
    def descriptor(self) -> InstrumentDescriptor:
        return InstrumentDescriptor(name="quiet", label="Quiet", load=_load)

    @pytest.fixture
    def instrument(self) -> Quiet:
        return Quiet()

    def test_descriptor_is_light(self, descriptor: InstrumentDescriptor) -> None:
        """This module is a test, and not light."""
        with pytest.raises(AssertionError):
            super().test_descriptor_is_light(descriptor)


class Dropping(Quiet):
    def annotate(
        self, _part: RunPart, _outcome: Outcome, results: Sequence[BenchmarkResult]
    ) -> Sequence[BenchmarkResult]:
        return [attrs.evolve(result, notes=()) for result in results]


class Doubling(Quiet):
    def annotate(
        self, _part: RunPart, _outcome: Outcome, results: Sequence[BenchmarkResult]
    ) -> Sequence[BenchmarkResult]:
        twice = Metric("wall_time", 2.0, "ns")
        return [attrs.evolve(each, metrics=(*each.metrics, twice)) for each in results]


class Replacing(Quiet):
    def wrap(self, _part: RunPart, _launch: Launch) -> Launch:
        return Launch(("true",))


class Hiding(Quiet):
    @contextlib.contextmanager
    def run(self, _part: RunPart) -> Iterator[Hooks]:
        with contextlib.suppress(BodyError):
            yield Hooks()


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        (Dropping, InstrumentContract.test_results_are_kept_with_what_was_seen),
        (Dropping, InstrumentContract.test_without_windows_results_are_kept),
        (Doubling, InstrumentContract.test_results_are_kept_with_what_was_seen),
        (Replacing, InstrumentContract.test_the_command_stays_what_it_is),
        (Hiding, InstrumentContract.test_a_failing_run_keeps_its_reason),
    ],
)
def test_an_instrument_that_breaks_a_rule_is_caught(
    tmp_path: Path, kind: type[Quiet], rule: Any
) -> None:
    part = make_part(tmp_path, ("./tool", "a b"))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        rule(InstrumentContract(), kind(), part)


def test_being_wanted_for_an_empty_reason_is_caught(tmp_path: Path) -> None:
    loud = InstrumentDescriptor(name="loud", label="Loud", load=_load, wanted=lambda *_: " ")
    with pytest.raises(AssertionError, match="empty reason"):
        InstrumentContract().test_wanted_says_why_or_nothing(loud, make_part(tmp_path), Rounds.ONCE)
