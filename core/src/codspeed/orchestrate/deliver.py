"""Hand bundles to uploaders: at the end of a run, or later with `codspeed upload`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from codspeed import bundle
from codspeed.errors import CodspeedError, exit_code
from codspeed.model import Bundle, RunReport
from codspeed.orchestrate.select import crash, made, uploader_plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from codspeed.model import PartRecord, Reporter, RunContext
    from codspeed.registry import Plugin, Registry


def upload(
    path: Path,
    *,
    uploaders: Sequence[str] | None,
    registry: Registry,
    context: RunContext,
    plugin_options: Mapping[str, Any],
    reporter: Reporter,
) -> RunReport:
    """Hand an existing bundle to uploaders.

    Args:
        uploaders: Entry-point names; None: those that are wanted here.

    Raises:
        BundleError: If `path` is no bundle.
        PluginError: If an uploader is unknown or broken.
    """
    found = bundle.read(path)
    plugins = uploader_plugins(registry, uploaders, context, plugin_options)
    errors, lines = hand_over(found, plugins, plugin_options, reporter)
    reporter.finished(found, lines)
    return RunReport(found, tuple(errors), exit_code(errors))


def hand_over(
    kept: Bundle, uploaders: Sequence[Plugin], values: Mapping[str, Any], reporter: Reporter
) -> tuple[list[CodspeedError], list[str]]:
    """Give the bundle to each uploader; one that fails does not stop the next.

    Returns:
        What failed, and a line for each that took it.
    """
    errors: list[CodspeedError] = []
    lines: list[str] = []
    for plugin in uploaders:
        try:
            lines.append(_hand_to(plugin, kept, values, reporter))
        except CodspeedError as failure:
            errors.append(failure)
        except Exception as failure:  # noqa: BLE001 - the guard around plugins
            errors.append(crash(plugin, failure))
        else:
            continue
        reporter.error(errors[-1])
    return errors, lines


def _hand_to(plugin: Plugin, kept: Bundle, values: Mapping[str, Any], reporter: Reporter) -> str:
    uploader = made(plugin, values)
    receipt = uploader.upload(_acceptable(kept, uploader.accepts, plugin.name, reporter))
    return f"{receipt.message} {receipt.url}".rstrip()


def _acceptable(
    kept: Bundle, accepts: Callable[[PartRecord], str | None], uploader: str, reporter: Reporter
) -> Bundle:
    """Return the bundle without the parts that the uploader does not take; they are named."""
    refused: set[int] = set()
    for record in kept.manifest.parts:
        reason = accepts(record)
        if reason is not None:
            refused.add(record.index)
            part = f"{record.executor}-{record.index}"
            reporter.info(f"{uploader} does not take {part}: {reason}")
    if not refused:
        return kept
    parts = tuple(record for record in kept.manifest.parts if record.index not in refused)
    results = tuple(result for result in kept.results if result.part not in refused)
    return Bundle(kept.path, attrs.evolve(kept.manifest, parts=parts), results)
