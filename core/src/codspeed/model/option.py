"""Options that plugins contribute to the command line and to codspeed.yml.

A plugin's options are an attrs class; each field is made by `option()`. The field name with dashes
is the long flag and the key in codspeed.yml.
"""

from __future__ import annotations

import enum
from typing import Any, Final

import attrs

_KEY: Final = "codspeed.option"


class OptionStyle(enum.Enum):
    """How an option is written on the command line (spec/cli-upload.md 1.5)."""

    VALUE = "value"  # --name X or --name=X, once
    FLAG = "flag"  # --name, no value
    OPTIONAL_BOOL = "optional-bool"  # --name or --name=true|false; never eats the next word
    LIST = "list"  # --name a,b --name c


@attrs.frozen
class OptionSpec:
    """How one field of an options class appears to the user.

    Attributes:
        style: How it is written.
        help: One line; empty only for hidden options.
        env: Environment variable that stands in for the flag; empty for none.
        choices: Allowed values; empty for any.
        metavar: Placeholder in the help.
        parse: "str", "int", "path", "duration" (text, see exec-harness) or "semver".
        hidden: Left out of the help.
        short: One letter, or empty.
        verbs: Verbs that take it; empty for run and exec.
        is_global: Every verb takes it, before and after its name; `verbs` says nothing then.
        secret: Never shown: not in a repr, not by `codspeed config show`.
        profile: Field of the user's profile that holds if flag and variable say nothing; or empty.
        in_file: Whether codspeed.yml may set it. Not for what decides where a secret goes: whoever
            can change the file could have it sent to himself.
    """

    style: OptionStyle = OptionStyle.VALUE
    help: str = ""
    env: str = ""
    choices: tuple[str, ...] = ()
    metavar: str = ""
    parse: str = "str"
    hidden: bool = False
    short: str = ""
    verbs: tuple[str, ...] = ()
    secret: bool = False
    profile: str = ""
    in_file: bool = True
    is_global: bool = False


def option(default: Any, **spec: Any) -> Any:
    """Declare one option: an attrs field with an `OptionSpec` made of `spec`."""
    made = OptionSpec(**spec)
    return attrs.field(default=default, repr=not made.secret, metadata={_KEY: made})


def option_specs(options: type) -> dict[str, tuple[OptionSpec, Any]]:
    """Return the options of an attrs class: field name -> (spec, default)."""
    return {
        field.name: (field.metadata[_KEY], field.default)
        for field in attrs.fields(options)
        if _KEY in field.metadata
    }


@attrs.frozen
class NoOptions:
    """For plugins that have none."""
