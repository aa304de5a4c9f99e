"""The document byte for byte; vectors of spec/cli-upload.md 10 and examples of 3.2.4, 4.2."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import attrs
import pytest

from codspeed.testing.service_rules import check_metadata
from codspeed_service.destination import page
from codspeed_service.metadata import Destination, JobPart, Packed, document, dump, run_hash
from codspeed_service.run_part import suffixed, upload_part

MD5 = "XrY7u+Ae7tCTyyK7j1rNww=="
HASH = "e550ccf045306b3afc3599029b03d6f28d6624cde6e85c7e831eeab4b7cf63e1"


def no_warning(text: str) -> None:
    pytest.fail(text)


def destination(bundle: Any, **changes: Any) -> Destination:
    facts = bundle.manifest.context.facts
    made = Destination(
        "GITHUB",
        "acme",
        "widgets",
        bundle.manifest.context.commit,
        facts.get("ref", ""),
        facts.get("head_ref"),
        facts.get("base_ref"),
    )
    return attrs.evolve(made, **changes)


def plain(bundle: Any, **changes: Any) -> dict[str, Any]:
    manifest = bundle.manifest
    defaults: dict[str, Any] = {
        "destination": destination(bundle),
        "part": upload_part(
            manifest, manifest.parts[0].executor, index=0, count=1, warn=no_warning
        ),
        "archive": Packed(MD5, None),
        "is_tokenless": True,
        "local_parts": 1,
    }
    return document(manifest, manifest.parts[0], **(defaults | changes))


def test_the_example_of_the_contract_has_the_hash_of_the_contract(example: str) -> None:
    body = dump(json.loads(example))

    assert body == example.encode()
    assert len(body) == 1154
    assert run_hash(body) == hashlib.sha256(body).hexdigest() == HASH


def test_a_bundle_of_that_job_gives_the_example(make: Any, example: str) -> None:
    bundle = make(options={"exclude_allocations": True})

    found = plain(bundle)
    found["repositoryRootPath"] = "/home/runner/work/widgets/widgets/"

    assert dump(found).decode() == example


@pytest.mark.parametrize(
    ("head_ref", "upload_url", "expected"),
    [
        (None, None, "https://codspeed.io/acme/widgets"),
        ("mallory:feat/x", None, "https://codspeed.io/acme/widgets/branches/mallory%3Afeat%2Fx"),
        (None, "https://elsewhere.example/upload", ""),
    ],
)
def test_where_the_service_shows_what_a_job_uploaded(
    head_ref: str | None, upload_url: str | None, expected: str
) -> None:
    target = Destination("GITHUB", "acme", "widgets", "a" * 40, "refs/heads/x", head_ref, None)

    assert page(target, upload_url) == expected


def test_what_is_false_about_allocations_is_left_out(make: Any) -> None:
    assert "excludeAllocations" not in plain(make())["runner"]


@pytest.mark.parametrize(
    ("facts", "event", "expected"),
    [
        pytest.param(
            {"ref": "refs/heads/main", "head_ref": None, "base_ref": ""},
            "push",
            ("refs/heads/main", None, "", "push"),
            id="push",
        ),
        pytest.param(
            {"ref": "refs/pull/22/merge", "head_ref": "feat/x", "base_ref": "main"},
            "pull_request",
            ("refs/pull/22/merge", "feat/x", "main", "pull_request"),
            id="pull request",
        ),
        pytest.param(
            {"ref": "refs/pull/22/merge", "head_ref": "mallory:feat/x", "base_ref": "main"},
            "pull_request",
            ("refs/pull/22/merge", "mallory:feat/x", "main", "pull_request"),
            id="fork",
        ),
        pytest.param(
            {"ref": "refs/heads/main", "head_ref": None, "base_ref": ""},
            "workflow_dispatch",
            ("refs/heads/main", None, "", "workflow_dispatch"),
            id="manual",
        ),
    ],
)
def test_refs_of_each_situation(make: Any, facts: Any, event: str, expected: Any) -> None:
    found = plain(make(facts=facts, context={"event": event}))

    assert tuple(found[key] for key in ("ref", "headRef", "baseRef", "event")) == expected
    check_metadata(dump(found))


def test_an_absent_fact_is_null_and_an_empty_one_is_empty(make: Any) -> None:
    assert plain(make(facts={"base_ref": None}))["baseRef"] is None
    assert plain(make(facts={"base_ref": ""}))["baseRef"] == ""


def test_a_gitlab_job_has_its_data_and_no_one_elses(make: Any) -> None:
    bundle = make(
        facts={"provider_kind": "GITLAB", "run_part_metadata": "{}", "run_part_id": "bench"},
        context={"provider": "gitlab-ci"},
    )

    found = plain(bundle, destination=destination(bundle, provider="GITLAB"))

    assert found["runEnvironment"] == "GITLAB_CI"
    assert found["glData"] == {"runId": "18000000001", "job": "bench"}
    assert found["ghData"] is None
    assert found["runPart"]["metadata"] == {"executor": "walltime", "run-index": 0}
    check_metadata(dump(found))


def test_buildkite_has_no_run_part_and_no_sender(make: Any) -> None:
    nothing = dict.fromkeys(("sender_id", "sender_login", "run_id", "job", "run_part_id"))
    bundle = make(facts=nothing, context={"provider": "buildkite"})

    found = plain(bundle)

    assert (found["runPart"], found["sender"]) == (None, None)
    assert found["runEnvironment"] == "BUILDKITE"
    check_metadata(dump(found))


def test_a_local_run_says_how_many_parts_it_has(make: Any, part: Any, local: Any) -> None:
    bundle = make(part(), part("memory", 1), context=local)
    commit = bundle.manifest.context.commit
    where = destination(bundle, ref=commit, head_ref="topic", base_ref=None)

    found = plain(bundle, destination=where, local_parts=2)

    assert found["localData"] == {"expectedRunPartsCount": 2}
    assert found["runPart"]["runPartId"] == 'local-job-{"executor":"walltime"}'
    assert found["event"] == "local"
    check_metadata(dump(found))


def test_the_mongodb_instrument_has_the_services_spelling(make: Any) -> None:
    bundle = make(instruments=("sysload", "codspeed-mongodb:mongodb"))

    assert plain(bundle)["runner"]["instruments"] == ["MongoDB"]


@pytest.mark.parametrize(
    ("model", "brand"),
    [("0x41/0xfff", "unknown"), ("", "unknown"), ("Neoverse-N1", "Neoverse-N1")],
)
def test_a_processor_without_a_name_is_unknown(make: Any, model: str, brand: str) -> None:
    assert plain(make(fingerprint={"cpu_model": model}))["runner"]["cpuBrand"] == brand


def test_allow_empty_is_told(make: Any) -> None:
    assert plain(make(allow_empty=True))["allowEmpty"] is True


def test_bytes_that_are_no_text_do_not_stop_an_upload(make: Any) -> None:
    found = plain(make(), destination=destination(make(), head_ref="caf\udce9"))

    assert b'"headRef":"caf?"' in dump(found)


def test_the_suffix_of_the_contract() -> None:
    base = JobPart("1", "j", "j", {"z": 1})

    found = suffixed(base, {"run-part-index": 1, "run-index": 4, "executor": "memory"})

    assert found.id == 'j-{"executor":"memory","run-index":4,"run-part-index":1}'
    assert found.metadata == {"z": 1, "executor": "memory", "run-index": 4, "run-part-index": 1}
