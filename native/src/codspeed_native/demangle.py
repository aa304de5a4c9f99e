"""Functions of C++ and Rust as their sources name them.

Rust's legacy form (rustc_symbol_mangling, `legacy.rs`) is decoded here, its newer one by `rust_v0`,
C++'s by libstdc++, which is where such programs run. What can't be decoded stays as it is.
"""

from __future__ import annotations

import ctypes
import re
from functools import cache
from typing import TYPE_CHECKING, Final

from codspeed_native import rust_v0

if TYPE_CHECKING:
    from collections.abc import Callable

# Path elements with their lengths, then a hash; the linker or LLVM may add to it.
_RUST: Final = re.compile(r"_ZN(?P<path>(?:\d+\D.*)?)17h[0-9a-f]{16}E(?:\..*)?", re.ASCII)
_LENGTH: Final = re.compile(r"\d+", re.ASCII)
_ESCAPE: Final = re.compile(r"\$(?:(?P<word>[A-Z]+)|u(?P<code>[0-9a-f]{1,6}))\$", re.ASCII)
_WORDS: Final = {
    "SP": "@",
    "BP": "*",
    "RF": "&",
    "LT": "<",
    "GT": ">",
    "LP": "(",
    "RP": ")",
    "C": ",",
}
# Decoders recur: longer names could exhaust libstdc++'s stack.
_LONGEST: Final = 4_096


def demangled(name: str) -> str:
    """Return a name of an object file as the source has it; as it is if it is not mangled."""
    if not name.startswith(("_Z", "_R")) or len(name) > _LONGEST:
        return name
    if name.startswith("_R"):
        return rust_v0.demangled(name) or name
    found = _RUST.fullmatch(name)
    path = None if found is None else _rust_path(found["path"])
    return path or _decoder()(name) or name


def _rust_path(mangled: str) -> str | None:
    """Return a path of Rust; None if the lengths in it do not fit."""
    parts = []
    while mangled:
        length = _LENGTH.match(mangled)
        if length is None or len(mangled) < length.end() + int(length[0]):
            return None
        end = length.end() + int(length[0])
        parts.append(_plain(mangled[length.end() : end]))
        mangled = mangled[end:]
    return "::".join(parts)


def _plain(part: str) -> str:
    """Undo the escapes: `..` separates, and an escape in front has a `_` before it."""
    return _ESCAPE.sub(_escaped, part.removeprefix("_") if part.startswith("_$") else part).replace(
        "..", "::"
    )


def _escaped(found: re.Match[str]) -> str:
    if found["word"]:
        return _WORDS.get(found["word"], found[0])
    code = int(found["code"], 16)
    return chr(code) if code <= 0x10FFFF and chr(code).isprintable() else found[0]


@cache
def _decoder() -> Callable[[str], str | None]:
    """Return libstdc++'s `__cxa_demangle` (Itanium C++ ABI, 3.4), or what knows no name."""
    try:
        decode = ctypes.CDLL("libstdc++.so.6")["__cxa_demangle"]
        free = ctypes.CDLL(None).free
    except (OSError, AttributeError):
        return lambda _name: None
    decode.restype = ctypes.c_void_p
    decode.argtypes = (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    free.restype, free.argtypes = None, (ctypes.c_void_p,)

    def decoded(name: str) -> str | None:
        text = decode(name.encode("utf-8", "surrogateescape"), None, None, None)
        if not text:
            return None
        try:
            return ctypes.string_at(text).decode("utf-8", "replace")
        finally:
            free(text)

    return decoded
