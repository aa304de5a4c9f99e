from __future__ import annotations

import contextlib
import math
import multiprocessing
import shutil
import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import pytest

from codspeed import bundle as bundles
from codspeed.errors import StoreError
from codspeed.model import Bundle
from codspeed_report import schema
from codspeed_report.descriptor import StoreOptions
from codspeed_report.selection import of_bundle
from codspeed_report.store import INDEX, Store, use
from codspeed_report.uploader import LocalUploader

if TYPE_CHECKING:
    from pathlib import Path

Make = Callable[..., Bundle]
RunId = Callable[[int], str]


def _run_ids(root: Path) -> list[str]:
    def action(store: Store) -> list[str]:
        store.sync()
        return [run.run_id for run in store.runs()]

    return use(root, action)


def _upload(bundle: Bundle, store: Path | None = None) -> str:
    return LocalUploader(StoreOptions(store)).upload(bundle).message


def test_a_stored_run_reads_as_its_bundle(make: Make, root: Path) -> None:
    bundle = make(1, variant={"python": "3.12"})
    _upload(bundle)

    selection = use(root, lambda store: store.selection(bundle.manifest.run_id))

    assert selection == of_bundle(bundle)


def test_storing_twice_is_no_fault(make: Make, root: Path) -> None:
    bundle = make(1)

    messages = [_upload(bundle), _upload(bundle)]

    assert messages == [f"stored in {root}"] * 2
    assert _run_ids(root) == [bundle.manifest.run_id]


def test_bundles_copied_into_the_folder_are_indexed(make: Make, root: Path) -> None:
    _upload(make(2))
    make(1)

    summaries = use(root, lambda store: (store.sync(), store.runs())[1])

    assert [summary.created_ns for summary in summaries] == [
        1_793_172_800_000_000_000,
        1_793_086_400_000_000_000,
    ]
    assert [summary.benchmarks for summary in summaries] == [2, 2]


def test_a_bundle_from_elsewhere_is_copied_in(make: Make, root: Path, tmp_path: Path) -> None:
    bundle = make(1, folder=tmp_path / "artifact", profile_bytes=10)

    _upload(bundle, root)

    copy = bundles.read(root / "bundles" / bundle.manifest.run_id)
    assert copy.results == bundle.results
    assert (copy.path / "profiles/walltime-0/perf.data").read_bytes() == bytes(10)
    assert bundle.path.is_dir()
    assert sorted(path.name for path in (root / "bundles").iterdir()) == [copy.path.name]


def test_a_folder_of_bundles_is_a_store_too(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "chosen"
    bundle = make(1, folder=folder)

    _upload(bundle)

    assert (folder / INDEX).is_file()
    assert _run_ids(folder) == [bundle.manifest.run_id]


def test_a_store_that_does_not_exist_is_empty_and_stays_so(tmp_path: Path) -> None:
    assert _run_ids(tmp_path / "nowhere") == []
    assert not (tmp_path / "nowhere").exists()


def test_a_broken_bundle_is_named_and_stops_nobody(make: Make, root: Path) -> None:
    whole, broken = make(1), make(2)
    (broken.path / "results.json").write_text("{")

    (problem,) = use(root, lambda store: store.sync())

    assert problem.startswith("a bundle is left out of the store: ")
    assert str(broken.path) in problem
    assert _run_ids(root) == [whole.manifest.run_id]


def test_values_that_are_no_numbers_survive(make: Make, root: Path, run_id: RunId) -> None:
    _upload(make(1, {"a": 1.0}))
    bundle = _with_value(make(2, {"a": 1.0}), run_id(3), math.nan)

    def add(store: Store) -> float:
        store.add(bundle)
        return store.selection(run_id(3)).measurements[0].value

    assert math.isnan(use(root, add))


def _with_value(bundle: Bundle, run_id: str, value: float) -> Bundle:
    (part,) = bundle.results
    (benchmark,) = part.benchmarks
    metric = attrs.evolve(benchmark.metrics[0], value=value)
    benchmarks = (attrs.evolve(benchmark, metrics=(metric,)),)
    return attrs.evolve(
        bundle,
        manifest=attrs.evolve(bundle.manifest, run_id=run_id),
        results=(attrs.evolve(part, benchmarks=benchmarks),),
    )


@pytest.mark.parametrize("damage", ["garbage", "middle", "empty", "truncated", "older"])
def test_a_damaged_index_is_put_aside_and_made_anew(make: Make, root: Path, damage: str) -> None:
    ids = [_stored(make(day)) for day in (1, 2, 3)]
    _damage(root / INDEX, damage)

    assert _run_ids(root) == ids[::-1]
    assert list(root.glob(f"{INDEX}.aside-*"))


def _stored(bundle: Bundle) -> str:
    _upload(bundle)
    return bundle.manifest.run_id


def _damage(index: Path, damage: str) -> None:
    data = index.read_bytes()
    if damage == "older":
        with contextlib.closing(sqlite3.connect(index)) as database:
            database.execute("PRAGMA user_version = 0")
        return
    broken = {
        "garbage": b"not a database, " * 1000,
        "middle": data[:4096] + b"\xff" * (len(data) - 4096),
        "empty": b"",
        "truncated": data[: len(data) // 2],
    }
    index.write_bytes(broken[damage])


def test_the_index_is_made_anew_when_it_is_gone(make: Make, root: Path) -> None:
    ids = [_stored(make(day)) for day in (1, 2)]
    (root / INDEX).unlink()

    assert _run_ids(root) == ids[::-1]


def test_an_index_of_a_newer_codspeed_is_left_alone(make: Make, root: Path) -> None:
    _upload(make(1))
    with contextlib.closing(sqlite3.connect(root / INDEX)) as database:
        database.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")

    with pytest.raises(StoreError) as caught:
        _run_ids(root)

    assert f"has layout {schema.SCHEMA_VERSION + 1}" in caught.value.problem
    assert "upgrade codspeed" in str(caught.value.hint)


def test_a_database_of_another_program_is_left_alone(make: Make, root: Path) -> None:
    with contextlib.closing(sqlite3.connect(root / INDEX)) as database:
        database.execute("CREATE TABLE precious (x)")
    before = (root / INDEX).read_bytes()

    with pytest.raises(StoreError, match="another program"):
        _upload(make(1))

    assert (root / INDEX).read_bytes() == before


def test_a_place_that_is_no_folder_is_explained(make: Make, tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("in the way")
    bundle = make(1)

    with pytest.raises(StoreError) as caught:
        _upload(bundle, place)

    assert str(place) in caught.value.problem
    assert "--store" in str(caught.value.hint)
    assert bundles.read(bundle.path) == bundle


def test_a_full_disk_is_explained_and_the_bundle_stays(make: Make, root: Path) -> None:
    _upload(make(1))
    bundle = make(2, {f"bench::{number}": 1.0 for number in range(2000)})

    def on_a_full_disk(store: Store) -> bool:
        pages = store.database.execute("PRAGMA page_count").fetchone()[0]
        store.database.execute(f"PRAGMA max_page_count = {pages}")
        return store.add(bundle)

    with pytest.raises(StoreError, match="no space is left") as caught:
        use(root, on_a_full_disk)

    assert "codspeed store gc" in str(caught.value.hint)
    assert bundles.read(bundle.path) == bundle
    assert len(_run_ids(root)) == 2


def test_an_index_in_use_is_explained(
    make: Make, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _upload(make(1))
    monkeypatch.setattr("codspeed_report.store._BUSY_TIMEOUT", 0.05)
    with contextlib.closing(sqlite3.connect(root / INDEX, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreError, match="in use by another process"):
            _upload(make(2))


@pytest.mark.process
@pytest.mark.parametrize("is_new", [True, False])
def test_processes_that_store_at_once_lose_nothing(make: Make, root: Path, *, is_new: bool) -> None:
    if not is_new:
        _upload(make(30))
    paths = [make(day).path for day in range(1, 9)]
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_store_all, args=(paths[start::2],)) for start in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert [worker.exitcode for worker in workers] == [0, 0]
    stored = use(root, lambda store: {run.run_id for run in store.runs()})
    assert {path.name for path in paths} <= stored


def _store_all(paths: list[Path]) -> None:
    for path in paths:
        _upload(bundles.read(path))


def test_the_profile_budget_is_mentioned(
    make: Make, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codspeed_report.retention.DEFAULT_BYTES", 1000)

    message = _upload(make(1, profile_bytes=2048))

    assert message.endswith("its profiles take 2 KB: `codspeed store gc` removes the oldest")


def test_removed_bundles_keep_their_results(make: Make, root: Path) -> None:
    bundle = make(1)
    _upload(bundle)
    shutil.rmtree(bundle.path)

    selection = use(root, lambda store: store.selection(bundle.manifest.run_id))

    assert len(selection.measurements) == 2


def test_text_that_is_no_unicode_is_stored_escaped(make: Make, root: Path) -> None:
    bundle = make(1, {"odd": 1.0})
    results = bundle.path / "results.json"
    results.write_text(results.read_text().replace('"odd"', '"\\udc80"'))

    assert use(root, lambda store: store.sync()) == ()
    selection = use(root, lambda store: store.selection(bundle.manifest.run_id))
    assert selection.measurements[0].series.uri == "\\udc80"
    assert selection == of_bundle(bundles.read(bundle.path))


def test_a_number_too_big_leaves_out_its_bundle_only(make: Make, root: Path) -> None:
    whole, odd = make(1), make(2)
    manifest = odd.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"commit_time": 0', f'"commit_time": {2**70}'))

    (problem,) = use(root, lambda store: store.sync())

    assert str(odd.path) in problem
    assert _run_ids(root) == [whole.manifest.run_id]
