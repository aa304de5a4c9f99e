"""Expressions of GitHub Actions, as far as action.yml uses them; anything else is an error.

Source: docs.github.com "Evaluate expressions in workflows and actions". Literals, contexts, `==`,
`!=`, `&&`, `||`, `!`, parentheses, and the functions `always`, `success`, `failure` and `toJSON`.
Stricter than GitHub on purpose: a property that does not exist is an error, not the empty text.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<name>[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)"
    r"|(?P<sign>==|!=|&&|\|\||[!()]))"
)
_EMBEDDED: Final = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_WORDS: Final[Mapping[str, Any]] = {"true": True, "false": False, "null": None}


def interpolate(template: Any, contexts: Mapping[str, Any]) -> str:
    """Return a text of action.yml with its `${{ }}` replaced."""
    text = _shown(template)
    return _EMBEDDED.sub(lambda found: _shown(evaluate(found[1], contexts)), text)


def condition(text: str | None, contexts: Mapping[str, Any], *, has_failed: bool) -> bool:
    """Return whether a step runs; without a status function only after success."""
    if text is None:
        return not has_failed
    found = _EMBEDDED.fullmatch(text.strip())
    body = found[1] if found else text
    is_right = bool(evaluate(body, {**contexts, "failed": has_failed}))
    has_function = re.search(r"\b(always|success|failure)\(", body) is not None
    return is_right and (has_function or not has_failed)


def evaluate(text: str, contexts: Mapping[str, Any]) -> Any:
    """Return the value of an expression.

    Raises:
        ValueError: If it uses more than is known here, or names what does not exist.
    """
    return _Parser(text, contexts).parsed()


class _Parser:
    def __init__(self, text: str, contexts: Mapping[str, Any]) -> None:
        self._text = text
        self._contexts = contexts
        self._tokens = list(_tokens(text))
        self._next = 0

    def parsed(self) -> Any:
        value = self._any_of()
        if self._next != len(self._tokens):
            raise self._error()
        return value

    def _any_of(self) -> Any:
        value = self._all_of()
        while self._take("||"):
            other = self._all_of()
            value = value or other
        return value

    def _all_of(self) -> Any:
        value = self._equality()
        while self._take("&&"):
            other = self._equality()
            value = value and other
        return value

    def _equality(self) -> Any:
        value = self._single()
        if self._take("=="):
            return value == self._single()
        if self._take("!="):
            return value != self._single()
        return value

    def _single(self) -> Any:
        if self._take("!"):
            return not self._single()
        if self._take("("):
            value = self._any_of()
            self._require(")")
            return value
        if self._next == len(self._tokens):
            raise self._error()
        token = self._tokens[self._next]
        self._next += 1
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if token in _WORDS:
            return _WORDS[token]
        return self._call(token) if self._take("(") else self._property(token)

    def _call(self, name: str) -> Any:
        if name == "toJSON":
            value = self._any_of()
            self._require(")")
            return json.dumps(value, indent=2)
        self._require(")")
        has_failed = self._contexts.get("failed", False)
        known = {"always": True, "success": not has_failed, "failure": has_failed}
        if name not in known:
            raise self._error()
        return known[name]

    def _property(self, name: str) -> Any:
        value: Any = self._contexts
        for key in name.split("."):
            if not isinstance(value, dict) or key not in value:
                msg = f"{name} does not exist, in {self._text!r}"
                raise ValueError(msg)
            value = value[key]
        return value

    def _take(self, sign: str) -> bool:
        is_there = self._next < len(self._tokens) and self._tokens[self._next] == sign
        self._next += is_there
        return is_there

    def _require(self, sign: str) -> None:
        if not self._take(sign):
            raise self._error()

    def _error(self) -> ValueError:
        return ValueError(f"not understood here: {self._text!r}")


def _tokens(text: str) -> list[str]:
    found, place = [], 0
    stripped = text.rstrip()
    while place < len(stripped):
        token = _TOKEN.match(stripped, place)
        if token is None:
            msg = f"not understood here: {text!r}"
            raise ValueError(msg)
        found.append(token[0].strip())
        place = token.end()
    return found


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
