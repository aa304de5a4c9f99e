"""Why a command left no benchmark, and what to do: told from what it did leave.

The usual cause is a benchmark that was built, or an integration that was made, for another mode.
What each integration needs is from its documentation; spec/integrations.md 3 of the reference.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from codspeed.model import Integration, RunPart

WALLTIME: Final = "walltime"  # as a mode, and as the type of a results file

# By the name with which an integration introduces itself; {mode} is the user's word.
_REMEDIES: Final[Mapping[str, str]] = {
    "pytest-codspeed": "did every benchmark fail, or did an option of pytest deselect them?",
    "codspeed-cpp": "was it built for another mode? configure it with -DCODSPEED_MODE={mode}, "
    "build it again",
    "codspeed-rust": "was it built for another mode? run: cargo codspeed build -m {mode}",
    "codspeed-node": "did every benchmark fail?",
    "codspeed-go": "did every benchmark fail, or does none match -bench?",
    "codspeed-jvm": "did every benchmark fail, or does none match the pattern?",
}
# By a word in the command, where nobody introduced itself.
_SUSPECTS: Final[Mapping[str, str]] = {
    "pytest": "pytest-codspeed older than 3.0 knows simulation only, older than 4.3 no memory "
    "mode: upgrade it; is it installed where the command finds pytest?",
    "cargo": "cargo codspeed build -m {mode} must come before: what was built for another mode is "
    "not measured",
    "go": "go test needs -bench, and codspeed-go-runner on PATH; Go knows walltime only",
    "vitest": "@codspeed/vitest-plugin must be among the plugins of its configuration",
    "node": "the benchmark must be wrapped by @codspeed/tinybench-plugin or its like",
}
_GENERAL: Final = (
    "the command must run benchmarks with a CodSpeed integration that was built for mode {mode}; "
    "to measure a plain program use codspeed exec"
)


def explain(part: RunPart) -> str:
    """Return what is known of the absence, and the remedy."""
    spoke = None if part.outcome is None else part.outcome.integration
    remedy = _remedy(part, spoke).format(mode=part.mode)
    return f"{_found(part, spoke)}; {remedy}"


def _found(part: RunPart, spoke: Integration | None) -> str:
    # All that integrations write in other modes is "analysis", or "valgrind" in older ones.
    is_walltime = part.mode == WALLTIME
    kinds = _kinds(part.folder / "results")
    others = sorted({kind for kind in kinds if (kind == WALLTIME) is not is_walltime})
    if others:
        return f"results were left for another mode ({', '.join(others)})"
    if spoke is not None:
        return f"{spoke.name} {spoke.version} introduced itself and left no benchmark"
    return "no integration introduced itself"


def _remedy(part: RunPart, spoke: Integration | None) -> str:
    if spoke is not None:
        return _REMEDIES.get(spoke.name, _GENERAL)
    words = {word.rpartition("/")[2] for word in part.label.split()}
    for name, suspicion in _SUSPECTS.items():
        if any(word == name or word.startswith(f"{name}-") for word in words):
            return suspicion
    return _GENERAL


def _kinds(folder: Path) -> Iterator[str]:
    """Yield for which mode each results file is, as far as one can be read."""
    for path in sorted(folder.glob("*.json")):
        try:
            document = json.loads(path.read_bytes())
            yield str(document["instrument"]["type"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
