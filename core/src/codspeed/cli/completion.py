"""The verb `completion`: the script that makes a shell complete our command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codspeed.cli.contract import ContractCommand, Words
from codspeed.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codspeed.cli.app import App
    from codspeed.cli.scan import Setting

_SHELLS: Final = ("bash", "zsh", "fish")


def _completion(app: App, _given: Mapping[str, Setting], words: Sequence[str]) -> int:
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - late: start-up stays quick

    from codspeed.cli.root import build  # noqa: PLC0415 - it imports us

    kind = get_completion_class(words[0])
    if words[0] not in _SHELLS or kind is None:
        problem = f"no completion for '{words[0]}'; there is: {', '.join(_SHELLS)}"
        raise UsageError(problem)
    app.write(kind(build(), {}, "codspeed", "_CODSPEED_COMPLETE").source())
    return 0


completion = ContractCommand(
    "completion",
    _completion,
    help='Print the completion script of a shell, for example: eval "$(codspeed completion bash)"',
    words=Words("|".join(_SHELLS), least=1, most=1),
)
