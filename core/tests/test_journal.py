"""The log: what it holds, what it never holds, and what does not stop it."""

from __future__ import annotations

import errno
import itertools
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codspeed.errors import ToolError
from codspeed.journal import Journal, secrets_of
from codspeed.model import Launch, Reporter, RunPart
from codspeed.testing import FakeReporter

SECRET = "s3cr3t-t0ken"


def lines_of(path: Path) -> list[str]:
    """Lines of a log without their time."""
    return [line.partition(" ")[2] for line in path.read_text("utf-8").splitlines()]


class Closed(Reporter):
    """A reporter whose terminal went away."""

    def output(self, data: bytes, *, stream: str) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    def info(self, text: str) -> None:
        msg = "I/O operation on closed file"
        raise ValueError(msg)


def test_every_event_is_a_line_and_is_handed_on(tmp_path: Path) -> None:
    reporter = FakeReporter()
    part = RunPart(0, "walltime", "walltime", "make bench", Launch(()), tmp_path)
    with Journal(reporter, tmp_path / "log.txt", {}) as journal:
        journal.part_started(part, count=2)
        journal.debug("a")
        journal.info("b")
        journal.warning("c")
        journal.error(ToolError("d", hint="e"))
        journal.benchmark("x::y")
        journal.finished(None, ["kept"])

    assert lines_of(tmp_path / "log.txt") == [
        "[INFO] part 1 of 2: walltime: make bench",
        "[DEBUG] a",
        "[INFO] b",
        "[WARN] c",
        "[ERROR] d",
        "",
        "[DEBUG] benchmark x::y",
        "[INFO] kept",
    ]
    assert [name for name, _ in reporter.events] == [
        "part_started", "debug", "info", "warning", "error", "benchmark", "finished"
    ]  # fmt: skip


def test_a_line_begins_with_the_time_in_utc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "gmtime", lambda: time.struct_time((2026, 1, 2, 3, 4, 5, 4, 2, 0)))
    with Journal(Reporter(), tmp_path / "log.txt", {}) as journal:
        journal.info("hello")

    assert (tmp_path / "log.txt").read_text() == "03:04:05 [INFO] hello\n"


def test_output_is_written_line_by_line_and_each_stream_for_itself(tmp_path: Path) -> None:
    with Journal(Reporter(), tmp_path / "log.txt", {}) as journal:
        journal.output(b"one\ntw", stream="stdout")
        journal.output(b"err", stream="stderr")
        journal.output(b"o\nno end", stream="stdout")

    assert lines_of(tmp_path / "log.txt") == [
        "[TRACE] one",
        "[TRACE] two",
        "[TRACE] no end",
        "[TRACE] [stderr] err",
    ]


def test_what_is_no_utf8_does_not_stop_the_log(tmp_path: Path) -> None:
    with Journal(Reporter(), tmp_path / "log.txt", {}) as journal:
        journal.output(b"caf\xe9\n", stream="stdout")
        journal.info("odd \udce9")

    assert lines_of(tmp_path / "log.txt") == ["[TRACE] caf\ufffd", "[INFO] odd ?"]


def test_everything_that_is_said_is_on_disk_at_once(tmp_path: Path) -> None:
    with Journal(Reporter(), tmp_path / "log.txt", {}) as journal:
        journal.output(b"shown\n", stream="stdout")
        journal.tick()

        assert lines_of(tmp_path / "log.txt") == ["[TRACE] shown"]


def test_a_copy_holds_what_was_written_so_far_also_a_line_without_end(tmp_path: Path) -> None:
    with Journal(Reporter(), tmp_path / "log.txt", {}) as journal:
        journal.output(b"no end", stream="stdout")
        journal.copy_to(tmp_path / "copy")
        journal.info("later")

    assert lines_of(tmp_path / "copy") == ["[TRACE] no end"]


# --- Secrets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "CODSPEED_TOKEN",
        "github_token",
        "AWS_SECRET_ACCESS_KEY",
        "DB_PASSWORD",
        "PGPASSWORD",
        "OPENAI_API_KEY",
        "APIKEY",
        "SSH_PRIVATE_KEY",
        "KEY_PASSPHRASE",
        "GH_PAT",
        "MY_MONGO_URI",
    ],
)
def test_a_variable_with_such_a_name_is_a_secret(name: str) -> None:
    assert secrets_of({name: SECRET}) == (SECRET,)


@pytest.mark.parametrize(
    ("name", "value"),
    [("PATH", "/usr/bin:/bin"), ("PWD", "/home/user"), ("MY_TOKEN", "short"), ("PATTERN", SECRET)],
)
def test_other_and_short_values_are_none(name: str, value: str) -> None:
    assert secrets_of({name: value}) == ()


def test_a_password_in_a_url_is_a_secret() -> None:
    env = {"DATABASE_URL": "postgres://bob:hunter22@db/x", "HOME_URL": "http://host:8080/a@b"}

    assert secrets_of(env) == ("hunter22",)


def test_longer_secrets_go_first_so_that_no_rest_of_them_stays() -> None:
    assert secrets_of({"A_TOKEN": "abcdef", "B_TOKEN": "abcdefgh"}) == ("abcdefgh", "abcdef")


def test_no_secret_reaches_the_file(tmp_path: Path) -> None:
    with Journal(Reporter(), tmp_path / "log.txt", {"CODSPEED_TOKEN": SECRET}) as journal:
        journal.info(f"using {SECRET}")
        journal.error(ToolError("refused", hint=f"with {SECRET}"))
        journal.output(f"token={SECRET}\n".encode(), stream="stdout")
        journal.output(SECRET[:5].encode(), stream="stderr")
        journal.output(f"{SECRET[5:]}\n".encode(), stream="stderr")
        journal.finished(None, [SECRET])

    text = (tmp_path / "log.txt").read_text()

    assert SECRET not in text
    assert text.count("***") == 5


def test_each_line_of_a_key_is_a_secret(tmp_path: Path) -> None:
    key = "-----BEGIN KEY-----\nAAAABBBBCCCC\nDDDDEEEEFFFF\n-----END KEY-----\n"
    with Journal(Reporter(), tmp_path / "log.txt", {"DEPLOY_PRIVATE_KEY": key}) as journal:
        journal.output(key.encode(), stream="stdout")

    assert lines_of(tmp_path / "log.txt") == ["[TRACE] ***"] * 4


@given(
    cuts=st.lists(st.integers(0, 200_000), max_size=6),
    places=st.lists(st.integers(0, 190_000), min_size=1, max_size=6),
)
def test_a_long_line_is_cut_but_never_within_a_secret(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], places: list[int]
) -> None:
    path = tmp_path_factory.mktemp("log") / "log.txt"
    data = bytearray(b"." * 200_000)
    for place in places:
        data[place : place + len(SECRET)] = SECRET.encode()
    edges = [0, *sorted(cuts), len(data)]
    with Journal(Reporter(), path, {"CODSPEED_TOKEN": SECRET}) as journal:
        for start, end in itertools.pairwise(edges):
            journal.output(bytes(data[start:end]), stream="stdout")

    text = "".join(line.removeprefix("[TRACE] ") for line in lines_of(path))

    assert SECRET not in text
    assert len(text) == len(data) - text.count("***") * (len(SECRET) - 3)


def test_a_progress_bar_without_line_ends_is_not_held_in_memory(tmp_path: Path) -> None:
    with Journal(Reporter(), tmp_path / "log.txt", {}) as journal:
        for _ in range(100):
            journal.output(b"\r 50 % " * 10_000, stream="stdout")

        assert len(journal._tails["stdout"]) <= 1 << 17


# --- What goes wrong around it --------------------------------------------------------------------


def test_a_log_that_cannot_be_opened_is_a_warning(tmp_path: Path) -> None:
    reporter = FakeReporter()
    with Journal(reporter, tmp_path / "no" / "log.txt", {}) as journal:
        journal.info("still told")
        journal.copy_to(tmp_path / "copy")

    assert reporter.told("info") == ["still told"]
    assert reporter.told("warning")[0].startswith("no log: ")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110 - a device, and no Path at import
def test_a_full_disk_ends_the_log_with_one_warning_and_nothing_else() -> None:
    reporter = FakeReporter()
    with Journal(reporter, Path("/dev/full"), {}) as journal:
        journal.info("one")
        journal.output(b"x\n" * 100_000, stream="stdout")
        journal.info("two")

    assert reporter.told("info") == ["one", "two"]
    assert reporter.told("warning") == ["the log ends here: [Errno 28] No space left on device"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110 - a device, and no Path at import
def test_a_disk_that_is_full_at_the_very_end_raises_nothing() -> None:
    reporter = FakeReporter()
    with Journal(reporter, Path("/dev/full"), {}) as journal:
        journal.debug("held in the buffer until the end")

    assert len(reporter.told("warning")) == 1


def test_a_closed_terminal_is_noted_once_and_ends_nothing(tmp_path: Path) -> None:
    with Journal(Closed(), tmp_path / "log.txt", {}) as journal:
        journal.output(b"a\n", stream="stdout")
        journal.info("b")

    assert lines_of(tmp_path / "log.txt") == [
        "[TRACE] a",
        "[WARN] the user can't be told any more: BrokenPipeError(32, 'Broken pipe')",
        "[INFO] b",
    ]


def test_a_fault_of_the_reporter_itself_is_not_hidden(tmp_path: Path) -> None:
    class Broken(Reporter):
        def debug(self, text: str) -> Any:
            raise ZeroDivisionError

    with Journal(Broken(), tmp_path / "log.txt", {}) as journal, pytest.raises(ZeroDivisionError):
        journal.debug("x")
