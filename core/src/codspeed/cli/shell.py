"""The verbs `use` and `show`: modes that a shell session remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from codspeed.cli import mode
from codspeed.cli.contract import ContractCommand, Words
from codspeed.config import session
from codspeed.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codspeed.cli.app import App
    from codspeed.cli.scan import Setting


def _use(app: App, _given: Mapping[str, Setting], words: Sequence[str]) -> int:
    wanted = [part for word in words for part in word.split(",") if part]
    if not wanted:
        problem = "missing argument MODE"
        raise UsageError(problem)
    for word in wanted:
        mode.of_mode(app.registry, word)
    session.remember(session.MODES, wanted, app.env)
    return 0


def _show(app: App, _given: Mapping[str, Setting], _words: Sequence[str]) -> int:
    modes = session.modes(app.env)
    shown = ", ".join(word.capitalize() for word in modes)
    app.print(f"  {shown or 'No mode set for this shell session'}")
    return 0


use = ContractCommand(
    "use",
    _use,
    help="Remember modes for this shell session; `codspeed run` measures in them unless told.",
    words=Words("MODE...", least=1, most=None),
)
show = ContractCommand("show", _show, help="Show the modes of this shell session.")
