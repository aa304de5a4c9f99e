"""codspeed.yml: what it may say.

The schema is the reference's. Where the reference drops what it does not understand, we say so: a
key that is unknown or of a wrong type is an error with its line; numbers are accepted as seconds.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from codspeed.config.document import Document, kind, read, unknown
from codspeed.errors import ConfigError
from codspeed.model.option import OptionSpec, OptionStyle

# What a target may be bounded by, also when no harness is installed to say so.
BOUNDS: Final[Mapping[str, OptionSpec]] = {
    "warmup_time": OptionSpec(parse="duration", help="Time to warm up before measuring."),
    "max_time": OptionSpec(parse="duration", help="Longest time to measure."),
    "min_time": OptionSpec(parse="duration", help="Shortest time to measure."),
    "max_rounds": OptionSpec(parse="int", help="Most rounds to measure."),
    "min_rounds": OptionSpec(parse="int", help="Fewest rounds to measure."),
}
_WORKING_DIRECTORY: Final = OptionSpec(
    parse="path", help="Where targets run; relative to the folder of this file."
)
_TOP: Final = ("options", "benchmarks")
_TARGET: Final = ("name", "id", "exec", "entrypoint", "options")


@attrs.frozen
class Located:
    """A value and the line it stands on."""

    value: Any
    line: int


@attrs.frozen
class TargetConfig:
    """One entry of `benchmarks`: words of a plain command, or the shell text of an entrypoint.

    Attributes:
        bounds: Its own options by field name, without those of the root.
    """

    line: int
    words: tuple[str, ...] | None
    entrypoint: str | None
    name: str | None = None
    bounds: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class ProjectConfig:
    """What codspeed.yml says.

    Attributes:
        options: Root options by field name.
        warnings: What is probably a mistake but harms nothing, a sentence each.
    """

    path: Path
    options: Mapping[str, Located] = attrs.field(factory=dict)
    targets: tuple[TargetConfig, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Return where targets run unless `working-directory` says otherwise."""
        return self.path.parent

    def working_directory(self) -> Path:
        """Return where targets run."""
        located = self.options.get("working_directory")
        return self.folder if located is None else located.value

    def bounds(self) -> dict[str, Any]:
        """Return the root's bounds for targets by field name."""
        return {name: self.options[name].value for name in BOUNDS if name in self.options}


def load(path: Path, options: Mapping[str, OptionSpec]) -> ProjectConfig:
    """Read and check a project configuration file.

    Args:
        path: The file; absolute, so that folders in it can be resolved.
        options: What plugins accept under `options`, by field name.

    Raises:
        ConfigError: If the file can't be read or says something that is not understood.
    """
    return check(read(path, "project config"), options)


def check(document: Document, options: Mapping[str, OptionSpec]) -> ProjectConfig:
    """Return what a parsed file says; raises as `load` does."""
    top = document.mapping((), document.data, document.path.name)
    known = {"working_directory": _WORKING_DIRECTORY, **BOUNDS, **options}
    root = _options(document, ("options",), top.get("options"), known)
    _refuse_contradictions(document, root)
    warnings = [
        f"{document.path.name}:{document.line((key,))}: {'; '.join(unknown(key, _TOP, where=''))}"
        for key in top
        if key not in _TOP
    ]
    bounds = {**BOUNDS, **{name: known[name] for name in BOUNDS}}
    targets = _targets(document, top.get("benchmarks"), bounds)
    return ProjectConfig(document.path, root, targets, tuple(warnings))


def _options(
    document: Document, place: tuple[str | int, ...], data: Any, known: Mapping[str, OptionSpec]
) -> dict[str, Located]:
    mapping = document.mapping(place, data, ".".join(map(str, place)))
    keys = {name.replace("_", "-"): name for name in known}
    document.refuse_unknown(place, mapping, keys)
    return {
        keys[key]: Located(
            _value(document, (*place, key), value, known[keys[key]]), document.line((*place, key))
        )
        for key, value in mapping.items()
        if value is not None
    }


def _refuse_contradictions(document: Document, root: Mapping[str, Located]) -> None:
    """Refuse what the reference refuses at the root; the harness checks targets and flags."""
    for one, other in (("min_time", "max_rounds"), ("max_time", "min_rounds")):
        if one in root and other in root:
            problem = f"{one} and {other} can't be used together in the root options"
            document.fail(("options", one.replace("_", "-")), problem)


def _value(document: Document, place: tuple[str | int, ...], value: Any, spec: OptionSpec) -> Any:
    """Return one option's value in the form that its flag would give."""
    key = place[-1]
    if spec.style in {OptionStyle.FLAG, OptionStyle.OPTIONAL_BOOL}:
        return _expect(document, place, value, bool, "true or false")
    if spec.style is OptionStyle.LIST:
        items = value if isinstance(value, list) else str(value).split(",")
        return tuple(str(item) for item in items)
    if spec.parse == "int":
        number = _expect(document, place, value, int, "a whole number")
        if number < 0:
            document.fail(place, f"'{key}' can't be negative, but is {number}")
        return number
    if spec.parse == "duration" and isinstance(value, int | float):
        if not isinstance(value, bool) and value >= 0:
            return f"{value}"
        document.fail(place, f"'{key}' must be a time such as \"1.5s\" or a number of seconds")
    text = _expect(document, place, value, str, "text")
    if spec.choices and text not in spec.choices:
        document.fail(place, f"'{key}' can be {', '.join(spec.choices)}, but is '{text}'")
    return document.path.parent / text if spec.parse == "path" else text


def _expect(
    document: Document, place: tuple[str | int, ...], value: Any, wanted: type, what: str
) -> Any:
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        hint = "put it in quotes" if wanted is str and not isinstance(value, dict | list) else None
        document.fail(place, f"'{place[-1]}' must be {what}, but is {kind(value)}", hint)
    return value


# --- Targets --------------------------------------------------------------------------------------


def _targets(
    document: Document, data: Any, bounds: Mapping[str, OptionSpec]
) -> tuple[TargetConfig, ...]:
    if data is None:
        return ()
    if not isinstance(data, list):
        document.fail(("benchmarks",), f"benchmarks must be a list, but is {kind(data)}")
    return tuple(
        _target(document, ("benchmarks", index), item, bounds) for index, item in enumerate(data)
    )


def _target(
    document: Document, place: tuple[str | int, ...], data: Any, bounds: Mapping[str, OptionSpec]
) -> TargetConfig:
    mapping = document.mapping(place, data, "a benchmark")
    document.refuse_unknown(place, mapping, _TARGET)
    texts = {
        key: _expect(document, (*place, key), mapping[key], str, "text")
        for key in ("name", "id", "exec", "entrypoint")
        if mapping.get(key) is not None
    }
    if ("exec" in texts) == ("entrypoint" in texts):
        document.fail(place, "a benchmark needs exactly one of 'exec' and 'entrypoint'")
    own = _options(document, (*place, "options"), mapping.get("options"), bounds)
    return TargetConfig(
        line=document.line(place),
        words=_words(document, (*place, "exec"), texts.get("exec")),
        entrypoint=texts.get("entrypoint"),
        name=texts.get("name"),
        bounds={name: located.value for name, located in own.items()},
    )


def _words(
    document: Document, place: tuple[str | int, ...], text: str | None
) -> tuple[str, ...] | None:
    if text is None:
        return None
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        where = f"{document.path.name}:{document.line(place)}"
        problem = f"{where}: Failed to parse command: {text} ({error})"
        raise ConfigError(problem) from error
