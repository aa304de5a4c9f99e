"""`codspeed auth login [--with-token]` and `codspeed auth status`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import attrs
import click

from codspeed.config import session, user
from codspeed.environment.repository import parse_remote
from codspeed_service import contract, login, status
from codspeed_service.api import Api
from codspeed_service.credentials import fixed_token
from codspeed_service.descriptor import ServiceOptions
from codspeed_service.http import Client

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from codspeed.protocols import CommandApp


def build(app: CommandApp) -> click.Command:
    """Build the group."""
    group = click.Group("auth", help="Log in to the CodSpeed service, or show who is logged in.")
    group.add_command(_login_command(app))
    group.add_command(_status_command(app))
    return group


def _login_command(app: CommandApp) -> click.Command:
    @click.command("login", help="Log in with a browser, or with a token on standard input.")
    @click.option("--with-token", is_flag=True, help="Read a token from standard input.")
    def command(*, with_token: bool) -> None:
        config, name = _config(app)
        if with_token:
            token = login.given_token(sys.stdin.read())
        else:
            opener = login.browser(app.system.env)
            token = login.Login(_api(app, None), _teller(app), opener).token()
        api = _api(app, token)
        login.checked(api)
        old = config.profiles.get(name, user.Profile())
        user.save(config.with_profile(name, attrs.evolve(old, token=api.token)))
        app.print(f"  Logged in; the token is saved in profile {name} of {config.path}")

    return command


def _status_command(app: CommandApp) -> click.Command:
    @click.command("status", help="Show who is logged in, and what is known of this repository.")
    def command() -> None:
        _, name = _config(app)
        remote = parse_remote(app.context().remote)
        for line in status.lines(name, _api(app, app.option("oauth_token")), remote):
            app.print(f"  {line}".rstrip())

    return command


def _api(app: CommandApp, token: str | None) -> Api:
    client = Client()
    checked = fixed_token(ServiceOptions(oauth_token=token), client)
    return Api(client, app.option("api_url") or contract.API_URL, checked)


def _config(app: CommandApp) -> tuple[user.UserConfig, str]:
    """Return the user's configuration and the name of the profile, which need not exist yet."""
    env = app.system.env
    path: Path = user.locate(env, app.option("config_name") or "config")
    name = app.option("profile") or session.profile(env) or user.DEFAULT
    return user.load(path), name


def _teller(app: CommandApp) -> Callable[[str], None]:
    def tell(line: str) -> None:
        app.print(f"  {line}")

    return tell
