"""Ids of parallel jobs, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed.environment import compact
from codspeed.environment.matrix import job_part, swap_removed


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        pytest.param(
            '{"fail-fast":true,"job-index":1,"job-total":3,"max-parallel":3}',
            '{"job-total":3,"job-index":1}',
            id="GitHub's order",
        ),
        pytest.param(
            '{"job-index":1,"fail-fast":true,"job-total":3}',
            '{"job-index":1,"job-total":3}',
            id="another order",
        ),
        pytest.param("{}", "{}", id="nothing"),
        pytest.param('{"max-parallel":1}', "{}", id="nothing left"),
    ],
)
def test_the_last_entry_takes_the_place_of_the_removed(strategy: str, expected: str) -> None:
    """Vectors of spec/cli-upload.md 10.3."""
    assert job_part("j", "{}", strategy).id == f"j-{{}}-{expected}"


def test_later_labels_win_and_are_sorted() -> None:
    part = job_part("j", '{"z": 1, "job-index": "mine", "a": {"y": 1, "b": 2}}', '{"job-index":0}')

    assert part.metadata == '{"a":{"y":1,"b":2},"job-index":0,"z":1}'
    assert part.id == 'j-{"z":1,"job-index":"mine","a":{"y":1,"b":2}}-{"job-index":0}'


@pytest.mark.parametrize(
    "text", [None, "", "null", "[]", "{", "NaN", '{"a":NaN}', '{"a":"\\ud800"}']
)
def test_what_is_no_object_is_no_matrix(text: str | None) -> None:
    assert job_part("j", text, '{"job-index":0}') == job_part("j", None, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e16", "1e16"),
        ("1e15", "1000000000000000.0"),
        ("0.00001", "0.00001"),
        ("-0.000012", "-0.000012"),
        ("1e-6", "1e-6"),
        ("1.50", "1.5"),
        ("-0", "-0.0"),
        ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551616", "1.8446744073709552e19"),
        ("-9223372036854775809", "-9.223372036854776e18"),
        ('"\\u00e9 \\" /"', '"é \\" /"'),
        (' { "b" : [ 1 , true , null ] , "a" : { } } ', '{"b":[1,true,null],"a":{}}'),
    ],
)
def test_numbers_and_texts_as_serde_json_prints_them(text: str, expected: str) -> None:
    assert compact.dump(compact.parse(text)) == expected


@pytest.mark.parametrize("text", ["Infinity", "9" * 400, "[" * 100_000, "1e", "tru"])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        compact.parse(text)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False).filter(lambda number: abs(number) != float("inf"))
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(value=JSON)
def test_what_is_printed_is_read_back(value: object) -> None:
    assert compact.parse(compact.dump(value)) == value


@given(entries=st.dictionaries(st.text(), st.integers()), key=st.text())
def test_removing_keeps_all_others(entries: dict[str, int], key: str) -> None:
    expected = {name: value for name, value in entries.items() if name != key}

    assert swap_removed(entries, key) == expected
