"""Rust's newer form of mangled names, `_R...` (Rust RFC 2603), as their sources have them.

Hashes of crates and types of constants are left out. No I/O here.
"""

from __future__ import annotations

import string
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DIGITS: Final = string.digits + string.ascii_lowercase + string.ascii_uppercase
_BASIC: Final = {
    "a": "i8", "b": "bool", "c": "char", "d": "f64", "e": "str", "f": "f32", "h": "u8",
    "i": "isize", "j": "usize", "l": "i32", "m": "u32", "n": "i128", "o": "u128", "p": "_",
    "s": "i16", "t": "u16", "u": "()", "v": "...", "x": "i64", "y": "u64", "z": "!",
}  # fmt: skip
_SPECIAL: Final = {"C": "closure", "S": "shim"}
_POINTERS: Final = {"P": "*const ", "O": "*mut "}
# Back references can make a short name very long, or follow themselves.
_DEEPEST: Final = 100
_LONGEST: Final = 8_192


class _NotMangledError(ValueError):
    """What is read is not of this form, or of a part of it that is not known here."""


def demangled(name: str) -> str | None:
    """Return the path of a function; None if it is not a mangled name that is known here."""
    body = name.removeprefix("_R").partition(".")[0]  # LLVM adds `.llvm.123`
    if not name.startswith("_R") or not body.isascii():
        return None
    try:
        return _Reader(body).path(is_value=True) or None
    except (_NotMangledError, IndexError, ValueError, OverflowError, RecursionError):
        return None


class _Reader:
    """Reads each rule of the grammar under its name there."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._lifetimes = 0

    def path(self, *, is_value: bool = False) -> str:
        """Return a path; in one of a value, generic arguments stand behind `::`."""
        return self._nested(lambda: self._path(self._next(), is_value=is_value))

    def _path(self, tag: str, *, is_value: bool) -> str:
        if tag == "C":
            return self._identifier()[0]
        if tag == "N":
            return self._inside(self._next(), is_value=is_value)
        if tag in "MX":
            self._disambiguator()
            self.path()  # where the impl stands
        if tag == "M":
            return f"<{self._type()}>"
        if tag in "XY":
            return f"<{self._type()} as {self.path()}>"
        if tag == "I":
            path = self.path(is_value=is_value)
            arguments = ", ".join(self._until_end(self._argument))
            return f"{path}{'::' if is_value else ''}<{arguments}>"
        if tag == "B":
            return self._back(lambda: self.path(is_value=is_value))
        raise _NotMangledError(tag)

    def _inside(self, namespace: str, *, is_value: bool) -> str:
        path = self.path(is_value=is_value)
        name, number = self._identifier()
        if namespace.isupper():
            kind = _SPECIAL.get(namespace, namespace)
            name = f"{{{kind}{f':{name}' if name else ''}#{number}}}"
        return f"{path}::{name}" if name else path

    def _type(self) -> str:
        return self._nested(lambda: self._type_of(self._next()))

    def _type_of(self, tag: str) -> str:
        if tag in _BASIC:
            return _BASIC[tag]
        if tag in _POINTERS:
            return f"{_POINTERS[tag]}{self._type()}"
        if tag in "RQ":
            return self._reference("mut " if tag == "Q" else "")
        rules: dict[str, Callable[[], str]] = {
            "A": self._array,
            "B": partial(self._back, self._type),
            "D": self._dynamic,
            "F": partial(self._bound, self._function),
            "S": lambda: f"[{self._type()}]",
            "T": self._tuple,
        }
        rule = rules.get(tag)
        return self._path(tag, is_value=False) if rule is None else rule()

    def _array(self) -> str:
        return f"[{self._type()}; {self._const()}]"

    def _tuple(self) -> str:
        types = list(self._until_end(self._type))
        return f"({types[0]},)" if len(types) == 1 else f"({', '.join(types)})"

    def _reference(self, mutable: str) -> str:
        lifetime = self._lifetime() if self._takes("L") else ""
        return f"&{f'{lifetime} ' if lifetime else ''}{mutable}{self._type()}"

    def _function(self) -> str:
        unsafe = "unsafe " if self._takes("U") else ""
        abi = ""
        if self._takes("K"):
            name = "C" if self._takes("C") else self._plain_identifier().replace("_", "-")
            abi = f'extern "{name}" '
        arguments = ", ".join(self._until_end(self._type))
        result = self._type()
        return f"{unsafe}{abi}fn({arguments}){'' if result == '()' else f' -> {result}'}"

    def _dynamic(self) -> str:
        bounds = self._bound(lambda: " + ".join(self._until_end(self._trait)))
        if not self._takes("L"):
            raise _NotMangledError(self._at)
        lifetime = self._lifetime()
        return f"dyn {bounds}{f' + {lifetime}' if lifetime else ''}"

    def _trait(self) -> str:
        path = self.path()
        bindings = []
        while self._takes("p"):
            bindings.append(f"{self._plain_identifier()} = {self._type()}")
        if not bindings:
            return path
        listed = ", ".join(bindings)
        return f"{path[:-1]}, {listed}>" if path.endswith(">") else f"{path}<{listed}>"

    def _argument(self) -> str:
        if self._takes("L"):
            return self._lifetime() or "'_"
        return self._const() if self._takes("K") else self._type()

    def _const(self) -> str:
        tag = self._next()
        if tag == "p":
            return "_"
        if tag == "B":
            return self._back(self._const)
        if tag not in _BASIC:
            raise _NotMangledError(tag)
        sign = "-" if self._takes("n") else ""
        end = self._text.index("_", self._at)
        value = int(self._text[self._at : end] or "0", 16)
        self._at = end + 1
        if tag == "b":
            return "true" if value else "false"
        return repr(chr(value)) if tag == "c" else f"{sign}{value}"

    def _lifetime(self) -> str:
        """Return the name of a lifetime; nothing for one that is erased."""
        index = self._base62()
        if index == 0:
            return ""
        depth = self._lifetimes - index
        if depth < 0:
            raise _NotMangledError(index)
        return f"'{string.ascii_lowercase[depth]}"

    def _bound(self, read: Callable[[], str]) -> str:
        """Return what is read under the lifetimes that may stand before it."""
        outer = self._lifetimes
        count = self._base62() + 1 if self._takes("G") else 0
        if outer + count > len(string.ascii_lowercase):
            raise _NotMangledError(count)
        self._lifetimes += count
        names = ", ".join(f"'{name}" for name in string.ascii_lowercase[outer : outer + count])
        inner = read()
        self._lifetimes = outer
        return f"for<{names}> {inner}" if names else inner

    def _identifier(self) -> tuple[str, int]:
        number = self._disambiguator()
        return self._plain_identifier(), number

    def _disambiguator(self) -> int:
        return self._base62() + 1 if self._takes("s") else 0

    def _plain_identifier(self) -> str:
        is_punycode = self._takes("u")
        begin = self._at
        while self._text[self._at].isdigit() and self._text[begin] != "0":
            self._at += 1
        if self._at == begin and not self._takes("0"):
            raise _NotMangledError(begin)
        length = int(self._text[begin : self._at])
        self._takes("_")
        name = self._text[self._at : self._at + length]
        self._at += length
        if len(name) != length:
            raise _NotMangledError(length)
        if not is_punycode:
            return name
        return name[::-1].replace("_", "-", 1)[::-1].encode().decode("punycode")

    def _back(self, read: Callable[[], str]) -> str:
        """Return what is read at an earlier place."""
        place = self._base62()
        begin = self._at
        if place >= begin:
            raise _NotMangledError(place)
        self._at = place
        found = read()
        self._at = begin
        return found

    def _until_end(self, read: Callable[[], str]) -> Iterator[str]:
        while not self._takes("E"):
            yield read()

    def _nested(self, read: Callable[[], str]) -> str:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _NotMangledError(self._depth)
        found = read()
        self._depth -= 1
        if len(found) > _LONGEST:
            raise _NotMangledError(len(found))
        return found

    def _base62(self) -> int:
        end = self._text.index("_", self._at)
        digits = self._text[self._at : end]
        self._at = end + 1
        value = 0
        for digit in digits:
            value = value * 62 + _DIGITS.index(digit)
        return value + 1 if digits else 0

    def _takes(self, tag: str) -> bool:
        if self._text[self._at : self._at + 1] != tag:
            return False
        self._at += 1
        return True

    def _next(self) -> str:
        tag = self._text[self._at]
        self._at += 1
        return tag
