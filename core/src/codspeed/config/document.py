"""A YAML document that knows the lines of its values. PyYAML is imported on first use."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import attrs

from codspeed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection

Place = tuple[str | int, ...]


@attrs.frozen
class Document:
    """A parsed file.

    Attributes:
        lines: Place of a value, as a path of keys and indexes -> line, from 1.
    """

    path: Path
    data: Any
    lines: Mapping[Place, int]

    def line(self, place: Place) -> int:
        """Return the line of the value at `place`; a merged key has that of what is around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def fail(self, place: Place, problem: str, hint: str | None = None) -> NoReturn:
        """Raise a `ConfigError` that names file and line."""
        problem = f"{self.path.name}:{self.line(place)}: {problem}"
        raise ConfigError(problem, hint=hint)

    def mapping(self, place: Place, value: Any, what: str) -> dict[str, Any]:
        """Return `value` as a mapping with text keys; an empty one counts."""
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            self.fail(place, f"{what} must be a mapping of names, not {kind(value)}")
        return value

    def refuse_unknown(self, place: Place, keys: Collection[str], known: Collection[str]) -> None:
        """Raise if a key is not known, naming the nearest that is."""
        for key in keys:
            if key not in known:
                problem, hint = unknown(key, known, where=".".join(map(str, place)))
                self.fail((*place, key), problem, hint)


def unknown(key: str, known: Collection[str], *, where: str) -> tuple[str, str]:
    """Return problem and hint for a key that is not known."""
    near = difflib.get_close_matches(key, sorted(known), n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(sorted(known))}"
    return f"unknown key '{key}'" + (f" in {where}" if where else ""), hint


def kind(value: Any) -> str:
    """Return what a YAML value is, for people."""
    names = {dict: "a mapping", list: "a list", str: "text", bool: "true or false"}
    numbers = {int: "a number", float: "a number", type(None): "nothing"}
    return {**names, **numbers}.get(type(value), f"a {type(value).__name__}")


def read(path: Path, what: str = "config") -> Document:
    """Read a YAML file.

    Args:
        path: The file.
        what: How an error names it.

    Raises:
        ConfigError: If it can't be read, is not YAML, or has the same key twice in one mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"Failed to load config from {path}: {error}"
        raise ConfigError(problem) from error
    return parse(text, path, what)


def parse(text: str, path: Path, what: str = "config") -> Document:
    """Parse the text of a YAML file; raises as `read` does."""
    import yaml  # noqa: PLC0415 - only where there is a file

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Document(path, {}, {})
        lines: dict[Place, int] = {}
        _collect(node, (), lines, path)
        return Document(path, loader.construct_document(node), lines)
    except yaml.YAMLError as error:
        raise ConfigError(_syntax_error(path, error, what)) from error
    finally:
        loader.dispose()


def _syntax_error(path: Path, error: Any, what: str) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark else ""
    reason = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"Failed to parse CodSpeed {what} at {path}: {where}{reason}"


def _collect(node: Any, place: Place, lines: dict[Place, int], path: Path) -> None:
    """Fill `lines`; an alias is followed once per place, nesting is bounded by the YAML parser."""
    lines.setdefault(place, node.start_mark.line + 1)
    if len(lines) > 100_000:
        problem = f"{path.name}: too many values; aliases multiply them"
        raise ConfigError(problem)
    if node.id == "sequence":
        for index, item in enumerate(node.value):
            _collect(item, (*place, index), lines, path)
    if node.id == "mapping":
        for key, value in node.value:
            here = (*place, str(key.value))
            if here in lines:
                line = key.start_mark.line + 1
                problem = f"{path.name}:{line}: key '{key.value}' stands here twice"
                raise ConfigError(problem)
            lines[here] = key.start_mark.line + 1
            _collect(value, here, lines, path)
