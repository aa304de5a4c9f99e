"""`codspeed update`: the command that updates this installation. It changes nothing itself.

An installation belongs to the tool that made it (pip, pipx, uv, a clone); only that may change it.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import attrs
import click

if TYPE_CHECKING:
    from codspeed.protocols import CommandApp

# The environment's distribution that pulls in all of ours, and the one that is always there.
_META, _CORE = "codspeed", "codspeed-core"


@attrs.frozen
class Installation:
    """How codspeed was installed.

    Attributes:
        python: The interpreter that runs us.
        prefix: Its environment.
        origin: direct_url.json of codspeed-core (PEP 610); empty if it came from an index.
        distribution: What the user asked for: the meta distribution if it is there.
    """

    python: str
    prefix: Path
    origin: dict[str, Any] = attrs.field(factory=dict)
    distribution: str = _META


def build(app: CommandApp) -> click.Command:
    """Build the verb."""

    @click.command("update", help="Say how this codspeed is updated; nothing is changed.")
    def command() -> None:
        app.print("  To update codspeed, run:")
        for line in commands(_read()):
            app.write(line)

    return command


def commands(found: Installation) -> list[str]:
    """Return the commands that update an installation."""
    if found.origin.get("dir_info", {}).get("editable"):
        clone = _clone(found.origin)
        again = f"{found.python} -m pip install -r requirements-dev.txt"
        return [f"git -C {clone} pull", f"cd {clone} && {again}"]
    if "uv-receipt.toml" in _names(found.prefix):
        return [f"uv tool upgrade {found.distribution}"]
    if "pipx_metadata.json" in _names(found.prefix):
        return [f"pipx upgrade {found.distribution}"]
    if "vcs_info" in found.origin:
        url = found.origin["url"]
        return [f"{found.python} -m pip install --upgrade --force-reinstall {_sources(url)}"]
    if str(found.origin.get("url", "")).startswith("file:"):
        clone = _clone(found.origin)
        parts = "./core ./native ./plugins/* ./meta"
        return [f"cd {clone} && git pull && {found.python} -m pip install --upgrade {parts}"]
    return [f"{found.python} -m pip install --upgrade {found.distribution}"]


def _sources(url: str) -> str:
    """Return the requirements of all installed distributions of ours, from one repository."""
    names = sorted(_ours() - {_META})
    folders = {_CORE: "core", "codspeed-native": "native"}
    usual = {name: f"plugins/{name.removeprefix('codspeed-').replace('-', '_')}" for name in names}
    return " ".join(
        f"'{name} @ git+{url}#subdirectory={folders.get(name, usual[name])}'" for name in names
    )


def _clone(origin: dict[str, Any]) -> Path:
    return Path(url2pathname(urlsplit(str(origin.get("url", ""))).path)).parent


def _names(folder: Path) -> set[str]:
    try:
        return {entry.name for entry in folder.iterdir()}
    except OSError:
        return set()


def _ours() -> set[str]:
    names = {found.name for found in importlib.metadata.distributions()}
    return {name for name in names if name == _META or name.startswith(f"{_META}-")}


def _read() -> Installation:
    try:
        text = importlib.metadata.distribution(_CORE).read_text("direct_url.json")
        origin = json.loads(text or "{}")
    except (importlib.metadata.PackageNotFoundError, ValueError):
        origin = {}
    return Installation(
        sys.executable,
        Path(sys.prefix),
        origin if isinstance(origin, dict) else {},
        _META if _META in _ours() else _CORE,
    )
