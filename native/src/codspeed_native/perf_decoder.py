"""Decode the records that the kernel writes into a ring of perf_event_open.

No I/O here. Nothing is copied: a sample's stack is a view of the buffer it came in. Source of the
layouts: perf_event_open(2) and the kernel's include/uapi/linux/perf_event.h; little endian.
"""

from __future__ import annotations

import operator
import struct
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn, Self

import attrs

from codspeed_native.perf_records import (
    Comm,
    Exit,
    Fork,
    Lost,
    Mmap,
    PerfDataError,
    Record,
    Sample,
    Switch,
)

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable, Iterable, Sequence

    Buffer = bytes | bytearray | memoryview | mmap.mmap

HEADER: Final = struct.Struct("<IHH")  # kind, misc, size of the whole record in bytes

MMAP: Final = 1
LOST: Final = 2
COMM: Final = 3
EXIT: Final = 4
FORK: Final = 7
SAMPLE: Final = 9
MMAP2: Final = 10
LOST_SAMPLES: Final = 13
SWITCH: Final = 14
SWITCH_CPU_WIDE: Final = 15

MISC_EXEC: Final = 1 << 13  # of COMM
MISC_MMAP_DATA: Final = 1 << 13  # of MMAP: not executable
MISC_BUILD_ID: Final = 1 << 14  # of MMAP2
MISC_SWITCH_OUT: Final = 1 << 13
MISC_PREEMPTED: Final = 1 << 14  # of SWITCH
_PROT_EXEC: Final = 4

IP: Final = 1 << 0
TID: Final = 1 << 1
TIME: Final = 1 << 2
ADDR: Final = 1 << 3
READ: Final = 1 << 4
CALLCHAIN: Final = 1 << 5
ID: Final = 1 << 6
CPU: Final = 1 << 7
PERIOD: Final = 1 << 8
STREAM_ID: Final = 1 << 9
RAW: Final = 1 << 10
BRANCH_STACK: Final = 1 << 11
REGS_USER: Final = 1 << 12
STACK_USER: Final = 1 << 13
IDENTIFIER: Final = 1 << 16

_SAMPLE_ID_ALL: Final = 1 << 18
_BRANCH_HW_INDEX: Final = 1 << 17
_BRANCH_ENTRY: Final = 24  # bytes
_READ_TOTAL_TIMES: Final = 1 | 2
_READ_ID: Final = 4
_READ_GROUP: Final = 8
_READ_LOST: Final = 16
_SMALLEST_ATTRIBUTE: Final = 64  # PERF_ATTR_SIZE_VER0

_U32X2: Final = struct.Struct("<II")
_U64: Final = struct.Struct("<Q")
_TASK: Final = struct.Struct("<IIII")
_MMAP_HEAD: Final = struct.Struct("<IIQQQ")
_MMAP2_TAIL: Final = struct.Struct("<24sII")
_NOTHING: Final = (0,)  # a field that samples do not have
_new_sample: Final = tuple.__new__

# Part of a sample up to its period: bit, format, what is kept of it, in the kernel's order.
_PREFIX: Final = (
    (IDENTIFIER, "Q", ("identifier",)),
    (IP, "Q", ("ip",)),
    (TID, "II", ("pid", "tid")),
    (TIME, "Q", ("time",)),
    (ADDR, "8x", ()),
    (ID, "Q", ("id",)),
    (STREAM_ID, "8x", ()),
    (CPU, "I4x", ("cpu",)),
    (PERIOD, "Q", ("period",)),
)
# What ends all other records if sample_id_all is set.
_TRAILER: Final = (
    (TID, "II", ("pid", "tid")),
    (TIME, "Q", ("time",)),
    (ID, "Q", ("id",)),
    (STREAM_ID, "8x", ()),
    (CPU, "8x", ()),
    (IDENTIFIER, "Q", ("identifier",)),
)


@attrs.frozen
class Attribute:
    """What of a `perf_event_attr` decides about the layout of records.

    Attributes:
        kind: PERF_TYPE_*; with `config` it says what is counted.
        registers_mask: sample_regs_user.
        clock: Clock of all times (clockid_t).
    """

    kind: int
    config: int
    sample_type: int
    read_format: int
    flags: int
    branch_type: int = 0
    registers_mask: int = 0
    clock: int = 0

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the bytes that were given to perf_event_open.

        Raises:
            PerfDataError: If they are too few.
        """
        if len(raw) < _SMALLEST_ATTRIBUTE:
            problem = f"a perf_event_attr of {len(raw)} bytes is too short"
            raise PerfDataError(problem)
        filled = raw.ljust(96, b"\0")  # what an old attribute does not have is 0
        kind, config, sample_type, read_format, flags = struct.unpack_from("<I4xQ8xQQQ", filled)
        branch_type, mask, clock = struct.unpack_from("<QQ4xi", filled, 72)
        return cls(kind, config, sample_type, read_format, flags, branch_type, mask, clock)

    @property
    def has_trailer(self) -> bool:
        """Whether records that are no samples say when and where they were written."""
        return bool(self.flags & _SAMPLE_ID_ALL)


class Event(NamedTuple):
    """An attribute with the ids that the kernel gave to its events."""

    attribute: Attribute
    ids: Sequence[int] = ()


class Decoder:
    """Turns bytes into records, for one set of events.

    Raises:
        PerfDataError: If there is no event, or the layouts of several can't be told apart.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        every = list(events)
        layouts = {event.attribute: _Layout(event.attribute) for event in every}
        if not layouts:
            problem = "the recording does not say how its records look (no perf_event_attr)"
            raise PerfDataError(problem)
        self._first = layouts[every[0].attribute]
        shapes = {_shape(attribute) for attribute in layouts}
        self._by_id: dict[int, _Layout] = {}
        if len(shapes) > 1:
            if not all(attribute.sample_type & IDENTIFIER for attribute in layouts):
                problem = "events of different layouts without PERF_SAMPLE_IDENTIFIER"
                raise PerfDataError(problem, hint="record one event only")
            self._by_id = {i: layouts[event.attribute] for event in every for i in event.ids}

    def decode(self, buffer: Buffer) -> list[Record]:
        """Return the records of a buffer of whole records, in its order, not in order of time.

        Raises:
            PerfDataError: If a record is damaged, or the last one is cut off.
        """
        view = memoryview(buffer)
        found = []
        at, end = 0, len(view)
        while at < end:
            kind, misc, size = header_at(view, at, end)
            record = self.record(view, at, kind, misc, at + size)
            if record is not None:
                found.append(record)
            at += size
        return found

    def sample(self, view: memoryview, at: int, end: int) -> Sample:
        """Decode the sample from byte `at` up to `end`. Raises as `record` does."""
        layout = self._layout(view, at + 8) if self._by_id else self._first
        return layout.sample(view, at, end)

    def record(self, view: memoryview, at: int, kind: int, misc: int, end: int) -> Record | None:
        """Decode the record from byte `at` up to `end`; None if it is of no interest.

        Raises:
            PerfDataError: If it is damaged.
        """
        if kind == SAMPLE:
            return self.sample(view, at, end)
        read = _READERS.get(kind)
        if read is None:
            return None
        layout = self._layout(view, end - 8) if self._by_id else self._first
        try:
            return read(view, at + HEADER.size, end, misc, layout)
        except struct.error:
            _fail(at, f"record of kind {kind} is too short")

    def _layout(self, view: memoryview, at: int) -> _Layout:
        try:
            (event_id,) = _U64.unpack_from(view, at)
            return self._by_id.get(event_id, self._first)
        except struct.error:
            _fail(at, "record is too short")


def header_at(view: memoryview, at: int, end: int) -> tuple[int, int, int]:
    """Return kind, misc and size of a record that lies before `end`.

    Raises:
        PerfDataError: If it does not, or its size is impossible.
    """
    if at + HEADER.size > end:
        _fail(at, "record is cut off")
    kind, misc, size = HEADER.unpack_from(view, at)
    if size < HEADER.size or at + size > end:
        _fail(at, f"record of kind {kind} is {size} bytes long, {end - at} are there")
    return kind, misc, size


def _fail(at: int, why: str) -> NoReturn:
    problem = f"recorded events are damaged at byte {at}: {why}"
    raise PerfDataError(problem, hint="record again")


# --- Samples --------------------------------------------------------------------------------------


def _shape(attribute: Attribute) -> tuple[int, ...]:
    return (
        attribute.sample_type,
        attribute.read_format,
        attribute.branch_type & _BRANCH_HW_INDEX,
        attribute.registers_mask,
        attribute.has_trailer,
    )


class _Fields:
    """Fixed fields of which some are there; the others read as 0."""

    def __init__(
        self,
        fields: Iterable[tuple[int, str, tuple[str, ...]]],
        selected: int,
        wanted: tuple[str, ...],
    ) -> None:
        there = [field for field in fields if selected & field[0]]
        self.struct = struct.Struct("<" + "".join(form for _, form, _ in there))
        names = [name for _, _, kept in there for name in kept]
        self.pick: Callable[[tuple[int, ...]], tuple[int, ...]] = operator.itemgetter(
            *(names.index(name) if name in names else len(names) for name in wanted)
        )


class _Layout:
    """Decodes the records of events with one attribute."""

    def __init__(self, attribute: Attribute) -> None:
        selected = attribute.sample_type
        event_id = "identifier" if selected & IDENTIFIER else "id"
        wanted = ("time", "pid", "tid", "cpu", event_id, "ip", "period")
        self._attribute = attribute
        self._prefix = _Fields(_PREFIX, selected, wanted)
        trailer = selected if attribute.has_trailer else 0
        self._trailer = _Fields(_TRAILER, trailer, ("time", "pid", "tid"))
        self._read_branches = bool(selected & (READ | RAW | BRANCH_STACK))
        self._has_chain = bool(selected & CALLCHAIN)
        self._has_registers = bool(selected & REGS_USER)
        self._has_stack = bool(selected & STACK_USER)
        self._registers = struct.Struct(f"<{attribute.registers_mask.bit_count()}Q")
        self._chains: dict[int, struct.Struct] = {}
        # What profilers record: then all up to the stack is read at once.
        self._is_usual = self._has_registers and self._has_stack and not self._read_branches
        self._fields = len(self._prefix.struct.unpack(bytes(self._prefix.struct.size)))
        self._usual: dict[int, struct.Struct] = {}

    def sample(self, view: memoryview, at: int, end: int) -> Sample:
        """Decode a sample."""
        if not self._is_usual:
            return self._any_sample(view, at, end)
        fields = self._fields
        count = 0
        try:
            if self._has_chain:
                (count,) = _U64.unpack_from(view, at + 8 + self._prefix.struct.size)
                fields += 1
            reader = self._usual.get(count) or self._usual_reader(count, end - at)
            values = reader.unpack_from(view, at + 8)
            size = values[-1]
            here = at + 8 + reader.size
            (used,) = _U64.unpack_from(view, here + size)
        except (struct.error, OverflowError):
            return self._any_sample(view, at, end)
        abi = values[fields + count]
        if not abi or not size or here + size + 8 > end:
            return self._any_sample(view, at, end)
        head = self._prefix.pick(values[: self._fields] + _NOTHING)
        chain, registers = values[fields : fields + count], values[fields + count + 1 : -1]
        stack = view[here : here + (min(size, used))]
        # What Sample() does, without a call in Python.
        return _new_sample(Sample, (*head, chain, abi, registers, stack))

    def _usual_reader(self, count: int, room: int) -> struct.Struct:
        if 8 * count > room:
            raise struct.error  # _any_sample says what is wrong
        chain = f"Q{count}Q" if self._has_chain else ""
        registers = self._attribute.registers_mask.bit_count()
        form = f"{self._prefix.struct.format}{chain}Q{registers}QQ"
        reader = self._usual[count] = struct.Struct(form)
        return reader

    def _any_sample(self, view: memoryview, at: int, end: int) -> Sample:  # noqa: C901 - one branch per field
        """Decode a sample that may have or lack anything, or be damaged."""
        prefix = self._prefix
        here = at + 8
        chain: tuple[int, ...] = ()
        registers: tuple[int, ...] = ()
        abi = 0
        stack = view[end:end]
        try:
            values = prefix.struct.unpack_from(view, here)
            here += prefix.struct.size
            if self._read_branches:
                here = self._skip_read(view, here)
            if self._has_chain:
                (count,) = _U64.unpack_from(view, here)
                reader = self._chains.get(count)
                if reader is None:
                    if here + 8 + 8 * count > end:
                        _fail(at, f"a chain of {count} addresses is longer than its sample")
                    reader = self._chains[count] = struct.Struct(f"<{count}Q")
                chain = reader.unpack_from(view, here + 8)
                here += 8 + reader.size
            if self._read_branches:
                here = self._skip_raw(view, here)
            if self._has_registers:
                (abi,) = _U64.unpack_from(view, here)
                here += 8
                if abi:
                    registers = self._registers.unpack_from(view, here)
                    here += self._registers.size
            if self._has_stack:
                (size,) = _U64.unpack_from(view, here)
                here += 8
                if size:
                    (used,) = _U64.unpack_from(view, here + size)
                    stack = view[here : here + min(size, used)]
                    here += size + 8
        except (struct.error, OverflowError):
            _fail(at, "a sample is too short")
        if here > end:
            _fail(at, "a sample is longer than its record")
        time, pid, tid, cpu, event, ip, period = prefix.pick((*values, 0))
        return Sample(time, pid, tid, cpu, event, ip, period, chain, abi, registers, stack)

    def trailer(self, view: memoryview, end: int) -> tuple[int, int, int, int]:
        """Return time, pid and tid of another record, and where its own content ends."""
        size = self._trailer.struct.size
        values = self._trailer.struct.unpack_from(view, end - size)
        time, pid, tid = self._trailer.pick((*values, 0))
        return time, pid, tid, end - size

    def _skip_read(self, view: memoryview, here: int) -> int:
        attribute = self._attribute
        if not attribute.sample_type & READ:
            return here
        form = attribute.read_format
        counter = 8 * (1 + bool(form & _READ_ID) + bool(form & _READ_LOST))
        times = 8 * (form & _READ_TOTAL_TIMES).bit_count()
        if not form & _READ_GROUP:
            return here + counter + times
        (count,) = _U64.unpack_from(view, here)
        return here + 8 + times + int(count) * counter

    def _skip_raw(self, view: memoryview, here: int) -> int:
        attribute = self._attribute
        if attribute.sample_type & RAW:
            here += 4 + int(struct.unpack_from("<I", view, here)[0])
        if attribute.sample_type & BRANCH_STACK:
            (count,) = _U64.unpack_from(view, here)
            index = 8 if attribute.branch_type & _BRANCH_HW_INDEX else 0
            here += 8 + index + int(count) * _BRANCH_ENTRY
        return here


# --- Other records --------------------------------------------------------------------------------


def _text(view: memoryview, start: int, end: int) -> str:
    data = bytes(view[start:end])
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _read_mmap(view: memoryview, at: int, end: int, misc: int, layout: _Layout) -> Mmap:
    pid, tid, start, size, offset = _MMAP_HEAD.unpack_from(view, at)
    time, _, _, content_end = layout.trailer(view, end)
    path = _text(view, at + _MMAP_HEAD.size, content_end)
    is_executable = not misc & MISC_MMAP_DATA
    return Mmap(time, pid, tid, start, size, offset, "", is_executable, path)


def _read_mmap2(view: memoryview, at: int, end: int, misc: int, layout: _Layout) -> Mmap:
    pid, tid, start, size, offset = _MMAP_HEAD.unpack_from(view, at)
    identity, protection, _ = _MMAP2_TAIL.unpack_from(view, at + _MMAP_HEAD.size)
    time, _, _, content_end = layout.trailer(view, end)
    path = _text(view, at + _MMAP_HEAD.size + _MMAP2_TAIL.size, content_end)
    build_id = identity[4 : 4 + min(identity[0], 20)].hex() if misc & MISC_BUILD_ID else ""
    is_executable = bool(protection & _PROT_EXEC)
    return Mmap(time, pid, tid, start, size, offset, build_id, is_executable, path)


def _read_comm(view: memoryview, at: int, end: int, misc: int, layout: _Layout) -> Comm:
    pid, tid = _U32X2.unpack_from(view, at)
    time, _, _, content_end = layout.trailer(view, end)
    name = _text(view, at + _U32X2.size, content_end)
    return Comm(time, pid, tid, name, bool(misc & MISC_EXEC))


def _read_fork(view: memoryview, at: int, _end: int, _misc: int, _layout: _Layout) -> Fork:
    pid, parent_pid, tid, parent_tid = _TASK.unpack_from(view, at)
    (time,) = _U64.unpack_from(view, at + _TASK.size)
    return Fork(time, pid, tid, parent_pid, parent_tid)


def _read_exit(view: memoryview, at: int, end: int, misc: int, layout: _Layout) -> Exit:
    return Exit(*_read_fork(view, at, end, misc, layout))


def _read_lost(view: memoryview, at: int, end: int, _misc: int, layout: _Layout) -> Lost:
    (count,) = _U64.unpack_from(view, at + 8)
    time, pid, tid, _ = layout.trailer(view, end)
    return Lost(time, pid, tid, count)


def _read_lost_samples(view: memoryview, at: int, end: int, _misc: int, layout: _Layout) -> Lost:
    (count,) = _U64.unpack_from(view, at)
    time, pid, tid, _ = layout.trailer(view, end)
    return Lost(time, pid, tid, count)


def _read_switch(view: memoryview, _at: int, end: int, misc: int, layout: _Layout) -> Switch:
    time, pid, tid, _ = layout.trailer(view, end)
    return Switch(time, pid, tid, bool(misc & MISC_SWITCH_OUT), bool(misc & MISC_PREEMPTED))


_READERS: Final[dict[int, Callable[[memoryview, int, int, int, _Layout], Record]]] = {
    MMAP: _read_mmap,
    LOST: _read_lost,
    COMM: _read_comm,
    EXIT: _read_exit,
    FORK: _read_fork,
    MMAP2: _read_mmap2,
    LOST_SAMPLES: _read_lost_samples,
    SWITCH: _read_switch,
    SWITCH_CPU_WIDE: _read_switch,
}
