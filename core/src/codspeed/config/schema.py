"""The JSON Schema of codspeed.yml, for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from codspeed.config.project import BOUNDS
from codspeed.model.option import OptionSpec, OptionStyle

if TYPE_CHECKING:
    from collections.abc import Mapping

_DURATION: Final = {
    "description": "A time such as 500ms, 1.5s or 2m; a number means seconds.",
    "anyOf": [{"type": "string"}, {"type": "number", "minimum": 0}],
}


def schema(options: Mapping[str, OptionSpec]) -> dict[str, Any]:
    """Return the schema; `options` are those that plugins accept, by field name."""
    directory = {
        "type": "string",
        "description": "Where targets run, from the folder of this file.",
    }
    bounds = _properties(BOUNDS)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "codspeed.yml",
        "type": "object",
        "properties": {
            "options": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"working-directory": directory, **bounds, **_properties(options)},
            },
            "benchmarks": {"type": "array", "items": _target(bounds)},
        },
    }


def _target(bounds: Mapping[str, Any]) -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "type": "object",
        "additionalProperties": False,
        "oneOf": [{"required": ["exec"]}, {"required": ["entrypoint"]}],
        "properties": {
            "name": {**text, "description": "Name of the benchmark, for exec."},
            "id": text,
            "exec": {**text, "description": "A plain command, split into words as a shell would."},
            "entrypoint": {**text, "description": "Shell text with an integration of its own."},
            "options": {"type": "object", "additionalProperties": False, "properties": bounds},
        },
    }


def _properties(options: Mapping[str, OptionSpec]) -> dict[str, Any]:
    return {name.replace("_", "-"): _property(spec) for name, spec in options.items()}


def _property(spec: OptionSpec) -> dict[str, Any]:
    described = {"description": spec.help} if spec.help else {}
    if spec.style in {OptionStyle.FLAG, OptionStyle.OPTIONAL_BOOL}:
        return {"type": "boolean", **described}
    if spec.style is OptionStyle.LIST:
        items = {"type": "array", "items": {"type": "string"}}
        return {"anyOf": [items, {"type": "string"}], **described}
    if spec.parse == "int":
        return {"type": "integer", "minimum": 0, **described}
    if spec.parse == "duration":
        return {**_DURATION, **described}
    chosen = {"enum": list(spec.choices)} if spec.choices else {}
    return {"type": "string", **chosen, **described}
