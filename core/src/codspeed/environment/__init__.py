"""Where codspeed runs: the machine, the repository, and which CI provider (or none) started it.

Importing this package is cheap; what reads files or starts git is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from codspeed.environment.context import git_context, repository_key
    from codspeed.environment.fingerprint import read_fingerprint
    from codspeed.environment.repository import parse_remote, strip_credentials
    from codspeed.environment.system import read_system
    from codspeed.model import RunContext

__all__ = [
    "data_folder",
    "detect",
    "git_context",
    "parse_remote",
    "read_context",
    "read_fingerprint",
    "read_system",
    "repository_key",
    "strip_credentials",
]

_LAZY: Final = {
    "git_context": "context",
    "parse_remote": "repository",
    "read_fingerprint": "fingerprint",
    "read_system": "system",
    "repository_key": "context",
    "strip_credentials": "repository",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)


class DescriptorSource(Protocol):
    """What of the registry is needed here."""

    def descriptors(self, group: str, /) -> Iterable[Any]:
        """Return the usable descriptors of an entry-point group."""


def detect(registry: DescriptorSource, env: Mapping[str, str]) -> Any | None:
    """Return the descriptor of the first environment that recognises itself; None if none does."""
    candidates = registry.descriptors("codspeed.environments")
    ordered = sorted(candidates, key=lambda one: (one.order, one.name))
    return next((one for one in ordered if one.detect(env)), None)


def read_context(registry: DescriptorSource, env: Mapping[str, str], cwd: Path) -> RunContext:
    """Return where this run belongs, as the first environment says that recognises itself.

    Raises:
        CodspeedError: If that environment's variables contradict each other or miss something.
    """
    descriptor = detect(registry, env)
    if descriptor is not None:
        context: RunContext = descriptor.load()(env, cwd)
        return context
    return import_module(f"{__name__}.context").git_context("local", env, cwd)  # type: ignore[no-any-return]  # the module is looked up by name


def data_folder(context: RunContext, env: Mapping[str, str]) -> Path:
    """Return the folder of this repository's bundles and index; it need not exist."""
    # The XDG specification: a relative path is invalid and to be ignored.
    if (home := Path(env.get("XDG_DATA_HOME", ""))).is_absolute():
        return home / "codspeed" / context.repository_key
    import platformdirs  # noqa: PLC0415 - not needed by most of what imports this package

    base = platformdirs.user_data_path("codspeed", appauthor=False)
    return base / context.repository_key
