"""Maps of generated code: what overlaps, what is cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from codspeed_native import perf_map

if TYPE_CHECKING:
    from pathlib import Path


def test_an_address_inside_of_a_range_has_its_name() -> None:
    names = perf_map.parse(b"1000 10 py::f:/a b.py\n2000 8 py::g:/a.py\n")

    assert names.name_of(0x1000) == "py::f:/a b.py"
    assert names.name_of(0x100F) == "py::f:/a b.py"
    assert names.name_of(0x1010) is None
    assert names.name_of(0xFFF) is None
    assert names.name_of(0x2007) == "py::g:/a.py"


def test_of_overlapping_ranges_the_last_line_holds_and_the_rest_of_the_first_remains() -> None:
    names = perf_map.parse(b"1000 100 old\n1040 10 new\n")

    assert [tuple(each) for each in names.ranges] == [
        (0x1000, 0x1040, "old"),
        (0x1040, 0x1050, "new"),
        (0x1050, 0x1100, "old"),
    ]


def test_lines_that_are_none_are_left_out() -> None:
    names = perf_map.parse(b"\nzz 10 bad\n1000 0 empty\n1000 10\n-5 10 low\n2000 10 good\n30")

    assert [each.name for each in names.ranges if each.start >= 0] == ["good"]


def test_a_missing_map_is_empty(tmp_path: Path) -> None:
    assert perf_map.read(tmp_path / "perf-1.map").ranges == ()


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), max_size=12),
)
def test_every_address_has_the_name_of_the_last_line_that_covers_it(
    written: list[tuple[int, int]],
) -> None:
    text = "".join(f"{start:x} {size:x} f{index}\n" for index, (start, size) in enumerate(written))

    names = perf_map.parse(text.encode())

    for address in range(100):
        covering = [
            f"f{index}"
            for index, (start, size) in enumerate(written)
            if start <= address < start + size
        ]
        assert names.name_of(address) == (covering[-1] if covering else None)
