"""Where a file was loaded: the difference between addresses as linked and as run.

No I/O here. Source of the rules: spec/executors.md 3.5; they are the reference's, so that its
service understands our artifacts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from codspeed_native.elf import Segment

_PT_LOAD: Final = 1
_MASK: Final = 2**64 - 1


def load_bias(segments: tuple[Segment, ...], *, start: int, end: int, offset: int) -> int | None:
    """Return what is added to addresses as linked, modulo 2^64; None if no segment fits.

    Args:
        start: First address of an executable mapping, which goes up to `end`.
        offset: Of its first byte in the file.
    """
    size = end - start
    for segment in segments:
        if segment.kind != _PT_LOAD:
            continue
        first, last = segment.offset, segment.offset + segment.file_size
        is_inside = first <= offset and offset + size <= last
        is_around = offset <= first and last <= offset + size
        if is_inside or is_around:
            return (start + first - offset - segment.address) & _MASK
    return None


def base_address(segments: tuple[Segment, ...]) -> int | None:
    """Return the address, as linked, of the first segment that is loaded."""
    return next((segment.address for segment in segments if segment.kind == _PT_LOAD), None)
