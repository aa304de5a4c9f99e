"""The whole upload against the fake service: what goes over the wire, and what is said."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from codspeed.errors import AuthenticationError, UploadError, UsageError
from codspeed.testing.service_faults import Fault, Mischief

if TYPE_CHECKING:
    from pathlib import Path

MD5 = re.compile(r"[A-Za-z0-9+/]{22}==")


def test_a_tokenless_upload_shows_its_hash_and_is_accepted(
    make: Any, account: Any, service: Any, listener: Any, hash_line: re.Pattern[str]
) -> None:
    receipt = account.uploader().upload(make())

    (upload,) = service.uploads
    assert upload.token is None
    assert upload.document["tokenless"] is True
    assert service.refusals == []
    ((stream, line),) = listener.verbatims
    assert stream == "stderr"
    assert hash_line.fullmatch(line)
    assert receipt.message == "uploaded to CodSpeed: acme/widgets"
    assert listener.lines == ["Performance data uploaded", "Linked repository: acme/widgets"]


def test_a_token_goes_raw_and_no_hash_is_shown(
    make: Any, account: Any, service: Any, listener: Any
) -> None:
    token = service.add_user("ada")

    account.uploader(token=token).upload(make())

    (upload,) = service.uploads
    assert (upload.token, upload.document["tokenless"]) == (token, False)
    assert listener.verbatims == []


def test_the_given_token_wins_over_the_login(make: Any, account: Any, service: Any) -> None:
    given, saved = service.add_user("ada"), service.add_user("bob")

    account.uploader(token=given, oauth_token=saved).upload(make())
    account.uploader(token="", oauth_token=saved).upload(make())

    assert [upload.token for upload in service.uploads] == [given, saved]


@pytest.mark.parametrize(
    ("executor", "encoding"), [("walltime", None), ("memory", None), ("valgrind", "gzip")]
)
def test_archives_are_stored_as_the_executor_declares(
    make: Any, part: Any, account: Any, service: Any, executor: str, encoding: str | None
) -> None:
    account.uploader().upload(make(part(executor), files={"x/y.out": bytes(70_000)}))

    (upload,) = service.uploads
    assert upload.document["profileEncoding"] == encoding
    assert MD5.fullmatch(upload.document["profileMd5"])
    magic = b"\x1f\x8b" if encoding else b"./"
    assert upload.archive.read_bytes()[:2] == magic


def test_several_parts_go_one_after_the_other(
    make: Any, part: Any, account: Any, service: Any, listener: Any
) -> None:
    account.uploader().upload(make(part("valgrind"), part("walltime", 1)))

    ids = [upload.document["runPart"]["runPartId"] for upload in service.uploads]
    assert [found.split("}-")[-1] for found in ids] == [
        '{"executor":"valgrind","run-index":0,"run-part-index":0}',
        '{"executor":"walltime","run-index":1,"run-part-index":1}',
    ]
    assert listener.lines[:2] == ["Uploading results 1/2", "Uploading results 2/2"]


def test_nothing_stays_in_the_temporary_folder(make: Any, account: Any) -> None:
    account.uploader().upload(make())

    assert list(account.temp.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"executor": "icount"}, "executors valgrind, walltime, memory"),
        ({"executor": "walltime", "error": "exit status 3"}, "exit status 3"),
    ],
)
def test_parts_are_refused_with_a_remedy(part: Any, account: Any, fields: Any, word: str) -> None:
    reason = account.uploader().accepts(part(**fields))

    assert word in reason


def test_native_simulation_is_refused_and_native_walltime_is_not(part: Any, account: Any) -> None:
    from codspeed.model import Compat  # noqa: PLC0415 - beside its use

    uploader = account.uploader()

    assert "--compat codspeed" in uploader.accepts(part("valgrind", compat=Compat.NATIVE))
    assert uploader.accepts(part("walltime", compat=Compat.NATIVE)) is None
    assert uploader.accepts(part("valgrind")) is None


def test_a_failed_run_is_not_uploaded(make: Any, account: Any, service: Any) -> None:
    receipt = account.uploader().upload(make(exit_code=4))

    assert receipt.message == "not uploaded to CodSpeed: the run failed"
    assert service.announced == []


@pytest.mark.parametrize(
    ("provider", "facts", "hint"),
    [
        ("github-actions", {}, "ci/github-actions/configuration#authentication"),
        ("gitlab-ci", {}, "ci/gitlab-ci/configuration#authentication"),
        (
            "buildkite",
            {"run_part_id": None, "run_id": None},
            "Check that CODSPEED_TOKEN is set and has the correct value",
        ),
    ],
)
def test_a_refused_token_has_the_hint_of_the_provider(
    make: Any, account: Any, provider: str, facts: Any, hint: str
) -> None:
    bundle = make(facts=facts, context={"provider": provider})

    with pytest.raises(AuthenticationError) as caught:
        account.uploader(token="unknown-token").upload(bundle)

    assert caught.value.problem == (
        "Failed to retrieve upload data: 401 Unauthorized\n"
        "  -> Reason: the token is unknown or expired"
    )
    assert hint in str(caught.value.hint)


def test_a_refusal_gives_the_services_reason_and_the_command_to_repeat(
    make: Any, account: Any, service: Any, naps: Any
) -> None:
    service.faults.plan("announce", *[Fault(Mischief.STATUS, 503)] * 4)
    bundle = make()

    with pytest.raises(UploadError) as caught:
        account.uploader().upload(bundle)

    assert caught.value.problem == (
        "Failed to retrieve upload data: 503 Service Unavailable\n  -> Reason: try later"
    )
    assert f"codspeed upload {bundle.path} --uploader codspeed" in str(caught.value.hint)
    assert caught.value.exit_code == 8
    assert naps.seconds == [1.0, 2.0, 4.0]


def test_an_optional_upload_that_fails_is_a_warning(
    make: Any, account: Any, service: Any, listener: Any
) -> None:
    """At the level debug there is the reference's reminder, too (spec/cli-upload.md 4.6)."""
    service.faults.plan("store", *[Fault(Mischief.STATUS, 500)] * 4)
    bundle = make()

    receipt = account.uploader(upload_optional=True).upload(bundle)

    assert "Failed to upload performance report: 500" in listener.warnings[0]
    assert "case-sensitive" in listener.debugs[-1]
    assert f"codspeed upload {bundle.path} --uploader codspeed" in receipt.message
    assert service.uploads == []


@pytest.mark.parametrize("status", [400, 403, 404, 411])
def test_final_answers_are_not_asked_for_again(
    make: Any, account: Any, service: Any, naps: Any, status: int
) -> None:
    service.faults.plan("store", Fault(Mischief.STATUS, status))

    with pytest.raises(UploadError, match=f"{status} "):
        account.uploader().upload(make())

    assert naps.seconds == []


@pytest.mark.parametrize("kind", list(Mischief))
def test_one_fault_of_any_kind_is_survived_or_named(
    make: Any, account: Any, service: Any, kind: Mischief
) -> None:
    service.faults.plan("announce", Fault(kind))
    service.faults.plan("store", Fault(kind))
    uploader = account.uploader(client=account.client(answer_seconds=0.1))
    if kind is Mischief.MALFORMED:
        with pytest.raises(UploadError, match="can't be understood"):
            uploader.upload(make())
        assert service.uploads == []
    else:
        uploader.upload(make())
        assert len(service.uploads) == 1
        assert service.refusals == []


def test_a_server_may_ask_for_patience(make: Any, account: Any, service: Any, naps: Any) -> None:
    waits = ["7", "soon", "99999"]
    service.faults.plan("announce", *(Fault(Mischief.STATUS, 429, wait) for wait in waits))

    account.uploader().upload(make())

    assert naps.seconds == [7.0, 2.0, 60.0]


def test_a_hash_that_is_not_in_the_job_log_is_refused(make: Any, account: Any) -> None:
    account.listener.verbatims = [("stderr", "something else")]
    uploader = account.uploader()
    uploader._reporter = type(account.listener)()

    with pytest.raises(AuthenticationError, match="the job's log has no line"):
        uploader.upload(make())


def test_no_service_at_all(make: Any, account: Any) -> None:
    uploader = account.uploader(upload_url="http://127.0.0.1:9/upload", token="abc")

    with pytest.raises(UploadError) as caught:
        uploader.upload(make())

    assert "127.0.0.1:9: no connection, or it broke" in caught.value.problem


def test_netrc_adds_no_credentials(
    make: Any, account: Any, service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 refuses a request that carries two kinds."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password netrc-secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    account.uploader().upload(make())

    assert service.refusals == []
    assert len(service.uploads) == 1


def test_a_repository_can_not_be_chosen_in_ci(make: Any, account: Any) -> None:
    with pytest.raises(UsageError, match="not supported for GitHub Actions"):
        account.uploader(repository="a/b").upload(make())


def test_a_checkout_without_commit_is_named(make: Any, account: Any) -> None:
    bundle = make(
        context={"commit": ""}, facts={"repository_note": "git does not trust the folder"}
    )

    with pytest.raises(UploadError, match="git does not trust the folder"):
        account.uploader().upload(bundle)


def test_profiles_that_were_removed_are_named(make: Any, account: Any) -> None:
    bundle = make()
    folder = bundle.path / "profiles" / "walltime-0"
    folder.rename(bundle.path / "elsewhere")

    with pytest.raises(UploadError, match="are gone"):
        account.uploader().upload(bundle)
