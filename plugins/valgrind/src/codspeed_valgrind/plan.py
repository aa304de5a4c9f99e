"""How one command is simulated: which Valgrind, with which arguments, hiding what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from codspeed.model import Compat, RunPart
from codspeed_native import runtimes
from codspeed_valgrind import command, interpreter
from codspeed_valgrind.capabilities import Capabilities
from codspeed_valgrind.descriptor import ValgrindOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from codspeed.model import Launch

# The pinned build of CodSpeed's Valgrind (spec/executors.md 2.5).
FORK: Final = "3.26.0.codspeed6"
# Linux allows a quarter of the stack's limit for arguments and environment: 2 MiB by default.
_SKIP_BYTES: Final = 1 << 20
_LOG_FILE: Final = "valgrind.%p.log"


@attrs.frozen
class Plan:
    """One command under Valgrind.

    Attributes:
        valgrind: The program and all its arguments; the command follows.
        runtime_objects: Files whose functions are an interpreter's.
        refused: Options of the reference that this Valgrind does not know.
        is_free_threaded: A Python that the command names has its own allocator.
    """

    valgrind: tuple[str, ...]
    runtime_objects: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    is_free_threaded: bool = False


@attrs.frozen
class Planner:
    """What is the same for all commands of a part."""

    part: RunPart
    options: ValgrindOptions
    capabilities: Capabilities

    def entrypoint(self, environment: Mapping[str, str]) -> Plan:
        """Plan the part's own command; a command that names no Python may run the one on PATH."""
        launch = self.part.launch
        pythons = self._pythons(launch, environment)
        if not pythons and (python := runtimes.ask_python("python", environment.get("PATH"))):
            pythons = (python,)
        return self._plan(pythons, launch)

    def target(
        self, launch: Launch, environment: Mapping[str, str], *, prefix: str, whole: bool
    ) -> Plan:
        """Plan one exec target.

        Args:
            launch: The target's command.
            environment: What it will see.
            prefix: How the names of its output files begin, up to a dot; empty for the id alone.
            whole: It is measured from its first instruction.
        """
        pythons = self._pythons(launch, environment)
        return self._plan(pythons, launch, prefix=prefix, whole=whole)

    def _pythons(
        self, launch: Launch, environment: Mapping[str, str]
    ) -> tuple[runtimes.Python, ...]:
        if self.part.compat is Compat.CODSPEED:
            return ()  # the reference looks at PATH alone
        return interpreter.of_command(launch, environment)

    def _plan(
        self,
        pythons: Sequence[runtimes.Python],
        launch: Launch,
        *,
        prefix: str = "",
        whole: bool = False,
    ) -> Plan:
        is_compat = self.part.compat is Compat.CODSPEED
        # Where Python functions have no frames, those of the interpreter are all there is to see.
        hidden = [python for python in pythons if python.names_frames]
        objects = (
            runtimes.ignored_objects()
            if is_compat
            else (*(python.runtime for python in hidden), *interpreter.node_of(launch))
        )
        folder = self.part.folder
        extension = "out" if self.options.simulation_tool == "callgrind" else "tgtrace"
        request = command.Request(
            capabilities=self.capabilities,
            options=self.options,
            compat=self.part.compat,
            out_file=str(folder / f"{prefix}{'.' if prefix else ''}%p.{extension}"),
            log_file=str(folder / _LOG_FILE),
            skip_objects=objects,
            skip_functions=() if is_compat else self._skipped(hidden),
            at_start=whole,
        )
        return Plan(
            valgrind=(str(self.capabilities.path), *command.arguments(request)),
            runtime_objects=objects,
            refused=command.refused(request) if is_compat else (),
            is_free_threaded=any(python.is_free_threaded for python in pythons),
        )

    def _skipped(self, pythons: Iterable[runtimes.Python]) -> tuple[str, ...]:
        """Return the functions to skip; none if they are too many for a command line."""
        if self.capabilities.obj_skip:
            return ()
        names: dict[str, None] = {}
        for python in pythons:
            names.update(dict.fromkeys(interpreter.runtime_symbols(python.runtime)))
        size = sum(len(name) + len("--fn-skip=") + 9 for name in names)  # 9: its end, its pointer
        return tuple(names) if size <= _SKIP_BYTES else ()


def step_warning(capabilities: Capabilities, refused: Sequence[str]) -> str:
    """Say what leaving out options of the reference means."""
    options = " and ".join(refused)
    return (
        f"Valgrind {capabilities.version} does not know {options}: left out. Expect a step against "
        f"runs that were measured with CodSpeed's Valgrind {FORK}; "
        "`codspeed setup --mode simulation --valgrind-flavour codspeed` installs it"
    )


def model_of(options: ValgrindOptions, *, valgrind: str, is_fork: bool, estimates: bool) -> str:
    """Return the first half of the measurement-model id: the tool and the formula."""
    tool = f"{options.simulation_tool}-{valgrind or 'unknown'}{'' if is_fork else '-stock'}"
    return f"{tool}/{options.cycle_model}@v1{'+ct' if estimates else ''}"
