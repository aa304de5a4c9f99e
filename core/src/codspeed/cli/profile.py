"""The verb `profile`: named addresses and tokens in the user configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import click

from codspeed.cli.contract import HELP_NAMES, ContractCommand, Option, Words
from codspeed.cli.scan import Rule
from codspeed.config import session
from codspeed.config.user import Profile, save

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codspeed.cli.app import App
    from codspeed.cli.scan import Setting

_URLS = (
    Option(Rule("api_url"), "Address of the API.", "URL"),
    Option(Rule("upload_url"), "Address that uploads go to.", "URL"),
)


def _list(app: App, _given: Mapping[str, Setting], _words: Sequence[str]) -> int:
    marked = session.profile(app.env)
    app.write("Profiles")
    for name in sorted(app.user.profiles):
        app.write(f"{'*' if name == marked else ' '} {name}")
    return 0


def _show(app: App, _given: Mapping[str, Setting], words: Sequence[str]) -> int:
    name = words[0] if words else app.profile_name().value
    profile = app.user.get(name)
    app.lines(
        [
            f"Profile: {name}",
            f"  API URL: {profile.api_url or 'default'}",
            f"  Upload URL: {profile.upload_url or 'default'}",
            f"  Authenticated: {'yes' if profile.token else 'no'}",
        ]
    )
    return 0


def _set(app: App, given: Mapping[str, Setting], words: Sequence[str]) -> int:
    old = app.user.profiles.get(words[0], Profile())
    changes = {name: setting.value for name, setting in given.items()}
    save(app.user.with_profile(words[0], attrs.evolve(old, **changes)))
    app.print(f"  Profile {words[0]} saved in {app.user.path}")
    return 0


def _use(app: App, _given: Mapping[str, Setting], words: Sequence[str]) -> int:
    app.user.get(words[0])
    session.remember(session.PROFILE, words[0], app.env)
    return 0


_NAME = Words("NAME", least=1, most=1)

profile = click.Group(
    "profile",
    help="Manage profiles of the user configuration.",
    context_settings={"help_option_names": HELP_NAMES},
    commands=[
        ContractCommand("list", _list, help="List profiles; * marks that of this shell session."),
        ContractCommand("show", _show, help="Show a profile.", words=Words("[NAME]", most=1)),
        ContractCommand("set", _set, help="Create or change one.", options=_URLS, words=_NAME),
        ContractCommand("use", _use, help="Use one in this shell session.", words=_NAME),
    ],
)
