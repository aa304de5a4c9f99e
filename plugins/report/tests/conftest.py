"""Bundles without a run, and an app without a command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from rich.console import Console

from codspeed import bundle as bundles
from codspeed.model import (
    BenchmarkResult,
    Bundle,
    Comparability,
    Compat,
    Kind,
    Manifest,
    Metric,
    PartRecord,
    PartResults,
    RunContext,
    System,
)

if TYPE_CHECKING:
    from codspeed.model import RunReport, RunRequest

COMMITS = {"one": "1" * 40, "two": "2" * 40, "three": "3" * 40}


def _metric(value: float, kind: Kind) -> Metric:
    if kind is Kind.EXACT:
        return Metric("ir", value, "count", kind=kind, headline=True, label="Instructions")
    statistics = {"q1": value * 0.99, "q3": value * 1.02, "min": value * 0.9, "rounds": 100.0}
    return Metric(
        "time", value, "ns", kind=kind, headline=True, label="Time", statistics=statistics
    )


def _record(executor: str, model: str, count: int) -> PartRecord:
    return PartRecord(
        index=0,
        executor=executor,
        distribution=f"codspeed-{executor}",
        version="0.1.0",
        mode=executor,
        label="pytest",
        argv=("pytest",),
        cwd="",
        harnessed=False,
        compat=Compat.NATIVE,
        folder=f"profiles/{executor}-0",
        archive="plain",
        model=model,
        comparability=Comparability(refuses=("cpu_model",), warns=("kernel", "environment_hash")),
        status=0,
        benchmarks=count,
    )


@attrs.frozen
class BundleMaker:
    """Makes bundles in `folder`; the day of November sets run id and time."""

    folder: Path

    def __call__(
        self,
        day: int,
        values: Mapping[str, float] | None = None,
        *,
        executor: str = "walltime",
        model: str = "walltime/1",
        kind: Kind = Kind.SAMPLED,
        commit: str = "",
        branch: str = "main",
        variant: Mapping[str, str] | None = None,
        machine: Mapping[str, Any] | None = None,
        profile_bytes: int = 0,
        folder: Path | None = None,
    ) -> Bundle:
        values = {"a.py::fast": 1000.0, "a.py::slow[x]": 5e6} if values is None else values
        results = tuple(
            BenchmarkResult(uri, uri.rpartition("::")[2], (_metric(value, kind),))
            for uri, value in values.items()
        )
        manifest = Manifest(
            schema=1,
            run_id=f"202611{day:02d}T120000-000-{day:08x}",
            created_ns=(1_793_000_000 + day * 86_400) * 1_000_000_000,
            codspeed="0.1.0",
            plugins={},
            context=RunContext("local", "o/r", "o-r", Path("/r"), commit=commit, branch=branch),
            variant=variant or {},
            fingerprint={"cpu_model": "EPYC", "kernel": "6.1", **(machine or {})},
            parts=(_record(executor, model, len(results)),),
        )
        parts = (PartResults(0, executor, executor, model, results),)
        return self._written(manifest, parts, profile_bytes, folder or self.folder)

    def _written(
        self,
        manifest: Manifest,
        parts: tuple[PartResults, ...],
        profile_bytes: int,
        folder: Path,
    ) -> Bundle:
        writer = bundles.create(folder, manifest.run_id)
        if profile_bytes:
            profile = writer.profile_folder(manifest.parts[0].executor + "-0")
            profile.mkdir(parents=True)
            (profile / "perf.data").write_bytes(bytes(profile_bytes))
        return writer.write(manifest, parts, [])


@attrs.frozen
class FakeApp:
    """What core gives a verb, with everything shown kept in lists."""

    folder: Path
    options: dict[str, Any] = attrs.field(factory=dict)
    printed: list[str] = attrs.field(factory=list)
    written: list[str] = attrs.field(factory=list)
    executors: dict[str, Callable[[Mapping[str, Any]], Any]] = attrs.field(factory=dict)
    system: System = attrs.field(default=System("linux", "debian", "12", "x86_64", 0, Path(), {}))

    def option(self, name: str) -> Any:
        return self.options.get(name)

    def context(self) -> RunContext:
        return RunContext("local", "o/r", "o-r", Path("/r"))

    def data_folder(self) -> Path:
        return self.folder

    def run(self, request: RunRequest) -> RunReport:
        raise NotImplementedError

    def executor(self, name: str, options: Mapping[str, Any]) -> Any:
        return self.executors[name](options)

    def print(self, renderable: Any) -> None:
        console = Console(width=200, no_color=True)
        with console.capture() as capture:
            console.print(renderable)
        self.printed.append(capture.get())

    def write(self, text: str) -> None:
        self.written.append(text)

    @property
    def shown(self) -> str:
        return "".join(self.printed)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of a store, with nothing in it."""
    folder = tmp_path / "data"
    (folder / "bundles").mkdir(parents=True)
    return folder


@pytest.fixture
def make(root: Path) -> BundleMaker:
    return BundleMaker(root / "bundles")


@pytest.fixture
def app(root: Path) -> FakeApp:
    return FakeApp(root)


@pytest.fixture
def run_id() -> Callable[[int], str]:
    return lambda day: f"202611{day:02d}T120000-000-{day:08x}"
