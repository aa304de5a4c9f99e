"""The program: which verbs there are, and how every failure is shown. Verbs are imported late."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from codspeed import __version__
from codspeed.cli import absent
from codspeed.cli.app import App
from codspeed.cli.contract import HELP_NAMES, ContractCommand, ContractOption, extract
from codspeed.cli.options import GLOBAL, of_plugins
from codspeed.cli.scan import UnknownOptionError
from codspeed.cli.terminal import is_debug, show_error
from codspeed.errors import CodspeedError, InterruptedRunError, UsageError

if TYPE_CHECKING:
    from codspeed.cli.contract import Option

# Verb -> module and name of the command, and its line in the help. In the order of the help.
VERBS: Final = {
    "run": ("run:run", "Run a benchmark command, or the benchmarks of codspeed.yml"),
    "exec": ("run:execute", "Measure any command as a benchmark"),
    "upload": ("upload:upload", "Hand a bundle of an earlier run to uploaders"),
    "setup": ("setup:setup", "Install the tools that executors need"),
    "status": ("setup:status", "Show what works here"),
    "use": ("shell:use", "Remember modes for this shell session"),
    "show": ("shell:show", "Show the modes of this shell session"),
    "profile": ("profile:profile", "Manage profiles of the user configuration"),
    "config": ("configure:config", "Show what is configured and where it comes from"),
    "plugins": ("plugin:plugins", "List plugins and what is wrong with them"),
    "completion": ("completion:completion", "Print the completion script of a shell"),
}
ALIASES: Final = {"r": "run", "x": "exec"}


class Root(click.Group):
    """All verbs: those of core, and those of plugins by the names of their entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names without importing anything."""
        plugins = [name for name, _ in ctx.obj.registry.names("codspeed.commands")]
        return [*VERBS, *sorted(set(plugins) - set(VERBS))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a verb."""
        name = ALIASES.get(cmd_name, cmd_name)
        if name in VERBS:
            module, attribute = VERBS[name][0].split(":")
            command: click.Command = getattr(
                importlib.import_module(f"codspeed.cli.{module}"), attribute
            )
            return command
        return _plugin_command(ctx.obj, name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb; options that core reads for a plugin's verb leave its words."""
        name, rest = args[0], args[1:]
        command = self.get_command(ctx, name)
        if ctx.resilient_parsing:
            return (name if command else None), command, rest
        if command is None:
            raise absent.unknown_verb(name, self.list_commands(ctx), ctx.obj.registry)
        if name not in VERBS and name not in ALIASES:
            rest = _take_options(ctx.obj, name, command, rest)
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs by name; no plugin is imported to describe itself."""
        owners = dict(ctx.obj.registry.names("codspeed.commands"))
        rows = [
            (name, VERBS[name][1] if name in VERBS else absent.describe(name, owners[name]))
            for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Complete verbs by their names; no plugin is imported."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - late: start-up stays quick

        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        if not incomplete.startswith("-"):
            return [CompletionItem(name) for name in names]
        return click.Command.shell_complete(self, ctx, incomplete)


def _plugin_command(app: App, name: str) -> click.Command | None:
    if not any(plugin.name == name for plugin in app.registry.plugins("codspeed.commands")):
        return None
    plugin = app.registry.get("codspeed.commands", name)
    command: click.Command = plugin.descriptor.load()(app)
    command.name = name
    return command


def _take_options(app: App, name: str, command: click.Command, args: list[str]) -> list[str]:
    """Read the options that plugins declare for this verb, unless the verb reads them itself."""
    own = {flag for parameter in command.params for flag in parameter.opts}
    options = [o for o in of_plugins(app.registry, name) if o.rule.flag not in own]
    given, rest = extract(args, options, app.env)
    app.settle(options, given)
    command.params.extend(ContractOption(option) for option in options)
    return rest


def _show_version(ctx: click.Context, _parameter: click.Parameter, value: object) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"codspeed {__version__}")
        ctx.exit()


def build() -> Root:
    """Return the program."""
    version = click.Option(
        ["-V", "--version"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_show_version,
        help="Show the version and exit.",
    )
    return Root(
        "codspeed",
        params=[*map(ContractOption, GLOBAL), version],
        help="Run benchmarks, keep and compare their results.",
        epilog="Options above are accepted before and after the command. "
        "Everything after -- belongs to the benchmark.",
        no_args_is_help=False,
        context_settings={"help_option_names": HELP_NAMES},
    )


def run(argv: list[str]) -> int:
    """Run one command line and return the exit code; everything that goes wrong ends here."""
    app = App(dict(os.environ), Path.cwd())
    try:
        code = _dispatch(app, argv)
        sys.stdout.flush()
    except KeyboardInterrupt:
        show_error(InterruptedRunError("interrupted"), app.env)
        return InterruptedRunError.exit_code
    except BrokenPipeError:
        # The reader of our output went away. Nothing more can be said, also not at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except CodspeedError as error:
        show_error(error, app.env)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last line of defence
        return _show_bug(error, app)
    return code


def _dispatch(app: App, argv: list[str]) -> int:
    words = [*argv[1:], "--help"] if argv[:1] == ["help"] else argv
    rest = app.take_globals(words)
    if not rest and "_CODSPEED_COMPLETE" not in app.env:
        problem = "no command given"
        raise UsageError(problem, hint="see `codspeed --help`")
    try:
        result = build().main(
            rest,
            prog_name="codspeed",
            complete_var="_CODSPEED_COMPLETE",
            standalone_mode=False,
            obj=app,
        )
    except UnknownOptionError as error:
        raise absent.explain(error, _flags(rest, app), app.registry) from error
    except click.NoSuchOption as error:
        unknown = UnknownOptionError(error.option_name)
        raise absent.explain(unknown, error.possibilities or (), app.registry) from error
    except click.Abort as error:
        problem = "interrupted"
        raise InterruptedRunError(problem) from error
    except click.ClickException as error:
        raise UsageError(error.format_message()) from error
    except SystemExit as error:  # click: broken pipe
        return error.code if isinstance(error.code, int) else 1
    return result if isinstance(result, int) else 0


def _flags(words: list[str], app: App) -> list[str]:
    """Return the flags of the verb in `words`, for a suggestion."""
    options: list[Option] = [*GLOBAL, *app.global_options]
    root = build()
    context = click.Context(root, obj=app)
    command = root.get_command(context, words[0])
    if isinstance(command, ContractCommand):
        parameters = command.get_params(click.Context(command, parent=context))
        options += [p.option for p in parameters if isinstance(p, ContractOption)]
    return [option.rule.flag for option in options]


def _show_bug(error: Exception, app: App) -> int:
    if is_debug(app.env):
        import traceback  # noqa: PLC0415 - late: start-up stays quick

        traceback.print_exception(error)
    text = f"internal error: {type(error).__name__}: {error}"
    hint = "this is a fault of codspeed; CODSPEED_LOG=debug shows where it happened"
    show_error(CodspeedError(text, hint=hint), app.env)
    return 1
