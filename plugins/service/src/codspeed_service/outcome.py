"""After the upload of a local run: wait for the service, show what it computed, emit events.

Source: spec/cli-upload.md 5.4 to 5.6.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from codspeed.cli.terminal import Style, has_colour, is_terminal
from codspeed_service import display, quantity
from codspeed_service.api import Repository
from codspeed_service.poll import Poll

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from codspeed.model import Reporter
    from codspeed_service.api import Api
    from codspeed_service.descriptor import ServiceOptions
    from codspeed_service.metadata import Destination


def show_outcome(
    api: Api,
    target: Destination,
    run_id: str,
    options: ServiceOptions,
    reporter: Reporter,
    env: Mapping[str, str],
) -> str:
    """Wait for a run, show its results; return the address of the report.

    Raises:
        ServiceError: If the service takes too long or fails; the upload itself is done.
        AuthenticationError: If the session has expired.
    """
    reporter.info("Waiting for results...")
    repository = Repository(target.provider, target.owner, target.name)
    poll = Poll(api, repository, api.client.sleep)
    compared = _comparison(poll, options.base, run_id, reporter)
    paint = Style(enabled=has_colour(sys.stderr, env))
    if isinstance(compared, dict):
        found = list(compared.get("resultComparisons") or ())
        lines, label = display.comparison(compared, paint), "View comparison report"
        url = str(compared.get("url") or "")
    else:
        run = poll.run(run_id)
        found, url = list(run.get("results") or ()), str(run.get("url") or "")
        lines, label = display.results(found, paint) if found else [], "View full report"
    if options.message_format == "json":
        emit(reporter, run_id, found)
    if not found:
        reporter.warning("No instrumented benchmarks were found in this run")
        return ""
    _tell(reporter, [*lines, f"{label}: {url}"])
    for line in display.without_callgraph(found):
        reporter.warning(f"no call graph for {line}")
    if is_terminal(sys.stdout):
        reporter.info(f"To compare a later run with this one: --base {run_id}")
    return url


def _comparison(
    poll: Poll, base: str | None, run_id: str, reporter: Reporter
) -> dict[str, Any] | None:
    if base is None:
        return None
    compared = poll.comparison(base, run_id)
    if isinstance(compared, str):
        reporter.warning(f"{compared}; showing this run alone")
        return None
    return compared


def _tell(reporter: Reporter, lines: Sequence[str]) -> None:
    for line in lines:
        reporter.info(line)


def emit(reporter: Reporter, run_id: str, found: Sequence[Mapping[str, Any]]) -> None:
    """Write events to standard output: keys and kinds of values as the reference's, but escaped."""
    events: list[dict[str, str]] = [{"event": "run_finished", "run_id": run_id}]
    for each in found:
        value = each.get("value")
        events.append(
            {
                "event": "benchmark_ran",
                "name": str(each["benchmark"]["name"]),
                "time": "" if value is None else quantity.plain(float(value)),
            }
        )
    for event in events:
        reporter.verbatim(json.dumps(event, ensure_ascii=False), stream="stdout")
