"""Ids of run parts and the counter behind them."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from codspeed_service.metadata import JobPart
from codspeed_service.run_part import base_part, next_index, state_file, upload_part

BASE_ID = 'bench-{"py":"3.12"}-{"job-total":2,"job-index":0}'
NAME = "21ddb7c28625d9b680bfcc2c73f0a6667857a4c7b1fd1dc5d669fea8bdf9a46d.json"


def no_warning(text: str) -> None:
    pytest.fail(text)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return state_file(str(tmp_path), JobPart("18", BASE_ID, "bench", {}))


def test_the_counter_is_named_by_the_hash_of_the_base_id(state: Path, tmp_path: Path) -> None:
    assert state == tmp_path / ".codspeed" / "run-state" / "18" / NAME


def test_a_run_id_can_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    found = state_file(str(tmp_path), JobPart("../../x", "j", "j", {}))

    assert found.parent.parent == tmp_path / ".codspeed" / "run-state"


def test_the_counter_goes_up_and_looks_as_the_references(state: Path) -> None:
    assert [next_index(state, no_warning) for _ in range(3)] == [0, 1, 2]
    assert state.read_text() == '{\n  "run_index": 3\n}'


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"run_index": -1}', '{"run_index": true}', '{"other": 1}']
)
def test_a_damaged_counter_counts_from_zero_and_says_so(state: Path, content: str) -> None:
    state.parent.mkdir(parents=True)
    state.write_text(content)
    warnings: list[str] = []

    assert next_index(state, warnings.append) == 0
    assert len(warnings) == 1
    assert str(state) in warnings[0]
    assert next_index(state, warnings.append) == 1


def test_a_counter_that_can_not_be_kept_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / ".codspeed").write_text("a file")
    warnings: list[str] = []

    assert next_index(state_file(str(tmp_path), JobPart("1", "j", "j", {})), warnings.append) == 0
    assert "can't be counted" in warnings[0]


def test_a_bundle_of_another_machine_makes_no_folders_here(tmp_path: Path) -> None:
    warnings: list[str] = []
    elsewhere = state_file(str(tmp_path / "gone"), JobPart("1", "j", "j", {}))

    assert next_index(elsewhere, warnings.append) == 0
    assert len(warnings) == 1
    assert not (tmp_path / "gone").exists()


def test_steps_that_count_at_once_get_different_numbers(state: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: next_index(state, no_warning), range(40)))

    assert sorted(found) == list(range(40))


def test_two_parts_of_one_run_take_two_numbers(make: Any, part: Any) -> None:
    bundle = make(part("valgrind"), part("walltime", 1), facts={"run_part_id": "bench"})

    ids = [
        upload_part(bundle.manifest, name, index=index, count=2, warn=no_warning).id  # type: ignore[union-attr]  # None fails the test as well
        for index, name in enumerate(("valgrind", "walltime"))
    ]

    assert ids == [
        'bench-{"executor":"valgrind","run-index":0,"run-part-index":0}',
        'bench-{"executor":"walltime","run-index":1,"run-part-index":1}',
    ]


def test_the_fourth_upload_of_a_job(make: Any) -> None:
    bundle = make(facts={"run_part_id": "j", "run_part_metadata": "{}"})
    root = Path(bundle.manifest.context.root)
    state = state_file(f"{root}/", JobPart("18000000001", "j", "bench", {}))
    state.parent.mkdir(parents=True)
    state.write_text('{"run_index": 4}')

    found = upload_part(bundle.manifest, "memory", index=1, count=2, warn=no_warning)

    assert found is not None
    assert found.id == 'j-{"executor":"memory","run-index":4,"run-part-index":1}'
    assert json.loads(state.read_text()) == {"run_index": 5}


def test_a_local_run_has_the_same_id_whenever_its_bundle_is_uploaded(make: Any, local: Any) -> None:
    manifest = make(context=local).manifest

    found = base_part(manifest)

    assert found is not None
    assert found == base_part(manifest)
    assert uuid.UUID(found.run_id).version == 4


def test_a_local_run_keeps_no_counter(make: Any, local: Any) -> None:
    bundle = make(context=local)

    upload_part(bundle.manifest, "walltime", index=0, count=1, warn=no_warning)

    assert not (bundle.manifest.context.root / ".codspeed").exists()
