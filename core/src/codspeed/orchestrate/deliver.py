"""Hand bundles to uploaders: at the end of a run, or later with `codspeed upload`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import attrs

from codspeed import bundle
from codspeed.errors import CodspeedError, InterruptedRunError, exit_code
from codspeed.model import Bundle, RunReport
from codspeed.orchestrate import interrupt
from codspeed.orchestrate.select import blaming, lacking_lines, made, uploader_plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from codspeed.model import PartRecord, Reporter, RunContext, System
    from codspeed.registry import Plugin, Registry


def upload(
    path: Path,
    *,
    uploaders: Sequence[str] | None,
    registry: Registry,
    system: System,
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
    plugins = uploader_plugins(registry, uploaders, context, plugin_options, warn=reporter.warning)
    errors, lines = hand_over(found, plugins, plugin_options, system, reporter)
    if uploaders is None:
        lines += lacking_lines(registry, context, plugin_options, plugins)
    reporter.finished(found, lines)
    return RunReport(found, tuple(errors), exit_code(errors))


def hand_over(
    kept: Bundle,
    uploaders: Sequence[Plugin],
    values: Mapping[str, Any],
    system: System,
    reporter: Reporter,
) -> tuple[list[CodspeedError], list[str]]:
    """Give the bundle to each uploader; one that fails does not stop the next, Ctrl-C does.

    Returns:
        What failed, and a line for each that took it.
    """
    errors: list[CodspeedError] = []
    lines: list[str] = []
    for plugin in uploaders:
        try:
            with interrupt.raised():
                lines += _hand_to(plugin, kept, values, system, reporter)
        except CodspeedError as failure:
            errors.append(failure)
            reporter.error(failure)
        except KeyboardInterrupt:
            hint = f"the bundle is whole; later: codspeed upload {shlex.quote(str(kept.path))}"
            errors.append(InterruptedRunError(f"interrupted at uploader {plugin.name}", hint=hint))
            reporter.error(errors[-1])
            break
    return errors, lines


def _hand_to(
    plugin: Plugin, kept: Bundle, values: Mapping[str, Any], system: System, reporter: Reporter
) -> list[str]:
    with blaming(plugin):
        uploader = made(plugin, values)
        if hasattr(uploader, "prepare"):  # younger than the first plugins
            uploader.prepare(system, reporter)
        taken = _acceptable(kept, uploader.accepts, plugin.name, reporter)
        if kept.manifest.parts and not taken.manifest.parts:
            return []  # each part was refused, with a line
        receipt = uploader.upload(taken)
        return [f"{receipt.message} {receipt.url}".rstrip()]


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
