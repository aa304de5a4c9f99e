"""bpf(2) and perf_event_open(2) by ctypes: maps, programs and what attaches them.

Everything that is made here is a descriptor and nothing else: no pinned object, no probe by name,
so it is gone with the last process that has it. Layouts: linux/bpf.h, linux/perf_event.h.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from codspeed.errors import CodspeedError

if TYPE_CHECKING:
    from collections.abc import Sequence

_BPF: Final = {"x86_64": 321, "aarch64": 280}
_PERF_EVENT_OPEN: Final = {"x86_64": 298, "aarch64": 241}

_MAP_CREATE, _LOOKUP, _UPDATE, _PROG_LOAD, _RAW_TRACEPOINT_OPEN, _LINK_CREATE = 0, 1, 2, 5, 17, 28
_PERF_EVENT: Final = 41  # attach type of a program on a perf event
_NO_PREALLOC: Final = 1
_MMAPABLE: Final = 1 << 10
_RETURN_PROBES: Final = 1  # BPF_F_UPROBE_MULTI_RETURN
_LOG_BYTES: Final = 1 << 20
_SHOWN_LOG_LINES: Final = 12
# The kernel asks for a licence that goes with its own before it gives out the helpers we call.
_LICENCE: Final = b"Dual MIT/GPL\0"
_NAME_BYTES: Final = 15
_ATTRIBUTE_BYTES: Final = 136  # of perf_event_attr, version 8
_UPROBE_TYPE: Final = Path("/sys/bus/event_source/devices/uprobe/type")
_CLOSE_ON_EXEC: Final = 8

_libc: Final = ctypes.CDLL(None, use_errno=True)


class MapType(enum.IntEnum):
    """`enum bpf_map_type`."""

    HASH = 1
    ARRAY = 2
    RING = 27


class ProgramType(enum.IntEnum):
    """`enum bpf_prog_type`."""

    KPROBE = 2  # uprobes too
    RAW_TRACEPOINT = 17


class Attach(enum.IntEnum):
    """`enum bpf_attach_type`, as far as it makes a difference for uprobes."""

    PERF = 0
    MULTI = 48
    SESSION = 57


class ProbesRefusedError(CodspeedError):
    """The kernel does not let this process place uprobes, or load programs for them."""

    slug: ClassVar[str] = "probes-refused"


def _call(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(number, *arguments)
    if result < 0:
        failure = ctypes.get_errno()
        raise OSError(failure, os.strerror(failure))
    return result


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, max(len(attributes), 1))
    number = _BPF[os.uname().machine]
    return _call(number, command, ctypes.byref(buffer), ctypes.c_uint(len(attributes)))


def _address(buffer: ctypes.Array[ctypes.c_char]) -> int:
    return ctypes.addressof(buffer)


# --- Maps -----------------------------------------------------------------------------------------


def make_map(kind: MapType, *, key: int, value: int, entries: int, name: str) -> int:
    """Return a descriptor of a new map; arrays can be mapped, hashes grow as they are filled.

    Args:
        key: Bytes.
        value: Bytes.
        entries: Bytes of a ring; else how many there can be.

    Raises:
        OSError: If there is no memory or no right.
    """
    flags = {MapType.HASH: _NO_PREALLOC, MapType.ARRAY: _MMAPABLE, MapType.RING: 0}[kind]
    label = name.encode()[:_NAME_BYTES]
    return _bpf(_MAP_CREATE, struct.pack("<7I16s", kind, key, value, entries, flags, 0, 0, label))


def put(fd: int, key: bytes, value: bytes) -> None:
    """Store a value in a map."""
    keys, values = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value)
    _bpf(_UPDATE, struct.pack("<IxxxxQQQ", fd, _address(keys), _address(values), 0))


def get(fd: int, key: bytes, size: int) -> bytes | None:
    """Return a value of `size` bytes; None if there is none of that key."""
    keys, values = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(size)
    try:
        _bpf(_LOOKUP, struct.pack("<IxxxxQQQ", fd, _address(keys), _address(values), 0))
    except FileNotFoundError:
        return None
    return values.raw


# --- Programs -------------------------------------------------------------------------------------


def load(kind: ProgramType, code: bytes, *, name: str, attach: int = 0) -> int:
    """Return a descriptor of a program.

    Args:
        code: Instructions.
        attach: What it will be attached as, where that matters.

    Raises:
        OSError: If it is refused; the verifier's last words are in its notes.
    """
    try:
        return _load(kind, code, name, attach, log=None)
    except OSError as failure:
        if failure.errno in {errno.EPERM, errno.ENOSYS}:
            raise
    log = ctypes.create_string_buffer(_LOG_BYTES)
    try:
        return _load(kind, code, name, attach, log=log)
    except OSError as failure:
        lines = log.value.decode(errors="replace").strip().splitlines()
        failure.add_note("\n".join(lines[-_SHOWN_LOG_LINES:]))
        raise


def _load(
    kind: ProgramType,
    code: bytes,
    name: str,
    attach: int,
    *,
    log: ctypes.Array[ctypes.c_char] | None,
) -> int:
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(_LICENCE)
    log_level, log_size, log_address = (1, _LOG_BYTES, _address(log)) if log else (0, 0, 0)
    attributes = struct.pack(
        "<IIQQIIQII16sII", kind, len(code) // 8, _address(instructions), _address(licence),
        log_level, log_size, log_address, 0, 0, name.encode()[:_NAME_BYTES], 0, attach,
    )  # fmt: skip
    return _bpf(_PROG_LOAD, attributes)


# --- What attaches them ---------------------------------------------------------------------------


def on_tracepoint(program: int, name: str) -> int:
    """Attach to a tracepoint of the kernel by its bare name."""
    text = ctypes.create_string_buffer(name.encode())
    return _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("<QII", _address(text), program, 0))


def on_functions(
    program: int,
    attach: Attach,
    path: str,
    offsets: Sequence[int],
    cookies: Sequence[int],
    *,
    at_return: bool = False,
) -> int:
    """Attach to many offsets of one file, in all processes, by one link.

    Args:
        path: Followed at once; the file may be renamed later.
        cookies: One for each offset.
        at_return: On the returns of the functions instead.
    """
    where, numbers = _numbers(offsets), _numbers(cookies)
    name = ctypes.create_string_buffer(os.fsencode(path))
    flags = _RETURN_PROBES if at_return else 0
    attributes = struct.pack(
        "<IIIIQQQQIII4x", program, 0, attach, 0, _address(name), ctypes.addressof(where), 0,
        ctypes.addressof(numbers), len(offsets), flags, 0,
    )  # fmt: skip
    return _bpf(_LINK_CREATE, attributes)


def _numbers(values: Sequence[int]) -> ctypes.Array[ctypes.c_uint64]:
    return (ctypes.c_uint64 * len(values))(*values)


def on_event(program: int, event: int, cookie: int) -> int:
    """Attach to a perf event."""
    return _bpf(_LINK_CREATE, struct.pack("<IIIIQ", program, event, _PERF_EVENT, 0, cookie))


def uprobe_event(path: str, offset: int, *, at_return: bool) -> int:
    """Return a perf event of one offset of a file, in all processes.

    Raises:
        OSError: If there is no right, or no such kind of event.
    """
    kind = int(_UPROBE_TYPE.read_text("ascii"))
    name = ctypes.create_string_buffer(os.fsencode(path))
    attributes = bytearray(_ATTRIBUTE_BYTES)
    struct.pack_into("<IIQ", attributes, 0, kind, len(attributes), int(at_return))
    struct.pack_into("<QQ", attributes, 56, _address(name), offset)  # config1, config2
    buffer = ctypes.create_string_buffer(bytes(attributes), len(attributes))
    # Any one CPU: the program runs on all of them (kernel/trace/trace_uprobe.c).
    number = _PERF_EVENT_OPEN[os.uname().machine]
    flags = ctypes.c_ulong(_CLOSE_ON_EXEC)
    return _call(number, ctypes.byref(buffer), -1, 0, -1, flags)
