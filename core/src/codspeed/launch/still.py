"""A still environment: what a command sees of it is the same in every run. No I/O here.

Instruction counts move with the environment: its size shifts the stack, and a language that copies
it at start-up (CPython's `os.environ`) allocates other sizes, so all that is allocated later lies
elsewhere (0.02 to 0.8 % of CPython's instructions). Three remedies: variables that change from run
to run by nature get fixed values (`codspeed.launch.volatile`), the whole block is padded to a
fixed size, and what remains, the user's own variables, is fingerprinted, so that a comparison can
name it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import attrs

from codspeed.launch.volatile import ALWAYS, GROUPS, Group

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

FILLER: Final = "CODSPEED_STILL_FILLER"
# Larger than what CI providers pass (GitHub about 5 kB, GitLab about 12 kB), and below the 128 KiB
# that Linux allows a single variable (MAX_ARG_STRLEN).
BLOCK_BYTES: Final = 32 * 1024
_HASH_DIGITS: Final = 16


@attrs.frozen
class Stilled:
    """An environment without what changes from run to run.

    Attributes:
        variables: What the command inherits.
        changes: One sentence for each variable that was touched; names only, values may be secret.
    """

    variables: dict[str, str]
    changes: tuple[str, ...]


def stilled(env: Mapping[str, str], *, keep: Collection[str] = ()) -> Stilled:
    """Return `env` with fixed values for what is volatile by nature.

    Args:
        env: What the command would inherit.
        keep: Names that the command needs as they are.
    """
    variables = dict(env)
    changes = []
    for group in GROUPS:
        if group.marker and group.marker not in env:
            continue
        for name, value in _replacements(group, env):
            if name not in keep:
                changes.append(_apply(variables, name, value))
    for name, value in ALWAYS.items():
        if name not in keep and env.get(name) != value:
            changes.append(_apply(variables, name, value))
    return Stilled(variables, tuple(changes))


def _replacements(group: Group, env: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Yield the variables of a group that are there, with the value they get; None: dropped."""
    yield from ((name, value) for name, value in group.fixed.items() if name in env)
    starts = tuple(name[:-1] for name in group.dropped if name.endswith("*"))
    for name in env:
        if name not in group.fixed and (name in group.dropped or name.startswith(starts)):
            yield name, None


def _apply(variables: dict[str, str], name: str, value: str | None) -> str:
    if value is None:
        del variables[name]
        return f"{name} dropped"
    variables[name] = value
    return f"{name} set to a fixed value of {len(value)} characters"


def padded(env: Mapping[str, str]) -> dict[str, str]:
    """Return `env` with a filler variable that brings its block to a multiple of BLOCK_BYTES."""
    variables = {name: value for name, value in env.items() if name != FILLER}
    used = block_bytes(variables) + _entry_bytes(FILLER, "")
    variables[FILLER] = "x" * (-used % BLOCK_BYTES)
    return variables


def block_bytes(env: Mapping[str, str]) -> int:
    """Return the size of the strings that the kernel copies to the stack of a new program."""
    return sum(_entry_bytes(name, value) for name, value in env.items())


def _entry_bytes(name: str, value: str) -> int:
    """Count `NAME=VALUE` and its terminating zero, as the operating system encodes them."""
    return _length(name) + _length(value) + 2


def _length(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def environment_hash(env: Mapping[str, str]) -> str:
    """Return a hash of the names and lengths of variables; values, which may be secret, have none.

    Environments of equal hash have the same influence on instruction counts, as far as that comes
    from sizes.
    """
    lengths = sorted((name, _length(value)) for name, value in env.items() if name != FILLER)
    text = "\0".join(f"{name}={length}" for name, length in lengths)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_HASH_DIGITS]


def as_markdown() -> str:
    """Return the table of volatile variables for the documentation."""
    lines = ["| where | only if set | gets a fixed value | dropped |", "|---|---|---|---|"]
    for group in GROUPS:
        marker = f"`{group.marker}`" if group.marker else ""
        cells = (group.title, marker, _names(group.fixed), _names(group.dropped))
        lines.append(f"| {' | '.join(cells)} |")
    lines.append(f"| Set in any case | | {_names(ALWAYS)} | |")
    return "\n".join(lines) + "\n"


def _names(names: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
