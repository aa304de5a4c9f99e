"""What a run shows in the log of a CI job: the provider's groups and annotations.

Source of the syntax: spec/cli-upload.md 3.9. Everything goes to standard output, where it stays in
order with what the benchmarks print.
"""

from __future__ import annotations

import re
import sys
import time
from typing import TYPE_CHECKING, Final, Protocol

from codspeed.cli.reporter import PlainReporter
from codspeed.cli.terminal import LEVELS, is_debug

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from codspeed.errors import CodspeedError
    from codspeed.model import Bundle

RUNNING: Final = "Running the benchmarks"
RESULTS: Final = "Benchmark results"


class Syntax(Protocol):
    """How a job log is written; a text may have several lines and does not end with a line end."""

    def start(self, name: str) -> str:
        """Begin a group that is shown open."""

    def end(self) -> str:
        """End the group; empty if the provider has no such thing."""

    def line(self, level: str, text: str) -> str:
        """Return a message of a level in `LEVELS`."""


# --- GitHub Actions -------------------------------------------------------------------------------

_COMMANDS: Final = {"error": "error", "warn": "warning", "debug": "debug", "trace": "debug"}
_COMMAND_START: Final = re.compile(r"(?m)^(\s*)(::|##\[)")


def github_escape(text: str) -> str:
    r"""Return `text` as a workflow command takes it: one line, but for line ends at its end.

    `\r` would end the command too. The percent sign stays, as in the reference.
    """
    inner = text.rstrip("\n")
    return inner.replace("\r", "%0D").replace("\n", "%0A") + text[len(inner) :]


class GitHubSyntax:
    """Workflow commands."""

    def start(self, name: str) -> str:
        """Begin a group."""
        return f"::group::{github_escape(name)}"

    def end(self) -> str:
        """End the group."""
        return "::endgroup::"

    def line(self, level: str, text: str) -> str:
        """Return an annotation, or plain lines for what is only worth knowing.

        The reference escapes line ends in these, too, where nothing reads the escapes.
        """
        command = _COMMANDS.get(level)
        if command is None:
            # Names of benchmarks and commands must not give orders to the machine.
            return _COMMAND_START.sub(r"\1| \2", text)
        mark = "[TRACE]" if level == "trace" else ""
        return f"::{command}::{mark}{github_escape(text)}"


# --- GitLab CI ------------------------------------------------------------------------------------

_COLOURS: Final = {"error": "31", "warn": "33", "debug": "36", "trace": "35"}


class GitLabSyntax:
    """Collapsible sections, and colours, which every job log shows.

    Args:
        clock: Seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._section = ""

    def start(self, name: str) -> str:
        """Begin a section."""
        self._section = re.sub(r"[^\w-]", "_", name).lower()
        mark = f"section_start:{int(self._clock())}:{self._section}"
        return f"\x1b[0K{mark}\r\x1b[0K\x1b[36;1m{name}\x1b[0m"

    def end(self) -> str:
        """End the section."""
        section, self._section = self._section, ""
        return f"\x1b[0Ksection_end:{int(self._clock())}:{section}\r\x1b[0K"

    def line(self, level: str, text: str) -> str:
        """Return the text in the colour of its level."""
        colour = _COLOURS.get(level)
        return text if colour is None else f"\x1b[{colour}m{text}\x1b[0m"


# --- Buildkite ------------------------------------------------------------------------------------

_MARKS: Final = {"error": "ERROR", "warn": "WARN", "debug": "DEBUG", "trace": "TRACE"}


class BuildkiteSyntax:
    """Groups that end where the next begins."""

    def start(self, name: str) -> str:
        """Begin a group."""
        return f"+++ {name}"

    def end(self) -> str:
        """Have no end."""
        return ""

    def line(self, level: str, text: str) -> str:
        """Return the text with its level before it."""
        return f"[{_MARKS[level]}] {text}" if level in _MARKS else text


SYNTAXES: Final[Mapping[str, Callable[[], Syntax]]] = {
    "buildkite": BuildkiteSyntax,
    "github-actions": GitHubSyntax,
    "gitlab-ci": GitLabSyntax,
}


# --- The reporter ---------------------------------------------------------------------------------


class CiReporter(PlainReporter):
    """Lines in a provider's syntax.

    Args:
        env: For the level of detail.
        labels: Headings of executors by name.
        provider: A key of `SYNTAXES`.
    """

    def __init__(
        self, env: Mapping[str, str], labels: Callable[[], Mapping[str, str]], provider: str
    ) -> None:
        super().__init__(env, labels)
        self._syntax = SYNTAXES[provider]()
        if provider == "github-actions" and env.get("RUNNER_DEBUG") == "1":
            self._level = LEVELS.index("trace")

    def debug(self, text: str) -> None:
        """Show a detail if the level asks for it."""
        self._message("debug", text)

    def info(self, text: str) -> None:
        """Show plain lines."""
        self._message("info", text)

    def warning(self, text: str) -> None:
        """Annotate the job with a warning."""
        self._message("warn", text)

    def error(self, error: CodspeedError) -> None:
        """Annotate the job with problem and hint."""
        self._message("error", str(error))
        cause = error.__cause__ or error.__context__
        while cause is not None and is_debug(self._env):
            self._message("debug", f"Caused by: {type(cause).__name__}: {cause}")
            cause = cause.__cause__ or cause.__context__

    def finished(self, bundle: Bundle | None, lines: Sequence[str]) -> None:
        """Show tables, where the results went, and where the bundle is, in a group."""
        self._say([self._syntax.start(RESULTS)])
        if bundle is not None and any(part.benchmarks for part in bundle.results):
            from codspeed.cli import table  # noqa: PLC0415 - imports rich, after the measurement

            drawn = table.render(bundle.results, self._labels(), sys.stdout, self._env)
            self.info("\n".join(drawn))
        for line in lines:
            self.info(line)
        if bundle is not None:
            self.info(f"Bundle: {bundle.path}")
        self._end_group()

    def _begin_part(self) -> None:
        self._say([self._syntax.start(RUNNING)])
        self.info(self._title)

    def _end_part(self, *, is_ok: bool) -> None:
        self.info(self._closing_line(is_ok=is_ok).strip())
        self._end_group()

    def _end_group(self) -> None:
        end = self._syntax.end()
        self._say([end] if end else [])

    def _message(self, level: str, text: str) -> None:
        if self._level <= LEVELS.index(level):
            self._say([self._syntax.line(level, text)])

    def _write(self, text: str) -> None:
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        try:
            sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
            sys.stdout.flush()
        except (BrokenPipeError, ValueError):
            self._is_heard = False  # nobody reads; the measurement goes on
