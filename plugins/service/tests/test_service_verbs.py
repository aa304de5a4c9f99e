"""`codspeed auth`, `codspeed update`, and the service's part of `codspeed status`."""

from __future__ import annotations

import io
import stat
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from codspeed.config import user
from codspeed.environment.repository import Remote
from codspeed.errors import AuthenticationError, UsageError
from codspeed.model import RunContext, System
from codspeed_service import status, verb_auth, verb_update
from codspeed_service.api import Api
from codspeed_service.login import Login
from codspeed_service.verb_update import Installation, commands

WIDGETS = Remote("github.com", "acme", "widgets")


@attrs.frozen
class FakeApp:
    """What core gives a verb."""

    system: System
    options: dict[str, Any]
    shown: list[str] = attrs.field(factory=list)
    written: list[str] = attrs.field(factory=list)

    def option(self, name: str) -> Any:
        return self.options.get(name)

    def context(self) -> RunContext:
        remote = "git@github.com:acme/widgets.git"
        return RunContext("local", "acme/widgets", "w-1", Path(), remote=remote)

    def print(self, renderable: Any) -> None:
        self.shown.append(str(renderable))

    def write(self, text: str) -> None:
        self.written.append(text)


@pytest.fixture
def app(service: Any, tmp_path: Path) -> FakeApp:
    env = {"XDG_CONFIG_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    system = System("linux", "debian", "12", "x86_64", 0, tmp_path, env)
    return FakeApp(system, {"api_url": service.api_url})


def run(app: Any, *words: str) -> None:
    verb_auth.build(app).main(list(words), standalone_mode=False)


def config(app: FakeApp) -> user.UserConfig:
    return user.load(user.locate(app.system.env))


def test_a_token_on_standard_input_is_checked_and_saved(
    app: FakeApp, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = service.add_user("ada")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"  {token}\n"))

    run(app, "login", "--with-token")

    assert config(app).get("default").token == token
    assert stat.S_IMODE(config(app).path.stat().st_mode) == 0o600
    assert service.api.asked == ["Session"]
    assert token not in "".join(app.shown)


def test_a_token_that_is_refused_is_not_saved(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("wrong-token"))

    with pytest.raises(AuthenticationError, match="malformed or expired"):
        run(app, "login", "--with-token")

    assert not config(app).path.exists()


def test_no_token_on_standard_input(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(" \n"))

    with pytest.raises(UsageError, match="No token provided on stdin"):
        run(app, "login", "--with-token")


def test_logging_in_creates_the_profile_that_was_named(app: FakeApp, service: Any) -> None:
    service.api.login_token = service.add_user("ada")
    app.options["profile"] = "staging"

    run(app, "login")

    assert config(app).get("staging").token == service.api.login_token
    assert "https://codspeed.example/login/session-1" in "".join(app.shown)


def login(account: Any, service: Any, clock: Any) -> Login:
    api = Api(account.client(), service.api_url, None)
    return Login(api, account.listener.info, lambda _url: False, account.naps.sleep, clock)


def test_the_user_may_take_a_while(account: Any, service: Any) -> None:
    service.api.login_token, service.api.looks_before_login = "new", 3

    assert login(account, service, lambda: 0.0).token() == "new"
    assert account.naps.seconds == [5.0, 5.0, 5.0]


def test_but_no_longer_than_five_minutes(account: Any, service: Any) -> None:
    service.api.looks_before_login = 1000

    with pytest.raises(AuthenticationError, match="Login session expired, please try again"):
        login(account, service, lambda: 5.0 * len(account.naps.seconds)).token()

    assert len(account.naps.seconds) == 61


@pytest.mark.parametrize(
    ("login_name", "repositories", "lines"),
    [
        (
            "ada",
            {("GITHUB", "acme", "widgets"): True},
            [
                "Authentication (profile: default)",
                "  \u2713 Logged in as ada (Github)",
                "",
                "Repository",
                "  \u2713 acme/widgets (Github)",
            ],
        ),
        (
            None,
            {("GITHUB", "acme", "widgets"): False},
            [
                "Authentication (profile: default)",
                "  \u2713 Authenticated",
                "",
                "Repository",
                "  \u2717 acme/widgets (Github, token not authorized for this repository)",
            ],
        ),
        (
            "ada",
            {},
            [
                "Authentication (profile: default)",
                "  \u2713 Logged in as ada (Github)",
                "",
                "Repository",
                "  \u2717 acme/widgets (Github, not enabled on CodSpeed)",
                "  \u26a0 local runs go to a project `local-runs` that is not tied to a repository",
            ],
        ),
    ],
)
def test_status_with_a_token(
    account: Any, service: Any, login_name: str | None, repositories: Any, lines: list[str]
) -> None:
    service.api.tokens["t"] = login_name
    service.api.repositories = repositories

    assert status.lines("default", Api(account.client(), service.api_url, "t"), WIDGETS) == lines


def test_status_of_a_token_that_expired(account: Any, service: Any) -> None:
    lines = status.lines("staging", Api(account.client(), service.api_url, "old"), WIDGETS)

    assert lines[:2] == [
        "Authentication (profile: staging)",
        "  \u2717 Token expired (run codspeed auth login to re-authenticate)",
    ]
    assert lines[-1] == "  acme/widgets (Github)"


def test_status_without_a_token_asks_nobody(account: Any, service: Any) -> None:
    lines = status.lines("default", Api(account.client(), service.api_url, None), None)

    assert lines[1] == "  \u2717 Not logged in (run codspeed auth login to authenticate)"
    assert lines[4] == "  Not inside a git repository"
    assert service.api.asked == []


def test_status_without_a_network_is_a_line(account: Any) -> None:
    lines = status.lines("default", Api(account.client(), "http://127.0.0.1:9/", "t"), WIDGETS)

    assert lines == [
        "Authentication (profile: default)",
        (
            "  ! the API of the CodSpeed service can't be used: "
            "127.0.0.1:9: no connection, or it broke"
        ),
    ]


def test_the_verb_shows_the_status(app: FakeApp, service: Any) -> None:
    app.options["oauth_token"] = service.add_user("ada")

    run(app, "status")

    assert app.shown[1] == "    \u2713 Logged in as ada (Github)"


def test_the_status_of_a_machine(app: FakeApp, tmp_path: Path) -> None:
    found = status.of_system(app.system)
    (tmp_path / "codspeed").mkdir()
    (tmp_path / "codspeed" / "config.yaml").write_text("version: 99\n")
    broken = status.of_system(app.system)

    assert "Not logged in" in found[1]
    assert "has version 99" in broken[1]


def test_each_installation_is_updated_by_what_made_it(tmp_path: Path) -> None:
    clone = {"url": "file:///src/codspeed/core", "dir_info": {"editable": True}}
    (tmp_path / "uv-receipt.toml").touch()
    piped = tmp_path / "pipx"
    piped.mkdir()
    (piped / "pipx_metadata.json").touch()

    assert commands(Installation("py", tmp_path)) == ["uv tool upgrade codspeed"]
    assert commands(Installation("py", piped)) == ["pipx upgrade codspeed"]
    assert commands(Installation("py", tmp_path / "x")) == ["py -m pip install --upgrade codspeed"]
    assert commands(Installation("py", tmp_path / "x", clone)) == [
        "git -C /src/codspeed pull",
        "cd /src/codspeed && py -m pip install -r requirements-dev.txt",
    ]
    git = {"url": "https://git.example/c", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
    (command,) = commands(Installation("py", tmp_path / "x", git))
    assert "'codspeed-core @ git+https://git.example/c#subdirectory=core'" in command


def test_the_verb_prints_a_command(app: FakeApp) -> None:
    verb_update.build(app).main([], standalone_mode=False)  # type: ignore[arg-type]  # a fake app

    assert app.written
