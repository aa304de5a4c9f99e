"""Isolation of walltime benchmarks: hooks of a prepared machine, a systemd scope, or none.

The rules are those of spec/executors.md 1.9.

Deliberate difference: systemd is chosen only where it runs. The reference fails the whole run as
root where PID 1 is something else.
"""

from __future__ import annotations

import contextlib
import enum
import os
import re
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from codspeed.launch.privilege import can_elevate_without_prompt, elevated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from codspeed.model import Launch, System

_HOOK_FOLDER: Final = Path("/usr/local/bin")
_STDERR: Final = 2
_SYSTEMD_RUNS: Final = Path("/run/systemd/system")  # sd_booted(3)
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# bash refuses to set these, and would count its own shell level and last word.
_OWNED_BY_BASH: Final = frozenset({
    "BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "SHLVL", "UID", "_",
})  # fmt: skip


class IsolationKind(enum.Enum):
    """How a benchmark is set apart from the rest of the machine."""

    NONE = "none"
    HOOKS = "hooks"
    SYSTEMD = "systemd"


# What each does to the numbers; said with every run.
_EFFECTS: Final = {
    IsolationKind.NONE: "other programs may run on the benchmark's CPUs",
    IsolationKind.HOOKS: "what is set apart is up to this machine's hooks",
    IsolationKind.SYSTEMD: (
        "a systemd slice of its own; other programs may still run on the benchmark's CPUs"
    ),
}


@attrs.frozen
class Isolation:
    """A kind and why it was chosen."""

    kind: IsolationKind
    reason: str

    @property
    def described(self) -> str:
        """Return kind, reason and effect, in a line."""
        return f"{self.kind.value} ({self.reason}); {_EFFECTS[self.kind]}"


def resolve(
    system: System, *, hooks: Path = _HOOK_FOLDER, systemd: Path = _SYSTEMD_RUNS
) -> Isolation:
    """Choose the isolation for one run.

    CODSPEED_ISOLATION `true` forces systemd, `false` forbids all; anything else is automatic.
    """
    wish = system.env.get("CODSPEED_ISOLATION")
    if system.os != "linux":
        return Isolation(IsolationKind.NONE, f"not available on {system.os}")
    if wish == "false":
        return Isolation(IsolationKind.NONE, "CODSPEED_ISOLATION=false")
    if _is_executable_file(hooks / "codspeed-wrap-bench"):
        return Isolation(IsolationKind.HOOKS, f"{hooks / 'codspeed-wrap-bench'} is there")
    if not systemd.is_dir():
        return Isolation(IsolationKind.NONE, "systemd does not run here")
    if wish == "true" or can_elevate_without_prompt():
        return Isolation(
            IsolationKind.SYSTEMD, "forced" if wish == "true" else "root's rights are at hand"
        )
    return Isolation(
        IsolationKind.NONE, "no root's rights without a prompt; CODSPEED_ISOLATION=true forces it"
    )


@contextlib.contextmanager
def isolated(
    launch: Launch,
    isolation: Isolation,
    *,
    environment: Mapping[str, str],
    announce: Callable[[str], None],
    interactive: bool,
    hooks: Path = _HOOK_FOLDER,
) -> Iterator[Launch]:
    """Yield how `launch` is started under `isolation`; hooks of the machine run around it.

    Args:
        environment: The whole environment of the command; it is sourced again below the wrapper,
            because sudo and systemd-run strip some variables.
        announce: Told when sudo must ask.
        interactive: See `elevated`.

    Raises:
        ToolError: If root's rights are needed and can't be had.
    """
    if isolation.kind is IsolationKind.NONE:
        yield launch
        return
    with _environment_file({**environment, **launch.env}) as env_file:
        leaf = ("bash", "-c", f"source {shlex.quote(env_file)} && exec {shlex.join(launch.argv)}")
        if isolation.kind is IsolationKind.SYSTEMD:
            scope = (*_systemd_run(), *leaf)
            yield attrs.evolve(
                launch, argv=elevated(scope, announce=announce, interactive=interactive)
            )
            return
        try:
            _run_hook(hooks / "codspeed-pre-bench", str(os.getpid()))
            yield attrs.evolve(launch, argv=(str(hooks / "codspeed-wrap-bench"), *leaf))
        finally:
            _run_hook(hooks / "codspeed-post-bench")


def _systemd_run() -> tuple[str, ...]:
    return (
        "systemd-run", "--quiet", "--slice=codspeed.slice", "--scope", "--same-dir",
        f"--uid={os.getuid()}", f"--gid={os.getgid()}", "--",
    )  # fmt: skip


@contextlib.contextmanager
def _environment_file(environment: Mapping[str, str]) -> Iterator[str]:
    """Write the environment as a bash script that only we can read; it is gone afterwards."""
    lines = [
        f"export {name}={shlex.quote(value)}\n"
        for name, value in environment.items()
        if _VARIABLE_NAME.fullmatch(name) and name not in _OWNED_BY_BASH
    ]
    with tempfile.NamedTemporaryFile(prefix="codspeed-env-", suffix=".sh") as file:
        file.write(os.fsencode("".join(lines)))
        file.flush()
        yield file.name


def _run_hook(*argv: str | Path) -> None:
    """Run a hook of the machine, best effort; what it says is no data, so it goes to stderr."""
    with contextlib.suppress(OSError):
        words = [str(word) for word in argv]
        subprocess.run(words, stdin=subprocess.DEVNULL, stdout=_STDERR, check=False)


def _is_executable_file(path: Path) -> bool:
    return path.is_file() and bool(path.stat().st_mode & 0o111)
