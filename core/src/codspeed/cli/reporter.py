"""What the user sees during a run: plain lines, a rolling window (`window.py`), or JSON events.

Human text goes to standard error. The benchmark's own output goes where it wrote it, in JSON mode
to standard error. Everything is called from the run's one thread, and draws nothing while a
benchmark window is open.
"""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any, Final, Self

from codspeed.cli.terminal import LEVELS, Style, error_lines, has_colour, is_terminal, level, size
from codspeed.model import Reporter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from codspeed.cli.app import App
    from codspeed.errors import CodspeedError
    from codspeed.model import Bundle, PartResults, RunPart, RunReport

# History: 1 first version.
EVENT_SCHEMA: Final = "codspeed.event/1"

_LEAST_ROWS: Final = 5  # a lower terminal has no room for a box
_MOST_HELD_BYTES: Final = 1 << 20  # of output held back while a benchmark window is open


class PlainReporter(Reporter):
    """Lines, one after the other; also what the others are made of.

    Args:
        env: For the level of detail and colours.
        labels: Headings of executors by name; asked for when a run has something to show.
        merge_output: Show the benchmark's standard output on standard error.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        labels: Callable[[], Mapping[str, str]],
        *,
        merge_output: bool = False,
    ) -> None:
        self._env = env
        self._labels = labels
        self._level = level(env)
        self._style = Style(enabled=has_colour(sys.stderr, env))
        self._merge = merge_output
        self._held: list[tuple[str, bytes]] = []
        self._held_bytes = 0
        self._is_open = False
        self._at_line_start = True
        self._is_heard = True
        self._title = ""
        self._started = 0.0

    def __enter__(self) -> Self:
        """Begin; nothing is drawn yet."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Show what was held back."""
        self._is_open = False
        self._release()

    def debug(self, text: str) -> None:
        """Show a detail if CODSPEED_LOG asks for it."""
        if self._level <= LEVELS.index("debug"):
            self._say(self._lines(self._style("·", "dim"), text))

    def info(self, text: str) -> None:
        """Show a line."""
        if self._level <= LEVELS.index("info"):
            self._say([f"  {line}" for line in text.splitlines() or [""]])

    def warning(self, text: str) -> None:
        """Show a line that starts with a sign."""
        if self._level <= LEVELS.index("warn"):
            self._say(self._lines(self._style("⚠", "yellow"), text))

    def verbatim(self, text: str, *, stream: str = "stderr") -> None:
        """Show a line without colour or indent."""
        if stream == "stderr":
            self._say([text])
        else:
            self._show_output(f"{text}\n".encode(), stream)

    def error(self, error: CodspeedError) -> None:
        """Show problem and hint."""
        causes = self._level <= LEVELS.index("debug")
        self._say(error_lines(error, self._style, causes=causes))

    def part_started(self, part: RunPart, *, count: int) -> None:
        """Show a heading."""
        place = f" ({part.index + 1}/{count})" if count > 1 else ""
        heading = self._labels().get(part.executor, part.executor)
        self._title = f"{heading} - {_one_line(part.label)}{place}"
        self._started = time.monotonic()
        self._begin_part()

    def released(self) -> None:
        """Import what shows results: while the command starts, that keeps nobody waiting."""
        if self._level <= LEVELS.index("info"):
            from codspeed.cli import table  # noqa: F401, PLC0415 - see above

    def output(self, data: bytes, *, stream: str) -> None:
        """Pass on what the command wrote; between Start and Stop of a benchmark it waits."""
        self._held.append((stream, data))
        self._held_bytes += len(data)
        if not self._is_open or self._held_bytes > _MOST_HELD_BYTES:
            self._release()

    def window(self, *, is_open: bool) -> None:
        """Follow the benchmark window."""
        self._is_open = is_open

    def tick(self) -> None:
        """Show what was held back."""
        if not self._is_open:
            self._release()

    def part_finished(self, part: RunPart, results: PartResults | None) -> None:
        """Show what is still held back; the results come at the end."""
        self._is_open = False
        self._release()
        self._end_part(is_ok=results is not None and not part.error)

    def finished(self, bundle: Bundle | None, lines: Sequence[str]) -> None:
        """Show tables, where the results went, and where the bundle is."""
        if self._level > LEVELS.index("info"):
            return
        if bundle is not None and any(part.benchmarks for part in bundle.results):
            from codspeed.cli import table  # noqa: PLC0415 - imports rich; see `released`

            self._say(table.render(bundle.results, self._labels(), sys.stderr, self._env))
        shown = list(lines) + ([f"Bundle: {bundle.path}"] if bundle is not None else [])
        self._say([f"  {line}" for line in shown])

    def ended(self, report: RunReport) -> None:
        """Tell the exit code; only events need it."""

    # --- to override

    def _begin_part(self) -> None:
        if self._level <= LEVELS.index("info"):
            self._say(["", "  " + self._style(f"\u203a {self._title}", "bold"), ""])

    def _end_part(self, *, is_ok: bool) -> None:
        if self._level <= LEVELS.index("info"):
            self._say([self._closing_line(is_ok=is_ok)])

    def _show_output(self, data: bytes, stream: str) -> None:
        target = sys.stderr if self._merge or stream == "stderr" else sys.stdout
        try:
            target.flush()
            target.buffer.write(data)
            target.buffer.flush()
        except (BrokenPipeError, ValueError):
            self._is_heard = False  # nobody reads; the measurement goes on
        self._at_line_start = data.endswith(b"\n")

    def _say(self, lines: Sequence[str]) -> None:
        """Write lines of our own, never into the middle of the command's."""
        if not lines:
            return
        start = "" if self._at_line_start else "\n"
        self._write(start + "\n".join(lines) + "\n")
        self._at_line_start = True

    def _write(self, text: str) -> None:
        write_text(text)

    # --- shared

    def _closing_line(self, *, is_ok: bool) -> str:
        sign = self._style("✓", "green") if is_ok else self._style("✗", "red")
        return f"  {sign}  {self._title} {elapsed(time.monotonic() - self._started)}"

    def _release(self) -> None:
        held, self._held, self._held_bytes = self._held, [], 0
        for stream, data in held:
            if self._is_heard:
                self._show_output(data, stream)

    def _lines(self, sign: str, text: str) -> list[str]:
        first, *more = text.splitlines() or [""]
        return [f"  {sign} {first}", *(f"    {line}" for line in more)]


class JsonReporter(PlainReporter):
    """Events on standard output, one JSON object a line; warnings and errors on standard error."""

    def part_started(self, part: RunPart, *, count: int) -> None:
        """Emit `part_started`."""
        super().part_started(part, count=count)
        self._part = part.index
        self._emit("part_started", part=part.index, count=count, **_part_facts(part))

    def released(self) -> None:
        """Have no table to get ready for."""

    def benchmark(self, uri: str) -> None:
        """Emit `benchmark`."""
        self._emit("benchmark", part=self._part, uri=uri)

    def part_finished(self, part: RunPart, results: PartResults | None) -> None:
        """Emit `part_finished` with the results; null where there are none."""
        super().part_finished(part, results)
        from codspeed.wire import to_plain  # noqa: PLC0415 - cattrs, after the measurement

        benchmarks = None if results is None else to_plain(results)["benchmarks"]
        facts = {"model": part.model, "error": part.error, "error_slug": part.error_slug}
        self._emit(
            "part_finished", part=part.index, **_part_facts(part), **facts, benchmarks=benchmarks
        )

    def finished(self, _bundle: Bundle | None, lines: Sequence[str]) -> None:
        """Keep the lines for `finished`, which also needs the exit code."""
        self._last = list(lines)

    def ended(self, report: RunReport) -> None:
        """Emit `finished`."""
        errors = [
            {"slug": error.slug, "problem": error.problem, "hint": error.hint}
            for error in report.errors
        ]
        self._emit(
            "finished",
            bundle=None if report.bundle is None else str(report.bundle.path),
            exit_code=report.exit_code,
            errors=errors,
            lines=self._last,
        )

    _part = 0
    _last: list[str] = []  # noqa: RUF012 - replaced, never changed

    def _begin_part(self) -> None:
        """Have no heading: the event tells."""

    def _end_part(self, *, is_ok: bool) -> None:
        """Have no closing line: the event tells."""

    def _emit(self, event: str, **data: Any) -> None:
        import json  # noqa: PLC0415 - only here

        document = {"schema": EVENT_SCHEMA, "event": event, **_finite(data)}
        try:
            sys.stdout.write(json.dumps(document, ensure_ascii=False, default=str) + "\n")
            sys.stdout.flush()
        except (BrokenPipeError, ValueError):
            self._is_heard = False


def make_reporter(app: App) -> PlainReporter:
    """Return what fits --json, the CI provider, --show-full-output and the terminal."""
    if app.option("json"):
        return JsonReporter(app.env, app.labels, merge_output=True)
    if (provider := app.provider()) != "local":
        from codspeed.cli import ci  # noqa: PLC0415 - only in CI

        if provider in ci.SYNTAXES:
            return ci.CiReporter(app.env, app.labels, provider)
    rows = size(sys.stderr, app.env)[1]
    is_window = is_terminal(sys.stdout) and is_terminal(sys.stderr) and rows >= _LEAST_ROWS
    if is_window and not app.option("show_full_output") and app.env.get("TERM") != "dumb":
        from codspeed.cli.window import WindowReporter  # noqa: PLC0415 - only on a terminal

        return WindowReporter(app.env, app.labels)
    return PlainReporter(app.env, app.labels)


def write_text(text: str) -> None:
    """Write to standard error; if nobody reads it, the measurement goes on."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (BrokenPipeError, ValueError):
        return


def elapsed(seconds: float) -> str:
    """Return a time as `350ms`, `2.3s` or `1m 5s`."""
    if seconds < 1:
        return f"{int(seconds * 1000)}ms"
    if seconds < 60:
        return f"{math.floor(seconds * 10) / 10:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m {rest}s"


def _one_line(text: str) -> str:
    lines = text.strip().splitlines()
    return f"{lines[0]} …" if len(lines) > 1 else text.strip()


def _part_facts(part: RunPart) -> dict[str, str]:
    return {"executor": part.executor, "mode": part.mode, "label": part.label}


def _finite(value: Any) -> Any:
    """Return `value` with null for what JSON has no number for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
