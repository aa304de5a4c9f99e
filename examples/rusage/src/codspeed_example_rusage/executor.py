"""Measures CPU time and the largest resident set: the kernel counts them for every process."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import attrs

from codspeed.model import BenchmarkResult, CallTree, Frame, Kind, Launch, Metric
from codspeed.protocols import ExecutorDefaults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codspeed.model import Outcome, RunPart
    from codspeed.protocols import Session

RECORDS = "rusage.jsonl"  # in the profile folder, one line per target


class RusageExecutor(ExecutorDefaults):
    """One benchmark for a command of `codspeed run`, one for each target of `codspeed exec`."""

    def target_launch(self, part: RunPart, target: Launch, uri: str) -> Launch:
        """Put the wrapper in front of a target, so that each is counted for itself."""
        wrapper = (sys.executable, "-P", "-m", "codspeed_example_rusage.wrapper")
        words = (*wrapper, str(part.folder / RECORDS), uri, "--", *target.argv)
        return attrs.evolve(target, argv=words)

    def measure(self, part: RunPart, session: Session) -> Outcome:
        """Run the command; the session counts it."""
        return session.run(part.launch)

    def measurement_model(self, _part: RunPart, _outcome: Outcome) -> str:
        """Tell apart what must not be compared: numbers with and without the kernel's share."""
        return "rusage/user/v1" if self.options.rusage_user_only else "rusage/cpu/v1"

    def results(self, part: RunPart) -> Sequence[BenchmarkResult]:
        """Return a benchmark for each record."""
        return [_result(uri, record, part.model) for uri, record in _records(part).items()]

    def profile(self, part: RunPart, uri: str) -> CallTree | None:
        """Return a tree of two leaves: the command's own time and the kernel's."""
        record = _records(part).get(uri)
        if record is None:
            return None
        command = Frame(uri.rpartition("::")[2])
        user, kernel = Frame("user"), Frame("system", kind="kernel")
        return CallTree(
            "ns", {(command, user): record["user_ns"], (command, kernel): record["system_ns"]}
        )


def _records(part: RunPart) -> dict[str, dict[str, Any]]:
    """Return what was counted, by URI; from the part alone, which may come out of a bundle."""
    if not part.harnessed:
        if part.outcome is None or part.outcome.status != 0:
            return {}
        return {f"rusage::{part.label}": attrs.asdict(part.outcome.rusage)}
    file = part.folder / RECORDS
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return {record["uri"]: record for record in map(json.loads, lines)}


def _result(uri: str, record: dict[str, Any], model: str) -> BenchmarkResult:
    kernel_ns = 0 if model == "rusage/user/v1" else record["system_ns"]
    cpu_ns, rss_bytes = record["user_ns"] + kernel_ns, record["max_rss_bytes"]
    metrics = (
        Metric("cpu_time", cpu_ns, "ns", kind=Kind.SAMPLED, headline=True, label="CPU time"),
        Metric("max_rss", rss_bytes, "bytes", kind=Kind.SAMPLED, label="Max RSS"),
    )
    # A new process starts as a copy of whoever started it, and the kernel counts that.
    copied = rss_bytes <= record.get("floor_bytes", 0)
    notes = ("max_rss is that of the wrapper: the command used less.",) if copied else ()
    return BenchmarkResult(uri, uri.rpartition("::")[2], metrics, notes)
