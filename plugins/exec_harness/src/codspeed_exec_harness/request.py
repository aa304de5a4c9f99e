"""What core asks of the harness: targets as JSON on standard input (spec/executors.md 6.2).

Beside the reference's keys an element may have `launch` (how the executor wants the target started)
and `uri` (when it does not follow from the name). No I/O here.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs

from codspeed.errors import UsageError
from codspeed.model import Launch
from codspeed.protocols import Target
from codspeed_exec_harness.descriptor import Bounds
from codspeed_exec_harness.identity import (
    NAME_LIMIT_BYTES,
    URI_PREFIX,
    full_name,
    shortened,
    uri_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Nobody may ask for more than the reference's unsigned 64-bit counter holds.
_COUNTS: Final = range(2**64)

_CUT: Final = "The name of a benchmark is cut at %d bytes: %s"

_T = TypeVar("_T")

_logger = logging.getLogger(__name__)


def make_target(launch: Launch, name: str | None, bounds: Bounds, uri: str | None = None) -> Target:
    """Name a command; the name is cut at 924 bytes, the URI is not."""
    full = full_name(launch.argv, name)
    return Target(
        name=shortened(full), uri=uri_of(full) if uri is None else uri, launch=launch, bounds=bounds
    )


def render_targets(targets: Iterable[Target]) -> bytes:
    """Return the compact JSON that `parse_targets` reads back."""
    elements = [_render_target(target) for target in targets]
    return json.dumps(elements, separators=(",", ":")).encode()


def parse_targets(text: bytes) -> list[Target]:
    """Read the targets; warns of names that are cut.

    Raises:
        UsageError: If `text` is not what `render_targets` or the reference's runner writes.
    """
    try:
        elements = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(str(error)) from error
    if not isinstance(elements, list):
        what = "an array is expected"
        raise _unreadable(what)
    if not elements:
        problem = "No commands provided in stdin input"
        raise UsageError(problem)
    return [_parse_target(element, f"[{index}]") for index, element in enumerate(elements)]


def _render_target(target: Target) -> dict[str, Any]:
    launch = target.launch
    element: dict[str, Any] = {"command": launch.argv}
    name = target.uri.removeprefix(URI_PREFIX)
    if name != full_name(launch.argv, None):
        element["name"] = name
    element["walltime_args"] = attrs.asdict(target.bounds or Bounds())
    element["launch"] = {
        "argv": launch.argv,
        "env": dict(launch.env),
        "cwd": None if launch.cwd is None else str(launch.cwd),
        "sudo": launch.sudo,
    }
    if not target.uri.startswith(URI_PREFIX):
        element |= {"name": target.name, "uri": target.uri}
    return element


def _parse_target(element: Any, where: str) -> Target:
    fields = _mapping(element, where)
    command = _words(fields.get("command"), f"{where}.command")
    if not command:
        problem = "Empty command in stdin input"
        raise UsageError(problem)
    name = _optional(fields.get("name"), f"{where}.name", _text)
    launch = _parse_launch(fields.get("launch"), command, f"{where}.launch")
    bounds = _parse_bounds(fields.get("walltime_args"), f"{where}.walltime_args")
    uri = _optional(fields.get("uri"), f"{where}.uri", _text)
    target = make_target(launch, name or full_name(command, None), bounds, uri)
    if uri is None and target.uri != uri_of(target.name):
        _logger.warning(_CUT, NAME_LIMIT_BYTES, target.name)
    return target


def _parse_launch(value: Any, command: tuple[str, ...], where: str) -> Launch:
    if value is None:
        return Launch(command)
    fields = _mapping(value, where)
    cwd = _optional(fields.get("cwd"), f"{where}.cwd", _text)
    env = _mapping(fields.get("env", {}), f"{where}.env")
    return Launch(
        argv=_words(fields.get("argv", list(command)), f"{where}.argv") or command,
        env={key: _text(text, f"{where}.env.{key}") for key, text in env.items()},
        cwd=None if cwd is None else Path(cwd),
        sudo=_typed(fields.get("sudo", False), f"{where}.sudo", bool, "true or false"),
    )


def _parse_bounds(value: Any, where: str) -> Bounds:
    fields = {} if value is None else _mapping(value, where)

    def time(key: str) -> str | None:
        return _optional(fields.get(key), f"{where}.{key}", _text)

    def count(key: str) -> int | None:
        return _optional(fields.get(key), f"{where}.{key}", _number)

    return Bounds(
        warmup_time=time("warmup_time"),
        max_time=time("max_time"),
        min_time=time("min_time"),
        max_rounds=count("max_rounds"),
        min_rounds=count("min_rounds"),
    )


def _optional(value: Any, where: str, read: Callable[[Any, str], _T]) -> _T | None:
    return None if value is None else read(value, where)


def _mapping(value: Any, where: str) -> dict[str, Any]:
    return _typed(value, where, dict, "an object")


def _text(value: Any, where: str) -> str:
    text = _typed(value, where, str, "text")
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError as error:
        raise _unexpected(value, where, "valid Unicode") from error
    if b"\0" in encoded:
        raise _unexpected(value, where, "text without NUL")
    return text


def _number(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in _COUNTS:
        raise _unexpected(value, where, "a whole number from 0")
    return value


def _words(value: Any, where: str) -> tuple[str, ...]:
    words = _typed(value, where, list, "an array of text")
    return tuple(_text(word, f"{where}[{index}]") for index, word in enumerate(words))


def _typed(value: Any, where: str, kind: type[_T], expected: str) -> _T:
    if not isinstance(value, kind):
        raise _unexpected(value, where, expected)
    return value


def _unexpected(value: Any, where: str, expected: str) -> UsageError:
    return _unreadable(f"{where}: {expected} is expected, not {json.dumps(value)}")


def _unreadable(detail: str) -> UsageError:
    return UsageError(f"Failed to parse JSON from stdin: {detail}")
