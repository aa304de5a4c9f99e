"""The log of a run: everything that happened, on disk while it happens, without secrets.

A `Journal` is a `Reporter` that writes each event down and hands it on. Lines look like the
reference's (spec/cli-upload.md 6.3): `HH:MM:SS [LEVEL] message`, UTC; the benchmark's own output
is at level TRACE.

Nothing that goes wrong here, on the disk or on the way to the user, reaches the run.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from typing import IO, TYPE_CHECKING, Any, Final, Self

from codspeed.model import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from codspeed.errors import CodspeedError
    from codspeed.model import Bundle, PartResults, RunPart

_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|AUTHORIZATION|API_?KEY|ACCESS_?KEY"
    r"|PRIVATE_?KEY|MONGO.*URI|(^|_)PAT$",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"://[^/@:\s]*:([^/@\s]+)@")
_SHORTEST_SECRET: Final = 6  # characters; shorter values would blacken ordinary text
_MASK: Final = "***"
# Output without a line end (a progress bar of carriage returns) is written in pieces of this size.
_LONGEST_LINE_BYTES: Final = 1 << 16


def secrets_of(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values in an environment that must never be shown, longest first.

    These are values of variables whose names say so, the lines of such values (the log goes by
    lines), and passwords in URLs.
    """
    named = [value for name, value in env.items() if _SECRET_NAME.search(name)]
    lines = [line.strip() for value in named for line in value.splitlines()]
    in_urls = [password for value in env.values() for password in _URL_PASSWORD.findall(value)]
    values = {value for value in (*named, *lines, *in_urls) if len(value) >= _SHORTEST_SECRET}
    return tuple(sorted(values, key=lambda value: (-len(value), value)))


def redacted(text: str, secrets: Sequence[str]) -> str:
    """Return `text` without `secrets`."""
    for secret in secrets:
        text = text.replace(secret, _MASK)
    return text


class Journal(Reporter):
    """Writes to a file and hands on to another reporter. A context manager: it owns the file.

    Attributes:
        secrets: What is not written; see `secrets_of`.
    """

    def __init__(self, reporter: Reporter, path: Path, env: Mapping[str, str]) -> None:
        self.secrets = secrets_of(env)
        self._reporter = reporter
        self._path = path
        self._file: IO[str] | None = None
        self._tails = {"stdout": b"", "stderr": b""}
        # What may be the first part of a secret stays behind when a long line is cut.
        self._kept_bytes = max((len(_encoded(secret)) for secret in self.secrets), default=1) - 1
        self._is_heard = True

    def __enter__(self) -> Self:
        """Open the file; a log that can't be written does not stop a run."""
        try:
            self._file = self._path.open("a", encoding="utf-8", errors="replace")
        except OSError as failure:
            self._tell(self._reporter.warning, f"no log: {failure}")
        return self

    def __exit__(self, *_exc: object) -> None:
        """Write what is left and close."""
        self._flush_tails()
        self._flush()
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def redacted(self, text: str) -> str:
        """Return `text` without the secrets of the environment."""
        return redacted(text, self.secrets)

    def copy_to(self, target: Path) -> None:
        """Copy what was written so far.

        Raises:
            OSError: If the target can't be written.
        """
        self._flush_tails()
        self._flush()
        if self._file is not None:
            shutil.copyfile(self._path, target)

    def debug(self, text: str) -> None:  # noqa: D102 - see Reporter, also below
        self._note("DEBUG", text)
        self._tell(self._reporter.debug, text)

    def info(self, text: str) -> None:  # noqa: D102 - see Reporter
        self._note("INFO", text)
        self._flush()
        self._tell(self._reporter.info, text)

    def warning(self, text: str) -> None:  # noqa: D102 - see Reporter
        self._note("WARN", text)
        self._flush()
        self._tell(self._reporter.warning, text)

    def verbatim(self, text: str, *, stream: str = "stderr") -> None:  # noqa: D102 - see Reporter
        self._note("INFO", text)
        self._tell(self._reporter.verbatim, text, stream=stream)

    def error(self, error: CodspeedError) -> None:  # noqa: D102 - see Reporter
        self._note("ERROR", str(error))
        self._flush()
        self._tell(self._reporter.error, error)

    def part_started(self, part: RunPart, *, count: int) -> None:  # noqa: D102 - see Reporter
        self._note("INFO", f"part {part.index + 1} of {count}: {part.executor}: {part.label}")
        self._flush()
        self._tell(self._reporter.part_started, part, count=count)

    def released(self) -> None:  # noqa: D102 - see Reporter
        self._tell(self._reporter.released)

    def output(self, data: bytes, *, stream: str) -> None:  # noqa: D102 - see Reporter
        *lines, tail = (self._tails[stream] + data).split(b"\n")
        for line in lines:
            self._note_output(line, stream)
        self._tails[stream] = self._cut(tail, stream) if len(tail) > _LONGEST_LINE_BYTES else tail
        self._tell(self._reporter.output, data, stream=stream)

    def window(self, *, is_open: bool) -> None:  # noqa: D102 - see Reporter
        self._tell(self._reporter.window, is_open=is_open)

    def benchmark(self, uri: str) -> None:  # noqa: D102 - see Reporter
        self._note("DEBUG", f"benchmark {uri}")
        self._tell(self._reporter.benchmark, uri)

    def tick(self) -> None:  # noqa: D102 - see Reporter
        self._flush()  # no window is open: now there is time for the disk
        self._tell(self._reporter.tick)

    def part_finished(self, part: RunPart, results: PartResults | None) -> None:  # noqa: D102 - see Reporter
        self._flush_tails()
        self._flush()
        self._tell(self._reporter.part_finished, part, results)

    def finished(self, bundle: Bundle | None, lines: Sequence[str]) -> None:  # noqa: D102 - see Reporter
        for line in lines:
            self._note("INFO", line)
        self._tell(self._reporter.finished, bundle, lines)

    def _tell(self, method: Callable[..., None], *what: Any, **more: Any) -> None:
        """Hand on; a closed terminal or pipe is noted once and ends nothing."""
        try:
            method(*what, **more)
        except (OSError, ValueError) as failure:
            if self._is_heard:
                self._is_heard = False
                self._note("WARN", f"the user can't be told any more: {failure!r}")

    def _cut(self, tail: bytes, stream: str) -> bytes:
        """Write a long line down but for what may be the first part of a secret; return that."""
        for secret in self.secrets:
            tail = tail.replace(_encoded(secret), _MASK.encode())
        end = len(tail) - self._kept_bytes
        self._note_output(tail[:end], stream)
        return tail[end:]

    def _flush_tails(self) -> None:
        for stream, tail in self._tails.items():
            if tail:
                self._tails[stream] = b""
                self._note_output(tail, stream)

    def _note_output(self, line: bytes, stream: str) -> None:
        prefix = "[stderr] " if stream == "stderr" else ""
        self._note("TRACE", prefix + line.decode(errors="replace"))

    def _note(self, level: str, text: str) -> None:
        if self._file is None:
            return
        stamp = time.strftime("%H:%M:%S", time.gmtime())
        try:
            self._file.write(f"{stamp} [{level}] {self.redacted(text)}\n")
        except OSError as failure:
            self._give_up(failure)

    def _flush(self) -> None:
        if self._file is None:
            return
        try:
            self._file.flush()
        except OSError as failure:
            self._give_up(failure)

    def _give_up(self, failure: OSError) -> None:
        """End the log: a full disk must not end the measurement."""
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()
        self._tell(self._reporter.warning, f"the log ends here: {failure}")


def _encoded(secret: str) -> bytes:
    return secret.encode("utf-8", "surrogateescape")
