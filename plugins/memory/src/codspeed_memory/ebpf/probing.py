"""Put the programs on the functions of files: the form that this kernel takes, found by doing.

A session serves a file with one link, two programs with two, perf events with one for each function
and direction. All are descriptors; closing the last one removes the probes.
"""

from __future__ import annotations

import contextlib
import errno
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Self

from codspeed_memory.ebpf import handlers, layout, syscalls
from codspeed_memory.ebpf.functions import Role
from codspeed_memory.ebpf.handlers import Form, SessionCalls
from codspeed_memory.ebpf.syscalls import Attach, ProbesRefusedError, ProgramType
from codspeed_memory.raw import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from codspeed_memory.ebpf.functions import Allocator, Probe
    from codspeed_memory.ebpf.maps import Maps

_KINDS: Final = {
    Role.MALLOC: Kind.MALLOC,
    Role.CALLOC: Kind.CALLOC,
    Role.ZALLOC: Kind.CALLOC,
    Role.REALLOC: Kind.REALLOC,
    Role.ALIGNED: Kind.ALIGNED,
    Role.POSIX_MEMALIGN: Kind.ALIGNED,
    Role.FREE: Kind.FREE,
}
_FLAGS: Final = {Role.CALLOC: layout.PRODUCT, Role.POSIX_MEMALIGN: layout.BY_REFERENCE}
# Functions that in a whole allocator call no other one that is probed, if their own code does not:
# musl's calloc calls malloc.
_PREFIXES: Final = ("", "je_", "_rjem_", "mi_", "tc_")
_INNERMOST: Final = frozenset(
    prefix + name for prefix in _PREFIXES for name in ("malloc", "calloc", "free")
)
_WHOLE: Final = frozenset({Role.MALLOC, Role.CALLOC, Role.REALLOC, Role.FREE})
_OPERATOR_NEW: Final = ("_Zn", "mi_new")
# A link waits for the kernel until it is gone, so many are closed at once.
_CLOSERS: Final = 32


class Prober:
    """The programs of one form, and the links they have; closes all when its context ends."""

    def __init__(self, maps: Maps, form: Form, calls: SessionCalls | None) -> None:
        """Load the programs; raises OSError if this kernel does not take them."""
        self.form = form
        self._descriptors: list[int] = []
        self._programs: list[int] = []
        try:
            for name, code in _programs(maps, form, calls):
                attach = _ATTACH[form]
                fd = syscalls.load(ProgramType.KPROBE, code, name=name, attach=attach)
                self._programs.append(fd)
        except BaseException:
            self.close()
            raise

    def attach(self, path: str, allocator: Allocator, number: int, *, has_sites: bool) -> None:
        """Probe the functions of a file.

        Args:
            path: Leads to the file now.
            number: Of the file, in this run.
            has_sites: Calls that `layout.internal` lists are to be left out.

        Raises:
            OSError: If the kernel refuses it.
        """
        is_whole = {probe.role for probe in allocator.probes} >= _WHOLE
        probes = []
        for probe in allocator.probes:
            is_outer = self._is_outer(probe, is_whole=is_whole)
            cookie = cookie_of(probe, number, is_outer=is_outer, has_sites=has_sites)
            probes.append((probe.offset, cookie))
        returning = [each for each in probes if _returns(each[1])]
        self._hold(path, self._programs[0], probes, at_return=False)
        if self.form is not Form.SESSION and returning:
            self._hold(path, self._programs[1], returning, at_return=True)

    def _is_outer(self, probe: Probe, *, is_whole: bool) -> bool:
        if is_whole and probe.is_leaf and not _INNERMOST.isdisjoint(probe.names):
            return self.form is not Form.SESSION and probe.role is not Role.FREE
        return True

    def _hold(
        self, path: str, program: int, probes: Sequence[tuple[int, int]], *, at_return: bool
    ) -> None:
        offsets, cookies = zip(*probes, strict=True)
        if self.form is not Form.PERF:
            kind = _ATTACH[self.form]
            link = syscalls.on_functions(program, kind, path, offsets, cookies, at_return=at_return)
            self._descriptors.append(link)
            return
        for offset, cookie in probes:
            event = syscalls.uprobe_event(path, offset, at_return=at_return)
            self._descriptors.append(event)
            self._descriptors.append(syscalls.on_event(program, event, cookie))

    def try_out(self) -> None:
        """Probe a file that nobody executes, this one, and stop; raises OSError if refused."""
        begun = len(self._descriptors)
        allocation = (0, Kind.MALLOC | layout.OUTER)
        self._hold(__file__, self._programs[0], [allocation], at_return=False)
        if self.form is not Form.SESSION:
            self._hold(__file__, self._programs[1], [allocation], at_return=True)
        for fd in self._descriptors[begun:]:
            os.close(fd)
        del self._descriptors[begun:]

    def close(self) -> None:
        """Remove all probes; returns when the kernel has done so."""
        links, self._descriptors = self._descriptors, []
        programs, self._programs = self._programs, []
        if links:
            with ThreadPoolExecutor(min(_CLOSERS, len(links))) as pool:
                list(pool.map(os.close, links))
        for fd in programs:
            os.close(fd)

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove all probes."""
        self.close()


_ATTACH: Final = {Form.SESSION: Attach.SESSION, Form.MULTI: Attach.MULTI, Form.PERF: Attach.PERF}


def _programs(maps: Maps, form: Form, calls: SessionCalls | None) -> list[tuple[str, bytes]]:
    if form is Form.SESSION:
        if calls is None:
            raise OSError(errno.EOPNOTSUPP, "no kernel functions of sessions")
        return [("session", handlers.session(maps, calls))]
    return [("entry", handlers.entering(maps)), ("return", handlers.returning(maps))]


def cookie_of(probe: Probe, number: int, *, is_outer: bool, has_sites: bool) -> int:
    """Return what tells the programs about a probe; see `layout`."""
    registers = probe.registers
    if probe.role is Role.POSIX_MEMALIGN:
        registers = registers[::-1]  # the size comes first
    first, second = (*registers, 0)[:2]
    flags = _FLAGS.get(probe.role, 0)
    flags |= layout.OUTER if is_outer else 0
    flags |= layout.THROWS if any(name.startswith(_OPERATOR_NEW) for name in probe.names) else 0
    flags |= layout.HAS_SITES if has_sites and probe.role is Role.FREE else 0
    arguments = first << layout.FIRST_SHIFT | second << layout.SECOND_SHIFT
    return _KINDS[probe.role] | arguments | flags | number << layout.FILE_SHIFT


def _returns(cookie: int) -> bool:
    """Whether there is something to do at the return."""
    return cookie & 0xFF != Kind.FREE or bool(cookie & layout.OUTER)


def prober(maps: Maps, calls: SessionCalls | None, wanted: Form | None) -> Prober:
    """Return a prober of the first form that works here, or of the wanted one.

    Raises:
        ProbesRefusedError: If none does; says why.
    """
    reasons = []
    for form in (wanted,) if wanted else Form:
        try:
            made = Prober(maps, form, calls)
            with contextlib.ExitStack() as undo:
                undo.callback(made.close)
                made.try_out()
                undo.pop_all()
        except OSError as failure:
            said = "; ".join((failure.strerror or str(failure), *_notes(failure)))
            reasons.append(f"{form.value}: {said}")
        else:
            return made
    problem = f"the kernel takes no form of our probes ({'; '.join(reasons)})"
    raise ProbesRefusedError(problem, hint="use --memory-backend shim")


def _notes(failure: OSError) -> tuple[str, ...]:
    return tuple(getattr(failure, "__notes__", ()))
