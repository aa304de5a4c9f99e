"""What the user asks for, and what they are told while it happens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from codspeed.errors import CodspeedError
from codspeed.model.run import Bundle, Compat, PartResults, RunPart

if TYPE_CHECKING:
    from collections.abc import Sequence


@attrs.frozen
class Entrypoint:
    """A command that carries its own integration.

    Attributes:
        command: Shell text, or argv that is kept verbatim.
        cwd: Where it runs; None for the current directory.
    """

    command: str | tuple[str, ...]
    cwd: Path | None = None


@attrs.frozen
class ExecTarget:
    """A plain command that the harness turns into a benchmark.

    Attributes:
        name: None to name it by its words.
        bounds: Option values of the harness, by field name; what is missing takes the default.
        cwd: Where it runs; None for the current directory.
    """

    argv: tuple[str, ...]
    name: str | None = None
    bounds: Mapping[str, Any] = attrs.field(factory=dict)
    cwd: Path | None = None


@attrs.frozen(kw_only=True)
class RunRequest:
    """One `codspeed run` or `exec`, fully resolved: nothing below reads flags or files.

    Attributes:
        entrypoints: In the order of the user.
        targets: All measured by one harness process.
        executors: Entry-point names ("memory" or "distribution:memory"), in order, never empty.
        compat: None: the uploaders decide.
        variant: Labels that tell otherwise equal benchmarks apart.
        uploaders: None: those that are wanted; empty: none.
        store: False: the bundle is written but not indexed.
        bundle_dir: None: the user's data folder.
        profile_folder: None: a fresh temporary folder.
        environment: "inherit" or "strict".
        keep_env: Variables that the command needs as they are, whatever the environment.
        jobs: Slices of a suite that may be measured at once.
        instruments: Entry-point names of those that were named, beside which those that are wanted
            observe; None: the wanted ones only; empty: none at all.
        lock_timeout: Seconds to wait for another run on this machine; 0 fails at once.
        plugin_options: Values of plugins' options by field name.
    """

    entrypoints: tuple[Entrypoint, ...] = ()
    targets: tuple[ExecTarget, ...] = ()
    executors: tuple[str, ...]
    compat: Compat | None = None
    variant: Mapping[str, str] = attrs.field(factory=dict)
    uploaders: tuple[str, ...] | None = None
    store: bool = True
    bundle_dir: Path | None = None
    profile_folder: Path | None = None
    skip_upload: bool = False
    skip_run: bool = False
    skip_setup: bool = False
    allow_empty: bool = False
    go_runner_version: str | None = None
    setup_cache_dir: Path | None = None
    environment: str = "inherit"
    keep_env: tuple[str, ...] = ()
    jobs: int = 1
    instruments: tuple[str, ...] | None = None
    lock_timeout: float = 600.0
    plugin_options: Mapping[str, Any] = attrs.field(factory=dict, repr=False)  # tokens are options


@attrs.frozen
class RunReport:
    """What came of a request.

    Attributes:
        bundle: None if nothing could be kept.
        errors: In the order in which they happened; empty means success.
        exit_code: Follows from `errors`.
    """

    bundle: Bundle | None
    errors: tuple[CodspeedError, ...]
    exit_code: int


class Reporter:
    """Told what happens during a run: no-ops to override. Called from the run's one thread.

    While a benchmark window is open only `output` is called, and what it draws can wait.
    """

    def debug(self, text: str) -> None:
        """Note a detail for the log."""

    def info(self, text: str) -> None:
        """Tell something worth knowing."""

    def warning(self, text: str) -> None:
        """Tell something that may surprise later."""

    def verbatim(self, text: str, *, stream: str = "stderr") -> None:
        """Show a line exactly as it is, at every level of detail: programs read it.

        Args:
            stream: "stdout" for data, "stderr" for what belongs in the log of a job.
        """

    def error(self, error: CodspeedError) -> None:
        """Tell what failed; the run goes on where it can."""

    def part_started(self, part: RunPart, *, count: int) -> None:
        """Begin part `part.index` of `count`."""

    def released(self) -> None:
        """The command starts, and measures nothing yet: time for what the end will need."""

    def output(self, data: bytes, *, stream: str) -> None:
        """Show what the benchmarked command wrote; `stream` is "stdout" or "stderr"."""

    def window(self, *, is_open: bool) -> None:
        """Follow a benchmark window: while it is open nothing may be drawn."""

    def benchmark(self, uri: str) -> None:
        """Count a finished benchmark."""

    def tick(self) -> None:
        """Redraw if needed; called about five times a second while no window is open."""

    def part_finished(self, part: RunPart, results: PartResults | None) -> None:
        """End the part; None if there are no results."""

    def finished(self, bundle: Bundle | None, lines: Sequence[str]) -> None:
        """Show all results and, in `lines`, where they went."""
