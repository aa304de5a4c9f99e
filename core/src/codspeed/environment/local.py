"""The environment of last resort: no CI provider recognised itself, so somebody ran us by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from codspeed.protocols import EnvironmentDescriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from codspeed.model import RunContext

_LAST: Final = 1_000_000


def read(env: Mapping[str, str], cwd: Path) -> RunContext:
    """Return what git knows of `cwd`."""
    from codspeed.environment.context import git_context  # noqa: PLC0415 - descriptors stay light

    return git_context("local", env, cwd)


def _load() -> Callable[[Mapping[str, str], Path], RunContext]:
    return read


def _always(_env: Mapping[str, str]) -> bool:
    return True


descriptor = EnvironmentDescriptor(
    name="local",
    label="Local machine",
    load=_load,
    order=_LAST,
    detect=_always,
)
