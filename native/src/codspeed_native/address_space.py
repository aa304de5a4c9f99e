"""What was mapped where, in each process, while a recording went on.

A `Space` keeps what it once knew: an exec, or memory that is used again for another file, begins a
new one. So an address of an earlier sample can still be named at the end.
"""

from __future__ import annotations

import bisect
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from codspeed_native.image import Images
from codspeed_native.known_path import Paths
from codspeed_native.perf_records import Comm, Fork, Mmap

if TYPE_CHECKING:
    from codspeed_native.image import Image
    from codspeed_native.perf_records import Record


class Mapping(NamedTuple):
    """Executable memory from `start` up to `end`: of the file `path`, from byte `offset` of it."""

    start: int
    end: int
    offset: int
    path: str
    build_id: str = ""

    def continues(self, other: Mapping) -> bool:
        """Return whether both are the same file, placed alike."""
        is_same = self.path == other.path and self.build_id == other.build_id
        if self.path.startswith(("/", "[vdso]")) and not self.path.startswith("//"):
            return is_same and self.start - self.offset == other.start - other.offset
        return is_same


class _Place(NamedTuple):
    """The part of a mapping that is in one segment of a file."""

    start: int
    end: int
    bias: int
    image: Image


class Space:
    """The executable mappings of one program in one process.

    Attributes:
        images: The files, shared by all spaces of a recording.
        is_python: Whether CPython runs in it.
        rules: For the unwinder: what it found out, by address.
        paths: Likewise: where it came from which state.
        frames: For the symbolizer, likewise.
    """

    def __init__(self, pid: int, images: Images, name: str = "") -> None:
        self.pid = pid
        self.name = name
        self.images = images
        self.is_python = False
        self.rules: dict[int, Any] = {}
        self.paths = Paths()
        self.frames: dict[int, Any] = {}
        self._starts: list[int] = []
        self._mappings: list[Mapping] = []
        self._places: dict[int, _Place] = {}  # by where the mapping begins

    @property
    def mappings(self) -> tuple[Mapping, ...]:
        """All that is mapped, by address; disjoint."""
        return tuple(self._mappings)

    def find(self, address: int) -> Mapping | None:
        """Return what is mapped at an address."""
        index = bisect.bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        mapping = self._mappings[index]
        return mapping if address < mapping.end else None

    def locate(self, address: int) -> tuple[Image, int] | None:
        """Return the file at an address, and which address, as linked, this is in it."""
        mapping = self.find(address)
        if mapping is None:
            return None
        place = self._places.get(mapping.start)
        if place is None or not place.start <= address < place.end:
            place = self._place(mapping, address)
            if place is None:
                return None
            self._places[mapping.start] = place
        return place.image, address - place.bias

    def _place(self, mapping: Mapping, address: int) -> _Place | None:
        image = self.images.of(mapping.path, mapping.build_id)
        if image is None:
            return None
        found = image.elf.segment_of(address - mapping.start + mapping.offset)
        if found is None:
            return None
        start = mapping.start - mapping.offset + found.offset
        end = start + found.file_size
        return _Place(
            max(start, mapping.start), min(end, mapping.end), start - found.address, image
        )

    def copy(self, pid: int) -> Space:
        """Return a space that begins with the same mappings."""
        space = Space(pid, self.images, self.name)
        space.is_python = self.is_python
        space._starts = self._starts.copy()
        space._mappings = self._mappings.copy()
        return space

    def _overlapping(self, new: Mapping) -> tuple[int, int]:
        """Return the slice of mappings that a new one lies on."""
        first = max(0, bisect.bisect_right(self._starts, new.start) - 1)
        if first < len(self._mappings) and self._mappings[first].end <= new.start:
            first += 1
        return first, bisect.bisect_left(self._starts, new.end)

    def contradicts(self, new: Mapping) -> bool:
        """Return whether a mapping lies on one of something else."""
        first, last = self._overlapping(new)
        return any(not new.continues(old) for old in self._mappings[first:last])

    def put(self, new: Mapping) -> None:
        """Add a mapping; of what it covers only the ends remain."""
        first, last = self._overlapping(new)
        self._places.clear()
        self.paths.forget()
        pieces = [new]
        for old in self._mappings[first:last]:
            if old.start < new.start:
                pieces.insert(0, old._replace(end=new.start))
            if old.end > new.end:
                offset = old.offset + new.end - old.start
                pieces.append(old._replace(start=new.end, offset=offset))
        self._mappings[first:last] = pieces
        self._starts[first:last] = [piece.start for piece in pieces]
        name = new.path.rpartition("/")[2]
        self.is_python = self.is_python or name.startswith(("python", "libpython"))


class AddressSpaces:
    """The spaces of all processes at the time of the last record."""

    def __init__(self) -> None:
        self.images = Images()
        self._spaces: dict[int, Space] = {}

    def space(self, pid: int) -> Space:
        """Return the current space of a process; empty if nothing is known of it."""
        found = self._spaces.get(pid)
        if found is None:
            found = self._spaces[pid] = Space(pid, self.images)
        return found

    def feed(self, record: Record) -> None:
        """Take in a record that may change a space; give them in order of time."""
        if isinstance(record, Mmap):
            if record.is_executable and record.size and record.pid != 2**32 - 1:  # -1: the kernel's
                end = record.start + record.size
                new = Mapping(record.start, end, record.offset, record.path, record.build_id)
                self._map(record.pid, new)
        elif isinstance(record, Fork):
            if record.pid != record.parent_pid:
                parent = self._spaces.get(record.parent_pid)
                if parent is not None:
                    self._spaces[record.pid] = parent.copy(record.pid)
                else:
                    self._spaces.pop(record.pid, None)  # a process of that number may have ended
        elif isinstance(record, Comm):
            if record.is_exec:
                self._spaces[record.pid] = Space(record.pid, self.images, record.name)
            elif record.pid == record.tid:
                self.space(record.pid).name = record.name

    def adopt(self, pid: int) -> None:
        """Take over what procfs tells of a process that was there before; nothing if it is gone."""
        with contextlib.suppress(OSError):
            self.take(pid, Path(f"/proc/{pid}/maps").read_text("utf-8", "surrogateescape"))

    def take(self, pid: int, maps: str) -> None:
        """Take over lines as `/proc/PID/maps` has them, all or some."""
        for line in maps.splitlines():
            words = line.split(None, 5)
            if len(words) >= 5 and words[1][2:3] == "x":
                start, end = (int(word, 16) for word in words[0].split("-"))
                path = words[5] if len(words) == 6 else "//anon"
                self._map(pid, Mapping(start, end, int(words[2], 16), path))

    def _map(self, pid: int, new: Mapping) -> None:
        space = self.space(pid)
        if space.find(new.start) == new:
            return  # what was found out about the space stays
        if space.contradicts(new):
            space = self._spaces[pid] = space.copy(pid)
        space.put(new)
