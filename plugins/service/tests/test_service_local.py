"""Runs by hand: where they go, how long we wait for them, and what is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from codspeed.errors import AuthenticationError, UploadError
from codspeed_service.api import Api, ServiceError
from codspeed_service.poll import Poll

REPOSITORY = ("GITHUB", "Acme", "widgets")
RESULT = {
    "benchmark": {"name": 'parse "x"', "executor": "walltime"},
    "value": 2e-6,
    "issues": None,
    "valgrind": None,
    "walltime": {"iterations": 1234, "stdev": 1e-8, "totalTime": 1.5},
    "memory": None,
}


@pytest.fixture
def token(service: Any) -> str:
    service.api.results = [RESULT]
    made: str = service.add_user("ada", REPOSITORY)
    return made


def test_the_repository_of_the_remote_in_the_services_spelling(
    make: Any, local: Any, account: Any, service: Any, token: str, listener: Any, naps: Any
) -> None:
    receipt = account.uploader(oauth_token=token).upload(make(context=local))

    document = service.uploads[0].document
    assert (document["owner"], document["repository"]) == ("Acme", "widgets")
    assert document["ref"] == document["commitHash"] == "0123456789abcdef" * 2 + "01234567"
    assert (document["headRef"], document["baseRef"]) == ("topic", None)
    assert receipt.url == "https://codspeed.example/Acme/widgets/runs"
    assert listener.lines[-2:] == [
        'parse "x": best 2.00 \u00b5s (1,234 iterations, rel. stddev: 0.50%, total 1.50 s)',
        "View full report: https://codspeed.example/Acme/widgets/runs",
    ]
    assert naps.seconds == [1.0, 1.0]
    assert service.refusals == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"remote": ""}, "the remote `origin` names no repository"),
        ({"remote": "", "commit": ""}, "not in a repository"),
        ({"remote": "https://github.com/acme/other"}, "acme/other is not enabled on CodSpeed"),
        ({"remote": "https://git.corp.example/a/b"}, "git.corp.example is not supported"),
        ({"remote": "https://github.com/acme/closed"}, "not authorized for acme/closed"),
    ],
)
def test_everything_else_goes_to_the_users_project(
    make: Any,
    local: Any,
    account: Any,
    service: Any,
    token: str,
    listener: Any,
    changes: Any,
    why: str,
) -> None:
    service.api.repositories["GITHUB", "acme", "closed"] = False

    account.uploader(token=token).upload(make(context=local | changes))

    document = service.uploads[0].document
    assert document["repositoryProvider"] == "PROJECT"
    assert (document["owner"], document["repository"]) == ("ada", "local-runs")
    assert (document["commitHash"], document["headRef"]) == ("a" * 40, None)
    assert why in listener.lines[0]
    assert service.refusals == []


def test_a_chosen_repository(make: Any, local: Any, account: Any, service: Any, token: str) -> None:
    service.api.repositories["GITLAB", "group", "tool/x"] = True

    account.uploader(token=token, repository="group/tool/x", provider="GL").upload(
        make(context=local)
    )

    assert service.uploads[0].document["repository"] == "tool/x"


@pytest.mark.parametrize(("repository", "why"), [("a/b", "not known"), ("a/c", "not authorized")])
def test_a_chosen_repository_must_be_writable(
    make: Any, local: Any, account: Any, service: Any, token: str, repository: str, why: str
) -> None:
    service.api.repositories["GITHUB", "a", "c"] = False

    with pytest.raises(UploadError, match=why):
        account.uploader(token=token, repository=repository).upload(make(context=local))


def test_nobody_is_logged_in(make: Any, local: Any, account: Any) -> None:
    with pytest.raises(AuthenticationError) as caught:
        account.uploader().upload(make(context=local))

    assert "codspeed auth login" in str(caught.value.hint)


def test_a_login_that_is_over(make: Any, local: Any, account: Any) -> None:
    with pytest.raises(AuthenticationError, match=r"Invalid token\. Run `codspeed auth login`"):
        account.uploader(oauth_token="old-token").upload(make(context=local))


def test_the_last_of_several_parts_is_waited_for(
    make: Any, part: Any, local: Any, account: Any, service: Any, token: str
) -> None:
    account.uploader(token=token).upload(make(part(), part("memory", 1), context=local))

    counts = {upload.document["localData"]["expectedRunPartsCount"] for upload in service.uploads}
    assert counts == {2}
    assert len({upload.document["runPart"]["runId"] for upload in service.uploads}) == 1


def test_events_are_json_whatever_the_name(
    make: Any, local: Any, account: Any, token: str, listener: Any
) -> None:
    account.uploader(token=token, message_format="json").upload(make(context=local))

    assert [stream for stream, _ in listener.verbatims] == ["stdout", "stdout"]
    assert listener.verbatims[0][1] == '{"event": "run_finished", "run_id": "run-0"}'
    assert json.loads(listener.verbatims[1][1]) == {
        "event": "benchmark_ran",
        "name": 'parse "x"',
        "time": "0.000002",
    }


def test_a_comparison(
    make: Any, local: Any, account: Any, service: Any, token: str, listener: Any
) -> None:
    compared = {
        "benchmark": {"name": "b", "executor": "valgrind"},
        "value": 1e-3,
        "baseValue": 2e-3,
        "change": 1.0,
        "category": "Improvement",
        "status": "Improvement",
        "result": {"issues": {"callgraphGenerationFailure": "too deep"}},
    }
    service.api.comparison = {"impact": 1.0, "resultComparisons": [compared]}

    account.uploader(token=token, base="run-x").upload(make(context=local))

    shown = "\n".join(listener.lines)
    assert "\u2191 Impact: +100.0%" in shown
    assert (
        "\u2502 b         \u2502 2.00 ms \u2502 1.00 ms \u2502 +100.0% \u2502 Improvement" in shown
    )
    assert "View comparison report: " in shown
    assert listener.warnings == ["no call graph for b: too deep"]


@pytest.mark.parametrize(
    ("code", "why"), [("RUN_NOT_FOUND", "was not found"), ("NOT_FOUND", "different executor")]
)
def test_a_base_that_can_not_be_used_is_a_warning(
    make: Any,
    local: Any,
    account: Any,
    service: Any,
    token: str,
    listener: Any,
    code: str,
    why: str,
) -> None:
    service.api.base_error = code

    account.uploader(token=token, base="run-x").upload(make(context=local))

    assert why in listener.warnings[0]
    assert "View full report" in listener.lines[-1]


def test_a_run_without_results_is_a_warning(
    make: Any, local: Any, account: Any, service: Any, token: str, listener: Any
) -> None:
    service.api.results = []

    receipt = account.uploader(token=token).upload(make(context=local))

    assert receipt.url == ""
    assert "No instrumented benchmarks" in listener.warnings[0]


def test_a_run_that_fails_is_no_failed_upload(
    make: Any, local: Any, account: Any, service: Any, token: str
) -> None:
    service.api.statuses = ["FAILURE"]

    with pytest.raises(ServiceError, match="Run failed to be processed") as caught:
        account.uploader(token=token).upload(make(context=local))

    assert caught.value.exit_code == 1
    assert "the results are uploaded (run run-0)" in str(caught.value.hint)
    assert "codspeed upload" not in str(caught.value.hint)
    assert len(service.uploads) == 1


def test_an_analysis_that_fails_is_a_warning_where_the_upload_is_optional(
    make: Any, local: Any, account: Any, service: Any, token: str, listener: Any
) -> None:
    service.api.statuses = ["FAILURE"]

    receipt = account.uploader(token=token, upload_optional=True).upload(make(context=local))

    assert (receipt.message, receipt.url) == ("uploaded to CodSpeed: Acme/widgets", "")
    assert "the results are uploaded" in listener.warnings[0]


def test_without_the_api_nothing_is_uploaded_and_the_upload_can_be_repeated(
    make: Any, local: Any, account: Any, service: Any, token: str
) -> None:
    bundle = make(context=local)

    with pytest.raises(UploadError) as caught:
        account.uploader(token=token, api_url="http://127.0.0.1:9/").upload(bundle)

    assert caught.value.exit_code == 8
    assert f"codspeed upload {bundle.path} --uploader codspeed" in str(caught.value.hint)
    assert service.announced == []


def test_waiting_ends_after_five_minutes(account: Any, service: Any, token: str) -> None:
    from codspeed_service.api import Repository  # noqa: PLC0415 - beside its use

    service.api.statuses = ["PROCESSING"]
    api = Api(account.client(), service.api_url, token)
    poll = Poll(
        api, Repository(*REPOSITORY), account.naps.sleep, lambda: float(len(account.naps.seconds))
    )

    with pytest.raises(ServiceError, match="Polling results timed out after 5 minutes"):
        poll.run("run-0")

    assert len(account.naps.seconds) == 300
