"""Cut a command line into options and words by the reference's rules (docs/cli.md). No I/O here.

Where these rules differ from click's: options are recognised after the first word, a value never
starts with `-` unless it is attached by `=`, an optional boolean takes a value only by `=`, names
are never abbreviated, and what may be given once is refused when it is given twice.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from codspeed.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

VALUE: Final = "value"
FLAG: Final = "flag"
OPTIONAL_BOOL: Final = "optional-bool"
LIST: Final = "list"

# https://semver.org, "Is there a suggested regular expression".
_NUMBER: Final = r"(?:0|[1-9]\d*)"
_PRE: Final = rf"(?:{_NUMBER}|\d*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER: Final = rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_PRE}(?:\.{_PRE})*)?(?:\+[0-9A-Za-z.-]+)?"


class UnknownOptionError(UsageError):
    """An option that this verb does not have.

    Attributes:
        flag: As it was written, without a value.
        after_word: A word of the benchmarked command stood before it.
    """

    slug = "usage-unknown-option"

    def __init__(self, flag: str, *, after_word: bool = False) -> None:
        super().__init__(f"unexpected option '{flag}'")
        self.flag = flag
        self.after_word = after_word


class Rule(NamedTuple):
    """How one option is written and what its value may be.

    Attributes:
        name: Field name; the flag is `--` and the name with dashes.
        style: One of the constants above.
        short: One letter, or empty.
        env: Environment variable that stands in for the flag, or empty.
        choices: Allowed values; empty for any.
        parse: "str", "int", "path", "folder" (with ~), "seconds", "duration", "semver" or "pair".
        split: Whether commas separate the values of a list.
    """

    name: str
    style: str = VALUE
    short: str = ""
    env: str = ""
    choices: tuple[str, ...] = ()
    parse: str = "str"
    split: bool = True

    @property
    def flag(self) -> str:
        """Return the long flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def takes_value(self) -> bool:
        """Whether the next word may be the value."""
        return self.style in {VALUE, LIST}


class Setting(NamedTuple):
    """A value and its origin: "flag", "environment variable X", "codspeed.yml:3", "default"."""

    value: Any
    origin: str


class Scanned(NamedTuple):
    """A command line in parts.

    Attributes:
        found: Name -> what each occurrence was given; None for an occurrence without value.
        words: Positional words; after `--` verbatim.
        rest: What a lenient scan left for others, in order, with its `--`.
    """

    found: dict[str, list[str | None]]
    words: list[str]
    rest: list[str]


def scan(args: Sequence[str], rules: Sequence[Rule], *, strict: bool = True) -> Scanned:
    """Return the options in `args` that `rules` describe.

    Args:
        args: Words of the command line.
        rules: Options that are known here.
        strict: False leaves what is not known in `rest`.

    Raises:
        UnknownOptionError: If `strict` and an option is not known.
        UsageError: If a value is missing or given where none may be.
    """
    scanner = _Scanner(args, rules, strict=strict)
    while scanner.step():
        pass
    return scanner.result


class _Scanner:
    def __init__(self, args: Sequence[str], rules: Sequence[Rule], *, strict: bool) -> None:
        self._args = list(args)
        self._at = 0
        self._long = {rule.flag: rule for rule in rules}
        self._short = {rule.short: rule for rule in rules if rule.short}
        self._strict = strict
        self.result = Scanned({}, [], [])

    def step(self) -> bool:
        """Consume one word or option; False at the end."""
        if self._at >= len(self._args):
            return False
        arg = self._args[self._at]
        self._at += 1
        if arg == "--":
            self._finish()
        elif arg.startswith("--"):
            self._long_option(arg)
        elif arg.startswith("-") and arg != "-":
            self._short_options(arg)
        else:
            self.result.words.append(arg)
            self.result.rest.append(arg)
        return True

    def _finish(self) -> None:
        self.result.words.extend(self._args[self._at :])
        self.result.rest.extend(self._args[self._at - 1 :])
        self._at = len(self._args)

    def _long_option(self, arg: str) -> None:
        flag, equals, value = arg.partition("=")
        rule = self._long.get(flag)
        if rule is None:
            self._unknown(arg, flag)
        elif rule.style == FLAG and equals:
            problem = f"{flag} takes no value, but '{value}' was given"
            raise UsageError(problem)
        elif rule.takes_value:
            self._add(rule, value if equals else self._next(flag))
        else:
            self._add(rule, value if equals else None)

    def _short_options(self, arg: str) -> None:
        """Take `-m x`, `-mx` and `-m=x`."""
        rule = self._short.get(arg[1])
        if rule is None:
            self._unknown(arg, arg[:2])
        elif rule.takes_value:
            attached = arg[2:].removeprefix("=")
            self._add(rule, attached if len(arg) > 2 else self._next(arg))
        elif len(arg) > 2:
            problem = f"{arg[:2]} takes no value, but '{arg[2:]}' was given"
            raise UsageError(problem)
        else:
            self._add(rule, None)

    def _next(self, flag: str) -> str:
        """Return the word after `flag`; it may not look like an option."""
        following = self._args[self._at : self._at + 1]
        if not following or (following[0].startswith("-") and following[0] != "-"):
            hint = f"a value that starts with '-' is written {flag}=VALUE" if following else None
            problem = f"{flag} needs a value"
            raise UsageError(problem, hint=hint)
        self._at += 1
        return following[0]

    def _add(self, rule: Rule, value: str | None) -> None:
        self.result.found.setdefault(rule.name, []).append(value)

    def _unknown(self, arg: str, flag: str) -> None:
        if self._strict:
            raise UnknownOptionError(flag, after_word=bool(self.result.words))
        self.result.rest.append(arg)


# --- Values ---------------------------------------------------------------------------------------


def resolve(
    rule: Rule, occurrences: Sequence[str | None] | None, env: Mapping[str, str]
) -> Setting | None:
    """Return what flag or environment say of an option; None if neither does.

    A flag wins, and then the variable is not even looked at. A variable that is set but empty
    counts as given.

    Raises:
        UsageError: If the value is not allowed, or the option was given more often than it may.
    """
    if occurrences:
        return Setting(_from_flag(rule, occurrences), "flag")
    if rule.env and rule.env in env:
        return Setting(_from_env(rule, env[rule.env]), f"environment variable {rule.env}")
    return None


def _from_flag(rule: Rule, occurrences: Sequence[str | None]) -> Any:
    if rule.style == LIST:
        return _items(rule, [text for text in occurrences if text is not None], rule.flag)
    if len(occurrences) > 1:
        problem = f"{rule.flag} was given {len(occurrences)} times, but may be given once"
        raise UsageError(problem)
    text = occurrences[0]
    if text is None:
        return True
    if rule.style == OPTIONAL_BOOL:
        return _boolean(text, rule.flag)
    return convert(rule, text, rule.flag)


def _from_env(rule: Rule, text: str) -> Any:
    if rule.style in {FLAG, OPTIONAL_BOOL}:
        return _boolean(text, rule.env)
    if rule.style == LIST:
        return _items(rule, [text], rule.env)
    return convert(rule, text, rule.env)


def _items(rule: Rule, texts: Sequence[str], where: str) -> tuple[Any, ...]:
    parts = [part for text in texts for part in (text.split(",") if rule.split else [text])]
    return tuple(convert(rule, part, where) for part in parts)


def _boolean(text: str, where: str) -> bool:
    if text not in {"true", "false"}:
        problem = f"{where} must be exactly 'true' or 'false', not '{text}'"
        raise UsageError(problem)
    return text == "true"


def convert(rule: Rule, text: str, where: str) -> Any:
    """Return the value that `text` means under `rule`.

    Raises:
        UsageError: If it means none; names `where` it stood.
    """
    if rule.choices and text not in rule.choices:
        allowed = ", ".join(rule.choices)
        problem = f"{where} does not know '{text}'; possible values: {allowed}"
        raise UsageError(problem)
    try:
        return _CONVERTERS[rule.parse](text)
    except ValueError as error:
        problem = f"{where} does not accept '{text}': {error}"
        raise UsageError(problem) from error


def _int(text: str) -> int:
    if not re.fullmatch(r"\+?[0-9]+", text):
        problem = "it must be a whole number of at least 0"
        raise ValueError(problem)
    return int(text)


def _seconds(text: str) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?)\s*(ms|s|m|h)?", text)
    if match is None:
        problem = "it must be a time such as 30, 30s or 10m"
        raise ValueError(problem)
    return float(match[1]) * {"ms": 0.001, None: 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _semver(text: str) -> str:
    if not re.fullmatch(_SEMVER, text):
        problem = "it must be a version such as 1.2.3 or 1.0.0-beta.1"
        raise ValueError(problem)
    return text


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        problem = "it must be KEY=VALUE"
        raise ValueError(problem)
    return key.strip(), value


def _path(text: str) -> Path:
    from pathlib import Path  # noqa: PLC0415 - `codspeed --help` has no use for it

    if not text:
        problem = "a path can't be empty"
        raise ValueError(problem)
    return Path(text)


def _folder(text: str) -> Path:
    """Expand `~`: values of CI inputs never saw a shell."""
    return _path(text).expanduser()


_CONVERTERS: Final[dict[str, Callable[[str], Any]]] = {
    "str": str,
    "duration": str,  # the harness reads it; it knows its bounds
    "int": _int,
    "path": _path,
    "folder": _folder,
    "seconds": _seconds,
    "semver": _semver,
    "pair": _pair,
}
