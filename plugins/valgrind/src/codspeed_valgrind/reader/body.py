"""The body of a part: what each function cost by itself, with the chain of its callers.

With `--separate-callers` callgrind writes the whole chain into the name of the function
(`fn=(7) (1)'2'(5)`: function 1, second level of recursion, called by 5), so self costs add up to
exact stacks. Without it a name is only a function, and there are no stacks to be had: edges between
callers and callees, which the file also has, do not say who called whom for whom. No I/O here.
Source: Valgrind's manual, "Callgrind Format Specification".
"""

from __future__ import annotations

import contextlib
import gc
import re
from typing import TYPE_CHECKING, Final

import attrs

from codspeed_valgrind.reader.totals import CallgrindError, Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# `(ID)` or `(ID) NAME`; a name may itself begin with a bracket: `(below main)`.
_REFERENCE: Final = re.compile(rb"\((\d+)\)(?: (.*))?", re.DOTALL)
_UNKNOWN: Final = "???"
_FIRST_LETTER: Final = 58  # cost lines begin with a digit, +, - or *: all below ":"

# Function names, objects and files share no identifiers with each other.
_SPACES: Final = {
    b"fn": 0,
    b"cfn": 0,
    b"ob": 1,
    b"cob": 1,
    b"fl": 2,
    b"fi": 2,
    b"fe": 2,
    b"cfi": 2,
    b"cfl": 2,
}


@attrs.frozen
class Function:
    """One function; `key` tells it from others of the same name in the same part."""

    key: bytes
    name: str
    object: str
    file: str


@attrs.frozen
class Body:
    """What a part says of its functions.

    Attributes:
        costs: Chain from the outermost caller to the function -> self cost in Ir.
        functions: By key.
        calls: How often each was called, by key; only of those whose name is an address.
        has_chains: The file says who called: `costs` are stacks and not single functions.
    """

    costs: dict[tuple[bytes, ...], int]
    functions: dict[bytes, Function]
    calls: dict[bytes, int]
    has_chains: bool


def read(data: bytes, part: Part, *, where: str, event: str = "Ir") -> Body:
    """Read one part.

    Args:
        data: The whole file.
        where: Names it in messages.
        event: The counter that is read.

    Raises:
        CallgrindError: If a line can't be understood, or the part does not count `event`.
    """
    if event not in part.events:
        problem = f"{where} does not count {event}, only {' '.join(part.events)}"
        raise CallgrindError(problem)
    column = len(part.positions) + part.events.index(event)
    with _no_collection():
        return _Reader(data, part, column, where).body()


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Make no search for cycles: millions of lines are kept, and there are none (-30 % time)."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@attrs.define
class _Block:
    """The lines of one `fn=`; it may come back with other files."""

    object: bytes
    file: bytes
    lines: list[bytes] = attrs.field(factory=list)


class _Reader:
    """One pass over the lines of a part, then names and sums."""

    def __init__(self, data: bytes, part: Part, column: int, where: str) -> None:
        self._data = data
        self._part = part
        self._column = column
        self._where = where
        self._names: tuple[dict[bytes, bytes], ...] = ({}, {}, {})
        self._blocks: dict[bytes, _Block] = {}
        self._called: list[tuple[bytes, bytes]] = []
        self._earlier_names: tuple[dict[bytes, bytes], ...] | None = None

    def body(self) -> Body:
        self._pass()
        return self._resolved()

    def _pass(self) -> None:  # noqa: C901 - calls of functions would double its time
        """Sort the lines into blocks. The one loop whose speed matters."""
        names, called = self._names, self._called
        lines = iter(self._data[self._part.body : self._part.end].split(b"\n"))
        callee = current_object = current_file = b""
        add = _Block(b"", b"").lines.append
        for line in lines:
            if not line:
                continue
            if line[0] < _FIRST_LETTER:
                add(line)
                continue
            tag, _, value = line.partition(b"=")
            if tag == b"calls":
                called.append((callee, value))
                next(lines, None)  # the callee's cost, with all that it called: not our own
                continue
            space = _SPACES.get(tag)
            if space is None:
                continue
            if b") " in value and (defined := _REFERENCE.fullmatch(value)) and defined[2]:
                value = value[: defined.start(2) - 1]
                names[space][value] = defined[2]
            if tag == b"cfn":
                callee = value
            elif tag == b"fn":
                block = self._blocks.get(value)
                if block is None:
                    block = self._blocks[value] = _Block(current_object, current_file)
                add = block.lines.append
            elif tag == b"ob":
                current_object = value
            elif tag == b"fl":
                current_file = value

    # --- Names

    def _resolved(self) -> Body:
        costs: dict[tuple[bytes, ...], int] = {}
        functions: dict[bytes, Function] = {}
        chains = _chains({token: self._text(token) for token in self._blocks})
        for token, block in self._blocks.items():
            if not block.lines:
                continue
            chain = chains[token]
            costs[chain] = costs.get(chain, 0) + self._sum(block.lines)
            if chain[-1] not in functions:
                functions[chain[-1]] = self._function(chain[-1], block)
        for key in {key for chain in costs for key in chain} - functions.keys():
            functions[key] = self._function(key, _Block(b"", b""))
        # A single function has no callers to be shown either way.
        has_chains = len(functions) < 2 or any(len(chain) > 1 for chain in costs)
        return Body(costs, functions, self._calls(functions, chains), has_chains)

    def _function(self, key: bytes, block: _Block) -> Function:
        return Function(
            key,
            self._text(key).decode("utf-8", "replace"),
            _known(self._text(block.object, 1)),
            _known(self._text(block.file, 2)),
        )

    def _text(self, token: bytes, space: int = 0) -> bytes:
        """Return what a reference stands for; what is no reference stands for itself."""
        found = self._names[space].get(token)
        if found is not None:
            return found
        if _REFERENCE.fullmatch(token) is None:
            return token
        if self._earlier_names is None:
            self._earlier_names = _definitions(self._data[: self._part.body])
        found = self._earlier_names[space].get(token)
        if found is None:
            problem = f"{self._where} is damaged: {token.decode()} has no name"
            raise CallgrindError(problem)
        return found

    def _calls(
        self, functions: dict[bytes, Function], chains: dict[bytes, tuple[bytes, ...]]
    ) -> dict[bytes, int]:
        nameless = {key for key, function in functions.items() if is_address(function.name)}
        if not nameless:
            return {}
        unmeasured = {callee for callee, _ in self._called} - chains.keys()
        chains = chains | _chains({callee: self._text(callee) for callee in unmeasured})
        counts: dict[bytes, int] = {}
        for callee, value in self._called:
            key, count = chains[callee][-1], value.partition(b" ")[0]
            if key in nameless and count.isdigit():
                counts[key] = counts.get(key, 0) + int(count)
        return counts

    # --- Costs

    def _sum(self, lines: Sequence[bytes]) -> int:
        column = self._column
        try:
            return sum([int(line.split(None, column + 1)[column]) for line in lines])
        except (IndexError, ValueError):
            return sum(map(self._cost, lines))

    def _cost(self, line: bytes) -> int:
        """Return one line's cost: 0 where it is left out, and hexadecimal numbers are allowed."""
        words = line.split(None, self._column + 1)
        if line.startswith(b"#") or len(words) <= self._column:
            return 0
        try:
            return int(words[self._column], 0)
        except ValueError:
            text = line.decode(errors="replace")
            problem = f"{self._where} is damaged: {text!r} is no line of costs"
            raise CallgrindError(problem) from None


def is_address(name: str) -> bool:
    """Whether callgrind found no name: the function's address stands for it."""
    return name.startswith("0x")


def _known(name: bytes) -> str:
    text = name.decode("utf-8", "replace")
    return "" if text == _UNKNOWN else text


def _definitions(data: bytes) -> tuple[dict[bytes, bytes], ...]:
    """Return all names that earlier parts gave to references: they hold for the whole file."""
    names: tuple[dict[bytes, bytes], ...] = ({}, {}, {})
    for found in re.finditer(rb"^(c?(?:fn|ob|fl|fi|fe))=(\(\d+\)) (.+)$", data, re.MULTILINE):
        names[_SPACES.get(found[1], 2)][found[2]] = found[3]
    return names


# --- Chains ---------------------------------------------------------------------------------------


def _chains(texts: dict[bytes, bytes]) -> dict[bytes, tuple[bytes, ...]]:
    """Return, for each token of a function, its chain of keys from the outermost caller.

    Recursion is folded: callers are written without their level, so a level of the function itself
    could not be told from one below it.
    """
    plain = {text.partition(b"'")[0] for text in texts.values()}
    return {token: _chain(token, text, plain) for token, text in texts.items()}


def _chain(token: bytes, text: bytes, plain: set[bytes]) -> tuple[bytes, ...]:
    if text[:1] == b"(" and text[1:2].isdigit():
        keys = text.split(b"'")
        if keys[1:] and keys[1].isdigit():
            del keys[1]  # only the function itself has a level of recursion
    elif _REFERENCE.fullmatch(token) and b"'" not in text:
        return (token,)
    else:
        keys = _split(text, plain)
    keys.reverse()
    return tuple(keys)


def _split(text: bytes, plain: set[bytes]) -> list[bytes]:
    """Split a chain that is written in names (`--compress-mangled=no`).

    A quote may belong to a name (C++, Rust), so only what is the name of a function is a caller.
    """
    first, *rest = text.split(b"'")
    keys = [first]
    for piece in rest:
        if piece.isdigit():
            continue
        if piece in plain:
            keys.append(piece)
        else:
            keys[-1] += b"'" + piece
    return keys
