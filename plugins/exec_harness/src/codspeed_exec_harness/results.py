"""The results file of walltime, in the reference's format (spec/executors.md 3.13) with our extras.

It is rewritten after each target, so that a failure or Ctrl-C later loses nothing. (The reference
writes it at the end only: a deliberate difference.) Extra keys, all under `codspeed`:

- at the top: `version`, ours, while `creator` speaks the reference's;
- per benchmark `rounds`: for each round `wall_ns`, `cpu_ns`, `queue_ns`, `voluntary_switches` and
  `involuntary_switches`, in order; `medians`: the middle of each; `max_rss_bytes`: the largest
  resident set of any round; `max_rss_floor_bytes`: what the harness itself holds, up to which a
  maximum means "at most". `queue_ns` is absent where the kernel does not count it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any, Final

import attrs

from codspeed import __version__
from codspeed.errors import ToolError
from codspeed_exec_harness.identity import HARNESS_NAME, HARNESS_VERSION
from codspeed_exec_harness.statistics import median, summarize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codspeed.protocols import Target
    from codspeed_exec_harness.loop import Round

# The harness keeps the reference's key and fills it with nulls.
_NO_CONFIG: Final = dict.fromkeys(
    ("warmup_time_ns", "min_round_time_ns", "max_time_ns", "max_rounds")
)
_COLUMNS: Final = ("wall_ns", "cpu_ns", "queue_ns", "voluntary_switches", "involuntary_switches")


class ResultsFile:
    """`<profile folder>/results/<pid>.json`, always whole: either the old content or the new."""

    def __init__(self, profile_folder: Path, pid: int) -> None:
        """Make the folder.

        Raises:
            ToolError: If that is impossible; better now than after the measurement.
        """
        self.path = profile_folder.absolute() / "results" / f"{pid}.json"
        self._head = {
            "creator": {"name": HARNESS_NAME, "version": HARNESS_VERSION, "pid": pid},
            "instrument": {"type": "walltime"},
            "codspeed": {"version": __version__},
        }
        self._benchmarks: list[str] = []
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def add(self, target: Target, rounds: Sequence[Round], *, max_rss_floor: int = 0) -> None:
        """Write the file anew with one more benchmark.

        Raises:
            ToolError: If it can't be written; the previous content stays.
        """
        self._benchmarks.append(_render_benchmark(target, rounds, max_rss_floor))
        try:
            self._write(_render_document(self._head, self._benchmarks))
        except OSError as error:
            raise self._unwritable(error) from error

    def _write(self, text: str) -> None:
        temporary = self.path.with_suffix(".json.tmp")
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self.path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _unwritable(self, error: OSError) -> ToolError:
        problem = f"Cannot write the results to {self.path}: {error.strerror or error}"
        return ToolError(problem, hint="CODSPEED_PROFILE_FOLDER names another folder")


def profile_folder() -> Path:
    """Return the folder that the runner gave us, or `.codspeed` in the current one."""
    return Path(os.environ.get("CODSPEED_PROFILE_FOLDER") or ".codspeed").absolute()


def _render_document(head: dict[str, Any], benchmarks: Sequence[str]) -> str:
    """Return pretty JSON; benchmarks are rendered once, however often the file is written."""
    opened = json.dumps(head, indent=2).removesuffix("\n}")
    return f'{opened},\n  "benchmarks": [\n' + ",\n".join(benchmarks) + "\n  ]\n}\n"


def _render_benchmark(target: Target, rounds: Sequence[Round], max_rss_floor: int) -> str:
    columns = {name: [getattr(item, name) for item in rounds] for name in _COLUMNS}
    known = {name: values for name, values in columns.items() if None not in values}
    benchmark = {
        "name": target.name,
        "uri": target.uri,
        "config": _NO_CONFIG,
        "stats": attrs.asdict(summarize(columns["wall_ns"], [1] * len(rounds))),
        "codspeed": {
            "medians": {name: median(values) for name, values in known.items()},
            "max_rss_bytes": max(item.max_rss_bytes for item in rounds),
            "max_rss_floor_bytes": max_rss_floor,
            "rounds": {name: _token(name) for name in known},
        },
    }
    text = json.dumps(benchmark, indent=2, ensure_ascii=False)
    for name, values in reversed(known.items()):
        # One line for each column: one for each number would be thousands.
        before, _, after = text.rpartition(json.dumps(_token(name)))
        text = before + json.dumps(values) + after
    return indent(text, "    ")


def _token(column: str) -> str:
    return f"<{column}>"
