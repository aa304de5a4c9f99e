"""What samples a benchmark while it is timed, and which one it is to be."""

from __future__ import annotations

import functools
import platform
import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final

import attrs

from codspeed.errors import CodspeedError, ToolError
from codspeed.launch.privilege import can_elevate_without_prompt, is_root
from codspeed.model import Compat

if TYPE_CHECKING:
    from pathlib import Path

    from codspeed.model import Launch, RunPart
    from codspeed.protocols import Session
    from codspeed_walltime.descriptor import WalltimeOptions

PIPEDATA: Final = "perf.pipedata"
# Values of --profile-pass.
SEPARATE: Final = "separate"
_NEVER: Final = "off"
SAMPLY_PROFILE: Final = "samply-profile.json.gz"


class Profiler:
    """No profiler; the base of those that there are.

    The order of calls: `wrap`, `prepare`, `start`, then `enable` and `disable` in turn, `stop` on
    every path.

    Attributes:
        name: Which one and what it counts, for the measurement-model id; "none" if it gave up.
        samples: How many there are after `stop`; None if this profiler does not tell.
        stack_bytes: How much of stacks the samples have, after `stop`; 0 if it does not tell.
        lost: Records that there was no room for, after `stop`.
        pids: Processes that were seen, after `stop`.
        notes: What the user should know, after `stop`.
        side_band: What was mapped where, after `stop`: records and the attribute they came with;
            None if that is only in the recording.
    """

    kind: ClassVar[str] = "none"

    def __init__(self) -> None:
        self.name = self.kind
        self.samples: int | None = None
        self.stack_bytes = 0
        self.lost = 0
        self.pids: frozenset[int] = frozenset()
        self.notes: tuple[str, ...] = ()
        self.side_band: tuple[bytes, bytes] | None = None

    @property
    def is_on(self) -> bool:
        """Whether it samples: what is refused turns into none."""
        return self.name != "none"

    def wrap(self, launch: Launch, _folder: Path) -> Launch:
        """Return how the command is started; `folder` is the profile folder."""
        return launch

    def prepare(self, session: Session, folder: Path) -> None:
        """Get ready before the process exists."""

    def start(self, pid: int) -> None:
        """Attach to a process that is held before its exec."""

    def enable(self) -> None:
        """A window opens."""

    def disable(self) -> None:
        """A window closes."""

    def is_healthy(self) -> bool:
        """Whether it still works; the answer to PingProfiler."""
        return True

    def stop(self) -> None:
        """Write what is left and close everything; called once, also if nothing was started."""


@attrs.frozen
class Choice:
    """A profiler to be made, and why it is not the one that was asked for.

    Attributes:
        make: Makes a new one; each run of the command needs its own.
        note: Empty if there is nothing to say.
    """

    make: Callable[[], Profiler]
    note: str = ""
    is_on: bool = True


def choose(options: WalltimeOptions, part: RunPart) -> Choice:
    """Choose the profiler of a part.

    Raises:
        ToolError: If a program that was asked for by name is missing.
    """
    wanted = _wanted(options)
    if wanted == "none":
        return Choice(Profiler, is_on=False)
    if wanted == "perf":
        from codspeed_walltime.perf_record import PerfRecord  # noqa: PLC0415 - rarely wanted

        return Choice(PerfRecord.found(part, options.perf_unwinding_mode))
    if wanted == "samply":
        from codspeed_walltime.samply import Samply  # noqa: PLC0415 - rarely wanted

        return Choice(functools.partial(Samply, find_program("samply")))
    return _builtin(with_side_band=part.compat is Compat.CODSPEED)


def find_program(name: str) -> str:
    """Return where a profiler's program is.

    Raises:
        ToolError: If it is not on PATH.
    """
    found = shutil.which(name)
    if found is None:
        problem = f"--walltime-profiler {name}: there is no {name} on PATH"
        raise ToolError(problem, hint=f"install {name}, or use --walltime-profiler auto")
    return found


def described(refused: CodspeedError) -> str:
    """Return why there is no profile, in one line."""
    return f"no profile: {refused.problem}" + (f"; {refused.hint}" if refused.hint else "")


def _wanted(options: WalltimeOptions) -> str:
    enabled = options.enable_perf == "true" if options.enable_perf else options.enable_profiler
    if not enabled or options.profile_pass == _NEVER:
        return "none"
    return options.walltime_profiler


def _builtin(*, with_side_band: bool) -> Choice:
    """Choose our own sampler, with root's help if the kernel wants that; else none."""
    if not sys.platform.startswith("linux"):
        return Choice(Profiler, is_on=False)
    # All of these are loaded only here: other platforms do not have them.
    from codspeed_native import perf_event  # noqa: PLC0415 - late: start-up stays quick
    from codspeed_walltime.builtin import Builtin  # noqa: PLC0415 - late: start-up stays quick

    try:
        sampling = perf_event.choose()
        return Choice(functools.partial(Builtin, sampling, with_side_band=with_side_band))
    except perf_event.SamplingRefusedError as refused:
        note = described(refused)
    is_known = platform.machine() in perf_event.ARCHITECTURES
    if is_known and not is_root() and can_elevate_without_prompt():
        from codspeed_native.perf_helper import open_with_sudo  # noqa: PLC0415 - late: start-up stays quick

        sampling = perf_event.Sampling(perf_event.CPU_CLOCK, has_kernel=False)
        return Choice(
            functools.partial(
                Builtin,
                sampling,
                opener=open_with_sudo,
                advice=note,
                with_side_band=with_side_band,
            )
        )
    return Choice(Profiler, note, is_on=False)
