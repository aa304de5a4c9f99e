"""Executors that break one rule each; test_contract_catches.py runs the contract on them.

They are measured by a session that plays the sample program in memory, so that all are quick.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import pytest

from codspeed.errors import BenchmarkFailedError
from codspeed.model import (
    BenchmarkResult,
    CallTree,
    Comparability,
    Frame,
    Launch,
    Metric,
    Outcome,
    Privileges,
    RunPart,
    Support,
    Timeline,
    Tool,
    Window,
    option,
)
from codspeed.protocols import ExecutorDescriptor, Hooks, Session
from codspeed.testing import contract
from codspeed.testing.fakes import FakeExecutor, FakeOptions, FakeSession, fake_executor

if TYPE_CHECKING:
    from collections.abc import Sequence


class PlayedSession(FakeSession):
    """Does what codspeed.testing.sample would do, without a process."""

    def run(self, launch: Launch, hooks: Hooks | None = None) -> Outcome:
        hooks = hooks or Hooks()
        hooks.spawned(os.getpid())
        if not launch.argv[-1].startswith("{"):
            return Outcome(0)
        script = json.loads(launch.argv[-1])
        with Path(script["trace"]).open("a", encoding="utf-8") as trace:
            trace.write("started\n")
        hooks.integration("sample", "1")
        for step in script["steps"]:
            hooks.started()
            hooks.stopped()
            if step["uri"]:
                hooks.benchmark(1, step["uri"])
        windows = tuple(Window(step["uri"] or None, (1,), 0, 1) for step in script["steps"])
        return Outcome(-script["signal"] or script["status"], windows=windows)


@pytest.fixture(autouse=True)
def played(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "session", lambda *args, **kwargs: PlayedSession())


def descriptor_of(kind: type, **changes: Any) -> ExecutorDescriptor:
    def load() -> type:
        return kind

    load.__module__ = fake_executor.load.__module__  # a light one
    return attrs.evolve(fake_executor, load=load, **changes)


class Contract(contract.ExecutorContract):
    """Takes the executor from the class attributes instead of fixtures."""

    kind: ClassVar[type[FakeExecutor]] = FakeExecutor
    changes: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def descriptor(self) -> ExecutorDescriptor:
        return descriptor_of(self.kind, **self.changes)

    @pytest.fixture
    def executor(self) -> FakeExecutor:
        return self.kind(FakeOptions())


class TestSound(Contract):
    """Breaks nothing: the others differ from this one in one thing."""


# --- Descriptors ---


class TestHeavyDescriptor(Contract):
    @pytest.fixture
    def descriptor(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExecutorDescriptor:
        (tmp_path / "heavy_module.py").write_text("import cattrs\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        descriptor = super().descriptor.__wrapped__(self)  # type: ignore[attr-defined]  # the function under the fixture
        descriptor.load.__module__ = "heavy_module"
        return descriptor  # type: ignore[no-any-return]  # as above


class TestNameWithBlank(Contract):
    changes: ClassVar = {"name": "My Executor"}


class TestAliasOfItself(Contract):
    changes: ClassVar = {"aliases": ("fake",)}


class TestFutureApi(Contract):
    changes: ClassVar = {"api_version": 99}


class TestUnexplainedSupport(Contract):
    changes: ClassVar = {"support": lambda system: Support.degraded("")}


@attrs.frozen
class Helpless:
    fake_factor: int = option(1)


class TestOptionWithoutHelp(Contract):
    changes: ClassVar = {"options": Helpless}


@attrs.frozen
class Unlisted:
    fake_factor: int = 1


class TestFieldThatIsNoOption(Contract):
    changes: ClassVar = {"options": Unlisted}


@attrs.frozen
class Mistyped:
    fake_factor: str = option(1, help="Said to be text")


class TestOptionOfAnotherType(Contract):
    changes: ClassVar = {"options": Mistyped}


class TestStatusIsNoText(Contract):
    changes: ClassVar = {"status": lambda system: [1]}


# --- What is said before the run ---


class WithoutSetup(FakeExecutor):
    setup = None  # type: ignore[assignment]  # broken on purpose


class TestMissingMethod(Contract):
    kind = WithoutSetup


class RoundsAsText(FakeExecutor):
    rounds = "once"  # type: ignore[assignment]  # broken on purpose


class TestAttributeOfAnotherKind(Contract):
    kind = RoundsAsText


class ToolWithoutRemedy(FakeExecutor):
    def tools(self, system: Any) -> Sequence[Tool]:
        return (Tool("hammer", None, required=False),)


class TestToolWithoutRemedy(Contract):
    kind = ToolWithoutRemedy


class SudoForNothing(FakeExecutor):
    def privileges(self) -> Privileges:
        return Privileges(sudo=True)


class TestSudoWithoutPurpose(Contract):
    kind = SudoForNothing


class NumberInEnvironment(FakeExecutor):
    def environment(self, part: RunPart) -> dict[str, str]:
        return {"THREADS": 1}  # type: ignore[dict-item]  # broken on purpose


class TestNumberInEnvironment(Contract):
    kind = NumberInEnvironment


class SharesTheFifo(FakeExecutor):
    def resources(self, part: RunPart) -> dict[str, Any]:
        return {}


class TestFifoNotHeld(Contract):
    kind = SharesTheFifo


class RefusesAndWarns(FakeExecutor):
    def comparability(self) -> Comparability:
        return Comparability(refuses=("kernel",), warns=("kernel",))


class TestFieldThatRefusesAndWarns(Contract):
    kind = RefusesAndWarns


class DropsEnvironment(FakeExecutor):
    def target_launch(self, part: RunPart, target: Launch, uri: str) -> Launch:
        return Launch(("wrapper", *target.argv), cwd=target.cwd)


class TestTargetLosesItsEnvironment(Contract):
    kind = DropsEnvironment


# --- Measuring ---


class MeasuresTwice(FakeExecutor):
    def measure(self, part: RunPart, session: Session) -> Outcome:
        Path(json.loads(part.launch.argv[-1])["trace"]).write_text("once more\n", encoding="utf-8")
        return session.run(part.launch)


class TestTwoStarts(Contract):
    kind = MeasuresTwice


class RunsAnotherCommandFirst(FakeExecutor):
    def measure(self, part: RunPart, session: Session) -> Outcome:
        session.run(Launch(("true",)))
        return session.run(part.launch)


class TestAnotherCommand(Contract):
    kind = RunsAnotherCommandFirst


class LosesInput(FakeExecutor):
    def measure(self, part: RunPart, session: Session) -> Outcome:
        return session.run(Launch(part.launch.argv))


class TestLostInput(Contract):
    kind = LosesInput


class RaisesOnFailure(FakeExecutor):
    def measure(self, part: RunPart, session: Session) -> Outcome:
        outcome = session.run(part.launch)
        if outcome.status > 0:
            raise BenchmarkFailedError("failed")  # noqa: EM101 - as a plugin author may write it
        return outcome


class TestFailureRaises(Contract):
    kind = RaisesOnFailure


class StatusOfAShell(FakeExecutor):
    def measure(self, part: RunPart, session: Session) -> Outcome:
        outcome = session.run(part.launch)
        status = 128 - outcome.status if outcome.status < 0 else outcome.status
        return attrs.evolve(outcome, status=status)


class TestSignalAsAShellSaysIt(Contract):
    kind = StatusOfAShell


class NamesTheNameless(FakeExecutor):
    def results(self, part: RunPart) -> Sequence[BenchmarkResult]:
        nameless = [w for w in part.outcome.windows if w.uri is None] if part.outcome else []
        return [*super().results(part), *(self._result("unknown") for _ in nameless)]


class TestNamelessWindow(Contract):
    kind = NamesTheNameless


class Litters(FakeExecutor):
    def measure(self, part: RunPart, session: Session) -> Outcome:
        Path("perf.data").write_text("", encoding="utf-8")
        return session.run(part.launch)


class TestLitter(Contract):
    kind = Litters


class ModelWithBlank(FakeExecutor):
    def measurement_model(self, part: RunPart, outcome: Outcome) -> str:
        return "fake 1"


class TestModelWithBlank(Contract):
    kind = ModelWithBlank


class ModelOfTheDay(FakeExecutor):
    calls = 0

    def measurement_model(self, part: RunPart, outcome: Outcome) -> str:
        type(self).calls += 1
        return f"fake/{self.calls}"


class TestUnstableModel(Contract):
    kind = ModelOfTheDay


# --- Reading ---


def changed(**changes: Any) -> type[FakeExecutor]:
    """Return an executor whose metrics have other fields."""

    class Changed(FakeExecutor):
        def results(self, part: RunPart) -> Sequence[BenchmarkResult]:
            return [
                attrs.evolve(
                    result, metrics=tuple(attrs.evolve(one, **changes) for one in result.metrics)
                )
                for result in super().results(part)
            ]

    return Changed


class TestMetricNamedForPeople(Contract):
    kind = changed(name="CPU time")


class TestMetricWithoutUnit(Contract):
    kind = changed(unit="")


class TestInfiniteMetric(Contract):
    kind = changed(value=math.inf)


class TestInfiniteSample(Contract):
    kind = changed(samples=(1.0, math.inf))


class TestKindAsText(Contract):
    kind = changed(kind="exact")


class TwoHeadlines(FakeExecutor):
    def results(self, part: RunPart) -> Sequence[BenchmarkResult]:
        more = Metric("more", 1.0, "count", headline=True)
        return [
            attrs.evolve(result, metrics=(*result.metrics, more))
            for result in super().results(part)
        ]


class TestTwoHeadlines(Contract):
    kind = TwoHeadlines


class WithoutMetrics(FakeExecutor):
    def results(self, part: RunPart) -> Sequence[BenchmarkResult]:
        return [attrs.evolve(result, metrics=()) for result in super().results(part)]


class TestNoMetrics(Contract):
    kind = WithoutMetrics


def only_last(*, harnessed: bool) -> type[FakeExecutor]:
    class OnlyLast(FakeExecutor):
        def results(self, part: RunPart) -> Sequence[BenchmarkResult]:
            found = super().results(part)
            return found[-1:] if part.harnessed is harnessed else found

    return OnlyLast


class TestLostWindow(Contract):
    kind = only_last(harnessed=False)


class TestLostTarget(Contract):
    kind = only_last(harnessed=True)


class ReadsItsPath(FakeExecutor):
    def measure(self, part: RunPart, session: Session) -> Outcome:
        (part.folder / "where").write_text(str(part.folder), encoding="utf-8")
        return super().measure(part, session)

    def results(self, part: RunPart) -> Sequence[BenchmarkResult]:
        where = part.folder / "where"
        moved = where.exists() and where.read_text("utf-8") != str(part.folder)
        return [] if moved else super().results(part)


class TestBoundToAPath(Contract):
    kind = ReadsItsPath


class Caches(FakeExecutor):
    def results(self, part: RunPart) -> Sequence[BenchmarkResult]:
        (part.folder / "cache").write_text("", encoding="utf-8")
        return super().results(part)


class TestCacheInTheBundle(Contract):
    kind = Caches


class NegativeCost(FakeExecutor):
    def profile(self, part: RunPart, uri: str) -> CallTree | None:
        tree = super().profile(part, uri)
        return tree and CallTree("ns", {(Frame("main"),): -1.0})


class TestNegativeCost(Contract):
    kind = NegativeCost


class BackInTime(FakeExecutor):
    def timeline(self, part: RunPart, uri: str) -> Timeline | None:
        timeline = super().timeline(part, uri)
        return timeline and Timeline("bytes", ((2, 0.0), (1, 0.0)))


class TestBackInTime(Contract):
    kind = BackInTime


class KnowsAll(FakeExecutor):
    def profile(self, part: RunPart, uri: str) -> CallTree | None:
        tree = super().profile(part, uri)
        if tree is None:
            raise KeyError(uri)
        return tree


class TestUnknownBenchmarkRaises(Contract):
    kind = KnowsAll


class NeedsFiles(FakeExecutor):
    def measure(self, part: RunPart, session: Session) -> Outcome:
        (part.folder / "numbers").write_text("", encoding="utf-8")
        return super().measure(part, session)

    def results(self, part: RunPart) -> Sequence[BenchmarkResult]:
        (part.folder / "numbers").read_text("utf-8")
        return super().results(part)


class TestEmptyFolderRaises(Contract):
    kind = NeedsFiles
