"""The totals of every part of a callgrind file, without reading the parts' bodies.

A part is what one dump wrote: header, body, `totals:`. With `--combine-dumps=yes` one file holds
them all. Results need the totals only, and searching for that one word is many times as fast as
looking at every line. No I/O here. Source of the format: Valgrind's manual, "Callgrind Format
Specification"; traps: docs/callgrind.md of this plugin.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, ClassVar, Final

import attrs

from codspeed.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOTALS: Final = b"\ntotals:"
_REQUEST: Final = "Client Request: "
_METADATA: Final = "Metadata: "
_TERMINATION: Final = "Program termination"
# Everything of a part's header is above its first object, file or function line.
_HEADER_END: Final = re.compile(rb"^(?:ob|fl|fi|fe|fn)=|^totals:", re.MULTILINE)
_HEADER_LINE: Final = re.compile(rb"^(desc: )?([A-Za-z ]+):[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)


class CallgrindError(ResultsError):
    """A callgrind file can't be understood."""

    slug: ClassVar[str] = "callgrind"


class TruncatedError(CallgrindError):
    """A callgrind file ends in the middle of a part: its process was killed, or the disk is full.

    Attributes:
        parts: The parts that are whole.
    """

    slug: ClassVar[str] = "callgrind-truncated"

    def __init__(self, problem: str, parts: tuple[Part, ...], *, hint: str | None = None) -> None:
        super().__init__(problem, hint=hint)
        self.parts = parts


class PartKind(enum.Enum):
    """Why a part was written."""

    BENCHMARK = "benchmark"
    METADATA = "metadata"
    TERMINATION = "termination"
    OTHER = "other"


@attrs.frozen
class Part:
    """One part of a file.

    Attributes:
        pid: The process; 0 if the file does not say.
        number: As in `part:`; 0 if the file does not say.
        thread: As in `thread:`; 0 unless threads are separated.
        trigger: Why it was written, without "Client Request: ": the benchmark's URI.
        kind: What the trigger means.
        positions: Names of the positions each cost line begins with, such as ("line",).
        events: Names of the counters, in the file's order.
        counters: One number per event: trailing zeros, which the file leaves out, are filled in.
        descriptions: The other `desc:` lines of the part.
        start: First byte of the part in the file.
        body: First byte behind the header: where functions begin.
        end: Behind its `totals:` line.
    """

    pid: int
    number: int
    thread: int
    trigger: str
    kind: PartKind
    positions: tuple[str, ...]
    events: tuple[str, ...]
    counters: tuple[int, ...]
    descriptions: dict[str, str]
    start: int
    body: int
    end: int

    @property
    def costs(self) -> dict[str, int]:
        """Return the counters by event."""
        return dict(zip(self.events, self.counters, strict=True))


def scan(data: bytes, *, where: str) -> tuple[Part, ...]:
    """Return the parts of a file.

    Args:
        data: The whole file.
        where: Names it in messages.

    Raises:
        TruncatedError: If it ends inside of a part; it carries the parts before that.
        CallgrindError: If it is no callgrind file.
    """
    return tuple(_parts(data, where))


def _parts(data: bytes, where: str) -> Iterator[Part]:
    header: dict[str, str] = {}
    found: list[Part] = []
    start = 0
    while (at := data.find(_TOTALS, start)) >= 0 and (end := data.find(b"\n", at + 1)) >= 0:
        part, header = _part(data, (start, at + 1, end + 1), header, where)
        found.append(part)
        start = end + 1
    if not found or data[start:].strip():
        raise _unfinished(data, tuple(found), where)
    yield from found


def _part(
    data: bytes, place: tuple[int, int, int], earlier: dict[str, str], where: str
) -> tuple[Part, dict[str, str]]:
    """Read one part; return it and the header that later parts inherit."""
    start, totals, end = place
    matched = _HEADER_END.search(data, start, end)
    body = totals if matched is None else matched.start()
    own, descriptions = _header(data, start, body)
    header = {**earlier, **own}
    events = tuple(header.get("events", "").split())
    if not events:
        problem = f"{where} is no callgrind file: it names no events"
        raise CallgrindError(problem)
    kind, trigger = _kind(descriptions.pop("Trigger", ""))
    part = Part(
        pid=_number(header, "pid", where),
        number=_number(header, "part", where),
        thread=_number(own, "thread", where),
        trigger=trigger,
        kind=kind,
        positions=tuple(header.get("positions", "line").split()),
        events=events,
        counters=_counters(data[totals:end], len(events), where),
        descriptions=descriptions,
        start=start,
        body=body,
        end=end,
    )
    return part, header


def _header(data: bytes, start: int, end: int) -> tuple[dict[str, str], dict[str, str]]:
    keys: dict[str, str] = {}
    descriptions: dict[str, str] = {}
    for match in _HEADER_LINE.finditer(data[start:end].decode("utf-8", "replace").encode()):
        is_description, key, value = match.groups()
        target = keys if is_description is None else descriptions
        target[key.decode()] = value.decode()
    return keys, descriptions


def _kind(trigger: str) -> tuple[PartKind, str]:
    if trigger == _TERMINATION:
        return PartKind.TERMINATION, trigger
    if not trigger.startswith(_REQUEST):
        return PartKind.OTHER, trigger
    text = trigger.removeprefix(_REQUEST)
    return (PartKind.METADATA if text.startswith(_METADATA) else PartKind.BENCHMARK), text


def _number(header: dict[str, str], key: str, where: str) -> int:
    text = header.get(key, "0")
    try:
        return int(text)
    except ValueError:
        problem = f"{where} is damaged: `{key}:` is {text!r}, not a number"
        raise CallgrindError(problem) from None


def _counters(line: bytes, count: int, where: str) -> tuple[int, ...]:
    words = line.removeprefix(b"totals:").split()
    try:
        counters = tuple(map(int, words))
    except ValueError:
        counters = ()
    if not counters or len(counters) > count:
        text = line.decode(errors="replace").strip()
        problem = f"{where} is damaged: `{text}` does not fit its {count} events"
        raise CallgrindError(problem)
    return counters + (0,) * (count - len(counters))


def _unfinished(data: bytes, parts: tuple[Part, ...], where: str) -> CallgrindError:
    if data and not parts and b"events:" not in data and not data.startswith(b"# callgrind"):
        return CallgrindError(f"{where} is no callgrind file")
    problem = f"{where} ends in the middle of a part; {len(parts)} before it are whole"
    hint = "the measured process was killed or the disk is full; measure again"
    return TruncatedError(problem, parts, hint=hint)
