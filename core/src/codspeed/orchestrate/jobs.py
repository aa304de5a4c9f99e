"""`--jobs`: decide whether a part is split, and measure its slices with sessions of their own."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from codspeed.hooks.session import FifoSession
from codspeed.launch.still import padded
from codspeed.model import Compat
from codspeed.orchestrate import parallel
from codspeed.orchestrate.pytest_slices import PytestSlicer
from codspeed.orchestrate.select import blaming
from codspeed.orchestrate.slices import Slicer, Slices, TargetSlicer, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from codspeed.model import Launch, Reporter, RunPart
    from codspeed.orchestrate.part import Measurement
    from codspeed.protocols import Executor


def slices_of(
    measurement: Measurement, executor: Executor, environment: Mapping[str, str]
) -> Slices:
    """Return the slices of a part, and tell the user what became of --jobs."""
    launch, reporter = measurement.part.launch, measurement.reporter
    why = _why_whole(measurement, executor)
    if why:
        slices = whole(launch, why)
    else:
        slicer = _slicer(measurement, executor, environment)
        slices = slicer.slices(launch, measurement.request.jobs)
    if slices.why_whole:
        reporter.warning(f"--jobs: measured in one piece, {slices.why_whole}")
    elif slices.shares_process:
        reporter.info(
            f"measured in {len(slices.launches)} slices at once; counters can depend on what ran"
            " before in a process, so they are not compared with those of another split"
        )
    return slices


def measured(
    measurement: Measurement,
    executor: Executor,
    slices: Slices,
    environment: Mapping[str, str],
) -> parallel.Merged:
    """Measure the slices side by side, each in its piece of the part."""
    pieces = attrs.evolve(measurement.part, slices=len(slices.launches)).pieces
    parts = []
    for piece, launch in zip(pieces, slices.launches, strict=True):
        piece.folder.mkdir(exist_ok=True)
        parts.append(attrs.evolve(piece, launch=launch))

    def session(part: RunPart, reporter: Reporter) -> FifoSession:
        variables = {
            **environment,
            **executor.environment(part),
            "CODSPEED_PROFILE_FOLDER": str(part.folder),
        }
        if measurement.is_still(executor):
            variables = padded(variables)
        system = measurement.system
        return FifoSession(system=system, environment=variables, mode=None, reporter=reporter)

    supervisor = parallel.Supervisor(executor, session, lambda: blaming(measurement.plugin))
    return parallel.measure(supervisor, parts, measurement.reporter)


def _why_whole(measurement: Measurement, executor: Executor) -> str:
    """Return why this part is never split; empty if it may be."""
    if not executor.deterministic:
        return f"processes that run at once would disturb what {measurement.part.mode} measures"
    if executor.integration_mode is not None:
        return "its integration speaks on a FIFO that a machine has once"
    if measurement.part.compat is Compat.CODSPEED:
        return "--compat codspeed measures as the reference does"
    if measurement.observers:
        return "instruments observe one process"
    return ""


def _slicer(measurement: Measurement, executor: Executor, environment: Mapping[str, str]) -> Slicer:
    part, targets = measurement.part, measurement.command.targets
    if targets:
        pieces = attrs.evolve(part, slices=len(targets)).pieces
        return TargetSlicer(
            targets,
            lambda number, hand: measurement.harness_launch(executor, pieces[number], hand),
        )
    cwd = part.launch.cwd or Path.cwd()
    collect = collector(environment, measurement.system.temp)
    return PytestSlicer(collect, lambda path: (cwd / path).exists())


def collector(environment: Mapping[str, str], temp: Path) -> Callable[[Launch], str]:
    """Return what runs a command unmeasured and gives its standard output; empty if it failed.

    Args:
        environment: What the measured command will see.
        temp: Where an integration leaves files; those of this run are removed.
    """

    def collect(launch: Launch) -> str:
        with tempfile.TemporaryDirectory(dir=temp, prefix="codspeed-collect-") as folder:
            variables = {**environment, **launch.env, "CODSPEED_PROFILE_FOLDER": folder}
            try:
                return _output(launch, variables, temp)
            except OSError:
                return ""

    return collect


def _output(launch: Launch, environment: Mapping[str, str], temp: Path) -> str:
    with subprocess.Popen(
        launch.argv,
        env=dict(environment),
        cwd=launch.cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            output, _ = process.communicate()
        except BaseException:
            process.kill()
            raise
    with contextlib.suppress(OSError):  # CPython's perf trampoline, which integrations switch on
        (temp / f"perf-{process.pid}.map").unlink()
    return output.decode("utf-8", "replace") if process.returncode == 0 else ""
