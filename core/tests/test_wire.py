"""Records to bytes and back."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed import wire
from codspeed.errors import BundleError, ResultsError
from codspeed.model import (
    BenchmarkResult,
    Comparability,
    Compat,
    Direction,
    Integration,
    Kind,
    Manifest,
    MarkerKind,
    Metric,
    Outcome,
    PartRecord,
    PartResults,
    RunContext,
    Rusage,
    Timestamps,
    Window,
)

# spec/executors.md 7
GOLDEN = bytes.fromhex(
    "82 a9 7572695f62795f7473 91 92 cd012c a4 613a3a62"
    "   a7 6d61726b657273 94 81 ab 53616d706c655374617274 01 81 aa 526f756e645374617274 ccc8"
    "      81 a8 526f756e64456e64 ce00011170 81 a9 53616d706c65456e64 cf000000012a05f200"
)
GOLDEN_TIMESTAMPS = Timestamps(
    uri_by_ts=((300, "a::b"),),
    markers=(
        (MarkerKind.SAMPLE_START, 1),
        (MarkerKind.ROUND_START, 200),
        (MarkerKind.ROUND_END, 70_000),
        (MarkerKind.SAMPLE_END, 5_000_000_000),
    ),
)
EMPTY = bytes.fromhex("82 a9 7572695f62795f7473 90 a7 6d61726b657273 90")

# Lone surrogates too: what Python makes of bytes in a command line that are no UTF-8.
texts = st.text(st.characters(), max_size=12)
u64 = st.integers(0, 2**64 - 1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
plains = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
integrations = st.builds(Integration, texts, texts)
metrics = st.builds(
    Metric,
    name=texts,
    value=numbers,
    unit=texts,
    direction=st.sampled_from(Direction),
    kind=st.sampled_from(Kind),
    headline=st.booleans(),
    label=texts,
    statistics=st.dictionaries(texts, numbers, max_size=3),
    samples=st.lists(numbers, max_size=3).map(tuple),
)
benchmarks = st.builds(
    BenchmarkResult,
    uri=texts,
    name=texts,
    metrics=st.lists(metrics, max_size=3).map(tuple),
    notes=st.lists(texts, max_size=2).map(tuple),
)
parts = st.builds(
    PartResults,
    part=st.integers(0, 9),
    executor=texts,
    mode=texts,
    model=texts,
    benchmarks=st.lists(benchmarks, max_size=3).map(tuple),
)
windows = st.builds(
    Window,
    uri=st.none() | texts,
    pids=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3).map(tuple),
    start=u64,
    end=u64,
    rounds=st.lists(st.tuples(u64, u64), max_size=3).map(tuple),
)
all_timestamps = st.builds(
    Timestamps,
    uri_by_ts=st.lists(st.tuples(u64, texts), max_size=3).map(tuple),
    markers=st.lists(st.tuples(st.sampled_from(MarkerKind), u64), max_size=3).map(tuple),
)
outcomes = st.builds(
    Outcome,
    status=st.integers(-64, 255),
    interrupted=st.booleans(),
    rusage=st.builds(Rusage, wall_ns=u64, max_rss_bytes=u64),
    integration=st.none() | integrations,
    windows=st.lists(windows, max_size=3).map(tuple),
    timestamps=all_timestamps,
    notes=st.lists(texts, max_size=2).map(tuple),
)
contexts = st.builds(
    RunContext,
    provider=texts,
    repository=texts,
    repository_key=texts,
    root=st.sampled_from([Path("/"), Path("/a b/c"), Path("relative/é")]),
    commit=texts,
    commit_time=st.integers(0, 2**40),
    dirty=st.booleans(),
    facts=st.dictionaries(texts, texts, max_size=2),
)
records = st.builds(
    PartRecord,
    index=st.integers(0, 9),
    argv=st.lists(texts, max_size=3).map(tuple),
    harnessed=st.booleans(),
    compat=st.sampled_from(Compat),
    options=st.dictionaries(texts, plains, max_size=2),
    integration=st.none() | integrations,
    comparability=st.builds(Comparability, refuses=st.lists(texts, max_size=2).map(tuple)),
    status=st.none() | st.integers(-64, 255),
    **dict.fromkeys(
        ("executor", "distribution", "version", "mode", "label", "cwd", "folder", "archive"), texts
    ),
)
manifests = st.builds(
    Manifest,
    schema=st.just(1),
    run_id=texts,
    created_ns=u64,
    codspeed=texts,
    plugins=st.dictionaries(texts, texts, max_size=2),
    context=contexts,
    variant=st.dictionaries(texts, texts, max_size=2),
    fingerprint=st.dictionaries(texts, plains, max_size=3),
    parts=st.lists(records, max_size=2).map(tuple),
    exit_code=st.integers(0, 130),
)


@given(manifest=manifests)
def test_a_manifest_comes_back_as_it_was(manifest: Manifest) -> None:
    data = wire.dump_json(manifest)

    assert wire.load_manifest(data, where="manifest.json") == manifest


@given(results=st.lists(parts, max_size=3).map(tuple))
def test_results_come_back_as_they_were(results: tuple[PartResults, ...]) -> None:
    data = wire.dump_json({"schema": 1, "parts": list(results)})

    assert wire.load_results(data, where="results.json") == results


@given(outcome=outcomes)
def test_an_outcome_comes_back_as_it_was(outcome: Outcome) -> None:
    back = wire.load_outcome(wire.dump_outcome(outcome), where="outcome")

    assert back == outcome
    assert all(isinstance(kind, MarkerKind) for kind, _ in back.timestamps.markers)


def test_json_is_for_people_too() -> None:
    text = wire.dump_json({"name": "é"}).decode()

    assert text == '{\n  "name": "é"\n}\n'


def test_unknown_keys_of_a_newer_version_are_ignored() -> None:
    plain = wire.to_plain(Integration("pytest-codspeed", "5.0.4")) | {"colour": "blue"}

    read = wire.from_plain(plain, Integration, where="x")

    assert read == Integration("pytest-codspeed", "5.0.4")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_no_json(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        wire.dump_json({"value": value})


@pytest.mark.parametrize(
    ("plain", "fault"),
    [
        pytest.param({"unit": "ns", "value": 1.0}, "required field missing @ $.name", id="missing"),
        pytest.param(
            {"name": None, "unit": "ns", "value": 1.0},
            "None where text belongs @ $.name",
            id="null for text",
        ),
        pytest.param(
            {"name": "a", "unit": "ns", "value": "12"},
            "'12' where a number belongs @ $.value",
            id="text for a number",
        ),
        pytest.param(
            {"name": "a", "unit": "ns", "value": True},
            "True where a number belongs @ $.value",
            id="truth for a number",
        ),
        pytest.param(
            {"name": "a", "unit": "ns", "value": 1, "kind": "odd"},
            "'odd' is not a valid Kind @ $.kind",
            id="unknown word",
        ),
        pytest.param(
            {"name": "a", "unit": "ns", "value": 1, "samples": [1, None]},
            "None where a number belongs @ $.samples[1]",
            id="inside a list",
        ),
        pytest.param(
            {"name": "a", "unit": "ns", "value": 1, "headline": 1},
            "1 where true or false belongs @ $.headline",
            id="number for a truth",
        ),
    ],
)
def test_an_error_names_source_and_place(plain: Any, fault: str) -> None:
    with pytest.raises(ResultsError) as caught:
        wire.from_plain(plain, Metric, where="results.json", error=ResultsError)

    assert caught.value.problem == f"results.json does not hold what it should: {fault}"


def test_an_error_names_every_place() -> None:
    with pytest.raises(BundleError) as caught:
        wire.from_plain({"name": 1, "version": 2}, Integration, where="x")

    assert caught.value.problem.endswith(
        "1 where text belongs @ $.name; 2 where text belongs @ $.version"
    )


@pytest.mark.parametrize("plain", [None, 5, "text", [], [1]])
def test_a_document_of_another_kind_is_an_error(plain: Any) -> None:
    with pytest.raises(BundleError, match="x does not hold what it should"):
        wire.from_plain(plain, Integration, where="x")


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert wire.from_plain(3.0, int, where="x") == 3


def test_a_fraction_is_no_whole_number() -> None:
    with pytest.raises(BundleError, match=r"5\.7 where a whole number belongs"):
        wire.from_plain(5.7, int, where="x")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe\xfd", b"[" * 100_000])
def test_what_is_no_json_is_an_error_that_names_the_file(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"results\.json is not JSON"):
        wire.load_results(data, where="results.json")


def test_results_need_their_parts() -> None:
    with pytest.raises(BundleError) as caught:
        wire.load_results(b"{}", where="results.json")

    assert caught.value.problem == "results.json has no key 'parts'"


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\x01", b"\x01", b"\x80"])
def test_what_is_no_outcome_is_an_error(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"^0.msgpack (is not|does not)"):
        wire.load_outcome(data, where="0.msgpack")


# --- The reference's document ---------------------------------------------------------------------


def test_timestamps_are_the_reference_s_bytes() -> None:
    assert wire.dump_timestamps(GOLDEN_TIMESTAMPS) == GOLDEN
    assert wire.dump_timestamps(Timestamps()) == EMPTY


def test_the_reference_s_bytes_are_read() -> None:
    assert wire.load_timestamps(GOLDEN, where="x") == GOLDEN_TIMESTAMPS
    assert wire.load_timestamps(EMPTY, where="x") == Timestamps()


def test_the_old_names_of_markers_are_read() -> None:
    old = GOLDEN.replace(b"\xaaRoundStart", b"\xaeBenchmarkStart")
    old = old.replace(b"\xa8RoundEnd", b"\xacBenchmarkEnd")

    assert wire.load_timestamps(old, where="x") == GOLDEN_TIMESTAMPS


@given(
    uris=st.lists(st.tuples(u64, st.text(max_size=12)), max_size=3).map(tuple),
    markers=st.lists(st.tuples(st.sampled_from(MarkerKind), u64), max_size=3).map(tuple),
)
def test_timestamps_come_back_as_they_were(
    uris: tuple[tuple[int, str], ...], markers: tuple[tuple[MarkerKind, int], ...]
) -> None:
    timestamps = Timestamps(uris, markers)

    assert wire.load_timestamps(wire.dump_timestamps(timestamps), where="x") == timestamps


@given(data=st.binary(max_size=40))
def test_any_bytes_are_timestamps_or_a_bundle_error(data: bytes) -> None:
    with contextlib.suppress(BundleError):
        read = wire.load_timestamps(data, where="the file")

        assert wire.load_timestamps(wire.dump_timestamps(read), where="again") == read
