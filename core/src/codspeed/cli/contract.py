"""Commands that parse by the reference's rules: `scan` decides, click helps and completes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from codspeed.cli.scan import FLAG, LIST, OPTIONAL_BOOL, Rule, Setting, resolve, scan
from codspeed.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

HELP_NAMES: Final = ["-h", "--help"]
_HELP: Final = Rule("help", style=FLAG, short="h")


class Option(NamedTuple):
    """An option of core, or of a plugin as its descriptor declares it.

    Attributes:
        rule: How it is written.
        help: One line.
        metavar: Placeholder in the help; empty for the default.
        default: What holds if nobody says anything.
        hidden: Left out of the help.
        owner: Distribution that declares it.
        profile: Field of the user's profile that stands in for it; empty for none.
        secret: Never shown.
    """

    rule: Rule
    help: str
    metavar: str = ""
    default: Any = None
    hidden: bool = False
    owner: str = "codspeed-core"
    profile: str = ""
    secret: bool = False

    @property
    def name(self) -> str:
        """Return the field name."""
        return self.rule.name


class Words(NamedTuple):
    """What a command takes besides options.

    Attributes:
        metavar: Placeholder in the help; empty if no words are taken.
        least: Fewest words.
        most: Most words; None for any number.
    """

    metavar: str = ""
    least: int = 0
    most: int | None = 0


_NO_WORDS: Final = Words()


class ContractOption(click.Option):
    """An option that click shows and completes but does not parse."""

    def __init__(self, option: Option) -> None:
        rule = option.rule
        names = [rule.flag, *([f"-{rule.short}"] if rule.short else [])]
        super().__init__(
            [*names, f"_{rule.name}"],
            is_flag=rule.style == FLAG,
            multiple=rule.style == LIST,
            expose_value=False,
            hidden=option.hidden,
            help=_help_text(option),
            metavar=None if rule.style == FLAG else _metavar(option),
            type=_click_type(rule),
        )
        self.option = option

    def handle_parse_result(
        self, _ctx: click.Context, _opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """Leave the value alone: it was read by `scan`, or will be."""
        return None, args


def _click_type(rule: Rule) -> Any:
    if rule.style == FLAG:
        return None
    return click.Choice(rule.choices) if rule.choices else click.UNPROCESSED


def _metavar(option: Option) -> str:
    if option.rule.style == OPTIONAL_BOOL:
        return "[=true|false]"
    default = "|".join(option.rule.choices) or option.rule.parse.upper().replace("STR", "TEXT")
    return option.metavar or default


def _help_text(option: Option) -> str:
    extras = [option.help] if option.help else []
    if option.rule.env:
        extras.append(f"[env: {option.rule.env}]")
    return "  ".join(extras)


class ContractCommand(click.Command):
    """A verb.

    Args:
        name: As it is typed.
        action: Called with the object of the context, what was given, and the words.
        help: First line and details.
        options: What it takes; a function is called when the options are needed.
        words: What it takes besides.
    """

    def __init__(
        self,
        name: str,
        action: Callable[[Any, Mapping[str, Setting], Sequence[str]], int | None],
        *,
        help: str,  # noqa: A002 - click's name for it
        options: Sequence[Option] | Callable[[Any], Sequence[Option]] = (),
        words: Words = _NO_WORDS,
    ) -> None:
        super().__init__(
            name,
            callback=self._call,
            help=help,
            context_settings={"help_option_names": HELP_NAMES},
        )
        self._action = action
        self._options = options
        self._words = words
        self._made: list[click.Parameter] | None = None

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the options, made on first use: those of a plugin need its descriptor."""
        if self._made is None:
            options = self._options if not callable(self._options) else self._options(ctx.obj)
            self._made = [ContractOption(option) for option in options]
        helper = self.get_help_option(ctx)
        return [*self._made, *([] if helper is None else [helper])]

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Add the words to the usage line."""
        return [*super().collect_usage_pieces(ctx), *filter(None, [self._words.metavar])]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read `args` by the contract; while the shell completes, click's tolerant parser does."""
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        options = [p.option for p in self.get_params(ctx) if isinstance(p, ContractOption)]
        if _asks_for_help(args):
            click.echo(ctx.get_help())
            ctx.exit()
        found, words, _ = scan(args, [*(option.rule for option in options), _HELP])
        self._check_words(words)
        given = settle(found, options, ctx.obj.env)
        ctx.params = {"given": _taken(options, ctx.obj.given) | given, "words": words}
        return []

    def _check_words(self, words: Sequence[str]) -> None:
        most = self._words.most
        if most is not None and len(words) > most:
            problem = f"unexpected argument '{words[most]}'"
            raise UsageError(problem)
        if len(words) < self._words.least:
            problem = f"missing argument {self._words.metavar}"
            raise UsageError(problem)

    def _call(self, given: Mapping[str, Setting], words: Sequence[str]) -> int | None:
        return self._action(click.get_current_context().obj, given, words)


def _taken(options: Iterable[Option], globals_: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return flags that were read as global ones, but mean this verb's own options of that name."""
    names = {option.name for option in options} & set(globals_)
    return {name: globals_[name] for name in names if globals_[name].origin == "flag"}


def _asks_for_help(args: Sequence[str]) -> bool:
    before = args[: args.index("--")] if "--" in args else args
    return any(name in before for name in HELP_NAMES)


def settle(
    found: Mapping[str, list[str | None]], options: Iterable[Option], env: Mapping[str, str]
) -> dict[str, Setting]:
    """Return what command line and environment say, by field name.

    Raises:
        UsageError: If they say something that is not allowed.
    """
    given = {}
    for option in options:
        setting = resolve(option.rule, found.get(option.name), env)
        if setting is not None:
            given[option.name] = setting
    return given


def extract(
    args: Sequence[str], options: Sequence[Option], env: Mapping[str, str]
) -> tuple[dict[str, Setting], list[str]]:
    """Take `options` out of `args`, wherever they stand before `--`; return them and the rest.

    Raises:
        UsageError: If a value is missing or not allowed.
    """
    scanned = scan(args, [option.rule for option in options], strict=False)
    return settle(scanned.found, options, env), scanned.rest
