"""Split a pytest command by node ids.

The tests are collected by the same command with `--collect-only`, so that options, configuration
and plugins choose them as always; each slice names its share of them instead of files and folders.
What is not understood beyond doubt is not split.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import attrs

from codspeed.model import Launch
from codspeed.orchestrate.slices import Slices, deal, whole

if TYPE_CHECKING:
    from collections.abc import Sequence


def _set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


# What starts a program in a project's own environment.
_RUNNERS: Final = frozenset({"hatch", "pdm", "pipenv", "poetry", "rye", "uv"})
_PYTHON: Final = re.compile(r"(python|pypy)[0-9.]*t?$")
# Anything that a shell does more with than cut it into words.
_SHELL_SYNTAX: Final = frozenset("|&;<>()$`*?[]{}~!#\n\\")
# Options of pytest and its usual plugins that take a value.
_SHORT_WITH_VALUE: Final = frozenset("Wckmopr")
_LONG_WITH_VALUE: Final = _set_of(
    "--assert --basetemp --capture --code-highlight --codspeed-max-rounds --codspeed-max-time"
    " --codspeed-mode --codspeed-profile-folder --codspeed-warmup-time --color --config-file"
    " --confcutdir --deselect --doctest-glob --doctest-report --durations --durations-min --ignore"
    " --ignore-glob --import-mode --junit-prefix --junit-xml --junitprefix --junitxml --lfnf"
    " --last-failed-no-failures --log-auto-indent --log-cli-date-format --log-cli-format"
    " --log-cli-level --log-date-format --log-disable --log-file --log-file-date-format"
    " --log-file-format --log-file-level --log-file-mode --log-format --log-level --maxfail"
    " --override-ini --pastebin --pdbcls --pythonwarnings --rootdir --show-capture --tb --timeout"
    " --timeout-method --verbosity"
)
_LONG_WITHOUT_VALUE: Final = _set_of(
    "--cache-clear --codspeed --continue-on-collection-errors --disable-pytest-warnings"
    " --disable-warnings --doctest-ignore-import-errors --doctest-modules --exitfirst"
    " --failed-first --ff --full-trace --keep-duplicates --last-failed --lf --new-first --nf"
    " --no-header --no-showlocals --no-summary --noconftest --quiet --runxfail --setup-show"
    " --showlocals --stepwise --strict --strict-config --strict-markers --sw --verbose"
)
# They change what words mean, or run the tests in processes of their own.
_NOT_SPLIT: Final = frozenset({"--pyargs", "--collect-only", "--co", "--numprocesses", "--dist"})
_COLLECTED: Final = re.compile(r"^=*\s*(?:(\d+)/)?(\d+) tests? collected\b", re.MULTILINE)
# Linux allows 2 MiB for arguments and environment (a quarter of the stack, execve(2)).
_MOST_BYTES: Final = 1 << 20


@attrs.frozen
class PytestCommand:
    """A pytest command line in parts.

    Attributes:
        start: What starts pytest.
        options: Its options, with their values.
        chosen: Files, folders and node ids that it names.
    """

    start: tuple[str, ...]
    options: tuple[str, ...]
    chosen: tuple[str, ...]

    def collecting(self, chosen: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return the command that lists what would run, one node id a line.

        `--verbosity` and not `-q`: it does not add up with the options that are there.
        """
        named = self.chosen if chosen is None else tuple(chosen)
        return (*self.start, *self.options, "--collect-only", "--verbosity=-1", *named)

    def running(self, chosen: Sequence[str]) -> tuple[str, ...]:
        """Return the command that runs these node ids only."""
        return (*self.start, *self.options, *chosen)


@attrs.frozen
class PytestSlicer:
    """Splits what pytest would run.

    Attributes:
        collect: Runs a command and returns what it wrote on standard output; empty if it failed.
        exists: Whether a path exists where the command will run.
    """

    collect: Callable[[Launch], str]
    exists: Callable[[str], bool]

    def slices(self, launch: Launch, count: int) -> Slices:
        """Return slices by node id."""
        argv = words_of(launch.argv)
        command = None if argv is None else parse(argv, self.exists)
        if command is None:
            return whole(launch, "it is no plain pytest command")
        found = self._collected(launch, command.collecting())
        if not found:
            return whole(launch, "its tests could not be listed")
        if len(found) < 2:
            return whole(launch, "it has one test only")
        hands = deal(found, count)
        if max(sum(map(len, hand)) for hand in hands) > _MOST_BYTES:
            return whole(launch, "it has too many tests to name")
        # A path in pytest's own configuration would be added to each slice and measured twice.
        if sorted(self._collected(launch, command.collecting(hands[0]))) != sorted(hands[0]):
            return whole(launch, "naming tests one by one does not choose exactly those")
        launches = tuple(attrs.evolve(launch, argv=command.running(hand)) for hand in hands)
        return Slices(launches, shares_process=True)

    def _collected(self, launch: Launch, argv: tuple[str, ...]) -> list[str]:
        return node_ids(self.collect(attrs.evolve(launch, argv=argv)))


def words_of(argv: Sequence[str]) -> tuple[str, ...] | None:
    """Return the words of a command; of shell text only if a shell would find the same ones."""
    if tuple(argv[:2]) != ("bash", "-c"):
        return tuple(argv)
    text = argv[2]
    if not _SHELL_SYNTAX.isdisjoint(text):
        return None
    try:
        return tuple(shlex.split(text))
    except ValueError:  # an open quote
        return None


def parse(argv: Sequence[str], exists: Callable[[str], bool]) -> PytestCommand | None:
    """Take a pytest command apart; None if it is none, or not understood.

    Args:
        argv: Program and arguments.
        exists: Whether a path exists where the command will run.
    """
    at = _arguments_at(argv)
    if at is None:
        return None
    parser = _Arguments(argv[at:], exists)
    if not parser.run():
        return None
    return PytestCommand(tuple(argv[:at]), tuple(parser.options), tuple(parser.chosen))


def _arguments_at(argv: Sequence[str]) -> int | None:
    """Return where pytest's own arguments begin; None if the command does not start pytest."""
    at = 2 if len(argv) > 2 and argv[0] in _RUNNERS and argv[1] == "run" else 0
    program = argv[at].rpartition("/")[2] if argv else ""
    if program in {"pytest", "py.test"}:
        return at + 1
    if not _PYTHON.match(program):
        return None
    for position in range(at + 1, len(argv) - 1):
        if argv[position] == "-m":
            return position + 2 if argv[position + 1] == "pytest" else None
        if not argv[position].startswith("-") or argv[position] in {"-c", "-W", "-X"}:
            return None
    return None


class _Arguments:
    """Tells options from what they are about; `run` returns False if that is not possible."""

    def __init__(self, words: Sequence[str], exists: Callable[[str], bool]) -> None:
        self._words = list(words)
        self._exists = exists
        self.options: list[str] = []
        self.chosen: list[str] = []

    def run(self) -> bool:
        while self._words:
            word = self._words.pop(0)
            if word.partition("=")[0] in _NOT_SPLIT or word.startswith("@") or word == "--":
                return False
            if not self._take(word):
                return False
        return True

    def _take(self, word: str) -> bool:
        if not word.startswith("-"):
            self.chosen.append(word)
            return self._is_path(word)
        self.options.append(word)
        if word.startswith("--"):
            return self._take_long(word)
        return self._take_short(word[1:])

    def _take_long(self, word: str) -> bool:
        if "=" in word or word in _LONG_WITHOUT_VALUE or not self._words:
            return True
        following = self._words[0]
        if word not in _LONG_WITH_VALUE:
            if following.startswith("-"):
                return True
            if self._is_path(following):
                return False  # a value, or what to run? Only the plugin knows
        self.options.append(self._words.pop(0))
        return True

    def _take_short(self, letters: str) -> bool:
        for position, letter in enumerate(letters):
            if letter == "n":  # pytest-xdist
                return False
            if letter in _SHORT_WITH_VALUE:
                if position == len(letters) - 1 and self._words:
                    self.options.append(self._words.pop(0))
                return True
        return True

    def _is_path(self, word: str) -> bool:
        return self._exists(word.partition("::")[0])


def node_ids(output: str) -> list[str]:
    """Return the node ids that `--collect-only` listed; none if they are not as many as it says."""
    told = _COLLECTED.search(output)
    if told is None:
        return []
    before = output[: told.start()]
    found = [line for line in before.splitlines() if "::" in line and not line.startswith("=")]
    return found if len(found) == int(told[1] or told[2]) else []
