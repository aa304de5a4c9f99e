"""The environment of the benchmarked command (spec/executors.md 1.5)."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from codspeed.model import RunPart

# What a command needs to find its programs, home and language. Everything else moves CPython's
# counters.
STRICT_NAMES: Final = frozenset({
    "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "PYTHONPATH",
    "SHELL", "TERM", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV",
})  # fmt: skip


def inherited(
    env: Mapping[str, str], *, strict: bool, keep: Collection[str] = ()
) -> dict[str, str]:
    """Return what the command inherits: everything, or with `strict` only STRICT_NAMES and `keep`.

    Args:
        env: Our own environment.
        strict: Whether only the allow-list passes.
        keep: Names that the user says the command needs.
    """
    allowed = STRICT_NAMES.union(keep)
    return {name: value for name, value in env.items() if not strict or name in allowed}


def injected(part: RunPart, runner_mode: str, *, go_runner_version: str | None) -> dict[str, str]:
    """Return the variables that every mode sets.

    Args:
        runner_mode: The word integrations read; for simulation still the old one.
        go_runner_version: Handed on for the go wrapper; None leaves it out.
    """
    variables = {
        "PYTHONHASHSEED": "0",
        "PYTHON_PERF_JIT_SUPPORT": "0",
        "ARCH": _architecture(),
        "CODSPEED_ENV": "runner",
        "CODSPEED_RUNNER_MODE": runner_mode,
        "CODSPEED_PROFILE_FOLDER": str(part.folder),
    }
    if go_runner_version is not None:
        variables["CODSPEED_GO_RUNNER_VERSION"] = go_runner_version
    return variables


def _architecture() -> str:
    machine = platform.machine()
    return {"arm64": "aarch64", "AMD64": "x86_64"}.get(machine, machine)
