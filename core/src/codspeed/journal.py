"""The log of a run: everything that happened, on disk while it happens, without secrets.

A `Journal` is a `Reporter` that writes each event down and hands it on. Lines look like the
reference's (spec/cli-upload.md 6.3): `HH:MM:SS [LEVEL] message`, UTC; the benchmark's own output
is at level TRACE.
"""

from __future__ import annotations

import re
import shutil
import time
from typing import IO, TYPE_CHECKING, Final, Self

from codspeed.model import Reporter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from codspeed.errors import CodspeedError
    from codspeed.model import Bundle, PartResults, RunPart

_SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|PRIVATE_KEY|MONGO.*URI", re.IGNORECASE
)
_SHORTEST_SECRET: Final = 6  # characters; shorter values would blacken ordinary text
_MASK: Final = "***"


def secrets_of(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values in an environment that must never be shown, longest first."""
    values = {
        value
        for name, value in env.items()
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET
    }
    return tuple(sorted(values, key=len, reverse=True))


class Journal(Reporter):
    """Writes to a file and hands on to another reporter. A context manager: it owns the file."""

    def __init__(self, reporter: Reporter, path: Path, env: Mapping[str, str]) -> None:
        self._reporter = reporter
        self._path = path
        self._secrets = secrets_of(env)
        self._file: IO[str] | None = None
        self._tails = {"stdout": b"", "stderr": b""}

    def __enter__(self) -> Self:
        """Open the file; a log that can't be written does not stop a run."""
        try:
            self._file = self._path.open("a", encoding="utf-8", errors="replace")
        except OSError as failure:
            self._reporter.warning(f"no log: {failure}")
        return self

    def __exit__(self, *_exc: object) -> None:
        """Write what is left and close."""
        self._flush_tails()
        if self._file is not None:
            self._file.close()
            self._file = None

    def redacted(self, text: str) -> str:
        """Return `text` without the secrets of the environment."""
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        return text

    def copy_to(self, target: Path) -> None:
        """Copy what was written so far.

        Raises:
            OSError: If the target can't be written.
        """
        self._flush_tails()
        if self._file is not None:
            self._file.flush()
            shutil.copyfile(self._path if self._path.exists() else self._file.name, target)

    def debug(self, text: str) -> None:  # noqa: D102 - see Reporter, also below
        self._note("DEBUG", text)
        self._reporter.debug(text)

    def info(self, text: str) -> None:  # noqa: D102
        self._note("INFO", text)
        self._reporter.info(text)

    def warning(self, text: str) -> None:  # noqa: D102
        self._note("WARN", text)
        self._reporter.warning(text)

    def error(self, error: CodspeedError) -> None:  # noqa: D102
        self._note("ERROR", str(error))
        self._reporter.error(error)

    def part_started(self, part: RunPart, *, count: int) -> None:  # noqa: D102
        self._note("INFO", f"part {part.index + 1} of {count}: {part.executor}: {part.label}")
        self._reporter.part_started(part, count=count)

    def output(self, data: bytes, *, stream: str) -> None:  # noqa: D102
        *lines, self._tails[stream] = (self._tails[stream] + data).split(b"\n")
        for line in lines:
            self._note_output(line, stream)
        self._reporter.output(data, stream=stream)

    def window(self, *, is_open: bool) -> None:  # noqa: D102
        self._reporter.window(is_open=is_open)

    def benchmark(self, uri: str) -> None:  # noqa: D102
        self._note("DEBUG", f"benchmark {uri}")
        self._reporter.benchmark(uri)

    def tick(self) -> None:  # noqa: D102
        self._reporter.tick()

    def part_finished(self, part: RunPart, results: PartResults | None) -> None:  # noqa: D102
        self._reporter.part_finished(part, results)

    def finished(self, bundle: Bundle | None, lines: Sequence[str]) -> None:  # noqa: D102
        self._reporter.finished(bundle, lines)

    def _flush_tails(self) -> None:
        for stream, tail in self._tails.items():
            if tail:
                self._note_output(tail, stream)
                self._tails[stream] = b""

    def _note_output(self, line: bytes, stream: str) -> None:
        prefix = "[stderr] " if stream == "stderr" else ""
        self._note("TRACE", prefix + line.decode(errors="replace"))

    def _note(self, level: str, text: str) -> None:
        if self._file is None:
            return
        stamp = time.strftime("%H:%M:%S", time.gmtime())
        try:
            self._file.write(f"{stamp} [{level}] {self.redacted(text)}\n")
        except OSError as failure:  # a full disk must not end the measurement
            self._file = None
            self._reporter.warning(f"the log ends here: {failure}")
