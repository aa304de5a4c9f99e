"""Which token an upload carries, and that no secret is ever shown."""

from __future__ import annotations

import io
import json
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from codspeed.errors import AuthenticationError, CodspeedError, UploadError
from codspeed.testing.service_faults import Fault, Mischief

if TYPE_CHECKING:
    from collections.abc import Mapping

PLANTED = "planted-static-token-4711"
MONGO = "mongodb://ada:planted-mongo-4711@db.example/x"


def private(**facts: str) -> Mapping[str, str]:
    return {"private": "true", "is_fork": "false", **facts}


def test_a_job_asks_for_a_token_before_each_upload(
    make: Any, part: Any, account: Any, service: Any
) -> None:
    bundle = make(part("valgrind"), part("walltime", 1), facts=private(oidc="true"))

    account.uploader(service.oidc_variables).upload(bundle)

    tokens = [upload.token for upload in service.uploads]
    assert tokens == ["eyJ.oidc-token-0.sig", "eyJ.oidc-token-1.sig"]
    assert service.refusals == []


def test_a_given_token_leaves_the_token_service_alone(
    make: Any, account: Any, service: Any
) -> None:
    token = service.add_user("ada")
    service.faults.plan("oidc", *[Fault(Mischief.STATUS, 500)] * 11)

    account.uploader(service.oidc_variables, token=token).upload(make(facts=private()))

    assert service.uploads[0].token == token


def test_an_expired_token_is_renewed(make: Any, account: Any, service: Any) -> None:
    service.faults.plan("oidc", Fault(Mischief.EXPIRED))

    account.uploader(service.oidc_variables).upload(make(facts=private()))

    assert service.uploads[0].token == "eyJ.oidc-token-1.sig"
    # It is one upload, so it is counted once.
    assert '"run-index":0' in service.uploads[0].document["runPart"]["runPartId"]


def test_tokens_that_always_expire_end_in_an_error(make: Any, account: Any, service: Any) -> None:
    service.faults.plan("oidc", *[Fault(Mischief.EXPIRED)] * 10)

    with pytest.raises(AuthenticationError, match="401"):
        account.uploader(service.oidc_variables).upload(make(facts=private()))


def test_without_a_token_a_private_repository_is_an_error(
    make: Any, account: Any, service: Any
) -> None:
    service.faults.plan("oidc", *[Fault(Mischief.STATUS, 500)] * 11)

    with pytest.raises(UploadError, match="Failed to retrieve OIDC token for authentication"):
        account.uploader(service.oidc_variables).upload(make(facts=private()))


def test_without_a_token_a_public_repository_goes_tokenless(
    make: Any, account: Any, service: Any, listener: Any, naps: Any
) -> None:
    service.faults.plan("oidc", *[Fault(Mischief.STATUS, 500)] * 11)

    account.uploader(service.oidc_variables).upload(make())

    assert service.uploads[0].document["tokenless"] is True
    assert "Failed to retrieve OIDC token for authentication." in listener.warnings[0]
    assert naps.seconds == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0, 30.0]


def test_a_private_repository_without_permission_is_told_what_to_give(
    make: Any, account: Any
) -> None:
    with pytest.raises(AuthenticationError) as caught:
        account.uploader().upload(make(facts=private()))

    assert "id-token: write" in str(caught.value.hint)


def test_a_private_fork_goes_tokenless(make: Any, account: Any, service: Any) -> None:
    account.uploader().upload(make(facts=private(is_fork="true")))

    assert service.uploads[0].document["tokenless"] is True


def test_buildkite_needs_a_token(make: Any, account: Any) -> None:
    with pytest.raises(AuthenticationError, match="Token authentication is required"):
        account.uploader().upload(make(context={"provider": "buildkite"}))


@pytest.mark.parametrize("token", ["two\nlines", "caf\u00e9", "with space", "nul\0"])
def test_what_can_be_no_token_is_refused_without_being_shown(
    make: Any, account: Any, token: str
) -> None:
    with pytest.raises(AuthenticationError) as caught:
        account.uploader(token=token).upload(make())

    assert token not in str(caught.value)
    assert "characters" in caught.value.problem


def test_line_ends_around_a_token_are_no_part_of_it(make: Any, account: Any, service: Any) -> None:
    token = service.add_user("ada")

    account.uploader(token=f"{token}\n").upload(make())

    assert service.uploads[0].token == token


@pytest.mark.parametrize("request_kind", ["oidc", "announce", "store"])
@pytest.mark.parametrize("kind", [*Mischief, None])
def test_no_secret_is_ever_shown(
    make: Any, account: Any, service: Any, listener: Any, request_kind: str, kind: Any
) -> None:
    """Not in lines, errors, reprs, tracebacks or the bundle, whatever goes wrong."""
    faults = [Fault(kind)] * 12 if kind else []
    service.faults.plan(request_kind, *faults)
    env = {**service.oidc_variables, "MONGO_URI": MONGO, "CODSPEED_TOKEN": PLANTED}
    bundle = make(facts=private(oidc="true"))
    client = account.client(answer_seconds=0.02)
    uploader = account.uploader(env, client, oauth_token="" if kind else PLANTED)
    said = io.StringIO()
    try:
        said.write(repr(uploader.upload(bundle)))
    except CodspeedError as failure:
        said.write(repr(failure) + str(failure) + "".join(traceback.format_exception(failure)))
    said.write(listener.everything + repr(uploader.options) + repr(client) + repr(vars(uploader)))
    said.write("".join(path.read_text("latin-1") for path in Path(bundle.path).rglob("*.json")))
    shown = said.getvalue()

    secrets = [PLANTED, "oidc-token-", "planted-mongo", service.oidc_request_token, "X-Amz"]
    assert [secret for secret in secrets if secret in shown] == []


def test_a_service_that_repeats_the_token_is_not_quoted(
    make: Any, account: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from codspeed.testing.service_rules import RefusedError  # noqa: PLC0415 - beside its use

    def echo(headers: Any, _body: bytes) -> Any:
        raise RefusedError(json.dumps(headers["Authorization"]), 401)

    monkeypatch.setattr(service, "announce", echo)

    with pytest.raises(AuthenticationError) as caught:
        account.uploader(token=PLANTED).upload(make())

    assert PLANTED not in str(caught.value)
    assert "***" in caught.value.problem
