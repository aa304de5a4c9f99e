"""Our C sources as programs and libraries, and the helper library's functions for Python."""

from __future__ import annotations

import ctypes
import functools
import platform
from importlib import resources
from typing import TYPE_CHECKING, Final

from codspeed.errors import ToolError
from codspeed_native.build import compiled

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

# The shim links no libc: it takes what the program has, and loads where a name is missing.
# initfirst: its constructor runs before all others, so their allocations count.
_SHIM_FLAGS: Final = (
    "-nostdlib",
    "-fvisibility=hidden",
    "-fno-builtin",
    "-Wl,-z,initfirst",
    "-fasynchronous-unwind-tables",  # stacks are followed through it
)
# Else atomics are calls into the compiler's library, which is not linked either.
_AARCH64_FLAGS: Final = ("-mno-outline-atomics",)
BUCKETS: Final = 512
SIZES: Final = 65


class Event(ctypes.Structure):
    """`struct event` of event.h."""

    _fields_ = (
        ("ns", ctypes.c_uint64),
        ("address", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("aux", ctypes.c_uint64),
        ("pid", ctypes.c_uint32),
        ("tid", ctypes.c_uint32),
        ("kind", ctypes.c_uint32),
        ("window", ctypes.c_uint32),
    )


class ClockPair(ctypes.Structure):
    """`struct clock_pair` of event.h."""

    _fields_ = (("ticks", ctypes.c_uint64), ("ns", ctypes.c_uint64))


class ProcessUsage(ctypes.Structure):
    """`struct process_usage` of live.h."""

    _fields_ = tuple(
        (name, ctypes.c_uint64) for name in ("pid", "allocations", "frees", "total", "peak", "live")
    )


class Usage(ctypes.Structure):
    """`struct usage` of live.h."""

    _fields_ = (
        *(
            (name, ctypes.c_uint64)
            for name in (
                "events",
                "allocations",
                "frees",
                "total",
                "peak",
                "live_at_end",
                "leaked",
                "leaked_blocks",
                "unknown_frees",
                "processes",
                "width_ns",
            )
        ),
        ("histogram", ctypes.c_uint64 * SIZES),
        ("timeline", ctypes.c_uint64 * BUCKETS),
    )


class Sampled(ctypes.Structure):
    """`struct sampled` of live.h."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in ("order", "born", "died", "freed"))


def _sources() -> Traversable:
    return resources.files("codspeed_memory") / "native"


def _headers() -> list[Traversable]:
    return [file for file in _sources().iterdir() if file.name.endswith(".h")]


def shim(*, families: bool) -> Path:
    """Return the library to preload; with `families` it knows C++ operators and more allocators.

    Raises:
        ToolError: If it can't be compiled; so do all functions here.
    """
    return compiled(
        _sources() / "shim.c",
        name="memory-families" if families else "memory-shim",
        shared=True,
        flags=shim_flags(platform.machine(), families=families),
        headers=_headers(),
    )


def shim_flags(machine: str, *, families: bool = False) -> tuple[str, ...]:
    """Return what the shim is compiled with."""
    return (
        *_SHIM_FLAGS,
        *(_AARCH64_FLAGS if machine == "aarch64" else ()),
        *(("-DSHIM_FAMILIES",) if families else ()),
    )


def drainer() -> Path:
    """Return the program that empties the ring."""
    return compiled(_sources() / "drain.c", name="memory-drain", shared=False, headers=_headers())


@functools.cache
def helper() -> ctypes.CDLL:
    """Return the library that reads clocks, merges, encodes and analyses."""
    path = compiled(_sources() / "helper.c", name="memory-helper", shared=True, headers=_headers())
    library = ctypes.CDLL(str(path))
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    for name, result, arguments in (
        ("clock_read", None, [ctypes.POINTER(ClockPair)]),
        ("ring_bell", None, [pointer]),
        ("merge_new", pointer, [pointer, size, pointer, size]),
        ("merge_next", size, [pointer, pointer, size]),
        ("merge_free", None, [pointer]),
        (
            "probe_blocks",
            size,
            [pointer, size, ctypes.POINTER(ctypes.c_uint64), pointer, size, pointer],
        ),
        ("encode", size, [pointer, size, size, pointer, *[ctypes.POINTER(size)] * 2]),
        ("live_new", pointer, [ctypes.c_uint64]),
        ("live_feed", ctypes.c_int, [pointer, pointer, size]),
        ("live_process", ctypes.POINTER(ProcessUsage), [pointer, size]),
        (
            "live_sampled",
            ctypes.POINTER(Sampled),
            [pointer, ctypes.POINTER(size), ctypes.POINTER(ctypes.c_uint64)],
        ),
        ("live_finish", None, [pointer, ctypes.POINTER(Usage)]),
        ("live_free", None, [pointer]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def helper_if_any() -> ctypes.CDLL | None:
    """Return the helper, or None where nothing can be compiled: its plain twins do the work."""
    try:
        return helper()
    except ToolError:
        return None


def read_clocks() -> tuple[int, int]:
    """Return the counter and CLOCK_MONOTONIC in nanoseconds, at one instant."""
    pair = ClockPair()
    helper().clock_read(ctypes.byref(pair))
    return pair.ticks, pair.ns
